"""The simulated broker's own books: accounts, positions, orders and what it told of them.

They lie in the trader's database beside the ledger and are changed in transactions of their own, as a broker's books
are. Nothing here is made from the ledger, so comparing the two compares two counts.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, MetaData, String, Table, Text, UniqueConstraint


def add_simulated_tables(metadata: MetaData) -> Index:
    """Add the tables to those of a store, once; return the index of the orders that work, which version 4 had not."""
    if "sim_orders" in metadata.tables:
        return next(index for index in metadata.tables["sim_orders"].indexes if index.name == "sim_orders_working")
    Table(
        "sim_accounts",
        metadata,
        Column("account", String, primary_key=True),
        Column("currency", String, nullable=False),
        Column("cash", String, nullable=False),
    )
    Table(
        "sim_positions",
        metadata,
        Column("account", String, primary_key=True),
        Column("symbol", String, primary_key=True),
        Column("quantity", String, nullable=False),
    )
    orders = Table(
        "sim_orders",
        metadata,
        Column("account", String, primary_key=True),
        Column("reference", String, primary_key=True),
        Column("data", Text, nullable=False),
        Column("works", Integer, nullable=False),
    )
    working = Index("sim_orders_working", orders.c.account, sqlite_where=orders.c.works == 1)
    told = Table(
        "sim_events",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("account", String, nullable=False),
        Column("reference", String, nullable=False),
        Column("data", Text, nullable=False),
    )
    Index("sim_events_by_order", told.c.account, told.c.reference, told.c.id)
    # What moved shares or money besides orders (a split, a dividend, a deposit), each once by its key.
    Table(
        "sim_actions",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("account", String, nullable=False),
        Column("key", String, nullable=False),
        Column("at", String, nullable=False),
        Column("symbol", String, nullable=False),
        Column("kind", String, nullable=False),
        Column("amount", String, nullable=False),
        UniqueConstraint("account", "key"),
    )
    return working
