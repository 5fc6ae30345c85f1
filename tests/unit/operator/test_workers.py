from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from bellwether_operator.gateway_view import GatewayError, GatewayView, RestoreAsked
from bellwether_operator.observe.kinds import SystemKey, Version
from bellwether_operator.passes import Memory, PassEnd
from bellwether_operator.workers import Workers
from harness.until import DEADLINE

KEY = SystemKey("default", "demo")


@dataclass
class FaultyGateway:
    """Raises what nobody expects at the first look, and answers from then on."""

    looks: int = 0
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    async def look(self, system: SystemKey, uid: str) -> GatewayView:
        self.looks += 1
        if self.looks == 1:
            raise AttributeError("an answer of a shape that nobody expected")
        self.answered.set()
        return GatewayView(at=0.0, generation=1)


class Passes:
    """Passes that find a system whose gateway is up."""

    async def run(self, key: SystemKey, memory: Memory) -> PassEnd:
        memory.gateway_up = True
        memory.accepted_generation = 1
        return PassEnd(0, retry=False)


class OwnEchoes:
    """Passes during which a watch shows what they themselves wrote and, in the first one, what others did as well."""

    def __init__(self, others: set[Version | None]) -> None:
        self.workers: Workers | None = None
        self.passes = 0
        self.started = [asyncio.Event(), asyncio.Event(), asyncio.Event()]
        self._others = others

    async def run(self, key: SystemKey, memory: Memory) -> PassEnd:
        self.started[self.passes].set()
        self.passes += 1
        memory.written.versions = {Version("child", self.passes)}
        seen = {Version("child", self.passes), *(self._others if self.passes == 1 else ())}
        assert self.workers is not None
        for each in seen:
            self.workers.mark(key, each)
        return PassEnd(1, retry=False)


@pytest.mark.parametrize(("others", "passes"), [(set(), 1), ({None}, 2), ({Version("child", 7)}, 2)])
async def test_only_what_others_did_during_a_pass_is_a_reason_for_another(
    others: set[Version | None], passes: int
) -> None:
    settings: Any = SimpleNamespace(gateway_period=60.0, resync=60.0)
    cache: Any = SimpleNamespace(systems={KEY: {}})
    found = OwnEchoes(others)
    reconciler: Any = found
    nobody: Any = None
    workers = found.workers = Workers(settings, reconciler, cache, nobody)
    workers.mark(KEY)
    try:
        async with asyncio.timeout(DEADLINE):
            await found.started[passes - 1].wait()
            for _ in range(20):  # rounds of the loop, in which another pass would have come
                await asyncio.sleep(0)
    finally:
        await workers.stop()
    assert found.passes == passes


class Takes:
    """A gateway that takes declarations; notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.generation = 1
        self.all_ready = asyncio.Event()

    async def look(self, system: SystemKey, uid: str) -> GatewayView:
        self.asked.append("look")
        if self.generation == 2:
            self.all_ready.set()
        return GatewayView(at=0.0, generation=self.generation)

    async def deliver(self, system: SystemKey, uid: str, body: dict[str, Any]) -> None:
        self.asked.append("deliver")
        self.generation = body["generation"]


class SecondGeneration:
    """Passes that find a newer generation than the gateway is known to have."""

    async def run(self, key: SystemKey, memory: Memory) -> PassEnd:
        memory.gateway_up, memory.accepted_generation = True, 2
        memory.view = memory.view or GatewayView(at=0.0, generation=1)
        return PassEnd(0, retry=False)


async def test_what_is_known_to_be_undelivered_is_delivered_without_a_look_before() -> None:
    spec = {"symbols": ["CBA.AX"]}
    system = {"metadata": {"name": "demo", "namespace": "default", "uid": "uid-1", "generation": 2}, "spec": spec}
    settings: Any = SimpleNamespace(gateway_period=60.0, resync=60.0)
    cache: Any = SimpleNamespace(systems={KEY: system})
    reconciler: Any = SecondGeneration()
    found = Takes()
    gateway: Any = found
    workers = Workers(settings, reconciler, cache, gateway)
    workers.mark(KEY)
    try:
        await asyncio.wait_for(found.all_ready.wait(), DEADLINE)
    finally:
        await workers.stop()
    assert found.asked == ["deliver", "look"]


async def test_a_fault_while_looking_at_a_gateway_does_not_end_the_watch_over_it() -> None:
    gateway = FaultyGateway()
    settings: Any = SimpleNamespace(gateway_period=0.01, resync=60.0)
    cache: Any = SimpleNamespace(systems={KEY: {}})
    reconciler: Any = Passes()
    faulty: Any = gateway
    workers = Workers(settings, reconciler, cache, faulty)
    workers.mark(KEY)
    try:
        await asyncio.wait_for(gateway.answered.wait(), DEADLINE)
    finally:
        await workers.stop()
    assert gateway.looks >= 2


class ShowsRestore:
    """A gateway that shows a restore in place until it hears that it is over, which it refuses once."""

    def __init__(self) -> None:
        at = datetime(2026, 11, 27, 22, tzinfo=UTC)
        self.shown: RestoreAsked | None = RestoreAsked("20261127T220000Z", "20261126T213000Z", "far", at, "uid-1")
        self.heard: list[str] = []
        self.rested = asyncio.Event()

    async def look(self, system: SystemKey, uid: str) -> GatewayView:
        if self.shown is None:
            self.rested.set()
        return GatewayView(at=0.0, generation=1, restore=self.shown)

    async def end_restore(self, system: SystemKey, uid: str, restore: str) -> None:
        self.heard.append(restore)
        if len(self.heard) == 1:
            raise GatewayError("NATS does not answer")
        self.shown = None


async def test_a_restore_that_is_over_is_said_to_be_until_the_gateway_shows_it_no_more() -> None:
    row = {
        "backup": "20261126T213000Z",
        "location": "far",
        "requested": "2026-11-27T22:00:00Z",
        "started": "2026-11-27T22:00:05Z",
        "step": "Ended",
    }
    system = {"metadata": {"name": "demo", "namespace": "default", "uid": "uid-1"}, "status": {"restore": row}}
    settings: Any = SimpleNamespace(gateway_period=0.01, resync=60.0)
    cache: Any = SimpleNamespace(systems={KEY: system})
    reconciler: Any = Passes()
    found = ShowsRestore()
    gateway: Any = found
    workers = Workers(settings, reconciler, cache, gateway)
    workers.mark(KEY)
    try:
        await asyncio.wait_for(found.rested.wait(), DEADLINE)
    finally:
        await workers.stop()
    assert found.heard == ["20261127T220000Z"] * 2
