"""Comparing the ledger with the broker: positions symbol by symbol, orders whose outcome is not known."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from msgspec.structs import replace

from bellwether.broker.ig.lookup import fill_id
from bellwether.broker.port import NoBroker
from bellwether.broker.values import BrokerEvent, Ended, Fill
from bellwether.messages.trading import SyncedPositions
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.storage.store import Transaction
from bellwether.trading import executions
from bellwether.trading.brokers import Brokers
from bellwether.trading.desk import Desk
from bellwether.trading.events import BrokerStated
from bellwether.trading.executions import Execution
from bellwether.trading.executor import Executor, Turn
from bellwether.trading.placing import exit_intent, order_id_of, order_of
from bellwether.trading.pricing import ZERO, text
from bellwether.trading.recording import adjusted, blocked_by, cash_words, filled, proof, stated, unexplained

_log = logging.getLogger(__name__)


class Difference(NamedTuple):
    """A symbol of which the broker holds another number of shares than the ledger."""

    symbol: str
    ledger: Decimal
    broker: Decimal

    def line(self) -> str:
        """Return it for people."""
        return f"{self.symbol}: ledger {text(self.ledger)}, broker {text(self.broker)}"


def differences(ledger: Mapping[str, Decimal], broker: Mapping[str, Decimal]) -> list[Difference]:
    """Return where the two differ, by symbol."""
    symbols = sorted(set(ledger) | set(broker))
    pairs = [Difference(one, ledger.get(one, ZERO), broker.get(one, ZERO)) for one in symbols]
    return [pair for pair in pairs if pair.ledger != pair.broker]


class Reconciling:
    """Looks at the broker's account and blocks what it does not confirm. It makes no order and no fill."""

    def __init__(self, desk: Desk, brokers: Brokers, executor: Executor) -> None:
        self._desk = desk
        self._brokers = brokers
        self._executor = executor
        self._cash_differed = False

    async def sync(self, call: Call) -> SyncedPositions:
        """Look up what is in flight, compare every position, and block the symbols that differ.

        Raises:
            RpcError: BROKER_UNAVAILABLE while the broker does not answer; what was blocked stays so.
        """
        run = await self._desk.look(call, lambda tx, run: run)
        now = self._desk.now_of(call)
        async with self._executor.lock(run):
            await self._brokers.ready(run)
            await self._executor.recover(Turn(run, now, call))
            await self._executor.collect(Turn(run, now, call))
            broker, statement = self._brokers.of(run), None
            try:
                positions = await broker.positions()
                theirs = {one.symbol: one.quantity for one in positions if one.quantity}
                if self._brokers.at_ig(run):
                    await self._end_doubt(Turn(run, now, call), theirs)
                    await self._take_stops(Turn(run, now, call))
                    await self._import(run, now)
                    statement = stated(await broker.account(), positions, now)
            except NoBroker as error:
                raise RpcError("BROKER_UNAVAILABLE", f"the broker does not tell its positions: {error}") from error

            def work(tx: Transaction) -> SyncedPositions:
                book = self._desk.ledger.book(tx, run)
                ours = {symbol: holding.quantity for symbol, holding in book.holdings.items()}
                found = differences(ours, theirs)
                unknown = {
                    one.symbol: f"order {one.progress.reference} is unknown: {one.progress.reason}"
                    for one in executions.in_flight(tx, run)
                    if one.progress.state == "unknown"
                }
                cash = self._compare_cash(tx, run, statement, agreed=not found and not unknown)
                lines = {one.symbol: one.line() for one in found}
                blocked = blocked_by(lines, unknown, cash, self._desk.rules.symbols)
                before = dict(self._desk.unreconciled.of(tx, run))
                self._desk.unreconciled.put(tx, run, blocked, now)
                _log_changes(before, blocked)
                reported = [*lines.values(), *([cash] if cash else [])]
                return SyncedPositions(synced_positions=len(ours), differences=reported)

            return await self._desk.store.transact(work)

    async def _import(self, run: str, now: datetime) -> None:
        """Record what moved money at the broker since the ledger began, each movement once."""

        since = await self._desk.store.transact(lambda tx: self._began(tx, run, now))
        reported = adjusted(await self._brokers.of(run).adjustments(since))

        def record(tx: Transaction) -> None:
            ledger = self._desk.ledger
            new = [event for event in reported if ledger.event(tx, run, event.key) is None]
            ledger.append(tx, run, new)

        await self._desk.store.transact(record)

    def _began(self, tx: Transaction, run: str, now: datetime) -> datetime:
        """Return the second in which the run's account began."""
        self._desk.opened(tx, run, now)
        event = self._desk.ledger.event(tx, run, "account")
        return (now if event is None else event.at).replace(microsecond=0)

    async def _take_stops(self, turn: Turn) -> None:
        """Record what stops that rest at the broker have closed, each once.

        One that is for more than the ledger holds is left out: the positions differ then, which blocks the symbol.
        """
        if self._desk.rules.stop_loss is None:
            return
        since = await self._desk.store.transact(lambda tx: self._began(tx, turn.run, turn.now))
        reported = await self._brokers.of(turn.run).stopped(since)

        def record(tx: Transaction) -> None:
            ledger, day = self._desk.ledger, self._desk.started_session(turn.now)
            for one in reported:
                book = ledger.book(tx, turn.run)
                order_id = order_id_of("stop", one.stop_id)
                if one.quantity > book.held(one.symbol) or ledger.event(tx, turn.run, f"queued:{order_id}") is not None:
                    continue
                intent = exit_intent("stop_loss", one.symbol, book, day, day)
                queued = order_of(replace(intent, order_id=order_id, price=one.price), one.quantity, turn.now)
                book = self._desk.record(tx, turn.run, [queued], turn.call)
                fill = Fill(order_id, turn.now, fill_id(order_id), one.quantity, one.price)
                sold = filled(book, queued, fill, turn.now)
                self._desk.record(tx, turn.run, [sold], turn.call)
                _log.warning("the stop at the broker sold %s %s at %s", text(one.quantity), one.symbol, text(one.price))

        await self._desk.store.transact(record)

    async def _end_doubt(self, turn: Turn, theirs: Mapping[str, Decimal]) -> None:
        """End the doubt about orders that positions prove filled or not filled, once their lookup window is over."""
        window = self._desk.rules.ig.lookup_window

        def doubtful(tx: Transaction) -> list[tuple[Execution, Decimal]]:
            book = self._desk.ledger.book(tx, turn.run)
            found = executions.in_flight(tx, turn.run)
            alone = Counter(one.symbol for one in found)
            return [
                (one, book.held(one.symbol))
                for one in found
                if one.progress.state == "unknown"
                and alone[one.symbol] == 1
                and one.progress.sent_at is not None
                and turn.now - one.progress.sent_at >= window
            ]

        for one, ours in await self._desk.store.transact(doubtful):
            await self._executor.record(turn, await self._proven(turn, one, ours, theirs.get(one.symbol, ZERO)))

    async def _proven(self, turn: Turn, one: Execution, ours: Decimal, theirs: Decimal) -> list[BrokerEvent]:
        progress = one.progress
        found, shares = proof(one.side, progress.leaves, ours, theirs, partial=True)
        reference = progress.reference
        if found == "nothing":
            words = "the broker's position shows that it was not filled"
            return [Ended(reference, turn.now, "cancelled", words)]
        if found == "unproven" or progress.sent_at is None:
            return []
        since = progress.sent_at.replace(microsecond=0)
        price = await self._brokers.of(turn.run).traded_price(one.symbol, since)
        if price is None:
            return []
        _log.warning("order %s: the broker's position shows that %s shares were filled", reference, text(shares))
        fill = Fill(reference, turn.now, fill_id(reference), shares, price)
        return [fill, Ended(reference, turn.now, "cancelled", "the rest was not filled")]

    def _compare_cash(self, tx: Transaction, run: str, statement: BrokerStated | None, *, agreed: bool) -> str:
        """Return in words by how much money differs at two looks in a row; write down what the broker stated."""
        if statement is None or not agreed:
            return ""
        ledger = self._desk.ledger
        book = ledger.book(tx, run)
        words = cash_words(unexplained(book, statement))
        before, self._cash_differed = self._cash_differed, bool(words)
        if not words and (book.broker_offset is None or statement.margin != book.margin):
            ledger.append(tx, run, [statement])
        return words if before else ""


def _log_changes(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    for symbol in sorted(after.keys() - before.keys()):
        _log.error("%s is blocked, the ledger differs from the broker: %s", symbol, after[symbol])
    for symbol in sorted(before.keys() - after.keys()):
        _log.info("%s is no longer blocked: ledger and broker agree", symbol)
