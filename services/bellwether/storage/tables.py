"""The tables that every store has: events on their way out, and events whose effect is in."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, text


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
        # Wall time in seconds; null only for a moment, in rows of a release that did not note it.
        Column("at", Float),
        sqlite_with_rowid=False,
    )
