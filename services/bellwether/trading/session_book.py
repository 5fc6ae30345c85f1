"""What the trader did for a session, for the session's report."""

from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Table, select, union

from bellwether.messages.fields import from_fields, from_row
from bellwether.messages.reporting import GetSessionBook, Idle, MetDecision, SessionBook
from bellwether.messages.trading import Account, EquityPoint, Refusal
from bellwether.storage.prepared import Prepared, given
from bellwether.storage.store import Transaction
from bellwether.trading import tables
from bellwether.trading.answers import order_from, positions_of
from bellwether.trading.book import Book
from bellwether.trading.codes import Code

MOST_ROWS = 500
HOLD = "HOLD"
TRADING_BATCH = "prediction_generation"

_NEWEST_ORDER = (
    "SELECT session, coalesce(filled_at, created_at) FROM orders INDEXED BY orders_of_session "
    "WHERE run = ? AND session <= ? "
    "AND status NOT IN ('refused', 'rejected', 'cancelled', 'expired') "
    "ORDER BY session DESC, id DESC LIMIT 1"
)
_LATER = (
    "SELECT count(*) FROM orders INDEXED BY orders_of_session WHERE run = ? AND session > ? AND created_at <= ? "
    "AND status NOT IN ('refused', 'rejected', 'cancelled', 'expired')"
)
_CLOSED_SINCE = "SELECT count(*) FROM equity WHERE run = ? AND session > ? AND session <= ?"
_MET_SINCE = (
    "SELECT outcome, code, count(*) FROM decisions WHERE run = ? AND at > ? AND at <= ? "
    "AND prediction_id >= ? || '-' AND prediction_id < ? || '.' AND outcome != 'order' GROUP BY outcome, code"
)
_REFUSED_SINCE = (
    "SELECT code, count(*) FROM refusals WHERE run = ? AND at > ? AND at <= ? AND stage != 'signal' GROUP BY code"
)


_POINTS = (
    "SELECT session, cash, positions_value, equity FROM equity WHERE run = ? AND session <= ? "
    "ORDER BY session DESC LIMIT 2"
)


def _within(table: Table, column: Any) -> Any:
    return (table.c.run == given("of_run")) & (column > given("since")) & (column <= given("until"))


def _made_in(table: Table) -> Prepared:
    return Prepared(select(table).where(_within(table, table.c.at)).order_by(table.c.id).limit(MOST_ROWS))


_REFUSALS, _DECISIONS = _made_in(tables.refusals), _made_in(tables.decisions)
_OF_SESSION = (
    select(tables.orders.c.id)
    .with_hint(tables.orders, "INDEXED BY orders_of_session")
    .where(tables.orders.c.run == given("of_run"), tables.orders.c.session == given("of_session"))
)
_MADE_WITHIN = (
    select(tables.orders.c.id)
    .with_hint(tables.orders, "INDEXED BY orders_by_time")
    .where(_within(tables.orders, tables.orders.c.created_at))
)
_ORDERS = Prepared(
    select(tables.orders)
    .where(tables.orders.c.id.in_(union(_OF_SESSION, _MADE_WITHIN)))
    .order_by(tables.orders.c.id)
    .limit(MOST_ROWS)
)


def session_book(tx: Transaction, run: str, asked: GetSessionBook, book: Book, account: Account) -> SessionBook:
    """Return orders, refusals, decisions and account of a session."""
    close, before = _points(tx, run, asked.session)
    refusals = [from_row(Refusal, row) for row in _REFUSALS.rows(tx, _values(run, asked))]
    met = [from_row(MetDecision, row) for row in _DECISIONS.rows(tx, _values(run, asked))]
    idle = _idle(tx, run, asked)
    codes = {one.code for one in refusals} | {one.code for one in met if one.code} | idle.reasons.keys()
    return from_fields(
        SessionBook,
        account,
        orders=[order_from(row) for row in _ORDERS.rows(tx, _values(run, asked))],
        refusals=refusals,
        met=met,
        close=close,
        before=before,
        positions=positions_of(book),
        idle=idle,
        meanings={code: Code[code].value for code in sorted(codes & Code.__members__.keys())},
    )


def refusal_counts(tx: Transaction, run: str) -> dict[str, int]:
    """Return how often each guard refused something in a whole run: decisions of the batch, and orders."""
    execute, ever = tx.driver.execute, ("", "9")
    counts: Counter[str] = Counter()
    for outcome, code, count in execute(_MET_SINCE, (run, *ever, TRADING_BATCH, TRADING_BATCH)).fetchall():
        if outcome == "refused" and code is not None:
            counts[code] += count
    for code, count in execute(_REFUSED_SINCE, (run, *ever)).fetchall():
        counts[code] += count
    return dict(counts)


def _values(run: str, asked: GetSessionBook) -> dict[str, str]:
    return {
        "of_run": run,
        "since": asked.since.isoformat(),
        "until": asked.until.isoformat(),
        "of_session": asked.session.isoformat(),
    }


def _points(tx: Transaction, run: str, session: date) -> tuple[EquityPoint | None, EquityPoint | None]:
    """Return the account at the close of a session and at the close before."""
    rows = tx.driver.execute(_POINTS, (run, session.isoformat())).fetchall()
    points = [EquityPoint(date.fromisoformat(row[0]), *map(Decimal, row[1:])) for row in rows]
    close = points.pop(0) if points and points[0].session == session else None
    return close, points[0] if points else None


def _idle(tx: Transaction, run: str, asked: GetSessionBook) -> Idle:
    """Return for how many closed sessions nothing was ordered, and why; an order that came to nothing is none."""
    execute, session, until = tx.driver.execute, asked.session.isoformat(), asked.until.isoformat()
    if execute(_LATER, (run, session, until)).fetchone()[0]:
        return Idle(0, {})
    newest = execute(_NEWEST_ORDER, (run, session)).fetchone()
    last, since = ("", "") if newest is None else (str(newest[0]), str(newest[1]))
    sessions = int(execute(_CLOSED_SINCE, (run, last, session)).fetchone()[0])
    if not sessions:
        return Idle(0, {})
    counts: Counter[str] = Counter()
    for outcome, code, count in execute(_MET_SINCE, (run, since, until, TRADING_BATCH, TRADING_BATCH)).fetchall():
        counts[code or (HOLD if outcome == "ignored" else "UNKNOWN")] += count
    for code, count in execute(_REFUSED_SINCE, (run, since, until)).fetchall():
        counts[code] += count
    return Idle(sessions, dict(sorted(counts.items())))
