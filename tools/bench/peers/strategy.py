"""The strategy that the peers trade: features of a window, a linear model's probability, an action. Standard library.

The features, their window and the model's coefficients are those of the sample's own model; they are written here a
second time, so that nothing of this product runs inside a peer, and nothing of a peer inside this product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

WINDOW = 120
HELD_SESSIONS = 5
STOP_LOSS = 0.05
SHARE = 0.1
"""Of equity, for one position."""
MARGIN = 0.01


def probability(model: dict[str, Any], bars: Sequence[Sequence[float]]) -> float:
    """Return the probability of a higher close, from columns of open, high, low, close and volume, oldest first."""
    row = features(*bars)
    score = model["intercept"] + sum(
        one["coefficient"] * (row[one["name"]] - one["mean"]) / one["deviation"] for one in model["features"]
    )
    return 1.0 / (1.0 + math.exp(-model["slope"] * score))


def wanted(chance: float) -> str:
    """Return `buy`, `sell` or `hold`."""
    if chance >= 0.5 + MARGIN:
        return "buy"
    return "sell" if chance <= 0.5 - MARGIN else "hold"


def features(
    _opens: Sequence[float],
    highs: Sequence[float],
    lows: Sequence[float],
    closes: Sequence[float],
    volumes: Sequence[float],
) -> dict[str, float]:
    """Return the twelve features of the recipe direction-lr."""
    last = closes[-1]
    returns = [math.log(later / earlier) for earlier, later in pairwise(closes)]
    short, long = _deviation(returns[-20:]), _deviation(returns[-100:])
    volume, usual = _mean(volumes[-5:]), _mean(volumes[-60:])
    return {
        "return_1": returns[-1],
        "return_5": math.log(last / closes[-6]),
        "return_20": math.log(last / closes[-21]),
        "return_60": math.log(last / closes[-61]),
        "gap_to_mean_20": math.log(last / _mean(closes[-20:])),
        "gap_to_mean_100": math.log(last / _mean(closes[-100:])),
        "volatility_20": short,
        "volatility_ratio": math.log(short / long) if short > 0.0 and long > 0.0 else 0.0,
        "rsi_14": _relative_strength(closes) / 50.0 - 1.0,
        "range_position_60": _position(last, min(lows[-60:]), max(highs[-60:])),
        "close_in_bar": _position(last, lows[-1], highs[-1]),
        "volume_ratio": math.log(volume / usual) if volume > 0.0 and usual > 0.0 else 0.0,
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    centre = _mean(values)
    return math.sqrt(sum((value - centre) ** 2 for value in values) / (len(values) - 1))


def _position(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) - 0.5 if high > low else 0.0


def _relative_strength(closes: Sequence[float], sessions: int = 14) -> float:
    changes = [later - earlier for earlier, later in pairwise(closes)]
    gain = sum(change for change in changes[:sessions] if change > 0.0) / sessions
    loss = -sum(change for change in changes[:sessions] if change < 0.0) / sessions
    for change in changes[sessions:]:
        gain = (gain * (sessions - 1) + max(change, 0.0)) / sessions
        loss = (loss * (sessions - 1) - min(change, 0.0)) / sessions
    return 50.0 if gain + loss == 0.0 else 100.0 * gain / (gain + loss)
