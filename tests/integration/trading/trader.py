"""A trader with peers that answer, and what a test asks of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec

from bellwether.messages.prediction import GeneratePredictions, Prediction, PredictionGenerated
from bellwether.messages.trading import LedgerCheck, Order, Orders
from bellwether.trading import service as trading
from harness.system import System, running
from harness.until import DEADLINE
from integration.trading.peers import ROWS, Peers, declaration, predicted

DAY = date(2009, 1, 5)
BEFORE = datetime(2009, 1, 5, 14, 15, tzinfo=UTC)
OPEN = datetime(2009, 1, 5, 14, 30, tzinfo=UTC)
CLOSE = datetime(2009, 1, 5, 21, 0, tzinfo=UTC)
RUN = "replay-test"


def signal(symbol: str = "AAA", action: str = "BUY", as_of: datetime = BEFORE, **changes: Any) -> Prediction:
    made = predicted(symbol, as_of, GeneratePredictions(may_trade=True, slot=f"slot-{as_of:%Y%m%d}"))
    return msgspec.structs.replace(made, action=action, **changes)


@dataclass
class Trader:
    system: System
    peers: Peers
    run: str = RUN

    async def ask(self, method: str, params: Any, result: Any, at: datetime = BEFORE) -> Any:
        return await self.system.call("paper-trading", method, params, result, as_of=at, run=self.run)

    async def signalled(self, *signals: Prediction, at: datetime = BEFORE) -> None:
        """Publish predictions and wait until the trader has met them."""
        work = self.system.work(as_of=at, run=self.run)
        ids = [f"prediction_generated:{one.prediction_id}" for one in signals]
        for event_id, one in zip(ids, signals, strict=True):
            await work.publish_event("prediction_generated", PredictionGenerated(one), event_id=event_id)
        await self.system.settle("paper-trading", *ids, run=self.run)

    async def orders(self, **wanted: Any) -> list[Order]:
        found: Orders = await self.ask("list_orders", wanted, Orders)
        return found.orders

    async def check(self) -> LedgerCheck:
        found: LedgerCheck = await self.ask("check_ledger", None, LedgerCheck)
        return found


def started(folder: Path, peers: Peers, **options: Any) -> Any:
    builds = {**peers.builds(), "paper-trading": trading.create}
    options.setdefault("declaration", declaration())
    return running(builds, data_dir=folder, rows=ROWS, **options)


class Heard:
    """Collects messages; `first` waits for one."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()

    def add(self, body: bytes) -> None:
        self._queue.put_nowait(body)

    async def first(self) -> bytes:
        return await asyncio.wait_for(self._queue.get(), DEADLINE)
