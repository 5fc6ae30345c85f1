"""The bars on disk: bars.db, which market-data alone opens.

Each statement of a source that changed something is a load, numbered by symbol. A session's bar is that of its newest
load; older ones stay, so what was known at an instant can be read again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from msgspec import to_builtins
from sqlalchemy import Column, Connection, Float, Integer, MetaData, String, Table, delete, insert, select, update

from bellwether.market_data.actions import Action
from bellwether.market_data.known import Hold, Intake, Kept, Known, Stored
from bellwether.market_data.rows import Loaded
from bellwether.messages.market_data import Bar
from bellwether.storage.store import Transaction
from bellwether.storage.tables import texts

VERSION = 2
metadata = MetaData()

bars = Table(
    "bars",
    metadata,
    *texts("symbol", "session", key=True),
    Column("load", Integer, primary_key=True),
    Column("open", Float),
    Column("high", Float),
    Column("low", Float),
    Column("close", Float),
    Column("volume", Float),
    sqlite_with_rowid=False,
)
"""Versions of bars, prices as traded; without prices: from this load on there is no bar of the session."""

actions = Table(
    "actions",
    metadata,
    *texts("symbol", "session", "kind", key=True),
    Column("load", Integer, primary_key=True),
    Column("ratio", Float, nullable=False),
    Column("amount", Float, nullable=False),
    Column("origin", String, nullable=False),
    Column("dropped", Integer),
    sqlite_with_rowid=False,
)
"""Actions, each with the load that reported it and the load after which it was not stated any more."""

loads = Table(
    "loads",
    metadata,
    Column("symbol", String, primary_key=True),
    Column("load", Integer, primary_key=True),
    *texts("source", "fingerprint", "recorded_at", "known_at"),
    sqlite_with_rowid=False,
)
"""Statements of sources: when the source recorded it, and when it became known here."""

holds = Table(
    "holds",
    metadata,
    Column("symbol", String, primary_key=True),
    *texts("since", "code", "message"),
    sqlite_with_rowid=False,
)
"""Symbols that are held back, and why."""

news = Table("news", metadata, *texts("symbol", "session", key=True), sqlite_with_rowid=False)
"""Sessions whose new bar has not been announced yet."""


@dataclass(frozen=True, slots=True)
class Load:
    """One statement of a source."""

    number: int
    source: str
    fingerprint: str
    recorded_at: datetime
    known_at: datetime


def newest_load(tx: Transaction, symbol: str) -> Load | None:
    """Return the newest load of a symbol, None where there is none."""
    query = select(loads).where(loads.c.symbol == symbol).order_by(loads.c.load.desc()).limit(1)
    return next((_load(row) for row in tx.execute(query)), None)


def all_loads(tx: Transaction, symbol: str) -> list[Load]:
    """Return the loads of a symbol, newest first."""
    query = select(loads).where(loads.c.symbol == symbol).order_by(loads.c.load.desc())
    return [_load(row) for row in tx.execute(query)]


def read(tx: Transaction, symbol: str, through: int | None = None) -> Stored:
    """Return what is known of a symbol, or what was known after the load `through`; holds are those of now."""
    recorded = {one.number: one.recorded_at for one in all_loads(tx, symbol)}
    last = max(recorded, default=0) if through is None else through
    query = select(bars).where(bars.c.symbol == symbol, bars.c.load <= last).order_by(bars.c.session, bars.c.load)
    found: dict[date, Kept] = {}
    rows: Iterable[Any] = tx.execute(query)
    for _, session, load, opening, high, low, close, volume in rows:
        day = date.fromisoformat(session)
        found.pop(day, None)
        if close is not None:
            found[day] = Kept(Bar(day, opening, high, low, close, volume), recorded[load])
    known = [
        Known(Action(date.fromisoformat(row.session), row.kind, row.ratio, row.amount), row.origin)
        for row in tx.execute(select(actions).where(actions.c.symbol == symbol, actions.c.load <= last))
        if row.dropped is None or row.dropped > last
    ]
    known.sort(key=lambda one: (one.action.session, one.action.kind != "split"))
    held = tx.execute(select(holds).where(holds.c.symbol == symbol)).first()
    hold = None if held is None else Hold(date.fromisoformat(held.since), held.code, held.message)
    return Stored(found, known, hold)


def write(tx: Transaction, symbol: str, loaded: Loaded, intake: Intake, known_at: datetime) -> None:
    """Add a load with what it changes."""
    before = newest_load(tx, symbol)
    number = 1 if before is None else before.number + 1
    load = {
        "symbol": symbol,
        "load": number,
        "source": loaded.source,
        "fingerprint": loaded.fingerprint,
        "recorded_at": loaded.recorded_at.astimezone(UTC).isoformat(),
        "known_at": known_at.astimezone(UTC).isoformat(),
    }
    tx.execute(insert(loads), load)
    _write_bars(tx, symbol, number, intake)
    _write_actions(tx, symbol, number, intake)
    tx.execute(delete(holds).where(holds.c.symbol == symbol))
    if intake.hold is not None:
        hold = intake.hold
        row = {"symbol": symbol, "since": hold.since.isoformat(), "code": hold.code, "message": hold.message}
        tx.execute(insert(holds), row)


def _write_bars(tx: Transaction, symbol: str, number: int, intake: Intake) -> None:
    rows: list[dict[str, Any]] = [{"symbol": symbol, "load": number, **to_builtins(bar)} for bar in intake.bars]
    nothing = dict.fromkeys(("open", "high", "low", "close", "volume"))
    rows += [{"symbol": symbol, "session": day.isoformat(), "load": number, **nothing} for day in intake.withdrawn]
    if rows:
        tx.execute(insert(bars), rows)


def _write_actions(tx: Transaction, symbol: str, number: int, intake: Intake) -> None:
    for action in intake.dropped:
        tx.execute(
            update(actions)
            .where(
                actions.c.symbol == symbol,
                actions.c.session == action.session.isoformat(),
                actions.c.kind == action.kind,
                actions.c.dropped.is_(None),
            )
            .values(dropped=number)
        )
    rows = [
        {"symbol": symbol, "load": number, "origin": known.origin, **to_builtins(known.action)}
        for known in intake.added
    ]
    if rows:
        tx.execute(insert(actions), rows)


def to_announce(tx: Transaction, symbol: str, sessions: Iterable[date]) -> None:
    """Remember that new bars of these sessions are to be announced."""
    days = [{"symbol": symbol, "session": day.isoformat()} for day in sessions]
    if days:
        tx.execute(insert(news).prefix_with("OR IGNORE"), days)


def unannounced(tx: Transaction) -> list[tuple[str, date]]:
    """Return the symbols and sessions whose new bar has not been announced yet, oldest session first."""
    query = select(news).order_by(news.c.session, news.c.symbol)
    return [(row.symbol, date.fromisoformat(row.session)) for row in tx.execute(query)]


def announced(tx: Transaction, symbol: str, session: date) -> None:
    """Forget that a session's new bar is to be announced."""
    tx.execute(delete(news).where(news.c.symbol == symbol, news.c.session == session.isoformat()))


def _load(row: Any) -> Load:
    recorded_at, known_at = map(datetime.fromisoformat, (row.recorded_at, row.known_at))
    return Load(row.load, row.source, row.fingerprint, recorded_at, known_at)


def from_one_version(connection: Connection) -> None:
    """Take over the tables of version 1, which held one version of each bar, as each symbol's first load.

    Its fingerprint matches none: the source is read again at once, and what differs becomes the second version.
    """
    now = datetime.now(UTC).isoformat()
    for name in ("bars", "actions", "sources"):
        connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {name}_1")
    metadata.create_all(connection, tables=[bars, actions, loads, holds, news], checkfirst=False)
    connection.exec_driver_sql("INSERT INTO bars SELECT symbol, session, 1, open, high, low, close, volume FROM bars_1")
    connection.exec_driver_sql(
        "INSERT INTO actions SELECT symbol, session, kind, 1, ratio, amount, 'inferred', NULL FROM actions_1"
    )
    connection.exec_driver_sql("INSERT INTO loads SELECT symbol, 1, source, '', ?, ? FROM sources_1", (now, now))
    for name in ("bars", "actions", "sources"):
        connection.exec_driver_sql(f"DROP TABLE {name}_1")


UPGRADES = {1: from_one_version}
