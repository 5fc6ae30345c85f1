"""Many systems at once: those whose gateway hangs hold up no other, and of one that is gone nothing is kept."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from bellwether_operator import gateway, gateway_view
from bellwether_operator.gateway import GatewayClient
from bellwether_operator.gateway_view import GatewayView
from bellwether_operator.observe.cache import GONE_SECONDS, Cache
from bellwether_operator.observe.kinds import SystemKey
from bellwether_operator.passes import Memory, PassEnd
from bellwether_operator.reconcile import Reconciler
from bellwether_operator.settings import Settings
from bellwether_operator.workers import LOOKS_AT_ONCE, TROUBLED_LOOKS_AT_ONCE, Worker, Workers
from harness.until import DEADLINE, until

PERIOD = 0.3
HANGING = SystemKey("default", "hanging")
MANY = [SystemKey("default", f"demo-{number}") for number in range(2 * LOOKS_AT_ONCE)]


@dataclass
class Gateways:
    """Gateways of all systems, on one socket; a hanging one takes a request and never answers."""

    hanging: set[str] = field(default_factory=set)
    failing: bool = False
    """Whether the hanging ones answer with an error instead, as long as this is set."""
    waiting: int = 0
    """So many requests have no answer yet."""
    looks: dict[str, int] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)
    """Of the declaration that was delivered to a gateway; 1 for one that took none."""

    async def answer(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.looks[name] = self.looks.get(name, 0) + 1
        if name in self.hanging and self.failing:
            return web.json_response({}, status=500)
        if name in self.hanging:
            self.waiting += 1
            await asyncio.Event().wait()
        generation = self.generations.get(name, 1)
        services = [{"name": "gateway", "ready": True, "generation": generation}]
        return web.json_response({"generation": generation, "services": services})

    async def take(self, request: web.Request) -> web.Response:
        self.generations[request.match_info["name"]] = (await request.json())["generation"]
        return web.json_response({})


@asynccontextmanager
async def served(gateways: Gateways) -> AsyncIterator[GatewayClient]:
    application = web.Application()
    application.router.add_get("/{namespace}/{name}/v1/status", gateways.answer)
    application.router.add_put("/{namespace}/{name}/v1/declaration", gateways.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4 * LOOKS_AT_ONCE).start()
    client = GatewayClient(f"http://127.0.0.1:{runner.addresses[0][1]}/{{namespace}}/{{name}}", lambda _: "token")
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


class Forgetting:
    """Passes that find a ready gateway, and forget its word as the real ones do."""

    def __init__(self, settings: Settings) -> None:
        nothing: Any = None
        self._real = Reconciler(settings, nothing, nothing, nothing)
        self.forgot: set[SystemKey] = set()
        self.heard: set[SystemKey] = set()

    async def run(self, key: SystemKey, memory: Memory) -> PassEnd:
        memory.gateway_up, memory.accepted_generation = True, 1
        if memory.view is not None:
            self.heard.add(key)
        if self._real._finishing.expired(memory.view):
            memory.view = None
            self.forgot.add(key)
        return PassEnd(0, retry=False)


async def test_a_gateway_that_hangs_holds_up_no_other_and_is_not_believed_after_three_periods() -> None:
    settings = Settings("", b"", gateway_period=PERIOD, resync=60.0)
    gateways, passes = Gateways(), Forgetting(settings)
    keys = [HANGING, *MANY]
    cache: Any = SimpleNamespace(systems={key: {} for key in keys})
    reconciler: Any = passes
    async with served(gateways) as client:
        workers = Workers(settings, reconciler, cache, client)
        for key in keys:
            workers.mark(key)
        try:
            await until(lambda: passes.heard == set(keys))
            gateways.hanging.add(HANGING.name)
            worker = workers.worker(HANGING)
            assert worker is not None
            asked = gateways.looks[HANGING.name]
            await until(lambda: HANGING in passes.forgot and worker.memory.view is None)
            await until(lambda: gateways.looks[HANGING.name] > asked)
            last = dict(gateways.looks)
            await until(lambda: all(gateways.looks[key.name] >= last[key.name] + 2 for key in MANY))
            await until(lambda: all((workers.worker(key) or worker).memory.view is not None for key in MANY))
            assert worker.memory.view is None
        finally:
            await workers.stop()


class Accepting:
    """Passes that find a ready gateway, and accept the generation of the system as it is in the cache."""

    def __init__(self, systems: dict[SystemKey, dict[str, Any]]) -> None:
        self._systems = systems

    async def run(self, key: SystemKey, memory: Memory) -> PassEnd:
        memory.gateway_up = True
        accepted, memory.accepted_generation = memory.accepted_generation, self._systems[key]["metadata"]["generation"]
        if accepted not in (None, memory.accepted_generation):
            memory.look_now.set()
        return PassEnd(0, retry=False)


def declaration(key: SystemKey, generation: int) -> dict[str, Any]:
    metadata = {"name": key.name, "namespace": key.namespace, "uid": f"uid-{key.name}", "generation": generation}
    return {"metadata": metadata, "spec": {"symbols": ["CBA.AX"]}}


async def test_gateways_that_hang_take_no_place_from_looks_at_others_nor_from_what_is_to_be_delivered_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway, "LOOK_SECONDS", 600.0)  # none of those that hang gives its place back
    settings = Settings("", b"", gateway_period=PERIOD, resync=60.0)
    hanging = [SystemKey("default", f"hanging-{number}") for number in range(2 * LOOKS_AT_ONCE)]
    gateways = Gateways(hanging={key.name for key in hanging}, failing=True)
    systems = {key: declaration(key, 1) for key in [*hanging, *MANY]}
    cache: Any = SimpleNamespace(systems=systems)
    reconciler: Any = Accepting(systems)
    async with served(gateways) as client:
        workers = Workers(settings, reconciler, cache, client)
        for key in systems:
            workers.mark(key)
        try:
            await until(lambda: all(key.name in gateways.looks for key in systems))
            gateways.failing = False
            await until(lambda: gateways.waiting == TROUBLED_LOOKS_AT_ONCE)
            last = dict(gateways.looks)
            await until(lambda: all(gateways.looks[key.name] >= last[key.name] + 2 for key in MANY))
            for key in MANY:
                systems[key] = declaration(key, 2)
                workers.mark(key)
            await until(lambda: all(gateways.generations.get(key.name) == 2 for key in MANY))
            assert gateways.waiting == TROUBLED_LOOKS_AT_ONCE
        finally:
            await workers.stop()


class FailsOnce:
    """A gateway that is unreachable at the first look, and answers from then on."""

    def __init__(self) -> None:
        self.looks = 0

    async def look(self, system: SystemKey, uid: str) -> GatewayView:
        self.looks += 1
        if self.looks == 1:
            raise gateway_view.GatewayError("the gateway does not answer")
        return GatewayView(at=0.0, generation=1)

    async def deliver(self, *_: object) -> None:
        """Take a declaration."""


def came_back(worker: Worker, systems: dict[SystemKey, dict[str, Any]]) -> None:
    worker.memory.gateway_up = False  # as a pass does, when its pod is not ready
    worker.mark()


def edited(worker: Worker, systems: dict[SystemKey, dict[str, Any]]) -> None:
    systems[worker.key] = declaration(worker.key, 2)
    worker.mark()


@pytest.mark.parametrize("happens", [came_back, edited])
async def test_a_gateway_that_came_back_or_is_to_hear_of_an_edit_waits_for_none_that_hangs(
    monkeypatch: pytest.MonkeyPatch, happens: Callable[[Worker, dict[SystemKey, dict[str, Any]]], None]
) -> None:
    monkeypatch.setattr("bellwether_operator.workers.FIRST_RETRY_SECONDS", 60.0)
    settings = Settings("", b"", gateway_period=60.0, resync=60.0)
    systems = {HANGING: declaration(HANGING, 1)}
    cache: Any = SimpleNamespace(systems=systems)
    reconciler: Any = Accepting(systems)
    client: Any = FailsOnce()
    workers = Workers(settings, reconciler, cache, client)
    workers.mark(HANGING)
    try:
        await until(lambda: client.looks == 1)
        for _ in range(TROUBLED_LOOKS_AT_ONCE):  # by others that hang
            await workers.troubled_look_slots.acquire()
        worker = workers.worker(HANGING)
        assert worker is not None
        happens(worker, systems)
        await until(lambda: client.looks > 1)
    finally:
        await workers.stop()


def system(version: int, uid: str) -> dict[str, Any]:
    metadata = {"name": "demo", "namespace": "default", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {}}


def child(version: int) -> dict[str, Any]:
    labels = {
        "app.kubernetes.io/managed-by": "bellwether",
        "app.kubernetes.io/instance": "demo",
        "bellwether.dev/system-uid": "s1",
    }
    metadata = {"name": "demo-nats", "namespace": "default", "uid": "c1", "resourceVersion": str(version)}
    owner = {"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingSystem", "name": "demo", "uid": "s1"}
    owners = [owner | {"controller": True}]
    return {"metadata": {**metadata, "labels": labels, "ownerReferences": owners}, "spec": {"ports": []}}


async def test_of_a_deleted_system_nothing_is_kept() -> None:
    now = [0.0]
    cache = Cache(lambda: now[0])
    key = SystemKey("default", "demo")
    settings: Any = SimpleNamespace(gateway_period=60.0, resync=60.0)
    passed = asyncio.Event()

    class Passes:
        async def run(self, key: SystemKey, memory: Memory) -> PassEnd:
            memory.about("s1")
            memory.view = GatewayView(at=time.monotonic())
            passed.set()
            return PassEnd(0, retry=False)

    reconciler: Any = Passes()
    nobody: Any = None
    workers = Workers(settings, reconciler, cache, nobody)
    cache.take_system(system(1, "s1"))
    cache.see_child(child(2), "Service")
    others = asyncio.all_tasks()
    workers.mark(key)
    await asyncio.wait_for(passed.wait(), DEADLINE)
    worker = workers.worker(key)
    assert worker is not None
    kept = weakref.ref(worker), weakref.ref(worker.memory)
    del worker
    assert len(asyncio.all_tasks() - others) == 2

    cache.drop_child(child(3), "Service")
    assert cache.drop_system(system(4, "s1")) == key
    workers.mark(key)
    assert workers.worker(key) is None
    await until(lambda: not asyncio.all_tasks() - others)
    await asyncio.sleep(0)
    gc.collect()
    assert [each() for each in kept] == [None, None]
    assert workers._workers == {}
    assert not workers._ending
    assert (len(cache.systems), cache.children, cache.children_of(key)) == (0, {}, [])
    assert cache.gone.covers(system(4, "s1")["metadata"])
    now[0] = GONE_SECONDS + 1
    cache.list_systems()
    assert not cache.gone.covers(system(4, "s1")["metadata"])
    assert not cache.gone.covers(child(3)["metadata"])
    assert (cache._of_system, cache.gone._versions) == ({}, {})
