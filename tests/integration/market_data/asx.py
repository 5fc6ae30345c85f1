"""A trader and the real market-data on the stand-in for Yahoo; the test moves the clock and turns switches."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from bellwether.market.sessions import load_calendar
from bellwether.market_data import service as market_data
from bellwether.market_data.yahoo.bars import YahooBars
from bellwether.messages.market_data import Bars, Freshness, GetBars, SymbolFreshness
from bellwether.messages.prediction import GeneratePredictions, PredictionGenerated
from bellwether.messages.trading import Orders
from bellwether.topology import SERVICES
from bellwether.trading import service as trading
from harness.clock import Present
from harness.system import System, running
from harness.yahoo import Share, StandIn, standing_in
from harness.yahoo.asked import market_data_of
from integration.trading.peers import ROWS, Peers, declaration, predicted

CALENDAR = load_calendar("XASX")
SYMBOL = "CBA.AX"
SHARE = Share(SYMBOL, CALENDAR, dividends={date(2026, 9, 1): 0.35}, splits={date(2026, 3, 2): (2, 1)})
THURSDAY, FRIDAY = date(2026, 11, 26), date(2026, 11, 27)
EVENING = datetime(2026, 11, 26, 8, tzinfo=UTC)
"""Thursday, three hours after the close: the day's bar is there."""
NEXT_EVENING = EVENING + timedelta(days=1)


@dataclass
class Asx:
    """The running services and the stand-in."""

    system: System
    clock: Present
    yahoo: StandIn
    market: market_data.MarketDataService

    @property
    def source(self) -> YahooBars:
        found = self.market._open_source(self.market.context.declaration.current.spec.data)
        assert isinstance(found, YahooBars)
        return found

    async def at(self, instant: datetime) -> None:
        """Move the clock, and have Yahoo asked for what is due then."""
        self.clock.instant = instant
        await self.market.ask_due()
        await self.market.refresh()

    async def freshness(self, symbol: str = SYMBOL) -> SymbolFreshness:
        found: Freshness = await self.system.call(
            "market-data", "get_freshness", {}, Freshness, as_of=self.clock.instant
        )
        return next(each for each in found.symbols if each.symbol == symbol)

    async def newest(self, symbol: str = SYMBOL) -> date:
        found: Bars = await self.system.call(
            "market-data", "get_bars", GetBars(symbol, 1), Bars, as_of=self.clock.instant
        )
        return found.bars[-1].session

    async def health(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.system.call("market-data", "health", {}, dict)
        return found

    async def signal(self, number: int) -> str:
        """Have a prediction to buy reach the trader; return what became of it."""
        at = self.clock.instant
        known = await self.freshness()
        target = CALENDAR.next_session(at)
        made = msgspec.structs.replace(
            predicted(SYMBOL, at, GeneratePredictions(may_trade=True, slot=f"slot{number}")),
            action="BUY",
            current_price=known.close,
            bar_session=known.last_session,
            target_session=target.day,
            valid_until=target.close,
        )
        event_id = f"prediction_generated:{made.prediction_id}"
        await self.system.work(as_of=at).publish_event(
            "prediction_generated", PredictionGenerated(made), event_id=event_id
        )
        await self.system.settle("paper-trading", event_id)
        orders: Orders = await self.system.call("paper-trading", "list_orders", {}, Orders)
        if orders.orders:
            return orders.orders[-1].status
        refusals: dict[str, Any] = await self.system.call("paper-trading", "list_refusals", {}, dict)
        return f"refused: {refusals['refusals'][0]['code']}"


@contextlib.asynccontextmanager
async def asx(
    folder: Path,
    now: datetime,
    *,
    prepared: Path | None = None,
    shares: dict[str, Share] | None = None,
    **data: Any,
) -> AsyncIterator[Asx]:
    """Run both services; `prepared` is a data folder to begin with a copy of."""
    clock = Present(now)
    if prepared is not None:
        shutil.copytree(prepared, folder / "data")
    declared = declaration(
        symbols=list(shares or {SYMBOL: SHARE}),
        market={"calendar": "XASX"},
        data={"provider": "yahoo", "yahoo": {"historyYears": 1, **data}},
        clock={"mode": "live"},
        trading={"currency": "AUD"},
    )
    async with standing_in(folder / "yahoo", shares or {SYMBOL: SHARE}, now=clock.now) as yahoo:
        build, made = market_data_of(yahoo)
        rows = {**ROWS, "market-data": SERVICES["market-data"]}
        builds = {**Peers().builds(), "market-data": build, "paper-trading": trading.create}
        async with running(builds, data_dir=folder / "data", declaration=declared, rows=rows, clock=clock) as system:
            yield Asx(system, clock, yahoo, made[0])
