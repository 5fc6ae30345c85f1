"""From the ledger's state and rows to the messages that paper-trading answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from bellwether.messages.trading import Account, Order, Position, Refusal
from bellwether.trading.book import Book
from bellwether.trading.events import OrderFilled, OrderQueued, Refused
from bellwether.trading.pricing import PRICE_STEP, ZERO
from bellwether.trading.rules import Rules


def order_from(row: Mapping[str, Any]) -> Order:
    """Return an order from its row."""
    return Order(
        order_id=row["order_id"],
        prediction_id=row["prediction_id"],
        reason=row["reason"],
        symbol=row["symbol"],
        side=row["side"],
        quantity=Decimal(row["quantity"]),
        status=row["status"],
        session=date.fromisoformat(row["session"]),
        created_at=datetime.fromisoformat(row["created_at"]),
        model_name=row["model_name"],
        model_version=row["model_version"],
        trace_id=row["trace_id"],
        filled_at=None if row["filled_at"] is None else datetime.fromisoformat(row["filled_at"]),
        fill_price=_decimal(row["fill_price"]),
        commission=_decimal(row["commission"]),
        refusal=row["refusal"],
    )


def queued_order(event: OrderQueued) -> Order:
    """Return an order as it was queued."""
    return Order(
        order_id=event.order_id,
        prediction_id=event.prediction_id,
        reason=event.reason,
        symbol=event.symbol,
        side=event.side,
        quantity=event.quantity,
        status="queued",
        session=event.session,
        created_at=event.at,
        model_name=event.model_name,
        model_version=event.model_version,
        trace_id=event.trace_id,
    )


def filled_order(queued: OrderQueued, fill: OrderFilled) -> Order:
    """Return an order as it was filled."""
    changes = {
        "quantity": fill.quantity,
        "status": "filled",
        "filled_at": fill.at,
        "fill_price": fill.price,
        "commission": fill.commission,
    }
    return msgspec.structs.replace(queued_order(queued), **changes)


def refusal_from(row: Mapping[str, Any]) -> Refusal:
    """Return a refusal from its row."""
    return Refusal(
        prediction_id=row["prediction_id"],
        symbol=row["symbol"],
        code=row["code"],
        value=row["value"],
        limit=row["limit"],
        at=datetime.fromisoformat(row["at"]),
        stage=row["stage"],
    )


def refusal_of(event: Refused) -> Refusal:
    """Return a refusal from its event."""
    return Refusal(
        prediction_id=event.prediction_id,
        symbol=event.symbol,
        code=event.code,
        value=event.value,
        limit=event.limit,
        at=event.at,
        stage=event.stage,
    )


def account_of(book: Book, rules: Rules, halts: Sequence[str]) -> Account:
    """Return the account; before its first event it holds the declared cash. `realised` includes dividends."""
    begun = book.seq > 0
    cash = book.cash if begun else rules.initial_cash
    value = book.positions_value
    return Account(
        currency=rules.currency,
        cash=cash,
        positions_value=value,
        equity=cash + value,
        initial_cash=book.initial if begun else rules.initial_cash,
        realised=book.realised + book.dividends,
        commission=book.commission,
        orders_filled=book.fills,
        as_of=book.as_of,
        halted=bool(halts),
        halts=list(halts),
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


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
