"""A halt in the declaration: the real gateway delivers it, the real trader acknowledges it when no order can pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from bellwether.gateway import service as gateway
from bellwether.gateway.settings import GatewaySettings
from bellwether.messages.prediction import Prediction, PredictionGenerated
from bellwether.messages.trading import Orders, Refusals, SessionOpened
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.service import Service
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES
from bellwether.trading import service as trading
from harness.clock import Present
from harness.nats import nats_server
from harness.replayed import until as answered
from harness.system import System, running
from harness.until import DEADLINE, until
from integration.trading.peers import ROWS, Peers, declaration
from integration.trading.trader import BEFORE, DAY, OPEN, Trader, signal

pytestmark = pytest.mark.integration

TOKEN = "a-token-for-tests-only"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
ALL_ROWS = {
    **{name: row for name, row in ROWS.items() if name != "scheduler"},
    "gateway": replace(SERVICES["gateway"], requires=("paper-trading",)),
}


@dataclass
class Slow:
    """A listener of the trader's that takes as long as the test wants; it comes after the trader's own."""

    began: asyncio.Event
    may_end: asyncio.Event

    def trader(self, context: ServiceContext) -> Service:
        service = trading.create(context)

        @service.on_declaration
        async def slow(system: TradingSystem) -> None:
            if system.spec.trading.halted:
                self.began.set()
                await self.may_end.wait()

        return service


@dataclass
class Lab:
    system: System
    trader: Trader
    http: httpx.AsyncClient
    slow: Slow
    clock: Present

    async def declare(self, generation: int, *, halted: bool) -> dict[str, Any]:
        spec = live(halted).spec.model_dump(by_alias=True, exclude_none=True)
        body = {"generation": generation, "spec": spec}
        reply = await self.http.put("/v1/declaration?wait=30", json=body, headers=AUTHORIZED, timeout=60)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    async def signalled(self, symbol: str) -> None:
        await predict(self.system, signal(symbol))
        await self.system.settle("paper-trading", event_of(symbol))

    async def generation(self, service: str) -> int:
        status = (await self.http.get("/v1/status", timeout=60)).json()
        return int({one["name"]: one["generation"] for one in status["services"]}[service])


def live(halted: bool = False) -> TradingSystem:
    data = {"provider": "csv", "csv": {"directory": "bars"}}
    return declaration(data=data, clock={"mode": "live"}, trading={"halted": halted})


@pytest.fixture(params=["memory", "nats"])
async def lab(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Lab]:
    peers, clock, slow = Peers(), Present(BEFORE), Slow(asyncio.Event(), asyncio.Event())
    settings = GatewaySettings(host="127.0.0.1", port=0, token=TOKEN)
    builds = {
        **peers.builds(),
        "paper-trading": slow.trader,
        "gateway": partial(gateway.create, settings=settings),
    }
    options: dict[str, Any] = {"declaration": live(), "clock": clock, "data_dir": tmp_path, "rows": ALL_ROWS}
    if request.param == "memory":
        async with running(builds, **options) as system, connected(system) as http:
            yield Lab(system, Trader(system, peers, run="live"), http, slow, clock)
        return
    async with (
        nats_server(tmp_path / "nats", ALL_ROWS) as server,
        running(builds, connect=server.connect, **options) as system,
        connected(system) as http,
    ):
        yield Lab(system, Trader(system, peers, run="live"), http, slow, clock)


def event_of(symbol: str) -> str:
    return f"prediction_generated:{signal(symbol).prediction_id}"


async def predict(system: System, made: Prediction) -> None:
    """Publish a prediction as its service does: nobody else may."""
    work = system.services["prediction"].call(as_of=BEFORE)
    await work.publish_event("prediction_generated", PredictionGenerated(made), event_id=event_of(made.symbol))


def connected(system: System) -> httpx.AsyncClient:
    port = system.services["gateway"].health_callbacks[-1]()["http_port"]  # type: ignore[index]
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=AUTHORIZED, trust_env=False, timeout=DEADLINE)


async def test_a_halt_is_acknowledged_only_when_it_is_in_force_and_then_no_order_passes(lab: Lab) -> None:
    await lab.signalled("AAA")
    assert [one.status for one in await lab.trader.orders()] == ["queued"]
    halting = asyncio.ensure_future(lab.declare(2, halted=True))
    async with asyncio.timeout(DEADLINE):
        await lab.slow.began.wait()
    acks = lab.system.services["gateway"]
    await until(lambda: acks.context.declaration.generation == 2)
    # The trader's own listener is done, another is not: orders are stopped, and nothing is acknowledged yet.
    await lab.signalled("BBB")
    refusals: Refusals = await lab.trader.ask("list_refusals", {}, Refusals)
    assert [(one.symbol, one.code) for one in refusals.refusals] == [("BBB", "HALTED")]

    async def acknowledged() -> bool:
        return await lab.generation("market-data") == 2

    await answered(acknowledged, DEADLINE)
    assert await lab.generation("paper-trading") < 2
    lab.slow.may_end.set()
    delivered = await halting
    assert delivered["acknowledged"]["paper-trading"] == 2
    assert (delivered["missing"], delivered["errors"]) == ([], {})
    # What was queued before the halt is cancelled by it.
    lab.clock.instant = OPEN
    opened: SessionOpened = await lab.trader.ask("session_open", {"session": DAY}, SessionOpened)
    assert opened.filled == []
    orders: Orders = await lab.trader.ask("list_orders", {"symbol": "AAA"}, Orders)
    assert [(one.status, str(one.refusal)[:6]) for one in orders.orders] == [("cancelled", "HALTED")]
    status = (await lab.http.get("/v1/status", timeout=60)).json()
    assert status["halts"] == ["declaration: spec.trading.halted is true"]
    assert status["safety"]["refusals"][0]["code"] == "HALTED"
    await lab.declare(3, halted=False)
    status = (await lab.http.get("/v1/status", timeout=60)).json()
    assert (status["halted"], status["safety"]["safe"]) == (False, True)


async def test_a_trader_that_starts_again_begins_halted_whatever_its_file_says(tmp_path: Path) -> None:
    peers, clock = Peers(), Present(BEFORE)
    settings = GatewaySettings(host="127.0.0.1", port=0, token=TOKEN)
    async with nats_server(tmp_path / "nats", ALL_ROWS) as server:
        options: dict[str, Any] = {"clock": clock, "rows": ALL_ROWS, "connect": server.connect}
        others = {**peers.builds(), "gateway": partial(gateway.create, settings=settings)}
        async with running(others, data_dir=tmp_path, declaration=live(), **options) as system:
            trader = {"paper-trading": trading.create}
            async with (
                connected(system) as http,
                running(trader, data_dir=tmp_path, declaration=live(), **options) as first,
            ):
                lab = Lab(first, Trader(first, peers, run="live"), http, Slow(asyncio.Event(), asyncio.Event()), clock)
                assert (await lab.declare(2, halted=True))["missing"] == []
            # The event waits for a trader that knows of no halt but from the bus.
            await predict(system, signal("AAA"))
            async with running(trader, data_dir=tmp_path, declaration=live(), **options) as second:
                await second.settle("paper-trading", event_of("AAA"))
                again = Trader(second, peers, run="live")
                refusals: Refusals = await again.ask("list_refusals", {}, Refusals)
                assert [(one.symbol, one.code) for one in refusals.refusals] == [("AAA", "HALTED")]
                assert await again.orders() == []
