"""The account over time, one row per session and run, as the gateway saw it."""

from __future__ import annotations

import sqlite3
from datetime import datetime

import msgspec
from sqlalchemy import Column, MetaData, String, Table

from bellwether.messages.trading import Account


class EquityPoint(msgspec.Struct, frozen=True):
    """The account at a moment of domain time; money as text, in the account's currency."""

    at: str
    equity: str
    cash: str


def add_equity_table(metadata: MetaData) -> None:
    """Add the table of equity points to a database's tables."""
    Table(
        "equity",
        metadata,
        Column("run", String, primary_key=True),
        Column("day", String, primary_key=True),
        Column("at", String, nullable=False),
        Column("equity", String, nullable=False),
        Column("cash", String, nullable=False),
        sqlite_with_rowid=False,
    )


def record(db: sqlite3.Connection, run: str, at: datetime, account: Account) -> None:
    """Write the account of a moment; the last moment of a day is the one that stays."""
    db.execute(
        "INSERT INTO equity VALUES (?, ?, ?, ?, ?) ON CONFLICT (run, day)"
        " DO UPDATE SET at = excluded.at, equity = excluded.equity, cash = excluded.cash",
        (run, at.date().isoformat(), at.isoformat(), str(account.equity), str(account.cash)),
    )


def points(db: sqlite3.Connection, run: str, limit: int) -> list[EquityPoint]:
    """Return a run's points by time, thinned evenly to at most `limit`; the first and the last are always there."""
    rows = db.execute("SELECT at, equity, cash FROM equity WHERE run = ? ORDER BY day", (run,)).fetchall()
    if len(rows) > limit:
        last = len(rows) - 1
        rows = [rows[round(index * last / (limit - 1))] for index in range(limit)]
    return [EquityPoint(*row) for row in rows]
