"""The objects that are there, seen or supposed: whose they are, and what was applied to them last. Pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol

from bellwether.render.kubernetes import Keyring, Manifest, context, image_of, quantities
from bellwether.spec.created_with import ANNOTATION_CREATED_WITH, created_differently, decode
from bellwether.spec.models import GROUP, KIND, TradingSystem

CLAIM = "PersistentVolumeClaim"
CONFIG_MAP = "ConfigMap"
CRON_JOB = "CronJob"
DISRUPTION_BUDGET = "PodDisruptionBudget"
JOB = "Job"
SECRET = "Secret"  # noqa: S105 (the name of a kind)
WORKLOADS = frozenset({"Deployment", "StatefulSet"})
UNKNOWN_VERSION = "(the operator's)"
"""Stands for the version that the operator brings, where it is not known."""
_KEY_OF_IDENTITY = re.compile(r"# (\S+)\s+\{\s+nkey: (\S+)")


class Key(NamedTuple):
    """Which object of a namespace: its kind and name."""

    kind: str
    name: str


class Owner(Enum):
    """Whose an object is that has the name of one of ours."""

    OURS = "ours"
    RETAINED = "retained"
    """A volume that outlived an earlier system of the same name: it is taken over."""
    REMNANT = "remnant"
    """It belongs to an earlier system of the same name and goes with it."""
    STRANGER = "stranger"
    """Somebody else's: it is never applied over."""


@dataclass(frozen=True)
class ExistingObject:
    """An object that is there."""

    raw: Manifest
    """As the API server gives it."""
    base: Manifest | None = None
    """What was applied to it last, where that is known."""


@dataclass(frozen=True)
class Installation:
    """Of an installed operator, what rendering needs and the declaration does not say."""

    image: str
    """The services' image, `repository:tag`."""
    image_pull_policy: str = "IfNotPresent"
    log_level: str = "info"
    public_keys: Mapping[str, str] | None = None
    """The system's public NATS keys by identity, where they are known: they are part of a name that is a hash."""

    @property
    def keyring(self) -> Keyring:
        """The system's keys, with a stand-in for each that is not known; Secrets are never compared."""
        known = self.public_keys or {}
        return Keyring(
            seeds=dict.fromkeys(context.IDENTITIES, "(derived in the cluster)"),
            public_keys={name: known.get(name, f"key-of-{name}") for name in context.IDENTITIES},
            gateway_token="(derived in the cluster)",  # noqa: S106 (a stand-in)
        )


def key_of(manifest: Manifest) -> Key:
    """Return an object's key."""
    return Key(manifest["kind"], manifest["metadata"]["name"])


def component_of(manifest: Mapping[str, Any]) -> str:
    """Return the component that an object belongs to; empty when it says none."""
    return str((manifest["metadata"].get("labels") or {}).get(context.LABEL_COMPONENT, ""))


def digest_of(manifest: Manifest) -> str:
    """Return the digest that an applied object carries as an annotation."""
    return context.content_hash(manifest, 16)


def applied_digest(raw: Manifest) -> str | None:
    """Return the digest of what was applied to an object last, by its annotation."""
    found = (raw["metadata"].get("annotations") or {}).get(context.ANNOTATION_APPLIED)
    return None if found is None else str(found)


def supposed(manifest: Manifest, status: Mapping[str, Any] | None = None) -> ExistingObject:
    """Return an object as it will be once it was applied, its pods ready, or with the status that it had."""
    metadata = manifest["metadata"]
    raw = {
        **manifest,
        "metadata": {
            **metadata,
            "annotations": {**metadata.get("annotations", {}), context.ANNOTATION_APPLIED: digest_of(manifest)},
        },
    }
    if manifest["kind"] in WORKLOADS:
        raw["status"] = {"readyReplicas": manifest["spec"]["replicas"]} if status is None else status
    return ExistingObject(raw, manifest)


class Marked(Protocol):
    """What says whose an object is, of an object as the API server gives it or of what is remembered of one."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""

    @property
    def owner_uid(self) -> str | None:
        """Of the trading system that controls it, where one does."""

    @property
    def owner_name(self) -> str | None:
        """Of the same."""

    @property
    def foreign_controller(self) -> str | None:
        """`Kind/name` of a controlling owner that is no trading system."""


class Marks(NamedTuple):
    """The marks of an object; see Marked."""

    labels: Mapping[str, str]
    owner_uid: str | None
    owner_name: str | None
    foreign_controller: str | None


def marks_of(raw: Mapping[str, Any]) -> Marks:
    """Return what an object, as the API server gives it, says of whose it is."""
    metadata = raw["metadata"]
    labels = metadata.get("labels") or {}
    controller = next((each for each in metadata.get("ownerReferences") or () if each.get("controller")), None)
    if controller is None:
        return Marks(labels, None, None, None)
    if controller["kind"] == KIND and str(controller["apiVersion"]).startswith(f"{GROUP}/"):
        return Marks(labels, controller["uid"], controller["name"], None)
    return Marks(labels, None, None, f"{controller['kind']}/{controller['name']}")


def is_child(marked: Marked, uid: str) -> bool:
    """Whether an object is a child of this very system: by its controller or, without one, by its label."""
    if marked.owner_uid is not None:
        return marked.owner_uid == uid
    return marked.foreign_controller is None and marked.labels.get(context.LABEL_SYSTEM_UID) == uid


def owner_of(marked: Marked, kind: str, uid: str, name: str) -> tuple[Owner, str]:
    """Return whose an object with the name of one of ours is, and in words what says so.

    Args:
        marked: the object.
        kind: of the object.
        uid: of the system that it is judged for.
        name: of the same.
    """
    if is_child(marked, uid):
        return Owner.OURS, ""
    if marked.owner_name is not None:
        if marked.owner_name == name:
            return Owner.REMNANT, "it belongs to a deleted system of the same name"
        return Owner.STRANGER, f"it belongs to the trading system {marked.owner_name}"
    if marked.foreign_controller is not None:
        return Owner.STRANGER, f"it belongs to {marked.foreign_controller}"
    known = (
        marked.labels.get(context.LABEL_MANAGED_BY) == context.MANAGER
        and marked.labels.get(context.LABEL_INSTANCE) == name
    )
    if kind == CLAIM and known:
        return Owner.RETAINED, "it was kept from an earlier system of the same name"
    return Owner.STRANGER, "it was not made by the operator"


def owner_in(raw: Manifest, system: TradingSystem) -> tuple[Owner, str]:
    """Return the same of an object as the API server gives it."""
    return owner_of(marks_of(raw), raw["kind"], system.metadata.uid, system.metadata.name)


def is_going(raw: Mapping[str, Any]) -> bool:
    """Whether an object is being deleted: it is never applied over, and comes again when it is gone."""
    return "deletionTimestamp" in raw["metadata"]


def not_smaller(claim: Manifest, has: str | None) -> tuple[Manifest, str | None]:
    """Return a volume claim that does not shrink the one that is there, and, where it would have, words saying so.

    `has` is the size that the one that is there asks for, as the API server gives it; None where it asks for none.
    """
    wanted = requested(claim)
    try:
        shrinks = has is not None and quantities.mebibytes(str(wanted)) < quantities.mebibytes(has)
    except ValueError:
        return claim, None  # a size in another unit is not ours to judge: the API server refuses what cannot be
    if not shrinks:
        return claim, None
    kept = copy.deepcopy(claim)
    kept["spec"]["resources"]["requests"]["storage"] = has
    name = claim["metadata"]["name"]
    return kept, f"storage.size: {wanted} is smaller than the {has} of {name}; a volume cannot shrink"


def handed_over(claim: Manifest, there: Marked, has: str | None, uid: str) -> Manifest | None:
    """Return a claim of ours as it is but with the owner that it is to have; None where it has that already.

    That much is done in a pause, too: whether a volume outlives its system must not wait.

    Args:
        claim: as it is to be.
        there: the claim that is there.
        has: the size that it asks for.
        uid: of the system.
    """
    owned = bool(claim["metadata"].get("ownerReferences"))
    if claim["kind"] != CLAIM or not is_child(there, uid) or owned is (there.owner_uid is not None):
        return None
    kept = copy.deepcopy(claim)
    if has is not None:
        kept["spec"]["resources"]["requests"]["storage"] = has
    return kept


def not_its_volume(claim: Manifest, said: str | None) -> str | None:
    """Return in words why what is on a volume is not this declaration's; None when it is, or when nobody said.

    `said` is what the claim that is there says it was created with.
    """
    wanted = (claim["metadata"].get("annotations") or {}).get(ANNOTATION_CREATED_WITH)
    if claim["kind"] != CLAIM or said is None or wanted is None:
        return None
    return created_differently(f"{CLAIM} {claim['metadata']['name']}", decode(said), decode(wanted))


def requested(claim: Mapping[str, Any]) -> str | None:
    """Return the size that a volume claim asks for."""
    found = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage")
    return None if found is None else str(found)


def installation_of(objects: Iterable[Manifest], declared_version: str | None) -> Installation | None:
    """Return what the children of a system tell of the installation; None when none of them runs the services.

    Args:
        objects: the children as the API server gives them.
        declared_version: the version that the stored declaration asks for; where it asks for none, the image's tag is
            the installation's own, else nobody can tell it from the children.
    """
    there = list(objects)
    templates = [each["spec"]["template"]["spec"] for each in there if each["kind"] in WORKLOADS]
    containers = [one for each in templates for one in (*each.get("containers", ()), *each.get("initContainers", ()))]
    ours = [one for one in containers if _variable(one, "BELLWETHER_SYSTEM") is not None]
    if not ours:
        return None
    image = str(ours[0]["image"])
    return Installation(
        image=image if declared_version is None else image_of(image, UNKNOWN_VERSION),
        image_pull_policy=str(ours[0].get("imagePullPolicy", "IfNotPresent")),
        log_level=_variable(ours[0], "BELLWETHER_LOG_LEVEL") or "info",
        public_keys=public_keys_in(there),
    )


def public_keys_in(objects: Iterable[Manifest]) -> dict[str, str]:
    """Return the public NATS keys by identity, from the servers' configuration among a system's children."""
    found: dict[str, str] = {}
    for each in objects:
        if each["kind"] == CONFIG_MAP:
            for text in (each.get("data") or {}).values():
                found |= dict(_KEY_OF_IDENTITY.findall(text))
    return found


def _variable(container: Mapping[str, Any], name: str) -> str | None:
    values = (each.get("value") for each in container.get("env") or () if each["name"] == name)
    return next((str(value) for value in values if value is not None), None)


def installation_of_operator(
    deployments: Iterable[Manifest], namespace: str, public_keys: Mapping[str, str] | None = None
) -> Installation | None:
    """Return what the Deployment of the operator that looks after a namespace says; None when not exactly one does."""
    found = []
    for each in deployments:
        container = each["spec"]["template"]["spec"]["containers"][0]
        watched = {name.strip() for name in (_variable(container, "WATCH_NAMESPACES") or "").split(",")} - {""}
        image = _variable(container, "SERVICES_IMAGE")
        if image is not None and (not watched or namespace in watched):
            policy = _variable(container, "IMAGE_PULL_POLICY") or "IfNotPresent"
            level = _variable(container, "SERVICES_LOG_LEVEL") or "info"
            found.append(Installation(image, policy, level, public_keys))
    return found[0] if len(found) == 1 else None
