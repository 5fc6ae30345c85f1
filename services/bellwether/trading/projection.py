"""The tables that are made from the ledger's events, one event after the other."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from sqlalchemy import case, select, update

from bellwether.storage.prepared import Prepared, given
from bellwether.storage.store import Transaction
from bellwether.trading import tables
from bellwether.trading.check import ended_as
from bellwether.trading.events import (
    LedgerEvent,
    OrderApproved,
    OrderCancelled,
    OrderFilled,
    OrderQueued,
    OrderReduced,
    OrderRejected,
    OrderSplit,
    Refused,
    SessionMarked,
)
from bellwether.trading.pricing import PRICE_STEP

_ADD_ORDER = Prepared.insert(tables.orders)
_ADD_REFUSAL = Prepared.insert(tables.refusals)
_ADD_EQUITY = Prepared.insert(tables.equity)
_OF_ORDER = (tables.orders.c.run == given("of_run"), tables.orders.c.order_id == given("of_order"))


def _change(*columns: str) -> Prepared:
    new: dict[str, Any] = {name: given(f"new_{name}") for name in columns}
    return Prepared(update(tables.orders).where(*_OF_ORDER).values(new))


_END_ORDER = Prepared(
    update(tables.orders)
    .where(*_OF_ORDER)
    .values(
        # What was filled in part stays so; the rest is over.
        status=case((tables.orders.c.status == "partially_filled", "partially_filled"), else_=given("new_status")),
        refusal=given("new_refusal"),
    )
)
_FIND_ORDER = Prepared(select(tables.orders).where(*_OF_ORDER))
_SET_STATUS = _change("status")
_RESIZE_ORDER = _change("quantity")
_REDUCE_ORDER = _change("quantity", "reduced_from", "reduction")
_FILL_ORDER = _change("status", "filled_at", "fill_price", "commission", "filled_quantity")


def refusal_text(code: str, value: str, limit: str) -> str:
    """Return a refusal as the one line that an order carries."""
    return f"{code}: value={value} limit={limit}"


def project(tx: Transaction, run: str, events: Iterable[LedgerEvent]) -> None:
    """Bring a run's tables up to these events."""
    for event in events:
        match event:
            case OrderQueued():
                _ADD_ORDER.run(tx, _order_row(run, event))
            case Refused():
                _ADD_REFUSAL.run(tx, _refusal_row(run, event))
                if event.order_id is not None:
                    _end_order(tx, run, event.order_id, "refused", event)
            case OrderCancelled() | OrderRejected():
                _end_order(tx, run, event.order_id, ended_as(event), event)
            case OrderApproved():
                _SET_STATUS.run(tx, {"of_run": run, "of_order": event.order_id, "new_status": "queued"})
            case OrderSplit():
                values = {"of_run": run, "of_order": event.order_id, "new_quantity": str(event.quantity)}
                _RESIZE_ORDER.run(tx, values)
            case OrderReduced():
                _REDUCE_ORDER.run(tx, _reduction_row(run, event))
            case OrderFilled():
                _FILL_ORDER.run(tx, _fill_row(tx, run, event))
            case SessionMarked():
                _ADD_EQUITY.run(tx, _equity_row(run, event))


def _end_order(
    tx: Transaction, run: str, order_id: str, status: str, event: Refused | OrderCancelled | OrderRejected
) -> None:
    if isinstance(event, OrderRejected):
        line = f"{event.code}: {event.message}" if event.message else event.code
    else:
        line = refusal_text(event.code, event.value, event.limit)
    _END_ORDER.run(tx, {"of_run": run, "of_order": order_id, "new_status": status, "new_refusal": line})


def _reduction_row(run: str, event: OrderReduced) -> dict[str, str]:
    return {
        "of_run": run,
        "of_order": event.order_id,
        "new_quantity": str(event.quantity),
        "new_reduced_from": str(event.asked),
        "new_reduction": refusal_text(event.code, event.value, event.limit),
    }


def _fill_row(tx: Transaction, run: str, event: OrderFilled) -> dict[str, str]:
    price, commission, quantity = event.price, event.commission, event.quantity
    if event.fill_id:
        row = _FIND_ORDER.first(tx, {"of_run": run, "of_order": event.order_id})
        if row is not None and row["filled_quantity"] is not None:
            before = Decimal(row["filled_quantity"])
            quantity += before
            commission += Decimal(row["commission"])
            price = ((Decimal(row["fill_price"]) * before + event.price * event.quantity) / quantity).quantize(
                PRICE_STEP
            )
    return {
        "of_run": run,
        "of_order": event.order_id,
        "new_status": "partially_filled" if event.leaves else "filled",
        "new_filled_at": event.at.isoformat(),
        "new_fill_price": str(price),
        "new_commission": str(commission),
        "new_filled_quantity": str(quantity),
    }


def _order_row(run: str, event: OrderQueued) -> dict[str, Any]:
    return {
        "run": run,
        "order_id": event.order_id,
        "prediction_id": event.prediction_id,
        "reason": event.reason,
        "symbol": event.symbol,
        "side": event.side,
        "quantity": str(event.quantity),
        "status": "awaiting_approval" if event.approval else "queued",
        "session": event.session.isoformat(),
        "created_at": event.at.isoformat(),
        "model_name": event.model_name,
        "model_version": event.model_version,
        "trace_id": event.trace_id,
        "traceparent": event.traceparent,
        "strength": event.strength,
    }


def _refusal_row(run: str, event: Refused) -> dict[str, Any]:
    return {
        "run": run,
        "prediction_id": event.prediction_id,
        "order_id": event.order_id,
        "symbol": event.symbol,
        "code": event.code,
        "value": event.value,
        "limit": event.limit,
        "at": event.at.isoformat(),
        "stage": event.stage,
    }


def _equity_row(run: str, event: SessionMarked) -> dict[str, Any]:
    return {
        "run": run,
        "session": event.session.isoformat(),
        "cash": str(event.cash),
        "positions_value": str(event.positions_value),
        "equity": str(event.cash + event.positions_value),
    }
