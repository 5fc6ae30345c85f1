"""What a model sees of a symbol: features as pure functions of bars, and the labels it learns.

One code path: training computes its rows with the very function that prediction calls, on windows of the same length.
Every feature is free of scale, so it does not matter in which units of a later split prices are stated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bellwether.messages.market_data import Bar
from bellwether.training.indicators import deviation, log_returns, mean, relative_strength

WINDOW = 120
"""Number of bars every feature row is computed from: exactly these, so that recursive indicators have one value."""

MOVE = 20
"""A share whose close is the same for so many sessions is dead or suspended."""

FEATURES = (
    "return_1",
    "return_5",
    "return_20",
    "return_60",
    "gap_to_mean_20",
    "gap_to_mean_100",
    "volatility_20",
    "volatility_ratio",
    "rsi_14",
    "range_position_60",
    "close_in_bar",
    "volume_ratio",
)


class NotEnoughBars(ValueError):
    """There are fewer bars than a feature row needs."""


def features(bars: Sequence[Bar]) -> dict[str, float]:
    """Return the features as of the last of these bars, by name; only the newest `WINDOW` bars are looked at.

    - return_N: ln(close / close N sessions before).
    - gap_to_mean_N: ln(close / mean of the last N closes).
    - volatility_20: standard deviation of the last 20 daily log returns; volatility_ratio: ln of it over that of 100.
    - rsi_14: Wilder's index over the window, moved to -1..1.
    - range_position_60: where the close lies between the lowest low and highest high of 60 sessions, -0.5..0.5.
    - close_in_bar: where the close lies within the last bar, -0.5..0.5.
    - volume_ratio: ln of the mean volume of 5 sessions over that of 60; 0 where nothing was traded.

    Raises:
        NotEnoughBars: with fewer than `WINDOW` bars.

    """
    if len(bars) < WINDOW:
        raise NotEnoughBars(f"{len(bars)} bars: features need {WINDOW}")
    bars = bars[-WINDOW:]
    closes = [bar.close for bar in bars]
    last = closes[-1]
    returns = log_returns(closes)
    short, long = deviation(returns[-20:]), deviation(returns[-100:])
    recent = bars[-60:]
    return {
        "return_1": returns[-1],
        "return_5": math.log(last / closes[-6]),
        "return_20": math.log(last / closes[-21]),
        "return_60": math.log(last / closes[-61]),
        "gap_to_mean_20": math.log(last / mean(closes[-20:])),
        "gap_to_mean_100": math.log(last / mean(closes[-100:])),
        "volatility_20": short,
        "volatility_ratio": math.log(short / long) if short > 0.0 and long > 0.0 else 0.0,
        "rsi_14": relative_strength(closes) / 50.0 - 1.0,
        "range_position_60": _position(last, min(bar.low for bar in recent), max(bar.high for bar in recent)),
        "close_in_bar": _position(last, bars[-1].low, bars[-1].high),
        "volume_ratio": _volume_ratio([bar.volume for bar in recent]),
    }


def moves(closes: Sequence[float]) -> bool:
    """Return whether the price moved in the newest sessions (`MOVE`); nothing can be said of a share that stands still.

    Its features are constants, and whatever a model makes of them is about the constants and not about the share.
    """
    recent = closes[-MOVE:]
    return max(recent) > min(recent)


def rose(closes: Sequence[float], horizon: int) -> list[bool]:
    """Return, for each close that has one `horizon` sessions later, whether that later close is higher."""
    return [later > earlier for earlier, later in zip(closes, closes[horizon:], strict=False)]


def _position(value: float, low: float, high: float) -> float:
    if high <= low:
        return 0.0
    return (value - low) / (high - low) - 0.5


def _volume_ratio(volumes: Sequence[float]) -> float:
    short, long = mean(volumes[-5:]), mean(volumes)
    if short <= 0.0 or long <= 0.0:
        return 0.0
    return math.log(short / long)
