"""The kinds of object that a system consists of, how one of them is named, and what is kept of it as it was seen."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

from bellwether.change.world import CRON_JOB, is_child, is_going, marks_of
from bellwether.render.kubernetes.context import (
    ANNOTATION_APPLIED,
    ANNOTATION_LAST_GOOD,
    ANNOTATION_TEMPLATE,
    LABEL_INSTANCE,
    LABEL_MANAGED_BY,
    LABEL_TASK,
    MANAGER,
)
from bellwether.render.kubernetes.volumes import snapshot_of
from bellwether.spec.models import API_VERSION, GROUP, KIND, PLURAL


class SystemKey(NamedTuple):
    """Which system: its namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Version(NamedTuple):
    """A very object in a very state."""

    uid: str
    resource_version: int


def version_of(raw: Mapping[str, Any]) -> Version:
    """Return which object this is, in which state."""
    return Version(raw["metadata"]["uid"], int(raw["metadata"]["resourceVersion"]))


class ChildKey(NamedTuple):
    """Which child: its kind, namespace and name."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Kind:
    """One kind of object."""

    api_version: str
    kind: str
    plural: str
    observed: bool = True
    """False: never read, listed or watched; what was written is remembered instead."""
    workload: bool = False
    """Whether it keeps pods running."""
    stateful: bool = False
    """Whether its spec or status is part of the picture; of others only the metadata is watched."""
    remade: bool = False
    """Whether a change deletes it and makes it again: the schedule of a CronJob is never edited, since the controller
    would reckon what it missed by the new one."""
    once: bool = False
    """Whether it is made once and then left alone: a Job is an action, not a state."""

    @property
    def group(self) -> str:
        """The API group; empty for the core one."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version within the group."""
        return self.api_version.rpartition("/")[2]

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """Return the path of one object, of a namespace's objects, or of all of them."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        within = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        single = f"/{quote(name, safe='')}" if name else ""
        return f"{root}{within}/{self.plural}{single}"


SYSTEMS = Kind(API_VERSION, KIND, PLURAL, stateful=True)
CLAIM = "PersistentVolumeClaim"
JOB = "Job"
CHILD_KINDS = (
    Kind("v1", "ConfigMap", "configmaps"),
    Kind("batch/v1", "CronJob", "cronjobs", remade=True),
    Kind("apps/v1", "Deployment", "deployments", workload=True, stateful=True),
    Kind("batch/v1", JOB, "jobs", once=True, stateful=True),
    Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    Kind("v1", CLAIM, "persistentvolumeclaims", stateful=True),
    Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Kind("v1", "Secret", "secrets", observed=False),
    Kind("v1", "Service", "services"),
    Kind("v1", "ServiceAccount", "serviceaccounts"),
    Kind("apps/v1", "StatefulSet", "statefulsets", workload=True, stateful=True),
)
PODS = Kind("v1", "Pod", "pods", stateful=True)
"""Watched to say why they do not run; never made, changed or deleted."""
BY_NAME = {kind.kind: kind for kind in CHILD_KINDS}


BODY_LIMIT = 64 * 1024
"""Of a child that is listed or watched, no body with more characters of JSON than this is kept."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_FASTEST = 1
_STATUS_FIELDS = (
    "observedGeneration",
    "replicas",
    "readyReplicas",
    "updatedReplicas",
    "currentRevision",
    "updateRevision",
    "phase",
    "capacity",
)
_JOB_STATUS_FIELDS = ("active", "conditions", "failed", "ready", "succeeded")
_OWN_ANNOTATIONS = f"{GROUP}/"
_NOT_KEPT = frozenset({ANNOTATION_APPLIED, ANNOTATION_LAST_GOOD, ANNOTATION_TEMPLATE})


def pack(value: Any) -> bytes:
    """Return plain JSON data in a small part of the memory that its dicts and strings take."""
    return _packed(_text(value))


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _packed(text: str) -> bytes:
    return zlib.compress(text.encode(), _FASTEST)


def unpack(packed: bytes) -> Any:
    """Return the data again, a copy each time."""
    return json.loads(zlib.decompress(packed))


@dataclass(slots=True)
class Observed:
    """What is known of one child.

    The body is kept only until it has been compared with what is desired: then `verified` says that it agreed, and
    the body, the greater part of it, is let go. Of what belongs to no system in the picture, is very large, or was
    watched by its metadata, there is no body from the start.
    """

    key: ChildKey
    uid: str
    resource_version: int
    generation: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    """Our own ones, without the domain; of a workload not its pod template."""
    owner_uid: str | None
    owner_name: str | None
    """Owner of the controlling reference, where that is a trading system."""
    foreign_controller: str | None
    """`Kind/name` of a controlling owner that is no trading system."""
    applied: str | None
    deleting: bool
    status: Mapping[str, Any]
    replicas: int | None
    storage: str | None
    """Requested size, of a volume claim."""
    held: dict[str, Any] | bytes | None
    """The body, packed or not."""
    source: str | None = None
    """The VolumeSnapshot that a volume claim's volume is made from."""
    verified: str | None = None
    """`applied`, where what is there was seen to contain what is desired by that digest."""

    @property
    def body(self) -> dict[str, Any] | None:
        """The object without its status; None once it was compared, and where it was not kept."""
        return unpack(self.held) if isinstance(self.held, bytes) else self.held

    @body.setter
    def body(self, body: dict[str, Any] | None) -> None:
        self.held = body

    def shorten(self, *, packed: bool) -> None:
        """Let a very large body go, and with `packed` keep a smaller one packed."""
        if isinstance(self.held, dict):
            text = _text(self.held)
            if len(text) > BODY_LIMIT:
                self.held = None
            elif packed:
                self.held = _packed(text)

    @property
    def unread(self) -> bool:
        """Whether it is not known what it contains: it was not compared, and its body was not kept."""
        return self.held is None and self.verified is None

    @property
    def system(self) -> SystemKey | None:
        """The system that it belongs to by its owner or, without one, by its labels."""
        if self.owner_name is not None:
            return SystemKey(self.key.namespace, self.owner_name)
        if self.labels.get(LABEL_MANAGED_BY) == "bellwether" and LABEL_INSTANCE in self.labels:
            return SystemKey(self.key.namespace, self.labels[LABEL_INSTANCE])
        return None

    def belongs_to(self, uid: str) -> bool:
        """Whether it is a child of this very system: by its controller or, without one, by its label."""
        return is_child(self, uid)


def observed_from(raw: Mapping[str, Any], kind: str) -> Observed:
    """Return what matters of an object as the API server gave it.

    Thousands of children have the same few labels, owners and namespaces: each such text is kept once.
    """
    metadata = raw["metadata"]
    marks = marks_of(raw)
    status = raw.get("status") or {}
    spec = raw.get("spec") or {}
    kind_of = BY_NAME[kind]
    kept = {name: value for name, value in raw.items() if name not in {"status", "metadata"}}
    kept["metadata"] = {
        name: metadata[name]
        for name in ("labels", "annotations", "ownerReferences", "name", "namespace")
        if name in metadata
    }
    kept["apiVersion"], kept["kind"] = kind_of.api_version, kind  # lists leave them out
    status_fields = _JOB_STATUS_FIELDS if kind_of.once else _STATUS_FIELDS
    return Observed(
        key=ChildKey(intern(kind), intern(metadata["namespace"]), metadata["name"]),
        uid=metadata["uid"],
        resource_version=int(metadata["resourceVersion"]),
        generation=int(metadata.get("generation", 0)),
        labels={intern(name): intern(value) for name, value in marks.labels.items()},
        annotations={
            name.removeprefix(_OWN_ANNOTATIONS): value
            for name, value in (metadata.get("annotations") or {}).items()
            if name.startswith(_OWN_ANNOTATIONS) and name not in _NOT_KEPT
        }
        or _NOTHING,
        owner_uid=None if marks.owner_uid is None else intern(marks.owner_uid),
        owner_name=None if marks.owner_name is None else intern(marks.owner_name),
        foreign_controller=marks.foreign_controller,
        applied=(metadata.get("annotations") or {}).get(ANNOTATION_APPLIED),
        deleting=is_going(raw),
        status={name: status[name] for name in status_fields if name in status} or _NOTHING,
        replicas=spec.get("replicas"),
        storage=((spec.get("resources") or {}).get("requests") or {}).get("storage"),
        held=None if kind_of.once else kept,  # what is made once is never compared
        source=snapshot_of(raw) if kind == CLAIM else None,
    )


def is_kept(raw: Mapping[str, Any], kind: str) -> bool:
    """Whether an object with our labels is kept in the picture.

    What a system controls is, and what can be ours without that: a volume claim that outlives its system, and a Job
    that a CronJob made.
    """
    marks = marks_of(raw)
    if marks.owner_name is not None:
        return True
    if marks.foreign_controller is None:
        return kind == CLAIM and marks.labels.get(LABEL_MANAGED_BY) == MANAGER and LABEL_INSTANCE in marks.labels
    return kind == JOB and marks.foreign_controller.startswith(f"{CRON_JOB}/") and LABEL_TASK in marks.labels
