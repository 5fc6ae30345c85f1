"""The picture of systems and children. Watches feed it, replies to our own writes run ahead of the watches."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from sys import intern
from typing import Any

from bellwether_operator.observe.kinds import ChildKey, Observed, SystemKey, is_kept, observed_from, pack, unpack
from bellwether_operator.observe.pods import Pods

GONE_SECONDS = 900.0
"""So long it is remembered what was deleted. The pages of a list are a snapshot that the server lets go after five to
ten minutes, and a reply comes within seconds: nothing that is older can come in."""


class Systems(Mapping[SystemKey, dict[str, Any]]):
    """All systems by key, as the API server gave them but for the managed fields; each look gives a copy."""

    def __init__(self) -> None:
        self._packed: dict[SystemKey, tuple[int, str, bytes]] = {}
        """Resource version and uid, for which nothing need be unpacked, and the system."""

    def __getitem__(self, key: SystemKey) -> dict[str, Any]:
        raw: dict[str, Any] = unpack(self._packed[key][2])
        return raw

    def __contains__(self, key: object) -> bool:
        return key in self._packed

    def __iter__(self) -> Iterator[SystemKey]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def version(self, key: SystemKey) -> int:
        """Return the resource version of a system, -1 without one."""
        return self._packed[key][0] if key in self._packed else -1

    def uid(self, key: SystemKey) -> str | None:
        """Return the uid of a system, None without one."""
        return self._packed[key][1] if key in self._packed else None

    def put(self, key: SystemKey, raw: Mapping[str, Any]) -> None:
        """Keep a system."""
        metadata = {name: value for name, value in raw["metadata"].items() if name != "managedFields"}
        packed = pack({**raw, "metadata": metadata})
        self._packed[key] = int(metadata["resourceVersion"]), intern(metadata["uid"]), packed

    def drop(self, key: SystemKey) -> None:
        """Forget a system, if there is one."""
        self._packed.pop(key, None)


def _without_status(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a system without what our own writes of its status change."""
    kept = {name: value for name, value in raw.items() if name not in {"status", "metadata", "apiVersion", "kind"}}
    changing = {"managedFields", "resourceVersion"}
    return kept | {name: value for name, value in raw["metadata"].items() if name not in changing}


def same_but_for_status(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two states of a system differ in nothing but what our own writes of its status change."""
    return _without_status(one) == _without_status(other)


class Gone:
    """What was deleted lately, by uid, with the resource version as of which it was gone.

    A page of a list and a reply of our own can show an object whose deletion was seen already. With a later version it
    is taken again: an object that lost its labels is gone for us, and is back when it has them again.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._versions: dict[str, tuple[int, float]] = {}
        """Resource version and time, the oldest first."""

    def note(self, uid: str, version: int) -> None:
        """Remember that an object is gone as of a resource version."""
        before, _ = self._versions.pop(uid, (version, 0.0))
        self._versions[uid] = max(before, version), self._clock()
        self.forget()

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._versions)

    def forget(self) -> None:
        """Let go of what has been gone for long."""
        too_old = self._clock() - GONE_SECONDS
        while self._versions and next(iter(self._versions.values()))[1] < too_old:
            del self._versions[next(iter(self._versions))]

    def covers(self, metadata: Mapping[str, Any]) -> bool:
        """Whether this is what an object was before it went."""
        known = self._versions.get(metadata["uid"])
        return known is not None and int(metadata["resourceVersion"]) <= known[0]


class Cache:
    """All systems and children, by key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.systems = Systems()
        self.children: dict[ChildKey, Observed] = {}
        self._of_system: defaultdict[SystemKey, set[ChildKey]] = defaultdict(set)
        self.gone = Gone(clock)
        self.pods = Pods(self.gone)

    def children_of(self, system: SystemKey) -> list[Observed]:
        """Return the children that belong to a system, by key."""
        return [self.children[key] for key in sorted(self._of_system.get(system, ()))]

    def take_system(self, raw: Mapping[str, Any]) -> bool:
        """Remember a system; return whether this was news."""
        metadata = raw["metadata"]
        key = SystemKey(metadata["namespace"], metadata["name"])
        if int(metadata["resourceVersion"]) <= self.systems.version(key) or self.gone.covers(metadata):
            return False
        self.systems.put(key, raw)
        return True

    def take_reply(self, raw: Mapping[str, Any]) -> None:
        """Remember what a system has become by our own write of its status, ahead of the watch.

        A reply that also shows what somebody else wrote meanwhile is left to the watch: taken here, its events would be
        old news when they come, and nobody would look at the system again.
        """
        metadata = raw["metadata"]
        known = self.systems.get(SystemKey(metadata["namespace"], metadata["name"]))
        if known is not None and same_but_for_status(known, raw):
            self.take_system(raw)

    def drop_system(self, raw: Mapping[str, Any]) -> SystemKey | None:
        """Forget a deleted system; return its key, or None when a successor of the same name is already here."""
        metadata = raw["metadata"]
        key = SystemKey(metadata["namespace"], metadata["name"])
        self.gone.note(metadata["uid"], int(metadata["resourceVersion"]))
        if self.systems.uid(key) not in {None, metadata["uid"]}:
            return None
        self.forget_system(key)
        return key

    def forget_system(self, key: SystemKey) -> None:
        """Forget a system, and what was kept of its children for the sake of comparing them."""
        self.systems.drop(key)
        for child in self.children_of(key):
            child.body = None

    def see_child(
        self, raw: Mapping[str, Any], kind: str, *, whole: bool = True, packed: bool = False
    ) -> SystemKey | None:
        """Remember a child as a watch or a list shows it; return its system when this was news.

        The body is kept if it is `whole`, of a system in the picture and not very large; packed, where many wait
        together. What is not ours but for its labels is not remembered at all.
        """
        if not is_kept(raw, kind):
            return self._let_go(raw, kind)
        system = self._take(raw, kind)
        known = self.children.get(_child_key(raw, kind))
        if system is not None and known is not None and not whole:
            known.held = None
        if known is not None and not self._is_of_a_system(known):
            known.held = None
        if known is not None:
            known.shorten(packed=packed)
        return system

    def _let_go(self, raw: Mapping[str, Any], kind: str) -> SystemKey | None:
        """Forget a child that lost what makes it ours; return its system when that was news."""
        key, metadata = _child_key(raw, kind), raw["metadata"]
        known = self.children.get(key)
        if known is None or known.uid != metadata["uid"] or int(metadata["resourceVersion"]) <= known.resource_version:
            return None
        return self.forget_child(key)

    def take_child(self, raw: Mapping[str, Any], kind: str) -> SystemKey | None:
        """Remember a child as the reply to a write shows it; return its system when this was news.

        The body is kept in any case, also of what a watch has shown before: it is compared with what was written.
        """
        known = self.children.get(_child_key(raw, kind))
        if known is not None and known.unread and int(raw["metadata"]["resourceVersion"]) == known.resource_version:
            known.body = observed_from(raw, kind).body
            return None
        return self._take(raw, kind)

    def _take(self, raw: Mapping[str, Any], kind: str) -> SystemKey | None:
        key, metadata = _child_key(raw, kind), raw["metadata"]
        known = self.children.get(key)
        known_version = -1 if known is None else known.resource_version
        if int(metadata["resourceVersion"]) <= known_version or self.gone.covers(metadata):
            return None
        observed = observed_from(raw, kind)
        self.forget_child(key)
        self.children[observed.key] = observed
        if observed.system is not None:
            self._of_system[observed.system].add(observed.key)
        return observed.system

    def _is_of_a_system(self, child: Observed) -> bool:
        uid = None if child.system is None else self.systems.uid(child.system)
        return uid is not None and child.belongs_to(uid)

    def drop_child(self, raw: Mapping[str, Any], kind: str) -> SystemKey | None:
        """Forget a deleted child; return its system, or None when it has been made again already."""
        key, metadata = _child_key(raw, kind), raw["metadata"]
        known = self.children.get(key)
        if known is not None or is_kept(raw, kind):
            self.gone.note(metadata["uid"], int(metadata["resourceVersion"]))
        if known is None or known.uid != metadata["uid"]:
            return None
        return self.forget_child(key)

    def forget_child(self, key: ChildKey) -> SystemKey | None:
        """Forget a child; return the system that it belonged to, if any."""
        known = self.children.pop(key, None)
        if known is None or known.system is None:
            return None
        members = self._of_system[known.system]
        members.discard(key)
        if not members:
            del self._of_system[known.system]
        return known.system

    def list_systems(self, namespace: str | None = None) -> SystemList:
        """Begin to take a full list of a namespace's systems, or of all."""
        self.gone.forget()
        return SystemList(self, namespace)

    def list_children(self, kind: str, namespace: str | None = None, *, whole: bool = True) -> ChildList:
        """Begin to take a full list of a namespace's children of one kind, or of all; `whole` or their metadata."""
        return ChildList(self, kind, namespace, whole=whole)


def _child_key(raw: Mapping[str, Any], kind: str) -> ChildKey:
    return ChildKey(kind, raw["metadata"]["namespace"], raw["metadata"]["name"])


class SystemList:
    """A list of systems that is being taken, an object at a time."""

    def __init__(self, cache: Cache, namespace: str | None) -> None:
        self._cache = cache
        self._namespace = namespace
        self._present: set[SystemKey] = set()
        self.news: set[SystemKey] = set()
        """The systems that were not known as they are, as far as the list was taken."""

    def take(self, raw: Mapping[str, Any]) -> None:
        """Take one of the systems."""
        key = SystemKey(raw["metadata"]["namespace"], raw["metadata"]["name"])
        self._present.add(key)
        if self._cache.take_system(raw):
            self.news.add(key)

    def end(self, list_version: int) -> None:
        """Forget what was not in the list, of this resource version."""
        systems = self._cache.systems
        for key in list(systems):
            within = self._namespace in {None, key.namespace}
            uid = systems.uid(key)
            if within and uid is not None and key not in self._present and systems.version(key) <= list_version:
                self._cache.gone.note(uid, list_version)
                self._cache.forget_system(key)
                self.news.add(key)


class ChildList:
    """A list of children of one kind that is being taken, an object at a time."""

    def __init__(self, cache: Cache, kind: str, namespace: str | None, *, whole: bool) -> None:
        self._cache = cache
        self._kind = kind
        self._whole = whole
        self._namespace = namespace
        self._present: set[ChildKey] = set()
        self.news: set[SystemKey] = set()
        """The systems of which anything was not known, as far as the list was taken."""

    def take(self, raw: Mapping[str, Any]) -> None:
        """Take one of the children."""
        if is_kept(raw, self._kind):
            self._present.add(_child_key(raw, self._kind))
        self._notify(self._cache.see_child(raw, self._kind, whole=self._whole, packed=True))

    def end(self, list_version: int) -> None:
        """Forget what was not in the list, of this resource version."""
        for key, known in list(self._cache.children.items()):
            within = key.kind == self._kind and self._namespace in {None, key.namespace}
            if within and key not in self._present and known.resource_version <= list_version:
                self._cache.gone.note(known.uid, list_version)
                self._notify(self._cache.forget_child(key))

    def _notify(self, system: SystemKey | None) -> None:
        if system is not None:
            self.news.add(system)
