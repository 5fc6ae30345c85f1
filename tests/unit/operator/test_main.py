"""The operator's own loops, without an API server."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import os
import signal
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import kopf
import pytest

from bellwether_operator.apply.client import ApiError, Listing
from bellwether_operator.handlers import kopf_settings, take_event
from bellwether_operator.main import Operator, serve
from bellwether_operator.observe.kinds import SYSTEMS, Kind, SystemKey
from bellwether_operator.settings import Settings
from harness.until import until

DEMO = SystemKey("trading", "demo")
RAW = {
    "metadata": {
        "name": "demo",
        "namespace": "trading",
        "uid": "s1",
        "resourceVersion": "5",
        "deletionTimestamp": "2026-11-23T00:00:00Z",  # so that its passes have nothing to do
    }
}
SETTINGS = Settings(services_image="bellwether/services:0.1.0", installation_seed=b"not secret: a seed for tests")


@dataclass
class Pages:
    """One page of systems, and a failure for each list before it; other kinds are empty, or always fail."""

    failures: list[Exception] = field(default_factory=list)
    always: Exception | None = None
    lists: int = 0

    async def page(
        self, kind: Kind, namespace: str | None, selector: str, limit: int, following: str, *, whole: bool
    ) -> Listing:
        if kind is SYSTEMS:
            self.lists += 1
            if self.failures:
                raise self.failures.pop(0)
            return Listing([RAW], 9, "", limit)
        if self.always is not None:
            raise self.always
        return Listing([], 9, "", limit)


async def listing_again(pages: Pages, monkeypatch: pytest.MonkeyPatch, lists: int) -> Operator:
    """Return an operator whose loop has come to its `lists`th list of systems, and has ended then."""
    monkeypatch.setattr("bellwether_operator.main.jittered", lambda _: 0.001)
    client: Any = pages
    operator = Operator(SETTINGS, client)
    task = asyncio.create_task(operator.list_again(None))
    try:
        await until(lambda: task.done() or pages.lists >= lists)
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await operator.workers.stop()
    return operator


@pytest.mark.parametrize(
    "failure", [ApiError(0, "Unreachable", "the API server was not reached"), KeyError("resourceVersion")]
)
async def test_lists_go_on_after_any_failure(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = await listing_again(Pages(failures=[failure]), monkeypatch, lists=2)
    assert list(operator.cache.systems) == [DEMO]


async def test_a_system_that_a_failing_list_has_found_gets_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    marked: list[SystemKey] = []
    monkeypatch.setattr("bellwether_operator.workers.Workers.mark", lambda _, key: marked.append(key))
    failing = Pages(always=ApiError(500, "InternalError", "etcd is unreachable"))
    await listing_again(failing, monkeypatch, lists=3)
    assert marked == [DEMO]


async def test_an_event_that_is_no_news_still_makes_a_missing_worker() -> None:
    client: Any = Pages()
    operator = Operator(SETTINGS, client)
    operator.cache.take_system(RAW)  # by a list that then failed
    try:
        take_event(RAW, operator.cache, operator.workers, everything, deleted=False)
        worker = operator.workers.worker(DEMO)
        assert worker is not None
        take_event(RAW, operator.cache, operator.workers, everything, deleted=False)
        assert operator.workers.worker(DEMO) is worker
    finally:
        await operator.workers.stop()


async def test_an_event_from_before_a_deletion_makes_no_worker() -> None:
    client: Any = Pages()
    operator = Operator(SETTINGS, client)
    deleted = {"metadata": RAW["metadata"] | {"resourceVersion": "8"}}
    try:
        take_event(deleted, operator.cache, operator.workers, everything, deleted=True)
        take_event(RAW, operator.cache, operator.workers, everything, deleted=False)
        assert operator.workers.worker(DEMO) is None
    finally:
        await operator.workers.stop()


def everything(_: str) -> bool:
    """Say that all of a namespace was seen."""
    return True


async def test_nothing_is_made_for_a_system_in_a_namespace_that_was_not_seen_yet() -> None:
    client: Any = Pages()
    operator = Operator(SETTINGS, client)
    try:
        take_event(RAW, operator.cache, operator.workers, operator.watching.listed, deleted=False)
        assert operator.workers.worker(DEMO) is None
        await operator.watching.list_all(None, set())
        take_event(RAW, operator.cache, operator.workers, operator.watching.listed, deleted=False)
        assert operator.workers.worker(DEMO) is not None
    finally:
        await operator.workers.stop()


@dataclass
class FakeKopf:
    """Runs until asked to stop; then says which tasks that began after it are still there, as kopf waits for those."""

    found: list[str] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, *, stop_flag: asyncio.Event, ready_flag: asyncio.Event | None = None, **_: Any) -> None:
        before = asyncio.all_tasks()
        for number in (signal.SIGTERM, signal.SIGINT):  # kopf heeds them itself, and ends at once
            asyncio.get_running_loop().add_signal_handler(number, stop_flag.set)
        if ready_flag is not None:
            ready_flag.set()
        self.started.set()
        await stop_flag.wait()
        self.found = sorted(task.get_name() for task in asyncio.all_tasks() - before)


@pytest.fixture
def fake_kopf(monkeypatch: pytest.MonkeyPatch) -> FakeKopf:
    fake = FakeKopf()
    monkeypatch.setattr("bellwether_operator.main.kopf.operator", fake)
    return fake


class Client(Pages):
    """An API server with one system, whose watches never bring anything."""

    async def watch(self, *_: Any) -> AsyncGenerator[dict[str, Any], None]:
        await asyncio.Event().wait()
        yield {}

    async def close(self) -> None:
        """Do nothing."""


async def test_the_operator_ends_its_own_work_before_kopf_so_that_kopf_waits_for_nothing(fake_kopf: FakeKopf) -> None:
    client: Any = Client()
    settings = dataclasses.replace(SETTINGS, http_host="127.0.0.1", http_port=0)
    operator, stop = Operator(settings, client), asyncio.Event()
    task = asyncio.create_task(operator.run(stop))
    await fake_kopf.started.wait()
    await until(lambda: operator.workers.worker(DEMO) is not None)
    async with aiohttp.ClientSession() as probe:  # its connection stays open, as that of whoever gathers metrics does
        assert (await probe.get(f"http://127.0.0.1:{operator.http_port}/metrics")).status == 200
        stop.set()
        await task
    assert fake_kopf.found == []


class Lost(Client):
    """An API server on which one namespace is gone, and the rights in it, until it comes back."""

    lost: str | None = "lost"

    async def page(
        self, kind: Kind, namespace: str | None, selector: str, limit: int, following: str, *, whole: bool
    ) -> Listing:
        if namespace == self.lost:
            raise ApiError(403, "Forbidden", f"{kind.plural} is forbidden in {namespace}")
        if namespace != RAW["metadata"]["namespace"]:
            return Listing([], 9, "", limit)
        return await super().page(kind, namespace, selector, limit, following, whole=whole)


async def test_a_lost_namespace_is_reported_and_retried_and_the_others_go_on(
    fake_kopf: FakeKopf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bellwether_operator.main.RETRY_SECONDS", 0.001)
    monkeypatch.setattr("bellwether_operator.main.LAST_RETRY_SECONDS", 0.001)
    server = Lost()
    client: Any = server
    settings = dataclasses.replace(SETTINGS, watch_namespaces=("lost", "trading"), http_host="127.0.0.1", http_port=0)
    operator, stop = Operator(settings, client), asyncio.Event()
    task = asyncio.create_task(operator.run(stop))
    await fake_kopf.started.wait()
    await until(lambda: operator.workers.worker(DEMO) is not None)

    async def answers(probe: aiohttp.ClientSession, path: str) -> tuple[int, str]:
        answer = await probe.get(f"http://127.0.0.1:{operator.http_port}{path}")
        return answer.status, await answer.text()

    gauge = 'bellwether_operator_namespace_failing{namespace="namespace lost"}'
    async with aiohttp.ClientSession() as probe:
        words = "namespace lost: cannot list: tradingsystems is forbidden in lost"
        assert await answers(probe, "/readyz") == (200, f"ok\n{words}\n")
        assert (await answers(probe, "/livez"))[0] == 200
        assert f"{gauge} 1.0" in (await answers(probe, "/metrics"))[1]
        server.lost = None
        await until(lambda: operator.watching.listed("lost"))
        await until(lambda: not operator.watching.troubles.words())
        assert await answers(probe, "/readyz") == (200, "ok\n")
        assert f"{gauge} 0.0" in (await answers(probe, "/metrics"))[1]
    stop.set()
    await task


async def test_while_every_namespace_is_lost_the_operator_is_not_ready_and_not_restarted(
    fake_kopf: FakeKopf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bellwether_operator.main.RETRY_SECONDS", 0.001)
    client: Any = Lost()
    settings = dataclasses.replace(SETTINGS, watch_namespaces=("lost",), http_host="127.0.0.1", http_port=0)
    operator, stop = Operator(settings, client), asyncio.Event()
    task = asyncio.create_task(operator.run(stop))
    await until(lambda: operator.watching.troubles.words() != "")
    async with aiohttp.ClientSession() as probe:
        assert (await probe.get(f"http://127.0.0.1:{operator.http_port}/readyz")).status == 503
        assert (await probe.get(f"http://127.0.0.1:{operator.http_port}/livez")).status == 200
    stop.set()
    await task
    assert not fake_kopf.started.is_set()


def test_kopf_never_gives_a_request_up() -> None:
    settings = kopf.OperatorSettings()
    kopf_settings(settings)
    times = list(itertools.islice(settings.networking.error_backoffs, 1000))  # type: ignore[arg-type]
    assert times[:3] == [1, 2, 4]
    assert max(times) == times[-1]


async def test_a_signal_ends_our_own_work_first_though_kopf_heeds_signals_too(
    fake_kopf: FakeKopf, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(_: str | None) -> Client:
        return Client()

    monkeypatch.setattr("bellwether_operator.main.Client.connect", connect)
    settings = dataclasses.replace(SETTINGS, http_host="127.0.0.1", http_port=0)
    task = asyncio.create_task(serve(settings))
    await fake_kopf.started.wait()
    await until(lambda: any(each.get_name() == "watch the children" for each in asyncio.all_tasks()))
    os.kill(os.getpid(), signal.SIGTERM)
    await task
    assert fake_kopf.found == []
