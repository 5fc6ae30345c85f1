"""The tables that every store has: events on their way out, and events whose effect is in; columns of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy import Column, ColumnElement, Float, Index, Integer, LargeBinary, MetaData, String, Table, text
from sqlalchemy.engine import Connection


def texts(*names: str, key: bool = False, null: bool = False) -> Iterator[Column[str]]:
    """Yield columns of text that are never null, that make the primary key, or that may be null."""
    for name in names:
        yield Column(name, String, primary_key=key, nullable=null)


def matching(table: Table, **values: str | None) -> list[ColumnElement[bool]]:
    """Return the conditions that columns have these values; one that is None is no condition."""
    return [table.c[name] == value for name, value in values.items() if value is not None]


def creating(*parts: Table | Index) -> Callable[[Connection], None]:
    """Return the upgrade that makes tables or indexes which are not there yet."""

    def create(connection: Connection) -> None:
        for part in parts:
            part.create(connection, checkfirst=True)

    return create


def add_bus_tables(metadata: MetaData) -> None:
    """Add `outbox` and `inbox` to a store's tables, once."""
    if "outbox" in metadata.tables:
        return
    outbox = Table(
        "outbox",
        metadata,
        Column("sequence", Integer, primary_key=True, autoincrement=True),
        Column("message_id", String, nullable=False, unique=True),
        Column("subject", String, nullable=False),
        Column("trace", String),
        Column("body", LargeBinary, nullable=False),
        # Wall time in seconds; null: the relay has yet to publish it.
        Column("published_at", Float),
    )
    Index("outbox_waiting", outbox.c.sequence, sqlite_where=text("published_at IS NULL"))
    Table(
        "inbox",
        metadata,
        Column("run", String, primary_key=True),
        Column("event_id", String, primary_key=True),
        # Wall time in seconds; null only in rows of a release that did not note it.
        Column("at", Float),
        sqlite_with_rowid=False,
    )
