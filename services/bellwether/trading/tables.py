"""The tables of the ledger. `ledger_events` and `halts` are only ever added to; the rest can be made from them again.

Money, prices and quantities are decimals as text; instants ISO 8601 in UTC; sessions ISO days.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Column, Connection, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint, text

from bellwether.broker.simulated_books import add_simulated_tables
from bellwether.storage.store import Upgrade
from bellwether.storage.tables import creating, texts

VERSION = 5

metadata = MetaData()

ledger_events = Table(
    "ledger_events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", String, nullable=False),
    Column("seq", Integer, nullable=False),
    *texts("key", "at"),
    Column("data", Text, nullable=False),
    UniqueConstraint("run", "seq"),
    # An effect happens once: a second event of the same key is refused by the database itself.
    UniqueConstraint("run", "key"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    *texts("run", "order_id"),
    Column("prediction_id", String),
    *texts("reason", "symbol", "side", "quantity", "status", "session", "created_at"),
    *texts("model_name", "model_version", "trace_id", "traceparent"),
    *texts("filled_at", "fill_price", "commission", "refusal", null=True),
    # The rest is null in rows that version 1 wrote.
    Column("strength", Float),
    *texts("reduced_from", "reduction", null=True),
    # Null in rows that version 2 wrote, and where nothing was filled.
    Column("filled_quantity", String),
    UniqueConstraint("run", "order_id"),
)
# An exit at the end of the horizon names the decision that opened the position; it is not a second order of it.
Index(
    "one_order_per_decision",
    orders.c.run,
    orders.c.prediction_id,
    unique=True,
    sqlite_where=text("prediction_id IS NOT NULL AND reason IN ('signal', 'sell_signal')"),
)
Index("orders_by_symbol", orders.c.run, orders.c.symbol, orders.c.id)
_ORDERS_OF_SESSION = Index("orders_of_session", orders.c.run, orders.c.session)
_ORDERS_BY_TIME = Index("orders_by_time", orders.c.run, orders.c.created_at)

refusals = Table(
    "refusals",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", String, nullable=False),
    *texts("prediction_id", "order_id", null=True),
    *texts("symbol", "code", "value", "limit", "at", "stage"),
)
Index("refusals_by_symbol", refusals.c.run, refusals.c.symbol, refusals.c.id)
Index("refusals_by_decision", refusals.c.run, refusals.c.prediction_id)
_REFUSALS_BY_TIME = Index("refusals_by_time", refusals.c.run, refusals.c.at)

equity = Table("equity", metadata, *texts("run", "session", key=True), *texts("cash", "positions_value", "equity"))

# A diary, not a projection: every decision that the trader met, HOLD included.
decisions = Table(
    "decisions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    *texts("run", "prediction_id", "symbol", "at"),
    Column("may_trade", Integer, nullable=False),
    Column("outcome", String, nullable=False),
    Column("order_id", String),
    Column("guards", Text, nullable=False),
    # What the guard said that refused it, also where the refusal is no fact of the ledger; null: none, or version 1.
    *texts("code", "value", "limit", null=True),
    UniqueConstraint("run", "prediction_id"),
)
Index("decisions_by_symbol", decisions.c.run, decisions.c.symbol, decisions.c.may_trade, decisions.c.id)

_DECISIONS_BY_TIME = Index("decisions_by_time", decisions.c.run, decisions.c.at)

# What the broker knows of each order that was sent, or may have been. Its one writer is execution.
executions = Table(
    "executions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    *texts("run", "order_id", "symbol", "side", "session", "deadline", "quantity", "state", "filled"),
    Column("fills", Text, nullable=False),
    *texts("broker_id", "sent_at"),
    Column("reason", Text, nullable=False),
    UniqueConstraint("run", "order_id"),
)
Index("executions_in_flight", executions.c.run, executions.c.state)

# Symbols whose position differs from the broker's, from when on, and by what; empty once they agree.
unreconciled = Table(
    "unreconciled",
    metadata,
    *texts("run", "symbol", key=True),
    Column("words", Text, nullable=False),
    Column("since", String, nullable=False),
)

# Halts outlive runs: a replay that begins again clears no latch. One with a run is that run's own.
halts = Table(
    "halts",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    *texts("kind", "source", "reason", "at"),
    Column("run", String),
)
_WORKING_ORDERS = add_simulated_tables(metadata)

EXITS = ("horizon", "stop_loss", "take_profit", "trailing_stop")
"""Reasons of orders that an exit rule queued at a close."""


_ADDED = (
    "orders ADD COLUMN strength FLOAT",
    "orders ADD COLUMN reduced_from VARCHAR",
    "orders ADD COLUMN reduction VARCHAR",
    "decisions ADD COLUMN code VARCHAR",
    "decisions ADD COLUMN value VARCHAR",
    'decisions ADD COLUMN "limit" VARCHAR',
)


def _keep_reductions(connection: Connection) -> None:
    for column in _ADDED:
        connection.exec_driver_sql(f"ALTER TABLE {column}")


def _add_execution(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE orders ADD COLUMN filled_quantity VARCHAR")
    connection.exec_driver_sql("ALTER TABLE halts ADD COLUMN run VARCHAR")
    connection.exec_driver_sql("UPDATE orders SET filled_quantity = quantity WHERE status = 'filled'")
    metadata.create_all(connection, tables=[metadata.tables[name] for name in _SINCE_3])


_SINCE_3 = ("executions", "unreconciled", "sim_accounts", "sim_positions", "sim_orders", "sim_events", "sim_actions")


UPGRADES: Mapping[int, Upgrade] = {
    1: _keep_reductions,
    2: _add_execution,
    3: creating(_REFUSALS_BY_TIME, _DECISIONS_BY_TIME),
    4: creating(_ORDERS_OF_SESSION, _ORDERS_BY_TIME, _WORKING_ORDERS),
}
