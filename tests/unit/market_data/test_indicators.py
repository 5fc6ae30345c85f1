from __future__ import annotations

from datetime import date, timedelta

import pytest

from bellwether.market.sessions import load_calendar
from bellwether.market_data import indicators
from bellwether.messages.market_data import Bar, Context
from bellwether.training.indicators import log_returns


def bars(closes: list[float], volume: float = 100.0) -> list[Bar]:
    return [
        Bar(date(2020, 1, 1) + timedelta(days=number), close, close, close, close, volume)
        for number, close in enumerate(closes)
    ]


def rising(count: int = 120, step: float = 0.001) -> list[Bar]:
    return bars([100.0 * (1.0 + step) ** number for number in range(count)])


def test_a_steady_rise_scores_high_and_a_steady_fall_low() -> None:
    up = indicators.tech_score(rising())
    down = indicators.tech_score(rising(step=-0.001))
    assert up > 85.0
    assert down < 15.0
    assert up + down == pytest.approx(100.0, abs=2.0)


def test_a_price_that_never_moves_is_indifferent_but_for_the_order_of_means() -> None:
    assert indicators.tech_score(bars([100.0] * 120)) == pytest.approx((50.0 * 3 + 0.0) / 4)


def test_a_score_of_too_few_bars_is_refused() -> None:
    with pytest.raises(ValueError, match="60 bars: a score needs 61"):
        indicators.tech_score(rising(60))


def test_volume_trend_is_the_recent_mean_over_the_longer_one() -> None:
    history = bars([1.0] * 15, 100.0) + bars([1.0] * 5, 300.0)
    assert indicators.volume_trend(history) == pytest.approx(300.0 / 150.0 - 1.0)
    assert indicators.volume_trend(bars([1.0] * 20, 0.0)) == 0.0


def test_volume_quality_counts_sessions_with_trade() -> None:
    calendar = load_calendar("XNYS")
    days = [session.day for session in calendar.sessions(date(2009, 1, 2), date(2009, 3, 1))]
    history = [Bar(day, 1.0, 1.0, 1.0, 1.0, 0.0 if number % 2 else 1.0) for number, day in enumerate(days)]
    assert indicators.volume_quality_score(history, calendar, days[-1]) == 0.5
    assert indicators.volume_quality_score(history[:-10], calendar, days[-1]) == 0.25


def wobbling(sign: float, scale_old: float, scale_new: float) -> list[Bar]:
    closes = [100.0]
    for number in range(250):
        scale = scale_new if number >= 230 else scale_old
        closes.append(closes[-1] * (1.0 + (scale if number % 2 else -scale) + sign * 0.002))
    return bars(closes)


def moves(history: list[Bar]) -> tuple[list[float], list[float]]:
    closes = [bar.close for bar in history]
    return closes, log_returns(closes)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (wobbling(1.0, 0.01, 0.01), "RISK_ON"),
        (wobbling(-1.0, 0.01, 0.012), "RISK_OFF"),
        (wobbling(1.0, 0.01, 0.03), "RISK_OFF"),
        (wobbling(-1.0, 0.01, 0.009), "NEUTRAL"),
    ],
)
def test_context_follows_breadth_and_turbulence(history: list[Bar], expected: Context) -> None:
    assert indicators.market_context([moves(history)] * 2) == expected


def test_context_without_history_is_neutral() -> None:
    assert indicators.market_context([moves(rising(30))]) == "NEUTRAL"


@pytest.mark.parametrize(("context", "margin"), [("RISK_ON", 0.01), ("NEUTRAL", 0.01), ("RISK_OFF", 0.015)])
def test_a_nervous_market_asks_for_more_margin(context: Context, margin: float) -> None:
    assert indicators.scaled_margin("0.01", context) == margin
