from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from bellwether_operator.apply.client import ApiError
from bellwether_operator.observe import watching
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import SYSTEMS, ChildKey, Kind, SystemKey, Version
from bellwether_operator.observe.watching import Watching
from harness.until import until

DEMO = SystemKey("trading", "demo")


def service(name: str, version: int, namespace: str = "trading") -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "bellwether", "app.kubernetes.io/instance": "demo"}
    metadata = {"name": name, "namespace": namespace, "uid": f"u-{name}", "resourceVersion": str(version)}
    owner = {"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingSystem", "name": "demo", "uid": "u-demo"}
    return {"metadata": metadata | {"labels": labels, "ownerReferences": [owner | {"controller": True}]}, "spec": {}}


def system(name: str, version: int) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "trading", "uid": f"u-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {}}


def event(kind: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": raw}


@dataclass(frozen=True)
class Part:
    items: Sequence[Mapping[str, Any]]
    resource_version: int
    following: str
    limit: int


@dataclass
class Server:
    """Serves systems and Services as they are here, and what each watch of the latter brings; other kinds are empty."""

    services: list[dict[str, Any]]
    version: int
    systems: list[dict[str, Any]] = field(default_factory=list)
    before_page: Callable[[Kind, int], None] = lambda kind, first: None
    """Called with the place of each page's first object; what it raises is what the server answers."""
    watches: list[list[Mapping[str, Any] | Exception]] = field(default_factory=list)
    since: list[int] = field(default_factory=list)
    """Where each watch of Services began."""
    lists: int = 0
    namespace: str | None = None
    """Of the page that was asked for last."""
    whole: list[bool] = field(default_factory=list)
    """Of each list of Services."""

    async def page(
        self, kind: Kind, namespace: str | None, selector: str, limit: int, following: str, *, whole: bool
    ) -> Part:
        assert (selector == "") == (kind is SYSTEMS)
        first = int(following or 0)
        self.namespace = namespace
        self.before_page(kind, first)
        if kind.kind != "Service":
            return Part(self.systems if kind is SYSTEMS else [], self.version, "", limit)
        self.lists += not following
        self.whole += [] if following else [whole]
        there = [each for each in self.services if namespace in {None, each["metadata"]["namespace"]}]
        more = str(first + limit) if first + limit < len(there) else ""
        return Part(there[first : first + limit], self.version, more, limit)

    async def watch(
        self, kind: Kind, namespace: str | None, selector: str, since: int
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        if kind.kind == "Service":
            self.since.append(since)
            for each in self.watches.pop(0) if self.watches else ():
                if isinstance(each, Exception):
                    raise each
                yield each
        if kind.kind != "Service" or not self.watches:
            await asyncio.Event().wait()


@asynccontextmanager
async def watched(
    server: Server, cache: Cache, mark: Callable[[SystemKey, Version | None], None]
) -> AsyncIterator[Watching]:
    found = Watching(server, cache, mark)
    await found.list_all(None, set())
    task = asyncio.create_task(found.run(None))
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "FIRST_RETRY_SECONDS", 0.0)


async def news_of(watching: Watching) -> set[SystemKey]:
    news: set[SystemKey] = set()
    await watching.list_all(None, news)
    return news


def names(cache: Cache) -> list[str]:
    return [child.key.name for child in cache.children_of(DEMO)]


async def test_a_long_list_is_read_in_pages_and_forgets_what_is_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAGE", 2)
    cache = Cache()
    cache.take_child(service("gone", 3), "Service")
    cache.take_child(service("newer", 90), "Service")
    server = Server([service(f"s{number}", number) for number in range(1, 6)], version=50)
    assert await news_of(Watching(server, cache, lambda *_: None)) == {DEMO}
    assert names(cache) == ["newer", "s1", "s2", "s3", "s4", "s5"]
    assert await news_of(Watching(server, cache, lambda *_: None)) == set()


async def test_a_list_of_one_namespace_leaves_the_others_alone() -> None:
    cache = Cache()
    cache.take_child(service("here", 3), "Service")
    cache.take_child(service("there", 3, "elsewhere"), "Service")
    await Watching(Server([], version=50), cache, lambda *_: None, ("trading",)).list_all("trading", set())
    assert list(cache.children) == [ChildKey("Service", "elsewhere", "there")]


async def test_a_watch_begins_where_the_list_ended_and_says_what_it_saw() -> None:
    cache, marked = Cache(), list[SystemKey]()
    server = Server([service("a", 1), service("b", 2)], version=50)
    server.watches = [[event("DELETED", service("a", 60)), event("ADDED", service("c", 61))]]
    async with watched(server, cache, lambda key, _: marked.append(key)):
        await until(lambda: len(marked) == 2)
    assert names(cache) == ["b", "c"]
    assert server.since == [50]


async def test_a_watch_that_breaks_goes_on_after_the_last_event_or_bookmark() -> None:
    server = Server([], version=50)
    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "70"}})
    server.watches = [
        [event("ADDED", service("a", 60)), ApiError(0, "Unreachable", "the API server was not reached")],
        [bookmark],
        [event("ADDED", service("b", 80))],
    ]
    cache = Cache()
    async with watched(server, cache, lambda *_: None):
        await until(lambda: names(cache) == ["a", "b"])
    assert server.since[:3] == [50, 60, 70]
    assert server.lists == 1


@pytest.mark.parametrize(
    "failure",
    [
        ApiError(410, "Expired", "too old resource version"),
        event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}),
        event("ADDED", {"metadata": {}}),
    ],
    ids=["refused", "reported", "fault"],
)
async def test_what_a_watch_cannot_tell_any_more_a_new_list_does(failure: Any) -> None:
    cache, marked = Cache(), list[SystemKey]()
    server = Server([service("a", 1), service("b", 2)], version=50)
    server.watches = [[failure], [event("ADDED", service("c", 101))]]
    watch = Watching(server, cache, lambda key, _: marked.append(key))
    await watch.list_all(None, set())
    server.services, server.version = [service("b", 2)], 100
    task = asyncio.create_task(watch.run(None))
    await until(lambda: names(cache) == ["b", "c"])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert server.since[:2] == [50, 100]
    assert marked == [DEMO, DEMO]


def away_at(kind: str, first: int) -> Callable[[Kind, int], None]:
    """Answer that the server is unreachable, once, when this page of this kind is asked for."""
    answers = [ApiError(0, "Unreachable", "the API server was not reached")]

    def before_page(asked: Kind, at: int) -> None:
        if (asked.kind, at) == (kind, first) and answers:
            raise answers.pop()

    return before_page


async def test_a_page_that_is_older_than_a_deletion_brings_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAGE", 1)
    cache = Cache()
    server = Server([service("a", 1), service("b", 2), service("c", 3)], version=50)
    await Watching(server, cache, lambda *_: None).list_all(None, set())

    def deleted_meanwhile(kind: Kind, first: int) -> None:
        if (kind.kind, first) == ("Service", 1):
            cache.drop_child(service("b", 61), "Service")
            cache.drop_child(service("c", 62), "Service")

    server.before_page, server.version = deleted_meanwhile, 60
    assert await news_of(Watching(server, cache, lambda *_: None)) == set()
    assert names(cache) == ["a"]


async def test_what_a_list_took_before_it_failed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAGE", 1)
    server = Server([service("a", 1), service("b", 2)], version=50, before_page=away_at("Service", 1))
    watch, news = Watching(server, Cache(), lambda *_: None), set[SystemKey]()
    with pytest.raises(ApiError):
        await watch.list_all(None, news)
    assert news == {DEMO}


async def test_a_namespace_that_cannot_be_listed_is_not_taken_for_seen_and_others_are() -> None:
    def before_page(kind: Kind, _: int) -> None:
        if server.namespace == "lost":
            raise ApiError(403, "Forbidden", "tradingsystems is forbidden")

    server = Server([], version=50, systems=[system("demo", 5)], before_page=before_page)
    watching = Watching(server, Cache(), lambda *_: None, ("lost", "trading"))
    with pytest.raises(ApiError):
        await watching.list_all("lost", set())
    assert not watching.any_listed
    await watching.list_all("trading", set())
    assert (watching.listed("lost"), watching.listed("trading")) == (False, True)


async def test_a_watch_that_works_again_has_its_namespace_listed_and_says_what_failed_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server([], version=50)
    refused = ApiError(403, "Forbidden", "services is forbidden")
    server.watches = [[refused], [refused], [event("ADDED", service("a", 60))]]
    async with watched(server, Cache(), lambda *_: None) as found:
        await found.recovered[None].wait()
    assert found.troubles.words() == ""
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "all namespaces: cannot watch services: services is forbidden"
    ]


async def test_a_watch_whose_new_list_fails_half_way_marks_what_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAGE", 1)
    server, marked = Server([service("a", 1)], version=50), list[SystemKey]()
    server.watches = [[ApiError(410, "Expired", "too old resource version")]]
    cache = Cache()
    watch = Watching(server, cache, lambda key, _: marked.append(key))
    await watch.list_all(None, set())
    server.services, server.version = [service("a", 55), service("b", 2)], 60
    server.before_page = away_at("Service", 1)
    task = asyncio.create_task(watch.run(None))
    await until(lambda: names(cache) == ["a", "b"] and len(server.since) == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert marked == [DEMO, DEMO]  # once for the page before the failure, once for the one after it


async def test_the_first_list_keeps_the_bodies_of_children_and_not_those_of_strangers() -> None:
    labels = {"bellwether.dev/system-uid": "u-demo"}
    ours, stranger = service("ours", 1), service("stranger", 2, "elsewhere")
    ours["metadata"]["labels"] |= labels
    stranger["metadata"]["labels"] |= labels
    cache = Cache()
    server = Server([ours, stranger], version=50, systems=[system("demo", 5)])
    await Watching(server, cache, lambda *_: None).list_all(None, set())
    assert {key.name: child.body is not None for key, child in cache.children.items()} == {
        "ours": True,
        "stranger": False,
    }


async def test_large_objects_that_somebody_gives_our_labels_leave_nothing_behind() -> None:
    def theirs(number: int) -> dict[str, Any]:
        raw = service(f"theirs-{number}", number)
        del raw["metadata"]["ownerReferences"]
        return raw | {"data": {"x": "y" * 100_000}}

    cache, ours = Cache(), service("ours", 1)
    server = Server([ours, *map(theirs, range(2, 300))], version=500, systems=[system("demo", 5)])
    server.watches = [[event("ADDED", theirs(number)) for number in range(501, 600)]]
    server.watches[0].append(event("ADDED", service("new", 600)))
    async with watched(server, cache, lambda *_: None) as found:
        await until(lambda: names(cache) == ["new", "ours"])
        await found.list_all(None, set())
    assert sorted(key.name for key in cache.children) == ["new", "ours"]
    assert len(cache.gone) == 0
    assert server.whole == [True, False]
