"""A trading floor: real market-data on CSV files, trader and scheduler; the test moves the clock."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from bellwether.market_data.service import create as market_data
from bellwether.messages.prediction import GeneratePredictions, PredictionGenerated
from bellwether.messages.scheduling import Jobs
from bellwether.messages.trading import LedgerCheck, Order, Orders, Position, Positions
from bellwether.topology import SERVICES
from bellwether.trading import service as trading
from harness import csv_bars
from harness.clock import Present
from harness.system import System, running
from integration.scheduling.live import Maker
from integration.trading.peers import CALENDAR, ROWS, Peers, declaration, predicted

DAY, BEFORE_IT, AFTER_IT = date(2026, 1, 5), date(2026, 1, 2), date(2026, 1, 6)
SIGNALLED = datetime(2026, 1, 5, 14, 15, tzinfo=UTC)
OPEN = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
CLOSE = datetime(2026, 1, 5, 21, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SYMBOLS = ["AAA", "BBB"]


@dataclass
class Floor:
    """The running system, its clock and the folder of its files."""

    system: System
    clock: Present
    peers: Peers
    maker: Maker
    bars: Path

    async def at(self, instant: datetime) -> float:
        """Move the clock, do what is due, and return after how many seconds there is something again."""
        self.clock.instant = instant
        return await self.maker.clockwork().tick()

    def arrive(self, symbol: str, opening: float, closing: float, day: date = DAY) -> None:
        csv_bars.arrive(self.bars, symbol, day, opening, closing)

    async def signal(self, *symbols: str) -> None:
        """Have predictions to buy reach the trader a quarter of an hour before the open."""
        self.clock.instant = SIGNALLED
        ids = []
        for symbol in symbols:
            made = predicted(symbol, SIGNALLED, GeneratePredictions(may_trade=True, slot="slot"))
            made = msgspec.structs.replace(made, action="BUY", current_price=50.0)
            ids.append(f"prediction_generated:{made.prediction_id}")
            await self.system.work(as_of=SIGNALLED).publish_event(
                "prediction_generated", PredictionGenerated(made), event_id=ids[-1]
            )
        await self.system.settle("paper-trading", *ids)

    async def hold(self) -> Decimal:
        """Buy AAA at 50 in the first session and close that; return how many there are."""
        await self.signal("AAA")
        self.arrive("AAA", 50, 50)
        await self.at(CLOSE)
        return (await self.position()).quantity

    async def orders(self) -> dict[str, Order]:
        found: Orders = await self.system.call("paper-trading", "list_orders", {}, Orders)
        assert (await self.system.call("paper-trading", "check_ledger", None, LedgerCheck)).violations == []
        return {order.symbol if order.side == "BUY" else f"-{order.symbol}": order for order in found.orders}

    async def positions(self) -> list[Position]:
        found: Positions = await self.system.call("paper-trading", "get_positions", None, Positions)
        return found.positions

    async def position(self) -> Position:
        (only,) = await self.positions()
        return only

    async def jobs(self) -> dict[str, str]:
        found: Jobs = await self.system.call("scheduler", "list_jobs", {}, Jobs)
        return {job.id: job.status for job in found.jobs}


@contextlib.asynccontextmanager
async def floor(folder: Path, clock: Present, *, own_schedule: bool = False, **changes: Any) -> AsyncIterator[Floor]:
    bars = folder / "bars"
    if not bars.exists():
        for symbol in SYMBOLS:
            csv_bars.write(bars, symbol, CALENDAR, BEFORE_IT)
    costs = {"slippageBps": 0, "commissionBps": 0, "commissionPerOrder": "0"}
    changes["trading"] = {"costs": costs, **changes.get("trading", {})}
    changes.setdefault("symbols", SYMBOLS)
    system = declaration(data={"provider": "csv", "csv": {"directory": str(bars)}}, clock={"mode": "live"}, **changes)
    peers, maker = Peers(), Maker(own_schedule=own_schedule)
    builds = {
        **peers.builds(),
        "market-data": market_data,
        "paper-trading": trading.create,
        "scheduler": maker,
    }
    rows = {**ROWS, "market-data": SERVICES["market-data"]}
    async with running(builds, data_dir=folder / "data", declaration=system, rows=rows, clock=clock) as running_one:
        made = Floor(running_one, clock, peers, maker, bars)
        await made.maker.clockwork().tick()
        yield made


def present() -> Present:
    return Present(OPEN - 2 * HOUR)
