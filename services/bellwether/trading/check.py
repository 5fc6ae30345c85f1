"""The ledger's invariants, computed from its events alone and held against its tables and its book. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from bellwether.messages.trading import LedgerCheck
from bellwether.trading.book import Book, fold
from bellwether.trading.codes import Code
from bellwether.trading.events import (
    AccountOpened,
    Adjusted,
    DividendPaid,
    LedgerEvent,
    OrderApproved,
    OrderCancelled,
    OrderFilled,
    OrderQueued,
    OrderReduced,
    OrderRejected,
    OrderSplit,
    PositionSplit,
    Refused,
    Transferred,
)
from bellwether.trading.pricing import ZERO, text

AT_BROKER = frozenset({"sending", "working", "unknown"})
"""States of an order at the broker that are no event of the ledger yet."""
WAITING = frozenset({"queued", "partially_filled"})
EXPIRED = frozenset({Code.ORDER_EXPIRED.name, Code.NOT_APPROVED.name})
"""Codes of orders whose time was over before anything was filled."""


def check_ledger(events: Sequence[LedgerEvent], book: Book, orders: Sequence[Mapping[str, Any]]) -> LedgerCheck:
    """Return whether all of it holds together; each violation names what is wrong and by how much."""
    queued = [event for event in events if isinstance(event, OrderQueued)]
    fills = [event for event in events if isinstance(event, OrderFilled)]
    # The exit of a position names the decision that opened it; it is not a second order of that decision.
    per_decision = Counter(event.prediction_id for event in queued if event.reason in ("signal", "sell_signal"))
    per_order = Counter(event.order_id for event in fills if not event.fill_id)
    duplicates = sum(count - 1 for count in per_decision.values())
    violations = [f"decision {one} has {count} orders" for one, count in per_decision.items() if count > 1]
    violations += [f"order {one} was filled {count} times" for one, count in per_order.items() if count > 1]
    known = {event.order_id for event in queued}
    filled = {event.order_id for event in fills}
    violations += [f"order {one} was filled but never queued" for one in sorted(filled - known)]
    violations += _overfilled(events)
    cash = cash_from(events)
    violations += _state_violations(events, book, cash)
    violations += _table_violations(events, orders)
    return LedgerCheck(
        orders=len(queued),
        fills=len(fills),
        duplicate_orders=duplicates,
        cash=book.cash,
        cash_from_events=cash,
        violations=violations,
    )


def _overfilled(events: Sequence[LedgerEvent]) -> list[str]:
    """Return the orders that got more shares than were asked for."""
    asked: dict[str, Decimal] = {}
    found = []
    for event in events:
        match event:
            case OrderQueued() | OrderSplit() | OrderReduced():
                asked[event.order_id] = event.quantity
            case OrderFilled() if event.order_id in asked:
                asked[event.order_id] -= event.quantity
                stated = ZERO if event.leaves is None else event.leaves
                if asked[event.order_id] != stated:
                    left = text(asked[event.order_id])
                    found.append(f"order {event.order_id} has {left} shares left after a fill that says {text(stated)}")
    return found


def cash_from(events: Sequence[LedgerEvent]) -> Decimal:
    """Return the cash after these events, added up without the book."""
    total = ZERO
    for event in events:
        match event:
            case AccountOpened():
                total += event.cash
            case OrderFilled():
                value = event.price * event.quantity
                total += (value if event.side == "SELL" else -value) - event.commission
            case PositionSplit():
                total += event.cash_in_lieu
            case DividendPaid():
                total += event.cash
            case Transferred() | Adjusted():
                total += event.amount
    return total


def shares_from(events: Sequence[LedgerEvent]) -> dict[str, Decimal]:
    """Return what is held after these events by symbol, added up without the book."""
    held: dict[str, Decimal] = {}
    for event in events:
        match event:
            case OrderFilled():
                change = event.quantity if event.side == "BUY" else -event.quantity
                held[event.symbol] = held.get(event.symbol, ZERO) + change
            case PositionSplit():
                held[event.symbol] = event.quantity
    return {symbol: quantity for symbol, quantity in held.items() if quantity}


def statuses_from(events: Sequence[LedgerEvent]) -> dict[str, tuple[str, Decimal]]:
    """Return status and quantity of each order after these events."""
    found: dict[str, tuple[str, Decimal]] = {}
    for event in events:
        match event:
            case OrderQueued():
                found[event.order_id] = ("awaiting_approval" if event.approval else "queued", event.quantity)
            case OrderApproved():
                found[event.order_id] = ("queued", found[event.order_id][1])
            case Refused(order_id=str() as order_id):
                found[order_id] = ("refused", found[order_id][1])
            case OrderCancelled() | OrderRejected():
                before, quantity = found[event.order_id]
                found[event.order_id] = (before if before == "partially_filled" else ended_as(event), quantity)
            case OrderSplit() | OrderReduced():
                found[event.order_id] = (found[event.order_id][0], event.quantity)
            case OrderFilled() if event.order_id in found:
                status = "partially_filled" if event.leaves else "filled"
                found[event.order_id] = (status, found[event.order_id][1])
    return found


def ended_as(event: OrderCancelled | OrderRejected) -> str:
    """Return the status of an order of which nothing was filled, after its end."""
    if isinstance(event, OrderRejected):
        return "rejected"
    return "expired" if event.code in EXPIRED else "cancelled"


def _state_violations(events: Sequence[LedgerEvent], book: Book, cash: Decimal) -> list[str]:
    try:
        again = fold(events)
    except (ValueError, LookupError) as error:
        return [f"the events do not follow from each other: {error}"]
    held = shares_from(events)
    found = []
    if again.imbalance() != 0:
        found.append(f"cash and cost of positions differ by {text(again.imbalance())} from what came in and went out")
    if book.cash != cash:
        found.append(f"cash is {text(book.cash)}, the events add up to {text(cash)}")
    if cash < 0:
        found.append(f"cash is {text(cash)}, below zero")
    for symbol in sorted(set(held) | set(book.holdings)):
        if held.get(symbol, ZERO) != book.held(symbol):
            found.append(
                f"{symbol}: {text(book.held(symbol))} held, the events add up to {text(held.get(symbol, ZERO))}"
            )
        if held.get(symbol, ZERO) < 0:
            found.append(f"{symbol}: {text(held[symbol])} held, below zero")
    if again != book:
        found.append("the book differs from the fold of its events")
    return found


def _table_violations(events: Sequence[LedgerEvent], orders: Sequence[Mapping[str, Any]]) -> list[str]:
    wanted = statuses_from(events)
    rows = {str(row["order_id"]): (str(row["status"]), Decimal(row["quantity"])) for row in orders}
    found = [f"order {one} is in the events but not in the table" for one in sorted(set(wanted) - set(rows))]
    found += [f"order {one} is in the table but not in the events" for one in sorted(set(rows) - set(wanted))]
    for order_id in sorted(set(rows) & set(wanted)):
        # What the broker has, or may have, is no event yet: by its events the order waits.
        at_broker = rows[order_id][0] in AT_BROKER and wanted[order_id][0] in WAITING
        if rows[order_id] != wanted[order_id] and not at_broker:
            found.append(f"order {order_id} is {rows[order_id][0]} in the table, {wanted[order_id][0]} by its events")
    return found
