"""Questions about the ledger's tables: orders, refusals, equity. All run inside a transaction."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, select

from bellwether.messages.trading import EquityPoint
from bellwether.storage.prepared import Prepared, given
from bellwether.storage.store import Transaction
from bellwether.storage.tables import matching
from bellwether.trading import tables
from bellwether.trading.check import AT_BROKER

_AT_BROKER = sorted(AT_BROKER)
"""What the row of an order does not show; what was filled, it does."""


def _orders() -> Select[Any]:
    """Return rows of orders; one that the broker has shows the state it is in there."""
    orders, sent = tables.orders, tables.executions
    waits = and_(orders.c.status == "queued", sent.c.state.in_(_AT_BROKER))
    status = case((waits, sent.c.state), else_=orders.c.status).label("status")
    columns = [status if column.name == "status" else column for column in orders.c]
    joined = orders.outerjoin(sent, and_(sent.c.run == orders.c.run, sent.c.order_id == orders.c.order_id))
    return select(*columns, sent.c.broker_id).select_from(joined)


_ORDER = Prepared(
    _orders().where(tables.orders.c.run == given("of_run"), tables.orders.c.order_id == given("of_order"))
)
_EXITS = Prepared(
    select(tables.orders.c.order_id).where(
        tables.orders.c.run == given("of_run"),
        tables.orders.c.reason.in_(tables.EXITS),
        tables.orders.c.created_at == given("at"),
    )
)


def find_orders(
    tx: Transaction, run: str, *, symbol: str | None = None, status: str | None = None, limit: int = 50
) -> tuple[list[dict[str, Any]], int]:
    """Return rows of orders, newest first, and how many fit in all."""
    table = tables.orders
    wanted = matching(table, run=run, symbol=symbol)
    if status is not None:
        wanted.append(_status_is(status))
    found = _orders().where(*wanted)
    total = tx.execute(select(func.count()).select_from(found.subquery())).scalar_one()
    rows = tx.execute(found.order_by(table.c.id.desc()).limit(limit)).mappings()
    return [dict(row) for row in rows], int(total)


def find_order(tx: Transaction, run: str, order_id: str) -> dict[str, Any] | None:
    """Return the row of one order."""
    return _ORDER.first(tx, {"of_run": run, "of_order": order_id})


def find_exits(tx: Transaction, run: str, at: datetime) -> list[str]:
    """Return the ids of the exits that were queued at this close, sorted."""
    return sorted(row["order_id"] for row in _EXITS.rows(tx, {"of_run": run, "at": at.isoformat()}))


def find_refusals(
    tx: Transaction, run: str, *, symbol: str | None = None, prediction_id: str | None = None, limit: int = 50
) -> tuple[list[dict[str, Any]], int]:
    """Return rows of refusals, newest first, and how many fit in all."""
    table = tables.refusals
    wanted = matching(table, run=run, symbol=symbol, prediction_id=prediction_id)
    total = tx.execute(select(func.count()).select_from(table).where(*wanted)).scalar_one()
    rows = tx.execute(select(table).where(*wanted).order_by(table.c.id.desc()).limit(limit)).mappings()
    return [dict(row) for row in rows], int(total)


def find_equity(tx: Transaction, run: str) -> list[EquityPoint]:
    """Return the account at the close of each session of a run, oldest first."""
    table = tables.equity
    query = select(table.c.session, table.c.cash, table.c.positions_value, table.c.equity)
    rows = tx.execute(query.where(table.c.run == run).order_by(table.c.session))
    return [EquityPoint(date.fromisoformat(row[0]), *map(Decimal, row[1:])) for row in rows]


def _status_is(status: str) -> ColumnElement[bool]:
    orders, sent = tables.orders, tables.executions
    if status in _AT_BROKER:
        return and_(orders.c.status == "queued", sent.c.state == status)
    if status == "queued":
        return and_(orders.c.status == "queued", func.coalesce(sent.c.state, "").not_in(_AT_BROKER))
    return orders.c.status == status
