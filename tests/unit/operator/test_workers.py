from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from bellwether_operator.gateway import GatewayView
from bellwether_operator.observe.cache import SystemKey
from bellwether_operator.reconcile import Memory, Outcome
from bellwether_operator.workers import Workers

KEY = SystemKey("default", "demo")
DEADLINE = 10.0


@dataclass
class FaultyGateway:
    """Raises what nobody expects at the first look, and answers from then on."""

    looks: int = 0
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    async def look(self, namespace: str, name: str) -> GatewayView:
        self.looks += 1
        if self.looks == 1:
            raise AttributeError("an answer of a shape that nobody expected")
        self.answered.set()
        return GatewayView(at=0.0, generation=1)


class Passes:
    """Passes that find a system whose gateway is up."""

    async def run(self, key: SystemKey, memory: Memory) -> Outcome:
        memory.gateway_up = True
        memory.accepted_generation = 1
        return Outcome(0, retry=False)


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
