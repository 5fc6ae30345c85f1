"""Services of a system in this process, over either bus, for tests.

    async with running({"prediction": build}, data_dir=tmp_path) as system:
        answer = await system.call("prediction", "get_prediction", {"symbol": "AAPL"}, Prediction)

`build(context) -> Service` is what each service's package offers.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from bellwether.messages.envelope import LIVE
from bellwether.runtime.bus import Bus, BusAdmin
from bellwether.runtime.call import BUDGET, Call, new_request_id
from bellwether.runtime.clock import Clock, ReplayClock, monotonic
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.declaration import DeclarationHolder
from bellwether.runtime.memory_bus import MemoryBroker
from bellwether.runtime.plan import bus_plan, ensure
from bellwether.runtime.service import Service
from bellwether.runtime.telemetry import Telemetry
from bellwether.service_row import ServiceRow
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES
from bellwether.wiring import start_order
from harness.until import DEADLINE

T = TypeVar("T")
Build = Callable[[ServiceContext], Service]
Connect = Callable[[str], Bus]

START = datetime(2009, 1, 2, 14, 30, tzinfo=UTC)
CALLER = "cli"


@dataclass
class System:
    """Running services and a caller that may call anything."""

    services: dict[str, Service]
    context: ServiceContext
    declaration: TradingSystem | None = None
    stopped: set[str] = field(default_factory=set)

    def work(self, *, as_of: datetime = START, run: str = LIVE, budget: float = BUDGET) -> Call:
        """Return a call of the test's own."""
        return Call(self.context, as_of, run, new_request_id(), monotonic() + budget)

    async def call(
        self,
        peer: str,
        method: str,
        params: Any = None,
        result: type[T] | Any = dict,
        *,
        as_of: datetime = START,
        run: str = LIVE,
        budget: float = BUDGET,
    ) -> Any:
        """Call a method as of an instant and return its result."""
        return await self.work(as_of=as_of, run=run, budget=budget).request(peer, method, params, result)

    async def settle(self, peer: str, *event_ids: str, run: str = LIVE, budget: float = BUDGET) -> None:
        """Wait until a service has processed events."""
        await self.call(peer, "settle", {"event_ids": list(event_ids)}, run=run, budget=budget)

    async def connected(self, timeout: float = DEADLINE) -> None:
        """Wait until the caller and every service have their connections (again)."""
        for bus in (self.context.bus, *(service.context.bus for service in self.services.values())):
            assert await bus.wait_connected(timeout)

    async def stop(self, name: str) -> None:
        """Stop one service."""
        if name not in self.stopped:
            self.stopped.add(name)
            await self.services[name].stop(5.0)


@contextlib.contextmanager
def only(rows: Mapping[str, ServiceRow], names: set[str]) -> Iterator[dict[str, ServiceRow]]:
    """Give the rows of some services, without what they need of the others."""
    yield {name: row for name, row in rows.items() if name in names}


@contextlib.asynccontextmanager
async def running(
    builds: Mapping[str, Build],
    *,
    data_dir: Path,
    declaration: TradingSystem | None = None,
    rows: Mapping[str, ServiceRow] = SERVICES,
    connect: Connect | None = None,
    clock: Clock | None = None,
    sampling: float = 1.0,
    group_commit: bool = False,
    complete_data: bool = False,
    ack_wait: float = 30.0,
) -> AsyncIterator[System]:
    """Run services in start order and stop them in reverse; without `connect` over a `MemoryBus` of their own."""
    if connect is None:
        broker = MemoryBroker()
        connect = broker.connect
        admin: BusAdmin = broker.connect("bootstrap")
        await ensure(admin, bus_plan(rows, ack_wait=ack_wait, one_process=group_commit))
    config = ProcessConfig(data_dir=data_dir, sampling=sampling, group_commit=group_commit)
    config = replace(config, complete_data=complete_data)
    clock = clock or ReplayClock(START)

    def context_of(row: ServiceRow) -> ServiceContext:
        return ServiceContext(
            row=row,
            bus=connect(row.name),
            clock=clock,
            telemetry=Telemetry(row.name, sampling=sampling),
            declaration=DeclarationHolder(row.name, declaration),
            config=config,
            rows=rows,
        )

    caller = context_of(ServiceRow(CALLER, "the test", publishes=_everything(rows)))
    system = System({}, caller, declaration)
    await caller.bus.start()
    await caller.bus.wait_connected(DEADLINE)
    caller.telemetry.start(caller.bus)
    order = [name for name in start_order(SERVICES if rows is SERVICES else _known(rows)) if name in builds]
    try:
        for name in order:
            service = builds[name](context_of(rows[name]))
            system.services[name] = service
            await service.start()
        yield system
    finally:
        for name in reversed(system.services):
            await system.stop(name)
        await caller.telemetry.close()
        await caller.bus.close()


def _known(rows: Mapping[str, ServiceRow]) -> dict[str, ServiceRow]:
    return {
        name: ServiceRow(name, row.purpose, requires=tuple(one for one in row.requires if one in rows))
        for name, row in rows.items()
    }


def _everything(rows: Mapping[str, ServiceRow]) -> dict[str, Any]:
    return {event: priority for row in rows.values() for event, priority in row.publishes.items()}
