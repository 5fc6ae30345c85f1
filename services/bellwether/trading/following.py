"""What a broker outside of this process needs between the sessions' events: its news, its account, its halts.

News of orders is written down as it comes. The account is compared with the ledger at the start, every declared
interval, and again soon while an order is in doubt. At a halt, resting orders are taken back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from bellwether.broker.port import BrokerError
from bellwether.messages.envelope import LIVE
from bellwether.messages.market_data import GetOpeningPrices, OpeningPrices
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.storage.store import Transaction
from bellwether.trading import executions
from bellwether.trading.brokers import Brokers
from bellwether.trading.desk import Desk
from bellwether.trading.events import OpenCompared, OrderFilled
from bellwether.trading.executor import Executor, Turn
from bellwether.trading.pricing import exact_price
from bellwether.trading.reconciling import Reconciling

SOON = timedelta(seconds=20)
"""Between two looks at the account while an order is in doubt, or the broker does not answer."""
BUDGET = 90.0
"""Seconds that one look may take: requests to IG wait for their allowance."""
AGAIN = 2.0
"""Seconds after which resting orders are taken back once more, while the broker does not do it."""
COMPARED = timedelta(days=10)
"""So long a fill waits for the exchange's opening price."""

_log = logging.getLogger(__name__)


class Following:
    """The background work of an account at a broker; idle where orders go to the simulator."""

    def __init__(
        self, desk: Desk, brokers: Brokers, executor: Executor, reconciling: Reconciling, call: Callable[[float], Call]
    ) -> None:
        self._desk = desk
        self._brokers = brokers
        self._executor = executor
        self._reconciling = reconciling
        self._call = call
        self._news = asyncio.Event()
        self._halts = asyncio.Event()
        self._due: datetime | None = None
        self._connected = False
        self.trouble = ""
        self.trouble_since: datetime | None = None
        """Why the broker cannot be used now, in words; empty: it answers."""

    def wake(self) -> None:
        """Look now: the broker has reported something, or another declaration is in force."""
        self._news.set()

    def halt(self) -> None:
        """Take back what rests at the broker."""
        self._halts.set()

    @property
    def _active(self) -> bool:
        known = self._desk.context.declaration.known and self._desk.context.clock.live
        return known and self._brokers.at_ig(LIVE)

    async def run(self) -> None:
        """Follow the account until the service ends."""
        while True:
            self._news.clear()
            wait = await self._look() if self._active else None
            try:
                await asyncio.wait_for(self._news.wait(), None if wait is None else wait.total_seconds())
            except TimeoutError:
                continue

    async def take_back(self) -> None:
        """Take back what rests at the broker at each halt, until the service ends.

        Beside `run`, which waits for its turn behind an order that is being sent.
        """
        if self._active and await self._desk.store.transact(lambda tx: bool(self._desk.halts(tx, LIVE))):
            # A former process may have ended between the halt and this.
            self._halts.set()
        while True:
            await self._halts.wait()
            self._halts.clear()
            if not self._active:
                continue
            try:
                taken = await self._brokers.ig.cancel_resting()
            except BrokerError as error:
                _log.error("halted, and resting orders are not taken back yet: %s", error)
                self._halts.set()
                await asyncio.sleep(AGAIN)
            else:
                if taken:
                    _log.warning("halted: %d resting orders were taken back at the broker", taken)

    async def _look(self) -> timedelta:
        """Do what is due; return in how long to look again."""
        broker = self._brokers.ig
        broker.on_events(self.wake)
        call, now = self._call(BUDGET), self._desk.context.clock.now()
        try:
            if not self._connected:
                await broker.connect()
                self._connected = True
            async with self._executor.lock(LIVE):
                await self._executor.collect(Turn(LIVE, now, call))
            if self._due is None or now >= self._due or await self._doubtful():
                await self._reconciling.sync(call)
                await self._compare_opens(call)
                self._due = now + self._desk.rules.ig.reconcile_every
            if self.trouble:
                _log.info("the broker answers again")
            self.trouble, self.trouble_since = "", None
        except RpcError as error:
            words = error.message
            if words != self.trouble:
                _log.error("the account at the broker cannot be followed: %s", error)
            self.trouble, self.trouble_since = words, self.trouble_since or now
            return SOON
        if await self._doubtful():
            return SOON
        return max(timedelta(seconds=1), self._due - self._desk.context.clock.now())

    async def _doubtful(self) -> bool:
        def look(tx: Transaction) -> bool:
            return bool(self._desk.unreconciled.of(tx, LIVE)) or bool(executions.in_flight(tx, LIVE))

        return await self._desk.store.transact(look)

    async def _compare_opens(self, call: Call) -> None:
        """Record fills beside the exchange's opening price, once market-data knows it."""
        since = self._desk.context.clock.now() - COMPARED

        def waiting(tx: Transaction) -> list[OrderFilled]:
            events = self._desk.ledger.events(tx, LIVE)
            done = {event.order_id for event in events if isinstance(event, OpenCompared)}
            fills = [event for event in events if isinstance(event, OrderFilled) and event.at >= since]
            return [event for event in fills if event.order_id not in done]

        fills = await self._desk.store.transact(waiting)
        for day in sorted({fill.session for fill in fills}):
            names = sorted({fill.symbol for fill in fills if fill.session == day})
            reply = await call.request(
                "market-data", "get_opening_prices", GetOpeningPrices(day, names), OpeningPrices, idempotent=True
            )
            now = self._desk.context.clock.now()
            found = {
                fill.order_id: compared(fill, exact_price(reply.prices[fill.symbol]), now)
                for fill in fills
                if fill.session == day and reply.prices.get(fill.symbol, 0) > 0
            }
            if found:
                new = list(found.values())
                await self._desk.store.transact(lambda tx, new=new: self._desk.ledger.append(tx, LIVE, new))  # type: ignore[misc]


def compared(fill: OrderFilled, official: Decimal, now: datetime) -> OpenCompared:
    """Return a fill beside the exchange's opening price."""
    worse = fill.price - official if fill.side == "BUY" else official - fill.price
    return OpenCompared(now, fill.order_id, fill.symbol, fill.session, fill.price, official, worse)
