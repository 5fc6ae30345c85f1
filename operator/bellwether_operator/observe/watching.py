"""Following the children: one list and one watch per kind and namespace, straight into the picture.

Anybody can give objects our labels, many and large ones. So the content of most kinds is not watched but read where one
of ours has to be compared, pages are small where objects are large, and what has no owner of ours is not kept.

A namespace that cannot be listed or watched, since it is gone or the rights in it are, keeps no other one waiting.

kopf carries the systems. For each object that it watches it keeps a task and the object's whole last event for some
seconds; with a dozen children per system, all listed at the start, that was most of the operator's memory.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Protocol

from bellwether.render.kubernetes.context import LABEL_MANAGED_BY, LABEL_SYSTEM_UID, MANAGER
from bellwether_operator import telemetry
from bellwether_operator.apply.client import ApiError
from bellwether_operator.observe.cache import Cache, ChildList, SystemList
from bellwether_operator.observe.kinds import CHILD_KINDS, PODS, SYSTEMS, Kind, SystemKey, Version, version_of
from bellwether_operator.observe.pods import POD_SELECTOR, PodList, Pods

log = logging.getLogger(__name__)


class Troubles:
    """The failures of each watched namespace; None stands for all namespaces."""

    def __init__(self) -> None:
        self._of: dict[str | None, dict[str, str]] = {}

    def note(self, namespace: str | None, what: str, words: str) -> None:
        """Note that something failed; it is logged unless it failed in the same way before."""
        known = self._of.setdefault(namespace, {})
        if known.get(what) != words:
            log.warning("%s: %s: %s", _name(namespace), what, words)
        known[what] = words
        telemetry.NAMESPACE_FAILING.labels(_name(namespace)).set(1)

    def clear(self, namespace: str | None, what: str) -> bool:
        """Note that something works; return whether the namespace failed before and does not any more."""
        known = self._of.get(namespace, {})
        if known.pop(what, None) is None or known:
            return False
        del self._of[namespace]
        log.info("%s: all can be listed and watched again", _name(namespace))
        telemetry.NAMESPACE_FAILING.labels(_name(namespace)).set(0)
        return True

    def words(self) -> str:
        """Return one line for each namespace that fails, with one of its failures."""
        found = []
        for namespace, known in self._of.items():
            what, words = next(iter(known.items()))
            found.append(f"{_name(namespace)}: {what}: {words}\n")
        return "".join(sorted(found))


def _name(namespace: str | None) -> str:
    return "all namespaces" if namespace is None else f"namespace {namespace}"


CHILD_SELECTOR = f"{LABEL_MANAGED_BY}={MANAGER},{LABEL_SYSTEM_UID}"
"""Which objects are listed and watched: those that this operator made, and what anybody gave the same labels."""
WATCHED = (*(kind for kind in CHILD_KINDS if kind.observed), PODS)
PAGE = 200
"""Objects that are read at once, and are in memory as a whole together."""
FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 30.0
_GONE = 410


class Page(Protocol):
    """A part of a collection as of a resource version; `following` asks for the next one and is empty at the end."""

    @property
    def items(self) -> Sequence[Mapping[str, Any]]:
        """The objects."""

    @property
    def resource_version(self) -> int:
        """Of the whole collection, the same in all its pages."""

    @property
    def following(self) -> str:
        """What asks for the next page."""

    @property
    def limit(self) -> int:
        """How many objects were asked for, which are fewer than wanted where they are large."""


class Source(Protocol):
    """The API server as it is needed here. Each call raises ApiError when the server refuses or is not reached."""

    async def page(
        self, kind: Kind, namespace: str | None, selector: str, limit: int, following: str, *, whole: bool
    ) -> Page:
        """Return a page of a collection, the first one when `following` is empty; `whole` or metadata only."""

    def watch(
        self, kind: Kind, namespace: str | None, selector: str, since: int
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """Yield the events of a collection after a resource version, until the watch ends or falls silent.

        Of a kind that is not `stateful` they show metadata only.
        """


class Watching:
    """Keeps the picture of the children up to date, each watched namespace by itself."""

    def __init__(
        self,
        source: Source,
        cache: Cache,
        mark: Callable[[SystemKey, Version | None], None],
        namespaces: Sequence[str] = (),
    ) -> None:
        """Do nothing yet; no namespaces means all.

        `mark` hears of each system of which something new was seen, and of what that was where an event showed it.
        """
        self._source = source
        self._cache = cache
        self._mark = mark
        self.scopes: Sequence[str | None] = namespaces or (None,)
        """Each of the watched namespaces, or None for all."""
        self.troubles = Troubles()
        self.recovered: dict[str | None, asyncio.Event] = {scope: asyncio.Event() for scope in self.scopes}
        """Set when all of a namespace can be watched again."""
        self._since: dict[tuple[Kind, str | None], int] = {}
        self._listed: set[str | None] = set()

    def listed(self, namespace: str) -> bool:
        """Whether all of a namespace was seen once; until then what is there may look as if it were missing."""
        return None in self._listed or namespace in self._listed

    @property
    def any_listed(self) -> bool:
        """Whether there is a namespace of which all was seen once."""
        return bool(self._listed)

    async def list_all(self, scope: str | None, news: set[SystemKey]) -> None:
        """List a namespace's children, then its systems; add the systems of which something was not known to `news`.

        They are added also where a list fails half-way: what was taken by then is no news to anybody who sees it again.

        The watches of `run` begin where the first list ended. A later list finds what fell into a gap between two
        watches, such as a deletion.

        Raises:
            ApiError: when the server refuses or is not reached.
        """
        # The first time the systems come first as well: the bodies of their children are kept, those of others are not.
        before = () if scope in self._listed else (SYSTEMS,)
        for kind in (*before, *WATCHED, SYSTEMS):
            await self._list(kind, scope, news)
        self._listed.add(scope)

    async def run(self, scope: str | None) -> None:
        """Watch the children of every kind in a namespace, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in WATCHED:
                group.create_task(self._follow(kind, scope), name=f"watch {kind.plural} {scope or ''}".strip())

    async def _list(self, kind: Kind, scope: str | None, news: set[SystemKey]) -> None:
        """Read a collection page by page; the whole of it is never in memory at once.

        The first time all is read whole: what is ours would be asked for one by one else.
        """
        whole = kind.stateful or scope not in self._listed
        selector = "" if kind is SYSTEMS else _selector(kind)
        limit = PAGE
        listing: SystemList | ChildList | PodList
        if kind is SYSTEMS:
            listing = self._cache.list_systems(scope)
        elif kind is PODS:
            listing = self._cache.pods.list_children(kind.kind, scope)
        else:
            listing = self._cache.list_children(kind.kind, scope, whole=whole)
        following = ""
        try:
            while True:
                page = await self._source.page(kind, scope, selector, limit, following, whole=whole)
                limit = min(PAGE, 2 * page.limit)
                for raw in page.items:
                    listing.take(raw)
                following = page.following
                if not following:
                    break
            listing.end(page.resource_version)
            self._since.setdefault((kind, scope), page.resource_version)
        finally:
            news |= listing.news

    def _store(self, kind: Kind) -> Cache | Pods:
        return self._cache.pods if kind is PODS else self._cache

    async def _list_again(self, kind: Kind, scope: str | None) -> None:
        news: set[SystemKey] = set()
        try:
            await self._list(kind, scope, news)
        finally:
            for system in news:
                self._mark(system, None)

    async def _follow(self, kind: Kind, scope: str | None) -> None:
        """Watch one collection; go on where a watch ended or, where the server forgot that, list again."""
        delay, what = FIRST_RETRY_SECONDS, f"cannot watch {kind.plural}"
        while True:
            try:
                if (kind, scope) not in self._since:
                    await self._list_again(kind, scope)
                async for event in self._source.watch(kind, scope, _selector(kind), self._since[kind, scope]):
                    self._take(kind, scope, event)
                    delay = 0.0
                    self._works(scope, what)
                self._works(scope, what)
            except ApiError as error:
                if error.status == _GONE:
                    self._since.pop((kind, scope), None)
                else:
                    self.troubles.note(scope, what, error.message)
                delay = max(delay, FIRST_RETRY_SECONDS)
            except Exception:
                # A fault of ours must not leave the operator blind for a kind.
                log.exception("watching %s failed by a fault of the operator", kind.plural)
                self._since.pop((kind, scope), None)
                delay = max(delay, FIRST_RETRY_SECONDS)
            # At once after a watch that brought something, ever later while none does.
            await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 (no secret)
            delay = min(max(2 * delay, FIRST_RETRY_SECONDS), LAST_RETRY_SECONDS)

    def _works(self, scope: str | None, what: str) -> None:
        if self.troubles.clear(scope, what):
            self.recovered[scope].set()

    def _take(self, kind: Kind, scope: str | None, event: Mapping[str, Any]) -> None:
        raw = event["object"]
        if event["type"] == "ERROR":
            raise ApiError(int(raw.get("code", 0)), str(raw.get("reason", "")), str(raw.get("message", "")))
        if event["type"] != "BOOKMARK":
            telemetry.EVENTS_SEEN.labels(kind.kind).inc()
            deleted = event["type"] == "DELETED"
            if deleted:
                system = self._store(kind).drop_child(raw, kind.kind)
            elif kind is PODS:
                system = self._cache.pods.see_child(raw, kind.kind)
            else:
                system = self._cache.see_child(raw, kind.kind, whole=kind.stateful)
            if system is not None:
                self._mark(system, None if deleted else version_of(raw))
        self._since[kind, scope] = int(raw["metadata"]["resourceVersion"])


def _selector(kind: Kind) -> str:
    return POD_SELECTOR if kind is PODS else CHILD_SELECTOR
