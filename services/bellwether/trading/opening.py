"""The open of a session: corporate actions, then the orders that wait for it, then the event that ends it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from bellwether.broker.port import NoBroker
from bellwether.market.sessions import Session
from bellwether.market.slots import closes_by
from bellwether.messages.trading import SessionOpen, SessionOpened
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.storage.store import Transaction
from bellwether.trading import executions
from bellwether.trading.brokers import Brokers
from bellwether.trading.desk import Desk
from bellwether.trading.events import LedgerEvent, SessionOpenDone
from bellwether.trading.executor import Executor, Turn
from bellwether.trading.market import Market, MarketQuestions, Wanted
from bellwether.trading.release import Opening
from bellwether.trading.sessions import corporate_events, due, open_done


class Ready(NamedTuple):
    """An open whose prices are known: what it knows, and the orders that it has to do something about, in turn."""

    opening: Opening
    orders: list[str]
    volumes: Mapping[str, Decimal]


class Opens:
    """Opens sessions, one at a time for each run."""

    def __init__(self, desk: Desk, market: MarketQuestions, executor: Executor, brokers: Brokers) -> None:
        self._desk = desk
        self._market = market
        self._executor = executor
        self._brokers = brokers

    async def open(self, request: SessionOpen, call: Call) -> SessionOpened:
        """Open a session, once: corporate actions, then the orders that wait for it; asked again it answers the same.

        Live, an order whose opening price has not arrived stays queued and the next ask takes it up again, until the
        session no longer waits for its bars.

        Raises:
            RpcError: NOT_A_SESSION, NOT_OPEN_YET, or SESSION_PASSED when a later one was opened already.
        """
        day, now = request.session, self._desk.now_of(call)
        session = self._desk.session_on(day)
        if now < session.open:
            raise RpcError(
                "NOT_OPEN_YET", f"session {day} opens at {session.open.isoformat()}, it is {now.isoformat()}"
            )
        async with self._executor.lock(call.run):
            await self._brokers.ready(call.run)
            await self._executor.recover(Turn(call.run, now, call))
            market = Market(frozenset(), {}, [], {})
            while True:
                answer = await self._prepare(session, market, now, call)
                if isinstance(answer, SessionOpened):
                    return answer
                if isinstance(answer, Ready):
                    break
                market = await self._market.at_open(day, answer, call)
            await self._release(answer, now, call)
            return await self._finish(answer.opening, now, call)

    async def _prepare(
        self, session: Session, market: Market, now: datetime, call: Call
    ) -> SessionOpened | Wanted | Ready:
        """Apply corporate actions if prices are known of all symbols that matter, else return what is to be asked."""

        def work(tx: Transaction) -> SessionOpened | Wanted | Ready:
            book = self._desk.opened(tx, call.run, now)
            if book.opened_session is not None and session.day <= book.opened_session:
                return self._opened_before(tx, call.run, session.day)
            wanted = frozenset(book.holdings) | {order.symbol for order in book.queued.values()}
            if not wanted <= market.asked:
                return Wanted(wanted, book.opened_session, book.missed)
            final = final_bars(self._desk, session, now)
            # The broker of an account at IG adjusts its cash for dividends itself, and tells of it.
            applied = [one for one in market.actions if one.kind == "split" or not self._brokers.at_ig(call.run)]
            opening = Opening(session.day, market.prices, applied, final, session.open)
            events = corporate_events(book, opening, now)
            book = self._desk.record(tx, call.run, events, call)
            return Ready(opening, [order.order_id for order in due(book, opening)], market.volumes)

        return await self._desk.store.transact(work)

    async def _release(self, ready: Ready, now: datetime, call: Call) -> None:
        """Have the orders meet the broker in their turn, each after the fills of those before it."""
        run = call.run

        def news(tx: Transaction) -> list[LedgerEvent]:
            return self._desk.ledger.events_after(tx, run, self._desk.ledger.book(tx, run).turned)

        await self._brokers.adjust(run, await self._desk.store.transact(news))
        await self._brokers.market_opened(run, ready.opening, ready.volumes)
        await self._executor.collect(Turn(run, now, call))
        try:
            for order_id in ready.orders:
                await self._executor.send(Turn(run, now, call), order_id, ready.opening)
        except NoBroker as error:
            raise RpcError("BROKER_UNAVAILABLE", f"orders wait: the broker does not answer: {error.message}") from error
        self._brokers.market_closed(run)

    async def _finish(self, opening: Opening, now: datetime, call: Call) -> SessionOpened:
        """End the open if nothing is waited for any more."""

        def work(tx: Transaction) -> SessionOpened:
            ledger = self._desk.ledger
            book = ledger.book(tx, call.run)
            unknown = unknown_orders(tx, call.run)
            done = open_done(ledger.events_after(tx, call.run, book.turned), book, opening, now, unknown)
            if done is None:
                return SessionOpened([], [], 0)
            ledger.append(tx, call.run, [done])
            return _answer(done)

        return await self._desk.store.transact(work)

    def _opened_before(self, tx: Transaction, run: str, day: date) -> SessionOpened:
        event = self._desk.ledger.event(tx, run, f"open:{day}")
        if not isinstance(event, SessionOpenDone):
            raise RpcError("SESSION_PASSED", f"session {day} is over: a later one was opened, nothing is filled late")
        return _answer(event)


def final_bars(desk: Desk, session: Session, now: datetime) -> bool:
    """Return whether the session's bars are final. In a replay they always are."""
    return not desk.context.clock.live or now >= closes_by(desk.declaration.calendar, session)


def unknown_orders(tx: Transaction, run: str) -> frozenset[str]:
    """Return the orders of which the broker does not say what became of them."""
    found = executions.in_flight(tx, run)
    return frozenset(one.progress.reference for one in found if one.progress.state == "unknown")


def _answer(event: SessionOpenDone) -> SessionOpened:
    return SessionOpened(event.filled, event.refused, event.corporate_actions)
