"""What others hear of the ledger's events, and the spans that join the traces of the decisions behind them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable

from bellwether.messages.fields import from_fields
from bellwether.messages.trading import Order, OrderEvent, OrderRefused, Refusal
from bellwether.runtime.call import Call
from bellwether.storage.store import Transaction
from bellwether.trading.answers import order_from, rejection_of
from bellwether.trading.events import LedgerEvent, OrderCancelled, OrderFilled, OrderQueued, OrderRejected, Refused
from bellwether.trading.queries import find_order

_log = logging.getLogger(__name__)


def announce(tx: Transaction, run: str, events: Iterable[LedgerEvent], call: Call) -> None:
    """Put into the outbox what others are to hear; a fill joins the trace of the decision behind it."""
    here = call if call.run == run else call.at(call.as_of, run=run)
    for event in events:
        match event:
            case OrderQueued(order_id=order_id):
                status = "awaiting_approval" if event.approval else "queued"
                order = from_fields(Order, event, status=status, created_at=event.at)
                tx.outbox(here.event("order_queued", OrderEvent(order), event_id=f"order_queued:{order_id}"))
            case OrderFilled():
                _announce_fill(tx, run, event, here)
            case Refused():
                parent = _parent(tx, run, event.order_id) if event.stage == "open" else None
                _announce_refusal(tx, event, from_fields(Refusal, event), here, parent)
            case OrderRejected():
                _log.warning("the broker rejects order %s: %s %s", event.order_id, event.code, event.message)
                _announce_refusal(tx, event, rejection_of(event), here, _parent(tx, run, event.order_id))
            case OrderCancelled():
                _log.info("order %s is cancelled: %s", event.order_id, event.code)


def _announce_fill(tx: Transaction, run: str, event: OrderFilled, call: Call) -> None:
    row = find_order(tx, run, event.order_id)
    if row is None:
        raise LookupError(f"order {event.order_id} was filled, but it is not in the ledger")
    with call.start_span("fill", parent=row["traceparent"], attributes=_facts(event)) as filling:
        tx.outbox(filling.event("order_filled", OrderEvent(order_from(row)), event_id=f"order_{event.key}"))


def _parent(tx: Transaction, run: str, order_id: str | None) -> str | None:
    """Return the trace context of the decision behind an order; None where there is none."""
    row = None if order_id is None else find_order(tx, run, order_id)
    return None if row is None else str(row["traceparent"])


def _facts(event: OrderFilled) -> dict[str, str]:
    return {
        "bellwether.order_id": event.order_id,
        "bellwether.symbol": event.symbol,
        "bellwether.side": event.side,
        "bellwether.quantity": str(event.quantity),
        "bellwether.price": str(event.price),
        "bellwether.session": str(event.session),
    }


def _announce_refusal(
    tx: Transaction, event: Refused | OrderRejected, refusal: Refusal, call: Call, parent: str | None
) -> None:
    """Announce a refusal; one at the open with a span in the trace of the decision, elsewhere the call has one."""
    refusing: contextlib.AbstractContextManager[Call] = contextlib.nullcontext(call)
    if parent is not None:
        attributes = {"bellwether.order_id": event.order_id or "", "bellwether.refusal": event.code}
        refusing = call.start_span("refused at the open", parent=parent, attributes=attributes)
    with refusing as inner:
        tx.outbox(inner.event("order_refused", OrderRefused(refusal), event_id=event.key))
