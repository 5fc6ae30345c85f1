"""The kinds of object that a system consists of, where the API server keeps them, and how one of them is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

from bellwether.spec.models import API_VERSION, KIND, PLURAL


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
