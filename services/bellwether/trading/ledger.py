"""The ledger on its store: events are added and projected in one transaction, the book is kept in memory as a copy.

All methods run inside a transaction of the store, on its one thread. The copy in memory is trusted only while it has
as many events as the table, so a transaction that was rolled back, or a restart, simply loads it again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Literal, NamedTuple

from sqlalchemy import func, insert, select

from bellwether.storage.store import Transaction
from bellwether.trading import tables
from bellwether.trading.book import Book, fold
from bellwether.trading.events import LedgerEvent, decode, encode
from bellwether.trading.projection import project

BOOKS_KEPT = 4

_LAST_SEQ = "SELECT coalesce(max(seq), 0) FROM ledger_events WHERE run = ?"
_AT_A_GLANCE = (
    "SELECT (SELECT coalesce(max(seq), 0) FROM ledger_events WHERE run = ?), (SELECT coalesce(max(seq), 0) FROM halts)"
)
_MET = "SELECT prediction_id FROM decisions WHERE run = ? AND prediction_id IN (SELECT value FROM json_each(?))"
_EVENTS_AFTER = "SELECT data FROM ledger_events WHERE run = ? AND seq > ? ORDER BY seq"
_EVENT = "SELECT data FROM ledger_events WHERE run = ? AND key = ?"
# From run to run by the index: there are few of them, and many events.
_NEWEST_RUN = (
    "WITH RECURSIVE runs (run) AS (SELECT min(run) FROM ledger_events UNION ALL "
    "SELECT (SELECT min(run) FROM ledger_events WHERE run > runs.run) FROM runs WHERE runs.run IS NOT NULL) "
    "SELECT opened.run FROM runs CROSS JOIN ledger_events opened "
    "WHERE opened.run = runs.run AND opened.key = 'account' ORDER BY opened.id DESC LIMIT 1"
)
_LAST_HALT = "SELECT coalesce(max(seq), 0) FROM halts"
_ADD_EVENT = "INSERT INTO ledger_events (run, seq, key, at, data) VALUES (?, ?, ?, ?, ?)"
_ADD_DECISION = (
    "INSERT INTO decisions "
    '(run, prediction_id, symbol, at, may_trade, outcome, order_id, guards, code, value, "limit") '
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, prediction_id) DO NOTHING"
)


class Latch(NamedTuple):
    """A halt that nobody resumed yet."""

    source: str
    reason: str
    at: datetime
    number: int = 0
    """Counts halts and resumes in the order in which they came."""
    run: str | None = None
    """The only run that it stops, where a limit of that run opened it; None: every run."""

    def line(self) -> str:
        """Return it as one line for people."""
        return f"{self.source}: {self.reason} (since {self.at.isoformat()})"


class Seen(NamedTuple):
    """What became of a decision when the trader met it."""

    prediction_id: str
    symbol: str
    outcome: Literal["order", "refused", "ignored"]
    order_id: str | None
    guards: list[str]
    at: datetime
    refusal: tuple[str, str, str] | None = None
    """Code, value and limit of the guard that refused it."""
    may_trade: bool = False


class Ledger:
    """Books by run, over the tables."""

    def __init__(self) -> None:
        self._books: dict[str, Book] = {}
        self._seen: tuple[Transaction, str] | None = None
        """The transaction and run whose book was last compared with its table: it holds until another one begins."""
        self._latches: tuple[int, tuple[Latch, ...]] = (0, ())

    def book(self, tx: Transaction, run: str) -> Book:
        """Return the state of a run's account; an empty book when there is none. It must not be changed."""
        if self._seen == (tx, run):
            return self._books[run]
        return self._book_at(tx, run, int(tx.driver.execute(_LAST_SEQ, (run,)).fetchone()[0]))

    def glance(self, tx: Transaction, run: str, decisions: Sequence[str]) -> tuple[Book, tuple[Latch, ...], set[str]]:
        """Return book, latches, and which of some decisions were met before: all that decisions need."""
        last, halt = tx.driver.execute(_AT_A_GLANCE, (run,)).fetchone()
        met = {row[0] for row in tx.driver.execute(_MET, (run, json.dumps(decisions)))}
        return self._book_at(tx, run, last), _of_run(self._latches_at(tx, halt), run), met

    def _book_at(self, tx: Transaction, run: str, last: int) -> Book:
        self._seen = (tx, run)
        known = self._books.get(run)
        if known is not None and known.seq == last:
            return known
        return self._keep(run, fold(self.events(tx, run)))

    def events(self, tx: Transaction, run: str) -> list[LedgerEvent]:
        """Return all events of a run, in order."""
        return self.events_after(tx, run, 0)

    def events_after(self, tx: Transaction, run: str, seq: int) -> list[LedgerEvent]:
        """Return the events of a run after one, in order."""
        return [decode(row[0]) for row in tx.driver.execute(_EVENTS_AFTER, (run, seq))]

    def event(self, tx: Transaction, run: str, key: str) -> LedgerEvent | None:
        """Return the event with this key, if it happened."""
        found = tx.driver.execute(_EVENT, (run, key)).fetchone()
        return None if found is None else decode(found[0])

    def newest_run(self, tx: Transaction) -> str | None:
        """Return the run whose account was opened last."""
        found = tx.driver.execute(_NEWEST_RUN).fetchone()
        return None if found is None else str(found[0])

    def newest_order_session(self, tx: Transaction, run: str) -> date | None:
        """Return the session of the newest order, refused or not; without one the day the account was opened."""
        newest = tx.execute(select(func.max(tables.orders.c.session)).where(tables.orders.c.run == run)).scalar()
        events = tables.ledger_events.c
        opened = tx.execute(select(events.at).where(events.run == run, events.key == "account")).scalar()
        days = [str(one)[:10] for one in (newest, opened) if one]
        return max(map(date.fromisoformat, days), default=None)

    def append(self, tx: Transaction, run: str, new: Sequence[LedgerEvent]) -> Book:
        """Add events and project them; return the book after them.

        Raises:
            sqlite3.IntegrityError: when an event's key was there before: the effect would be a second one.
        """
        if not new:
            return self.book(tx, run)
        book = self.book(tx, run)
        rows = [
            (run, book.seq + number, event.key, event.at.isoformat(), encode(event))
            for number, event in enumerate(new, start=1)
        ]
        tx.driver.executemany(_ADD_EVENT, rows)
        project(tx, run, new)
        return self._keep(run, fold(new, book))

    def remember(self, tx: Transaction, run: str, met: Sequence[Seen]) -> None:
        """Write down what became of decisions; a second time changes nothing."""
        rows = []
        for one in met:
            head = (run, one.prediction_id, one.symbol, one.at.isoformat(), int(one.may_trade), one.outcome)
            refusal = one.refusal or (None, None, None)
            rows.append((*head, one.order_id, _spelled(tuple(one.guards)), *refusal))
        tx.driver.executemany(_ADD_DECISION, rows)

    def seen(self, tx: Transaction, run: str, symbol: str, prediction_id: str | None) -> Seen | None:
        """Return what became of one decision, or of a symbol's newest, one that might trade before any other."""
        table = tables.decisions
        query = select(table).where(table.c.run == run, table.c.symbol == symbol)
        if prediction_id is not None:
            query = query.where(table.c.prediction_id == prediction_id)
        row = tx.execute(query.order_by(table.c.may_trade.desc(), table.c.id.desc()).limit(1)).mappings().first()
        if row is None:
            return None
        return Seen(
            prediction_id=row["prediction_id"],
            symbol=row["symbol"],
            outcome=row["outcome"],
            order_id=row["order_id"],
            guards=json.loads(row["guards"]),
            at=datetime.fromisoformat(row["at"]),
            refusal=None if row["code"] is None else (row["code"], row["value"], row["limit"]),
            may_trade=bool(row["may_trade"]),
        )

    def latches(self, tx: Transaction, run: str) -> tuple[Latch, ...]:
        """Return the halts of a run that nobody resumed."""
        return _of_run(self._latches_at(tx, int(tx.driver.execute(_LAST_HALT).fetchone()[0])), run)

    def _latches_at(self, tx: Transaction, last: int) -> tuple[Latch, ...]:
        if last != self._latches[0]:
            found: list[Latch] = []
            for row in tx.execute(select(tables.halts).order_by(tables.halts.c.seq)).mappings():
                if row["kind"] == "resume":
                    found.clear()
                else:
                    at = datetime.fromisoformat(row["at"])
                    found.append(Latch(row["source"], row["reason"], at, int(row["seq"]), row["run"]))
            self._latches = (last, tuple(found))
        return self._latches[1]

    def latch(self, tx: Transaction, kind: str, latch: Latch) -> int:
        """Add a halt or a resume; return its number."""
        values = {"kind": kind, "source": latch.source, "reason": latch.reason, "at": latch.at.isoformat()}
        tx.execute(insert(tables.halts), {**values, "run": latch.run})
        return int(tx.driver.execute(_LAST_HALT).fetchone()[0])

    def _keep(self, run: str, book: Book) -> Book:
        self._books.pop(run, None)
        self._books[run] = book
        while len(self._books) > BOOKS_KEPT:
            del self._books[next(iter(self._books))]
        return book


@lru_cache(maxsize=256)
def _spelled(guards: tuple[str, ...]) -> str:
    return json.dumps(guards)


def _of_run(latches: tuple[Latch, ...], run: str) -> tuple[Latch, ...]:
    return tuple(latch for latch in latches if latch.run is None or latch.run == run)
