"""Sending orders to the broker, and writing down what it tells of them. The only writer of `executions`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from msgspec.structs import replace

from bellwether.broker.lifecycle import UNSENT, Progress, WrongMove, advance, move, sending
from bellwether.broker.port import NoBroker, NotSent, Unclear
from bellwether.broker.values import BrokerEvent, MarketState, NewOrder
from bellwether.runtime.call import Call
from bellwether.storage.store import Transaction
from bellwether.trading import executions
from bellwether.trading.book import Book
from bellwether.trading.brokers import Brokers
from bellwether.trading.codes import Code
from bellwether.trading.desk import Desk
from bellwether.trading.events import OrderQueued
from bellwether.trading.executions import Execution
from bellwether.trading.pricing import CENT
from bellwether.trading.recording import recorded
from bellwether.trading.release import Opening, cancelled, release

_log = logging.getLogger(__name__)


class Turn(NamedTuple):
    """Whose orders, at which instant, and the work that it is part of."""

    run: str
    now: datetime
    call: Call


class Executor:
    """Hands orders over, one at a time for each run."""

    def __init__(self, desk: Desk, brokers: Brokers) -> None:
        self._desk = desk
        self._brokers = brokers
        self._locks: dict[str, asyncio.Lock] = {}

    def lock(self, run: str) -> asyncio.Lock:
        """Return what whoever sends orders of a run holds meanwhile: each order is judged after the fills before it."""
        return self._locks.setdefault(run, asyncio.Lock())

    async def send(self, turn: Turn, order_id: str, opening: Opening) -> None:
        """Have a waiting order meet the guards once more, and hand it over if they allow it; else it waits or ends.

        Raises:
            NoBroker: while the broker does not say whether the market is open.
        """
        symbol = await self._desk.store.transact(lambda tx: self._symbol(tx, turn.run, order_id))
        if symbol is None:
            return
        market = await self._brokers.of(turn.run).market(symbol)
        order = await self._desk.store.transact(lambda tx: self._prepare(tx, turn, order_id, opening, market))
        if order is not None:
            await self._submit(turn, order)

    def _symbol(self, tx: Transaction, run: str, order_id: str) -> str | None:
        order = self._desk.ledger.book(tx, run).queued.get(order_id)
        return None if order is None else order.symbol

    def _prepare(
        self, tx: Transaction, turn: Turn, order_id: str, opening: Opening, market: MarketState
    ) -> NewOrder | None:
        """Return the order as it is to be submitted, written down as being sent; None where it is not."""
        desk = self._desk
        book = desk.ledger.book(tx, turn.run)
        order, sent = book.queued.get(order_id), executions.find(tx, turn.run, order_id)
        if order is None or (sent is not None and sent.progress.state != "queued"):
            return None
        deadline = desk.deadline(desk.session_on(order.session))
        if self._brokers.at_ig(turn.run) and turn.now >= deadline:
            late = cancelled(
                order, turn.now, Code.ORDER_EXPIRED, turn.now.isoformat(), f"sent before {deadline.isoformat()}"
            )
            desk.record(tx, turn.run, [late], turn.call)
            return None
        released = release(book, order, desk.circumstances(tx, turn.run, turn.now), opening, market)
        desk.record(tx, turn.run, released.events, turn.call)
        if released.send <= 0:
            return None
        made = NewOrder(
            reference=order_id,
            symbol=order.symbol,
            side=order.side,
            quantity=released.send,
            session=order.session,
            deadline=deadline,
            closes=order.side == "SELL",
            partial=desk.rules.volume_share is not None,
            stop_distance=self._stop_distance(turn.run, order, market),
        )
        progress = Progress(order_id, released.send) if sent is None else replace(sent.progress, quantity=released.send)
        executions.save(
            tx, turn.run, Execution(sending(progress, turn.now), order.symbol, order.side, order.session, made.deadline)
        )
        return made

    def _stop_distance(self, run: str, order: OrderQueued, market: MarketState) -> Decimal | None:
        """Return how far below a purchase its declared stop-loss is to rest at a broker that keeps stops."""
        share = self._desk.rules.stop_loss
        if share is None or order.side == "SELL" or not self._brokers.at_ig(run):
            return None
        return max(CENT, (market.price * share).quantize(CENT))

    async def _submit(self, turn: Turn, order: NewOrder) -> None:
        try:
            await self._brokers.of(turn.run).submit(order, lambda: self._refuse_halted(turn.run))
        except NotSent as error:
            _log.warning("order %s was not sent: %s", order.reference, error)
            words, halts = str(error), error.message if error.code == Code.HALTED.name else ""
            await self._desk.store.transact(lambda tx: self._not_sent(tx, turn, order.reference, words, halts))
        except Unclear as error:
            _log.warning("whether the broker has order %s is not known: %s", order.reference, error)
            await self._look_up(turn, order.reference)
        await self.collect(turn)

    async def _refuse_halted(self, run: str) -> None:
        """Refuse an order that would leave now though something halts: it may have waited since it met the guards."""
        halts = await self._desk.store.transact(lambda tx: self._desk.halts(tx, run))
        if halts:
            raise NotSent(Code.HALTED.name, "; ".join(halts))

    def _not_sent(self, tx: Transaction, turn: Turn, order_id: str, reason: str, halts: str) -> None:
        """Have an order wait again; one that a halt held back just before it is sent ends as all that waited have."""
        self._put_back(tx, turn.run, order_id, reason)
        order = self._desk.ledger.book(tx, turn.run).queued.get(order_id)
        if halts and order is not None:
            ended = cancelled(order, turn.now, Code.HALTED, halts, "no halt")
            self._desk.record(tx, turn.run, [ended], turn.call)

    def _put_back(self, tx: Transaction, run: str, order_id: str, reason: str) -> None:
        one = executions.find(tx, run, order_id)
        if one is not None and one.progress.state in ("sending", "unknown"):
            executions.save(tx, run, one._replace(progress=move(one.progress, "queued", reason)))

    async def collect(self, turn: Turn) -> None:
        """Write down what the broker has reported since the last time."""
        await self.record(turn, await self._brokers.of(turn.run).drain())

    async def record(self, turn: Turn, events: Sequence[BrokerEvent]) -> None:
        """Write down what else is known of orders."""
        if events:
            await self._desk.store.transact(lambda tx: self._take_in(tx, turn, events))

    async def recover(self, turn: Turn) -> None:
        """Ask the broker about every order that it has or may have."""
        found = await self._desk.store.transact(lambda tx: executions.in_flight(tx, turn.run))
        for one in found:
            await self._look_up(turn, one.progress.reference)

    async def cancel(self, turn: Turn, order_ids: Iterable[str]) -> None:
        """Ask the broker to end orders, and write down what became of them."""
        broker = self._brokers.of(turn.run)
        for order_id in order_ids:
            try:
                await broker.cancel(order_id)
            except NoBroker as error:
                _log.warning("order %s is not cancelled at the broker: %s", order_id, error)
        await self.collect(turn)

    async def _look_up(self, turn: Turn, order_id: str) -> None:
        one = await self._desk.store.transact(lambda tx: executions.find(tx, turn.run, order_id))
        if one is None or not one.progress.in_flight:
            return
        try:
            found = await self._brokers.of(turn.run).query(order_id, one.progress.sent_at or turn.now)
        except NoBroker as error:
            _log.warning("the broker does not say what became of order %s: %s", order_id, error)
            words = str(error)
            await self._desk.store.transact(lambda tx: self._unknown(tx, turn, one, words))
            return
        if found.found:
            await self._desk.store.transact(lambda tx: self._take_in(tx, turn, found.events))
        elif found.conclusive:
            await self._desk.store.transact(
                lambda tx: self._put_back(tx, turn.run, order_id, "the broker never had it")
            )
        else:
            words = "the broker does not know it, which proves nothing yet"
            await self._desk.store.transact(lambda tx: self._unknown(tx, turn, one, words))

    def _unknown(self, tx: Transaction, turn: Turn, one: Execution, words: str) -> None:
        if one.progress.state == "sending":
            executions.save(tx, turn.run, one._replace(progress=move(one.progress, "unknown", words)))
        text = f"order {one.progress.reference}: {words}"
        self._desk.unreconciled.block(tx, turn.run, one.symbol, text, turn.now)

    def _take_in(self, tx: Transaction, turn: Turn, events: Sequence[BrokerEvent]) -> None:
        for event in events:
            one = executions.find(tx, turn.run, event.reference)
            if one is None:
                _log.error("the broker tells of order %s, which was never sent", event.reference)
                continue
            if event.at > turn.now and not self._desk.context.clock.live:
                # After a restart a replay's clock still shows its first instant: the broker's time is the later one.
                turn = Turn(turn.run, event.at, turn.call.at(event.at, run=turn.run))
            progress = one.progress
            if progress.state in UNSENT:
                # It was taken for never sent, and the broker had it after all.
                progress = replace(progress, state="unknown")
            book = self._desk.ledger.book(tx, turn.run)
            order = self._order(tx, turn.run, book, event.reference)
            try:
                after = advance(progress, event)
                facts = [] if after == progress else recorded(book, order, after, event, turn.now)
            except (WrongMove, ValueError) as error:
                _log.error("what the broker tells of order %s cannot be: %s", event.reference, error)
                self._desk.unreconciled.block(tx, turn.run, one.symbol, str(error), turn.now)
                continue
            executions.save(tx, turn.run, one._replace(progress=after))
            self._desk.record(tx, turn.run, facts, turn.call)

    def _order(self, tx: Transaction, run: str, book: Book, order_id: str) -> OrderQueued:
        order = book.queued.get(order_id) or self._desk.ledger.event(tx, run, f"queued:{order_id}")
        if not isinstance(order, OrderQueued):
            raise LookupError(f"order {order_id} was sent, but it is not in the ledger")
        return order
