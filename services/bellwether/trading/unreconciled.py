"""Symbols that are blocked because the ledger and the broker do not agree on them, or an order's outcome is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from bellwether.storage.store import Transaction
from bellwether.trading import tables


class Unreconciled:
    """What is blocked by run, kept in memory beside its table: every decision asks."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, str]] = {}

    def of(self, tx: Transaction, run: str) -> Mapping[str, str]:
        """Return in words why each blocked symbol of a run is."""
        found = self._known.get(run)
        if found is None:
            table = tables.unreconciled
            rows = tx.execute(select(table).where(table.c.run == run)).mappings()
            found = self._known[run] = {str(row["symbol"]): str(row["words"]) for row in rows}
        return found

    def put(self, tx: Transaction, run: str, blocked: Mapping[str, str], now: datetime) -> None:
        """Block exactly these symbols; one that was blocked before keeps since when."""
        before, table = self.of(tx, run), tables.unreconciled
        if before == blocked:
            return
        for symbol in before.keys() - blocked.keys():
            tx.execute(delete(table).where(table.c.run == run, table.c.symbol == symbol))
        for symbol, words in blocked.items():
            if symbol not in before:
                tx.execute(insert(table), {"run": run, "symbol": symbol, "words": words, "since": now.isoformat()})
            elif before[symbol] != words:
                tx.execute(update(table).where(table.c.run == run, table.c.symbol == symbol).values(words=words))
        # Read again at the next question: a transaction that is rolled back must leave nothing in memory.
        self._known.pop(run, None)

    def block(self, tx: Transaction, run: str, symbol: str, words: str, now: datetime) -> None:
        """Block one more symbol."""
        self.put(tx, run, {**self.of(tx, run), symbol: words}, now)
