"""Comparing the ledger with the broker: positions symbol by symbol, orders whose outcome is not known."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from bellwether.broker.port import NoBroker
from bellwether.messages.trading import SyncedPositions
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.storage.store import Transaction
from bellwether.trading import executions
from bellwether.trading.brokers import Brokers
from bellwether.trading.desk import Desk
from bellwether.trading.executor import Executor, Turn
from bellwether.trading.guards import text
from bellwether.trading.pricing import ZERO

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

    async def sync(self, call: Call) -> SyncedPositions:
        """Look up what is in flight, compare every position, and block the symbols that differ.

        Raises:
            RpcError: BROKER_UNAVAILABLE while the broker does not answer; what was blocked stays so.

        """
        run = await self._desk.store.transact(lambda tx: self._desk.run_of(tx, call))
        now = self._desk.now_of(call)
        async with self._executor.turn(run):
            await self._brokers.ready(run)
            await self._executor.recover(Turn(run, now, call))
            await self._executor.collect(Turn(run, now, call))
            try:
                positions = await self._brokers.of(run).positions()
            except NoBroker as error:
                raise RpcError("BROKER_UNAVAILABLE", f"the broker does not tell its positions: {error}") from error
            theirs = {one.symbol: one.quantity for one in positions}

            def work(tx: Transaction) -> SyncedPositions:
                book = self._desk.ledger.book(tx, run)
                ours = {symbol: holding.quantity for symbol, holding in book.holdings.items()}
                found = differences(ours, theirs)
                blocked = {one.symbol: one.line() for one in found}
                for one in executions.in_flight(tx, run):
                    if one.progress.state == "unknown":
                        words = f"order {one.progress.reference} is unknown: {one.progress.reason}"
                        blocked.setdefault(one.symbol, words)
                before = dict(self._desk.unreconciled.of(tx, run))
                self._desk.unreconciled.put(tx, run, blocked, now)
                _log_changes(before, blocked)
                return SyncedPositions(synced_positions=len(ours), differences=[one.line() for one in found])

            return await self._desk.store.transact(work)


def _log_changes(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    for symbol in sorted(after.keys() - before.keys()):
        _log.error("%s is blocked, the ledger differs from the broker: %s", symbol, after[symbol])
    for symbol in sorted(before.keys() - after.keys()):
        _log.info("%s is no longer blocked: ledger and broker agree", symbol)
