"""From the ledger's state and rows to the messages that paper-trading answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bellwether.messages.fields import from_row
from bellwether.messages.trading import Account, EquityPoint, Order, Position, Refusal, Trade
from bellwether.trading.book import Book
from bellwether.trading.events import OrderRejected
from bellwether.trading.ledger import Latch, Seen
from bellwether.trading.pricing import PRICE_STEP, ZERO
from bellwether.trading.rules import Rules


def order_from(row: Mapping[str, Any]) -> Order:
    """Return an order from its row."""
    # The strength is null in rows that version 1 wrote.
    return from_row(Order, row, strength=row["strength"] or 0.0)


def trade_of(order: Order, broker_id: str | None) -> Trade:
    """Return an order by hand in the shape of the old system."""
    status: Literal["queued", "executed", "failed"] = "queued"
    if order.status == "filled":
        status = "executed"
    elif order.status in ("refused", "rejected", "cancelled", "expired"):
        status = "failed"
    elif order.status == "partially_filled" and order.refusal is not None:
        status = "executed"
    return Trade(
        symbol=order.symbol,
        action=order.side,
        quantity=order.quantity,
        timestamp=order.filled_at or order.created_at,
        trade_id=order.order_id,
        ig_order_id=broker_id if broker_id and not broker_id.startswith("SIM") else None,
        status=status,
        error=order.refusal,
        order=order,
    )


def rejection_of(event: OrderRejected) -> Refusal:
    """Return the broker's rejection as a refusal: what the broker said stands where a guard says its value."""
    return Refusal(
        prediction_id=None,
        symbol=event.symbol,
        code=event.code,
        value=event.message,
        limit="the broker takes the order",
        at=event.at,
        stage="open",
    )


def refusal_seen(seen: Seen) -> Refusal | None:
    """Return a decision's refusal as it was written down with the decision, ledger or not."""
    if seen.refusal is None:
        return None
    return Refusal(seen.prediction_id, seen.symbol, *seen.refusal, at=seen.at, stage="signal")


def newest_number(latches: Sequence[Latch]) -> int:
    """Return the number of the newest halt that nobody resumed, 0 where there is none."""
    return max((latch.number for latch in latches), default=0)


def thinned(points: Sequence[EquityPoint], most: int) -> list[EquityPoint]:
    """Return at most `most` of these points, spread evenly; the first and the last are always there."""
    if len(points) <= most:
        return list(points)
    last = len(points) - 1
    return [points[round(index * last / (most - 1))] for index in range(most)]


def account_of(book: Book, rules: Rules, halts: Sequence[str], newest_halt: int) -> Account:
    """Return the account; before its first event it holds the declared cash. `realised` includes dividends."""
    opened = book.seq > 0
    cash = book.cash if opened else rules.initial_cash
    value = book.positions_value
    return Account(
        currency=rules.currency,
        cash=cash,
        positions_value=value,
        equity=cash + value,
        initial_cash=book.initial if opened else rules.initial_cash,
        realised=book.realised + book.dividends,
        commission=book.commission,
        orders_filled=book.fills,
        as_of=book.as_of,
        halted=bool(halts),
        halts=list(halts),
        newest_halt=newest_halt,
        transferred=book.transferred,
        adjusted=book.adjusted,
    )


def positions_of(book: Book) -> list[Position]:
    """Return what is held, by symbol."""
    found = []
    for symbol, holding in sorted(book.holdings.items()):
        price = book.prices.get(symbol, ZERO)
        value = holding.quantity * price
        found.append(
            Position(
                symbol=symbol,
                quantity=holding.quantity,
                average_cost=(holding.cost / holding.quantity).quantize(PRICE_STEP),
                market_price=price,
                market_value=value,
                unrealised=value - holding.cost,
                opened=holding.opened,
                sessions_held=holding.closes,
            )
        )
    return found
