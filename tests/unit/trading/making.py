"""Made-up rules, predictions and orders for the tests of pure logic."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from bellwether.broker.values import Fill
from bellwether.messages.prediction import Prediction
from bellwether.trading.book import Book, fold
from bellwether.trading.events import AccountOpened, LedgerEvent
from bellwether.trading.pricing import quote
from bellwether.trading.recording import filled
from bellwether.trading.release import Opening, release
from bellwether.trading.rules import Rules
from bellwether.trading.sessions import corporate_events, due, open_done
from bellwether.trading.situation import Circumstances

BEFORE_OPEN = datetime(2009, 1, 5, 14, 15, tzinfo=UTC)
OPEN = datetime(2009, 1, 5, 14, 30, tzinfo=UTC)
CLOSE = datetime(2009, 1, 5, 21, 0, tzinfo=UTC)
SESSION = date(2009, 1, 5)
FOLLOWING = date(2009, 1, 6)

RULES = Rules(
    mode="simulated",
    halted=False,
    symbols=frozenset({"AAA", "BBB", "CCC"}),
    currency="USD",
    initial_cash=Decimal(100000),
    sizing_method="fixedValue",
    sizing_value=Decimal(1000),
    exit_on_sell=True,
    horizon_sessions=5,
    commission_per_order=Decimal(5),
    commission_rate=Decimal("0.0008"),
    slippage_rate=Decimal("0.0005"),
    max_position_value=Decimal(25000),
    max_orders_per_session=10,
    max_daily_loss=Decimal(5000),
)

FREE = replace(RULES, commission_per_order=Decimal(0), commission_rate=Decimal(0), slippage_rate=Decimal(0))
"""The same without costs, so that sums can be read."""


def circumstances(rules: Rules = RULES, now: datetime = BEFORE_OPEN, halts: tuple[str, ...] = ()) -> Circumstances:
    return Circumstances(rules, halts, now)


def account(cash: str = "100000", *events: LedgerEvent) -> Book:
    return fold([AccountOpened(BEFORE_OPEN, Decimal(cash), "USD"), *events])


def prediction(**changes: Any) -> Prediction:
    made = Prediction(
        prediction_id="prediction_generation-20090105-AAA",
        symbol="AAA",
        timestamp=BEFORE_OPEN,
        action="BUY",
        probability=0.56,
        base_rate=0.5,
        buy_threshold=0.51,
        confidence=0.12,
        model_name="made-up",
        model_version="1",
        horizon_sessions=5,
        current_price=50.0,
        bar_session=date(2009, 1, 2),
        target_session=SESSION,
        valid_until=CLOSE,
        market_data_available=True,
        sentiment_data_available=False,
        model_available=True,
        fallbacks=["sentiment"],
        may_trade=True,
        features={},
        trace_id="0" * 31 + "1",
        quality_score=100.0,
    )
    return msgspec.structs.replace(made, **changes)


class Opened(NamedTuple):
    events: tuple[LedgerEvent, ...]


def open_session(book: Book, at: Circumstances, opening: Opening) -> Opened:
    """Open a session with a broker that fills every order at once, at the opening price and with the declared costs."""
    events = corporate_events(book, opening, at.now)
    book = fold(events, book)
    for order in due(book, opening):
        released = release(book, book.queued[order.order_id], at, opening)
        events += released.events
        book = fold(released.events, book)
        if released.send:
            cost = quote(order.side, released.send, opening.prices[order.symbol], at.rules)
            commission = cost.commission
            if order.side == "SELL":
                commission = min(commission, book.cash + cost.value)
            fill = Fill(order.order_id, at.now, "fill", released.send, cost.price, commission)
            facts = [filled(book, book.queued[order.order_id], fill, at.now)]
            events += facts
            book = fold(facts, book)
    done = open_done(events, book, opening, at.now)
    return Opened((*events, *([] if done is None else [done])))
