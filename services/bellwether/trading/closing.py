"""The close of a session: orders end, positions are valued, exits are queued."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from bellwether.market.sessions import Session
from bellwether.market.slots import closes_by
from bellwether.messages.trading import BARS_AWAITED, SessionClose, SessionClosed
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.storage.store import Transaction
from bellwether.trading import executions
from bellwether.trading.book import Book
from bellwether.trading.desk import Desk
from bellwether.trading.events import SessionMarked
from bellwether.trading.executor import Executor, Turn
from bellwether.trading.halting import Halting
from bellwether.trading.market import MarketQuestions
from bellwether.trading.opening import final_bars
from bellwether.trading.pricing import ZERO
from bellwether.trading.queries import find_exits
from bellwether.trading.sessions import Closing, close_session


class Closes:
    """Closes sessions."""

    def __init__(self, desk: Desk, market: MarketQuestions, executor: Executor, halting: Halting) -> None:
        self._desk = desk
        self._market = market
        self._executor = executor
        self._halting = halting

    async def close(self, request: SessionClose, call: Call) -> SessionClosed:
        """Close a session, once: positions are valued and exits queued; asked again it answers the same.

        Raises:
            RpcError: NOT_A_SESSION, NOT_CLOSED_YET, or SESSION_PASSED when a later one was opened or closed already.
                Live, BARS_AWAITED as long as an order may still get its opening price, a position its closing price,
                or the session's open may still be done for what is held; after that NOT_OPENED_YET until it is.
        """
        day, now = request.session, self._desk.now_of(call)
        session = self._desk.session_on(day)
        if now < session.close:
            raise RpcError(
                "NOT_CLOSED_YET", f"session {day} closes at {session.close.isoformat()}, it is {now.isoformat()}"
            )
        await self._end_orders(session, now, call)
        prices: dict[str, Decimal] = {}
        while True:
            answer = await self._close_with(session, prices, now, call)
            if isinstance(answer, SessionClosed):
                return answer
            prices = {symbol: await self._market.close_price(symbol, day, call) for symbol in sorted(answer)}

    async def _close_with(
        self, session: Session, prices: Mapping[str, Decimal], now: datetime, call: Call
    ) -> SessionClosed | frozenset[str]:
        """Close the session if prices were asked for of all that is held, else return whose are to be asked."""

        def work(tx: Transaction) -> SessionClosed | frozenset[str]:
            book = self._desk.opened(tx, call.run, now)
            if book.closed_session is not None and session.day <= book.closed_session:
                return self._closed_before(tx, call.run, session.day)
            if book.opened_session is not None and session.day < book.opened_session:
                raise RpcError("SESSION_PASSED", f"session {session.day} is over: a later one was opened already")
            wanted, unknown = frozenset(book.holdings), in_flight(tx, call.run)
            if not wanted <= prices.keys():
                return wanted
            if not final_bars(self._desk, session, now):
                self._refuse_awaited(book, session, prices, unknown)
            elif (
                self._desk.context.clock.live
                and not _opened_on(book, session)
                and (wanted or _waiting(book, session, unknown))
            ):
                # Asked for while bars were still waited for, the open was left undone; nothing else does its part.
                raise RpcError("NOT_OPENED_YET", f"session {session.day} is closed once its open is done: ask for that")
            closing = Closing(session.day, self._desk.declaration.calendar.after(session.day, 1).day, prices)
            events = close_session(book, self._desk.circumstances(tx, call.run, now), closing, unknown)
            self._desk.record(tx, call.run, events, call)
            self._halting.latch_limits(tx, call.run, call)
            return self._closed_before(tx, call.run, session.day)

        return await self._desk.store.transact(work)

    def _refuse_awaited(
        self, book: Book, session: Session, prices: Mapping[str, Decimal], unknown: frozenset[str]
    ) -> None:
        waiting = _waiting(book, session, unknown)
        # A bar that came since the last look has a closing price, and may tell a split that only an open applies.
        opened = _opened_on(book, session)
        waiting |= {symbol for symbol in book.holdings if not opened or prices.get(symbol, ZERO) <= 0}
        if waiting:
            until = closes_by(self._desk.declaration.calendar, session).isoformat()
            names = ", ".join(sorted(waiting))
            raise RpcError(BARS_AWAITED, f"session {session.day} waits until {until} for bars of {names}")

    def _closed_before(self, tx: Transaction, run: str, day: date) -> SessionClosed:
        event = self._desk.ledger.event(tx, run, f"close:{day}")
        if not isinstance(event, SessionMarked):
            raise RpcError("SESSION_PASSED", f"session {day} is over: a later one was closed already")
        return SessionClosed(equity=event.cash + event.positions_value, exits=find_exits(tx, run, event.at))

    async def _end_orders(self, session: Session, now: datetime, call: Call) -> None:
        """End at the broker what still works of the session's orders, and learn what became of them."""

        def work(tx: Transaction) -> list[str]:
            found = executions.in_flight(tx, call.run)
            return [one.progress.reference for one in found if one.session <= session.day]

        orders = await self._desk.store.transact(work)
        if orders:
            async with self._executor.lock(call.run):
                await self._executor.cancel(Turn(call.run, now, call), orders)
                await self._executor.recover(Turn(call.run, now, call))


def in_flight(tx: Transaction, run: str) -> frozenset[str]:
    """Return the orders that the broker has or may have."""
    return frozenset(one.progress.reference for one in executions.in_flight(tx, run))


def _opened_on(book: Book, session: Session) -> bool:
    return book.opened_session is not None and book.opened_session >= session.day


def _waiting(book: Book, session: Session, unknown: frozenset[str]) -> set[str]:
    """Return the symbols with orders that wait for an open; one that the broker has or may have does not."""
    waits = (order for order in book.queued.values() if order.order_id not in unknown)
    return {order.symbol for order in waits if order.session <= session.day}
