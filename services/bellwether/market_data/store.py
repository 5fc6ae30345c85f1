"""The bars on disk: bars.db, which market-data alone opens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Column, Float, MetaData, String, Table, delete, insert, select

from bellwether.market_data.actions import Action, infer_actions
from bellwether.market_data.book import Recorded
from bellwether.market_data.rows import Loaded
from bellwether.messages.market_data import Bar
from bellwether.storage.store import Store, Transaction

VERSION = 1
metadata = MetaData()

bars = Table(
    "bars",
    metadata,
    Column("symbol", String, primary_key=True),
    Column("session", String, primary_key=True),
    Column("open", Float, nullable=False),
    Column("high", Float, nullable=False),
    Column("low", Float, nullable=False),
    Column("close", Float, nullable=False),
    Column("volume", Float, nullable=False),
    Column("adjusted_close", Float),
    sqlite_with_rowid=False,
)
"""Prices as traded; `adjusted_close` is what the source said, kept for whoever checks the actions."""

actions = Table(
    "actions",
    metadata,
    Column("symbol", String, primary_key=True),
    Column("session", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("ratio", Float, nullable=False),
    Column("amount", Float, nullable=False),
    sqlite_with_rowid=False,
)

sources = Table(
    "sources",
    metadata,
    Column("symbol", String, primary_key=True),
    Column("source", String, nullable=False),
    Column("fingerprint", String, nullable=False),
)
"""Where each symbol's bars came from; the same fingerprint is not read again."""


async def fingerprint_of(store: Store, symbol: str) -> str | None:
    """Return the fingerprint of what is stored of a symbol, None where nothing is."""

    def look(tx: Transaction) -> str | None:
        found = tx.execute(select(sources.c.fingerprint).where(sources.c.symbol == symbol)).scalar()
        return None if found is None else str(found)

    return await store.transact(look)


async def save(store: Store, symbol: str, loaded: Loaded) -> Recorded:
    """Put a symbol's bars, and the actions read off them, in place of what was stored; return them."""
    found = infer_actions(loaded.rows)
    bar_rows = [
        {
            "symbol": symbol,
            "session": row.bar.session.isoformat(),
            "open": row.bar.open,
            "high": row.bar.high,
            "low": row.bar.low,
            "close": row.bar.close,
            "volume": row.bar.volume,
            "adjusted_close": row.adjusted_close,
        }
        for row in loaded.rows
    ]
    action_rows = [
        {
            "symbol": symbol,
            "session": action.session.isoformat(),
            "kind": action.kind,
            "ratio": action.ratio,
            "amount": action.amount,
        }
        for action in found
    ]

    def write(tx: Transaction) -> None:
        for table in (bars, actions, sources):
            tx.execute(delete(table).where(table.c.symbol == symbol))
        tx.execute(insert(bars), bar_rows)
        if action_rows:
            tx.execute(insert(actions), action_rows)
        tx.execute(insert(sources), [{"symbol": symbol, "source": loaded.source, "fingerprint": loaded.fingerprint}])

    await store.transact(write)
    return Recorded([row.bar for row in loaded.rows], found)


async def read(store: Store, symbol: str) -> Recorded:
    """Return what is stored of a symbol, oldest first."""

    def look(tx: Transaction) -> Recorded:
        bar_rows: Sequence[Any] = tx.execute(select(bars).where(bars.c.symbol == symbol).order_by(bars.c.session)).all()
        action_rows: Sequence[Any] = tx.execute(
            select(actions).where(actions.c.symbol == symbol).order_by(actions.c.session)
        ).all()
        return Recorded(
            [Bar(date.fromisoformat(row[1]), row[2], row[3], row[4], row[5], row[6]) for row in bar_rows],
            [Action(date.fromisoformat(row[1]), row[2], row[3], row[4]) for row in action_rows],
        )

    return await store.transact(look)
