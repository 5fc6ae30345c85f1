"""Made-up rules, predictions and orders for the tests of pure logic."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from bellwether.messages.prediction import Prediction
from bellwether.trading.book import Book, fold
from bellwether.trading.events import AccountOpened, LedgerEvent
from bellwether.trading.guards import Conditions
from bellwether.trading.rules import Rules

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


def conditions(rules: Rules = RULES, now: datetime = BEFORE_OPEN, halts: tuple[str, ...] = ()) -> Conditions:
    return Conditions(rules, halts, now)


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
