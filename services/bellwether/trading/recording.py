"""From what a broker tells of an order to what the ledger records of it. Pure."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from bellwether.broker.lifecycle import Progress
from bellwether.broker.values import BrokerEvent, Ended, Fill, Rejected
from bellwether.trading.book import Book, cost_of_sold
from bellwether.trading.codes import Code
from bellwether.trading.events import LedgerEvent, OrderCancelled, OrderFilled, OrderQueued, OrderRejected
from bellwether.trading.pricing import ZERO, text


def recorded(book: Book, order: OrderQueued, after: Progress, event: BrokerEvent, now: datetime) -> list[LedgerEvent]:
    """Return the ledger's events for one event of the broker that changed an order's progress to `after`.

    `order` is the order as it was queued; it may no longer wait, when a fill comes after its cancellation.

    Raises:
        ValueError: for a fill that sells more than the ledger holds.
    """
    match event:
        case Fill():
            return [filled(book, order, event, now, leaves=after.quantity - after.filled)]
        case Rejected():
            return [OrderRejected(now, order.order_id, order.symbol, event.code, event.message)]
        case Ended():
            return [ended(order, after, event, now)]
        case _:
            return []


def filled(book: Book, order: OrderQueued, fill: Fill, now: datetime, *, leaves: Decimal = ZERO) -> OrderFilled:
    """Return the event of a fill; one that fills a whole order at once carries no id of its own."""
    realised, holding = ZERO, book.holdings.get(order.symbol)
    if order.side == "SELL":
        if holding is None or fill.quantity > holding.quantity:
            held = book.held(order.symbol)
            raise ValueError(f"order {order.order_id} sold {fill.quantity} {order.symbol}, the ledger holds {held}")
        realised = fill.price * fill.quantity - cost_of_sold(holding, fill.quantity)
    part = leaves > 0 or order.order_id in book.partly or order.order_id not in book.queued
    return OrderFilled(
        at=now,
        order_id=order.order_id,
        symbol=order.symbol,
        side=order.side,
        quantity=fill.quantity,
        price=fill.price,
        commission=fill.commission,
        realised=realised,
        session=order.session,
        fill_id=fill.fill_id if part else "",
        leaves=leaves if leaves > 0 else None,
    )


def ended(order: OrderQueued, after: Progress, event: Ended, now: datetime) -> OrderCancelled:
    """Return the event of an order that ended at the broker before all of it was filled."""
    code = Code.ORDER_EXPIRED if event.how == "expired" else Code.BROKER_CANCELLED
    return OrderCancelled(
        at=now,
        order_id=order.order_id,
        symbol=order.symbol,
        code=code.name,
        value=event.reason or event.how,
        limit=f"{text(after.filled)} of {text(after.quantity)} shares filled",
    )
