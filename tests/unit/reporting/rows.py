"""Rows of a made-up session."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from bellwether.messages.quality import DataQualityReport, QualityFinding, SymbolQuality
from bellwether.messages.reporting import (
    CalibrationBin,
    Idle,
    MetDecision,
    OutcomeDay,
    RealisedDecision,
    SessionBook,
    SessionDecision,
    SessionDecisions,
    SessionRows,
    SlotEnd,
    UsedHeadline,
)
from bellwether.messages.trading import EquityPoint, Order, Refusal

DAY = date(2009, 1, 5)
OPEN = datetime(2009, 1, 5, 14, 30, tzinfo=UTC)
CLOSE = datetime(2009, 1, 5, 21, tzinfo=UTC)
BATCH = OPEN - timedelta(minutes=15)


def decided(symbol: str, **changes: Any) -> SessionDecision:
    made = SessionDecision(
        prediction_id=f"prediction_generation-20090105-{symbol.lower()}",
        symbol=symbol,
        timestamp=BATCH,
        action="BUY",
        probability=0.58,
        base_rate=0.52,
        buy_threshold=0.55,
        current_price=90.75,
        bar_session=date(2009, 1, 2),
        model_name="direction-lr",
        model_version="0123456789abcdef",
        horizon_sessions=5,
        may_trade=True,
        fallbacks=["sentiment"],
        quality_score=100.0,
        quality_issues=[],
        sentiment_score=None,
        news_confidence=None,
        headlines=[],
    )
    return replace(made, **changes)


def outcome_day(number: int, **changes: Any) -> OutcomeDay:
    day = OutcomeDay(date(2008, 6, 2) + timedelta(days=number), 4, 2, 1, 1, 1, 0, 1.0, 1.0)
    return replace(day, **changes)


def order(**changes: Any) -> Order:
    made = Order(
        order_id="o-1",
        prediction_id="prediction_generation-20090105-aapl",
        reason="signal",
        symbol="AAPL",
        side="BUY",
        quantity=Decimal(100),
        status="filled",
        session=DAY,
        created_at=BATCH,
        model_name="direction-lr",
        model_version="0123456789abcdef",
        trace_id="",
        filled_at=OPEN,
        fill_price=Decimal("93.17"),
        commission=Decimal("5.00"),
    )
    return replace(made, **changes)


def book(**changes: Any) -> SessionBook:
    made = SessionBook(
        currency="USD",
        initial_cash=Decimal(100000),
        orders=[order()],
        refusals=[Refusal("p-2", "IBM", "INSUFFICIENT_CASH", "10", "at least 20", OPEN, "open")],
        met=[
            MetDecision("prediction_generation-20090105-aapl", "AAPL", "order", "o-1", None, None, None, BATCH),
            MetDecision(
                "prediction_generation-20090105-msft", "MSFT", "refused", None, "NOTHING_TO_SELL", "0", "1", BATCH
            ),
        ],
        close=EquityPoint(DAY, Decimal(90000), Decimal(10500), Decimal(100500)),
        before=EquityPoint(date(2009, 1, 2), Decimal(100000), Decimal(0), Decimal(100000)),
        realised=Decimal(0),
        commission=Decimal(5),
        positions=[],
        halts=[],
        idle=Idle(0, {}),
        meanings={"NOTHING_TO_SELL": "the symbol is not held", "INSUFFICIENT_CASH": "cash does not pay"},
    )
    return replace(made, **changes)


def rows(**changes: Any) -> SessionRows:
    made = SessionRows(
        system="banks",
        calendar="XNYS",
        session=DAY,
        open=OPEN,
        close=CLOSE,
        as_of=CLOSE + timedelta(hours=1),
        symbols=["AAPL", "MSFT", "IBM"],
        slots=[
            SlotEnd("prediction_generation-20090105", "prediction_generation", BATCH, "completed"),
            SlotEnd("audit-20090105", "audit", CLOSE, "missed"),
        ],
        failures={"IBM": "NO_BARS: there are none"},
        decided=SessionDecisions(
            decisions=[
                decided(
                    "AAPL",
                    fallbacks=[],
                    sentiment_score=-0.4,
                    news_confidence=0.7,
                    headlines=[UsedHeadline("Apple recalls <everything>", "Wire", -0.6)],
                ),
                decided("MSFT", action="SELL", probability=0.44),
            ],
            settled=[RealisedDecision("p-0", "AAPL", "BUY", 0.56, 0.52, rose=True)],
            days=[outcome_day(number) for number in range(30)],
            bins=[CalibrationBin(0.55, 120, 0.56, 60)],
        ),
        book=book(),
        quality=DataQualityReport(
            timestamp=CLOSE,
            overall_score=90.0,
            min_score=70.0,
            symbols={
                "AAPL": SymbolQuality("AAPL", 100.0, True, []),
                "MSFT": SymbolQuality("MSFT", 80.0, True, [QualityFinding("stale", 20, "1", "0", "one bar is late")]),
            },
            unmeasured={"IBM": "NO_BARS"},
        ),
    )
    return replace(made, **changes)
