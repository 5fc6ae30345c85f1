"""The simulated broker's own books: accounts, positions, orders and what it told of them.

They lie in the trader's database beside the ledger and are changed in transactions of their own, as a broker's books
are. Nothing here is made from the ledger, so comparing the two compares two counts.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

from bellwether.storage.tables import texts


def add_simulated_tables(metadata: MetaData) -> Index:
    """Add the tables to those of a store, once; return the index of the orders that work, which version 4 had not."""
    if "sim_orders" in metadata.tables:
        return next(index for index in metadata.tables["sim_orders"].indexes if index.name == "sim_orders_working")
    Table(
        "sim_accounts",
        metadata,
        Column("account", String, primary_key=True),
        *texts("currency", "cash"),
    )
    Table(
        "sim_positions",
        metadata,
        *texts("account", "symbol", key=True),
        Column("quantity", String, nullable=False),
    )
    orders = Table(
        "sim_orders",
        metadata,
        *texts("account", "reference", key=True),
        Column("data", Text, nullable=False),
        Column("works", Integer, nullable=False),
    )
    working = Index("sim_orders_working", orders.c.account, sqlite_where=orders.c.works == 1)
    told = Table(
        "sim_events",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=True),
        *texts("account", "reference"),
        Column("data", Text, nullable=False),
    )
    Index("sim_events_by_order", told.c.account, told.c.reference, told.c.id)
    # What moved shares or money besides orders (a split, a dividend, a deposit), each once by its key.
    Table(
        "sim_actions",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=True),
        *texts("account", "key", "at", "symbol", "kind", "amount"),
        UniqueConstraint("account", "key"),
    )
    return working
