"""From what a broker says of orders, positions and money to what the ledger records of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Literal

from bellwether.broker.lifecycle import Progress
from bellwether.broker.values import Adjustment, BrokerAccount, BrokerEvent, BrokerPosition, Ended, Fill, Rejected
from bellwether.messages.trading import Side
from bellwether.trading.book import Book, cost_of_sold
from bellwether.trading.codes import Code
from bellwether.trading.events import (
    Adjusted,
    BrokerStated,
    LedgerEvent,
    OrderCancelled,
    OrderFilled,
    OrderQueued,
    OrderRejected,
    Transferred,
)
from bellwether.trading.pricing import ZERO, text

Proof = Literal["filled", "nothing", "unproven"]
CASH_TOLERANCE = Decimal("1.00")
"""By how much balance and ledger may differ: prices and amounts are rounded on both sides."""


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


def adjusted(adjustments: Iterable[Adjustment]) -> list[LedgerEvent]:
    """Return the ledger's events for what moved money at the broker.

    Realised profit is left out: the ledger computes it from the fills, and the comparison of cash holds it against the
    broker's.
    """
    events: list[LedgerEvent] = []
    for one in adjustments:
        if one.kind == "transfer":
            events.append(Transferred(one.at, one.adjustment_id, one.amount, one.text))
        elif one.kind != "realised":
            events.append(Adjusted(one.at, one.adjustment_id, one.kind, one.amount, one.symbol, one.text))
    return events


def stated(account: BrokerAccount, positions: Iterable[BrokerPosition], now: datetime) -> BrokerStated:
    """Return what the broker said of the account."""
    cost = sum((one.quantity * one.average_price for one in positions), ZERO)
    return BrokerStated(now, account.cash, account.available, account.margin, cost)


def unexplained(book: Book, statement: BrokerStated) -> Decimal:
    """Return by how much the broker's money differs from the ledger's, beyond where both began.

    Balance less cost of the open positions moves as the ledger's cash does, whichever lots a sale is taken from.
    """
    if book.broker_offset is None:
        return ZERO
    return statement.balance - statement.open_cost - book.cash - book.broker_offset


def cash_words(difference: Decimal) -> str:
    """Return an unexplained difference in money for people, empty where it is within the tolerance."""
    if abs(difference) <= CASH_TOLERANCE:
        return ""
    return f"the broker's money differs from the ledger's by {text(difference)}, which no transaction explains"


def proof(side: Side, leaves: Decimal, ledger: Decimal, broker: Decimal, *, partial: bool) -> tuple[Proof, Decimal]:
    """Return what the positions of a symbol prove of its one order in doubt, and how many shares were filled.

    On an account that nobody else trades on, a position that is the ledger's says that the order was not filled, and
    one that differs by the order's own shares that it was. Anything else proves nothing.
    """
    change = broker - ledger if side == "BUY" else ledger - broker
    if change == 0:
        return "nothing", ZERO
    if change == leaves or (partial and 0 < change < leaves):
        return "filled", change
    return "unproven", ZERO


def blocked_by(
    differences: Mapping[str, str], unknown: Mapping[str, str], cash: str, symbols: Iterable[str]
) -> dict[str, str]:
    """Return why each symbol is blocked: positions that differ, orders in doubt, and money that differs blocks all."""
    found = dict.fromkeys(sorted(symbols), cash) if cash else {}
    return found | dict(unknown) | dict(differences)
