"""The pods of systems, as far as it takes to say why one does not run. Watches feed it.

Of a pod that is ready hardly anything is kept, and nothing of one that no StatefulSet or ReplicaSet made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bellwether.render.kubernetes.context import LABEL_COMPONENT, LABEL_INSTANCE, LABEL_MANAGED_BY, MANAGER
from bellwether.render.nats import JOB, TRAINING_JOB
from bellwether_operator.observe.kinds import SystemKey

POD_SELECTOR = f"{LABEL_MANAGED_BY}={MANAGER},{LABEL_COMPONENT} notin ({JOB},{TRAINING_JOB})"
"""Which pods are listed and watched: those of workloads. Their template names no system's uid, their owner does."""
MESSAGE_LIMIT = 4096
"""Longest message of a container that is kept: what a log's end may have in a pod's status, twice."""
_CONTROLLERS = frozenset({"StatefulSet", "ReplicaSet"})
_STATUSES = ("initContainerStatuses", "containerStatuses")


class Gone(Protocol):
    """What was deleted lately."""

    def note(self, uid: str, version: int) -> None:
        """Remember that an object is gone as of a resource version."""

    def covers(self, metadata: Mapping[str, Any]) -> bool:
        """Whether this is what an object was before it went."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a workload."""

    namespace: str
    name: str
    uid: str
    resource_version: int
    system: SystemKey
    controller: tuple[str, str, str]
    """Kind, name and uid of the object that made it."""
    deleting: bool
    status: Mapping[str, Any]
    """Of its status what a judgement needs; nothing while it is ready."""

    def same(self, other: Pod | None) -> bool:
        """Whether nothing changed that anybody judges."""
        return other is not None and (self.uid, self.deleting, self.status) == (other.uid, other.deleting, other.status)


class Pods:
    """All pods of workloads, by namespace and name."""

    def __init__(self, gone: Gone) -> None:
        self._pods: dict[tuple[str, str], Pod] = {}
        self._of_system: defaultdict[SystemKey, set[tuple[str, str]]] = defaultdict(set)
        self._gone = gone

    def __len__(self) -> int:
        return len(self._pods)

    def of(self, system: SystemKey) -> list[Pod]:
        """Return the pods that bear a system's name, by their own; whether they are its own their controllers say."""
        return [self._pods[key] for key in sorted(self._of_system.get(system, ()))]

    def see_child(self, raw: Mapping[str, Any], kind: str, *, packed: bool = False) -> SystemKey | None:
        """Remember a pod as a watch or a list shows it; return its system when this was news."""
        del kind, packed
        metadata = raw["metadata"]
        key = (metadata["namespace"], metadata["name"])
        known = self._pods.get(key)
        if known is not None and int(metadata["resourceVersion"]) <= known.resource_version:
            return None
        if self._gone.covers(metadata):
            return None
        pod = pod_from(raw)
        self._forget(key)
        if pod is None:
            return None
        self._pods[key] = pod
        self._of_system[pod.system].add(key)
        return None if pod.same(known) else pod.system

    def drop_child(self, raw: Mapping[str, Any], kind: str) -> SystemKey | None:
        """Forget a deleted pod; return its system, or None when another one of its name is there already."""
        del kind
        metadata = raw["metadata"]
        self._gone.note(metadata["uid"], int(metadata["resourceVersion"]))
        known = self._pods.get((metadata["namespace"], metadata["name"]))
        if known is None or known.uid != metadata["uid"]:
            return None
        return self._forget((known.namespace, known.name))

    def list_children(self, kind: str, namespace: str | None = None) -> PodList:
        """Begin to take a full list of a namespace's pods, or of all."""
        del kind
        return PodList(self, namespace)

    def forget_missing(self, present: set[tuple[str, str]], namespace: str | None, version: int) -> set[SystemKey]:
        """Forget the pods that a list as of a resource version does not have; return their systems."""
        found = set()
        for key, pod in list(self._pods.items()):
            if namespace in {None, pod.namespace} and key not in present and pod.resource_version <= version:
                self._gone.note(pod.uid, version)
                self._forget(key)
                found.add(pod.system)
        return found

    def _forget(self, key: tuple[str, str]) -> SystemKey | None:
        known = self._pods.pop(key, None)
        if known is None:
            return None
        members = self._of_system[known.system]
        members.discard(key)
        if not members:
            del self._of_system[known.system]
        return known.system


class PodList:
    """A list of pods that is being taken, an object at a time."""

    def __init__(self, pods: Pods, namespace: str | None) -> None:
        self._pods = pods
        self._namespace = namespace
        self._present: set[tuple[str, str]] = set()
        self.news: set[SystemKey] = set()
        """The systems of which anything was not known, as far as the list was taken."""

    def take(self, raw: Mapping[str, Any]) -> None:
        """Take one of the pods."""
        self._present.add((raw["metadata"]["namespace"], raw["metadata"]["name"]))
        system = self._pods.see_child(raw, "Pod")
        if system is not None:
            self.news.add(system)

    def end(self, list_version: int) -> None:
        """Forget what was not in the list, of this resource version."""
        self.news |= self._pods.forget_missing(self._present, self._namespace, list_version)


def pod_from(raw: Mapping[str, Any]) -> Pod | None:
    """Return what matters of a pod; None where no workload made it, or it bears no system's name."""
    metadata = raw["metadata"]
    owner = next((each for each in metadata.get("ownerReferences") or () if each.get("controller")), None)
    name = (metadata.get("labels") or {}).get(LABEL_INSTANCE)
    if owner is None or owner["kind"] not in _CONTROLLERS or name is None:
        return None
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=int(metadata["resourceVersion"]),
        system=SystemKey(metadata["namespace"], name),
        controller=(owner["kind"], owner["name"], owner["uid"]),
        deleting="deletionTimestamp" in metadata,
        status=_judged(raw.get("status") or {}),
    )


def _judged(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a pod's status what says why it does not run, without what changes with each try."""
    conditions = {each.get("type"): each for each in status.get("conditions") or ()}
    if conditions.get("Ready", {}).get("status") == "True":
        return {}
    found: dict[str, Any] = {}
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        found["conditions"] = [_kept(scheduled, ("type", "status", "reason", "message", "lastTransitionTime"))]
    for name in _STATUSES:
        if status.get(name):
            found[name] = [_container(each) for each in status[name]]
    return found


def _container(status: Mapping[str, Any]) -> dict[str, Any]:
    found = _kept(status, ("name", "image", "ready"))
    # Twice is again and again; how often more would be news at each try.
    found["restartCount"] = min(int(status.get("restartCount", 0)), 2)
    for which in ("state", "lastState"):
        for name, state in (status.get(which) or {}).items():
            names = ("startedAt",) if name == "running" else ("reason", "message", "exitCode")
            found[which] = {name: _kept(state, names)}
    return found


def _kept(part: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    cut = {name: part[name] for name in names if name in part}
    # The end of a log says more than its beginning.
    return {name: value[-MESSAGE_LIMIT:] if isinstance(value, str) else value for name, value in cut.items()}
