from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bellwether.gateway.funnel import funnel
from bellwether.gateway.problems import Problem
from bellwether.messages.prediction import Prediction
from bellwether.messages.trading import Explanation
from unit.gateway.samples import MARKET_DATA, REFUSAL, order, prediction

UNREACHABLE = Problem(503, "UNAVAILABLE", "market-data does not answer: nobody serves it")


def explained(outcome: Any = "order", **changed: Any) -> Explanation:
    values: dict[str, Any] = {"order": order(), "refusals": [], "guards": ["HALTED"]}
    return Explanation("AAPL", "p-AAPL", outcome, **(values | changed))


VETO = msgspec.structs.replace(
    REFUSAL,
    code="NEWS_VETO",
    value='"IBM sued for fraud" (Wire, 2009-01-05 13:15Z); news -0.6, confidence 0.7',
    limit="news above -0.4, or confidence below 0.5",
)


@pytest.mark.parametrize(
    ("parts", "stopped", "because"),
    [
        ((MARKET_DATA, prediction(), explained()), None, "BUY 110 for 2009-01-05: filled at 93.22"),
        ((UNREACHABLE, prediction(), explained()), "bars", "market-data does not answer: nobody serves it"),
        ((MARKET_DATA, None, None), "prediction", "nothing was predicted yet"),
        (
            (MARKET_DATA, prediction(quality_score=55.0, quality_issues=["untold_split"]), explained("ignored")),
            "quality",
            "score 55 of 100, needed 70; untold_split",
        ),
        (
            (MARKET_DATA, prediction(quality_score=None), explained("ignored")),
            "quality",
            "unknown: nothing was measured",
        ),
        (
            (MARKET_DATA, prediction(action="HOLD"), explained("ignored", order=None)),
            "prediction",
            "HOLD: probability 0.570",
        ),
        ((MARKET_DATA, prediction(may_trade=False), explained("ignored", order=None)), "prediction", "for looking at"),
        (
            (MARKET_DATA, prediction(fallbacks=["market_data", "sentiment"]), explained("ignored", order=None)),
            "prediction",
            "made without market_data, so it may not trade",
        ),
        (
            (MARKET_DATA, prediction(), explained("refused", order=None, refusals=[REFUSAL])),
            "guards",
            "POSITION_VALUE_EXCEEDED: value 26000, limit 25000",
        ),
        (
            (MARKET_DATA, prediction(), explained("refused", order=None, refusals=[VETO])),
            "guards",
            'NEWS_VETO: value "IBM sued for fraud" (Wire, 2009-01-05 13:15Z); news -0.6, confidence 0.7',
        ),
        ((MARKET_DATA, prediction(), explained("unseen", order=None)), "guards", "has not seen this decision"),
        (
            (MARKET_DATA, prediction(), Problem(503, "UNAVAILABLE", "paper-trading does not answer")),
            "guards",
            "paper-trading",
        ),
        (
            (
                MARKET_DATA,
                prediction(),
                explained(order=order(status="cancelled", fill_price=None, refusal="ORDER_EXPIRED")),
            ),
            "order",
            "cancelled (ORDER_EXPIRED)",
        ),
    ],
)
def test_the_funnel_names_where_it_stopped_and_why(
    parts: tuple[Any, Any, Any], stopped: str | None, because: str
) -> None:
    found = funnel("AAPL", *parts, min_score=70.0)
    assert found.stopped_at == stopped
    assert because in found.because
    assert [stage.name for stage in found.stages] == ["bars", "quality", "prediction", "guards", "order"]


@pytest.mark.parametrize(
    ("made", "stopped", "says"),
    [
        (prediction(), None, "bars through 2009-01-02, close 90.75"),
        (prediction(bar_session=None, fallbacks=["market_data"]), "bars", "there were none"),
        (None, "prediction", "not reached"),
    ],
)
def test_of_a_past_session_the_bars_are_those_that_it_was_decided_with(
    made: Prediction | None, stopped: str | None, says: str
) -> None:
    found = funnel("AAPL", None, made, explained() if made else None, min_score=70.0, session=date(2009, 1, 5))
    assert (found.stopped_at, found.stages[0].says) == (stopped, says)
    if made is None:
        assert found.stages[2].says == "nothing was predicted for 2009-01-05"


def test_a_queued_order_is_not_a_stop() -> None:
    found = funnel(
        "AAPL", MARKET_DATA, prediction(), explained(order=order(status="queued", fill_price=None, quantity=Decimal(3)))
    )
    assert found.stopped_at is None
    assert found.because == "BUY 3 for 2009-01-05: queued"
