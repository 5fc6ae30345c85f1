"""A broker that lives in the trader's process: market orders are filled at the opening price, with declared costs.

It is given the market (`opened`) and what moves shares and money besides orders (`adjust`), as a real broker
learns of both by itself. Its books are its own, see `simulated_books`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from bellwether.broker.port import LastLook, nothing_halts
from bellwether.broker.simulated_books import Books, Market, Move, Settings
from bellwether.broker.values import (
    ZERO,
    Adjustment,
    BrokerAccount,
    BrokerEvent,
    BrokerPosition,
    Lookup,
    MarketState,
    NewOrder,
    Stopped,
)
from bellwether.storage.store import Store, Transaction

T = TypeVar("T")


class SimulatedBroker:
    """One account of it; `account` names it within the store, which has the tables of `simulated_books`."""

    name = "simulated"

    def __init__(self, store: Store, account: str, settings: Callable[[], Settings]) -> None:
        self._store = store
        self._account = account
        self._settings = settings
        self._market: Market | None = None
        self._events: list[BrokerEvent] = []
        self._wake: Callable[[], None] = lambda: None

    # What only a simulated broker is given

    async def open_account(self, cash: Decimal, positions: Mapping[str, Decimal], done: Sequence[Move] = ()) -> bool:
        """Open the account with what is in it; return False, and change nothing, where there is one already.

        `done` are the splits, dividends and transfers that cash and positions include.
        """
        return await self._change(lambda books: books.open(cash, positions, done))

    async def opened(self, market: Market) -> None:
        """Tell of an open session; what works is filled, unless the market holds it back."""
        self._market = market
        if not market.held:
            await self._change(lambda books: books.fill_all(market))

    def closed(self) -> None:
        """Tell that the session is over: from now on orders are rejected."""
        self._market = None

    async def adjust(self, moves: Sequence[Move]) -> None:
        """Apply splits, dividends and transfers, each once by its key."""

        def work(books: Books) -> None:
            for one in moves:
                books.move(one)

        if moves:
            await self._change(work)

    # The port

    async def connect(self) -> Sequence[str]:
        """Return the declared symbols."""
        return sorted(self._settings().symbols)

    async def market(self, symbol: str) -> MarketState:
        """Return whether the symbol has an opening price."""
        market = self._market
        if market is None:
            return MarketState(False, reason="the session is not open")
        price = market.prices.get(symbol, ZERO)
        if price <= 0:
            return MarketState(False, reason=f"no opening price on {market.session}", final=market.final)
        return MarketState(True, price)

    async def submit(self, order: NewOrder, last_look: LastLook = nothing_halts) -> None:
        """Take an order once, and fill it at once where the market does not hold it back."""
        await last_look()
        market = self._market
        await self._change(lambda books: books.take(order, market))

    async def cancel(self, reference: str) -> None:
        """End what works of an order."""
        market = self._market
        await self._change(lambda books: books.cancel(reference, market))

    async def query(self, reference: str, since: datetime) -> Lookup:
        """Return all that was reported of an order; finding nothing proves that it never arrived."""
        return Lookup(await self._change(lambda books: books.reports_of(reference)))

    async def drain(self) -> Sequence[BrokerEvent]:
        """Return what was reported since the last time."""
        events, self._events = self._events, []
        return events

    def on_events(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when there are events."""
        self._wake = wake

    async def positions(self) -> Sequence[BrokerPosition]:
        """Return the shares in the simulator's own books."""
        held = await self._change(lambda books: books.held())
        return [BrokerPosition(symbol, quantity) for symbol, quantity in sorted(held.items()) if quantity]

    async def account(self) -> BrokerAccount:
        """Return the cash in the simulator's own books."""
        cash = await self._change(lambda books: books.cash())
        return BrokerAccount(self._settings().currency, cash, cash)

    async def adjustments(self, since: datetime) -> Sequence[Adjustment]:
        """Return splits' payments, dividends and transfers."""
        return [one for one in await self._change(lambda books: books.moves()) if one.at >= since]

    async def traded_price(self, symbol: str, since: datetime) -> Decimal | None:
        """Return None: a lookup here tells everything."""
        return None

    async def stopped(self, since: datetime) -> Sequence[Stopped]:
        """Return nothing: no stop rests here, exits by price are judged at each close."""
        return ()

    async def close(self) -> None:
        """Forget the market."""
        self.closed()

    async def _change(self, work: Callable[[Books], T]) -> T:
        def within(tx: Transaction) -> tuple[T, list[BrokerEvent]]:
            books = Books(tx, self._account, self._settings())
            return work(books), books.reported

        result, reported = await self._store.transact(within)
        if reported:
            # Only what is in the books is reported.
            self._events += reported
            self._wake()
        return result
