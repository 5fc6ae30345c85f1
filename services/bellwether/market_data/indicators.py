"""The state of a symbol and of the market in the terms of R2 (pure); bars are complete and in one unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from bellwether.market.sessions import Calendar
from bellwether.messages.market_data import Bar, Context
from bellwether.training.indicators import deviation, mean, relative_strength

MINIMUM_BARS = 61
"""Fewer bars than this say too little: no state is given."""
STATE_BARS = 120
"""The state is computed from the newest bars up to this number."""
QUALITY_SESSIONS = 20
CONTEXT_BARS = 251
BREADTH_SESSIONS = 50
MARGIN_SCALE: Mapping[Context, Decimal] = {
    "RISK_ON": Decimal(1),
    "NEUTRAL": Decimal(1),
    "RISK_OFF": Decimal("1.5"),
}
"""A nervous market asks for half as much again of distance from the base rate; our choice, not a fitted number."""


def tech_score(bars: Sequence[Bar], strength: float | None = None) -> float:
    """Return 0-100, 50 where nothing points anywhere: the mean of four readings of the close, each 0-100.

    - Wilder's relative strength index over 14 sessions (New Concepts in Technical Trading Systems, 1978).
    - Position in the range of 60 sessions: (close - low) / (high - low), George Lane's %K with a longer look back.
    - John Bollinger's %b (Bollinger on Bollinger Bands, 2001): position between mean20 - 2 s and mean20 + 2 s, cut off
      at 0 and 1.
    - Order of means: the share of close > mean20, mean20 > mean50 and mean50 > mean of all that hold.

    The equal weights are our choice. `strength` is the relative strength index where the caller has it.

    Raises:
        ValueError: with fewer than `MINIMUM_BARS` bars.
    """
    if len(bars) < MINIMUM_BARS:
        raise ValueError(f"{len(bars)} bars: a score needs {MINIMUM_BARS}")
    closes = [bar.close for bar in bars]
    last, recent = closes[-1], bars[-60:]
    mean20, mean50, mean_all = mean(closes[-20:]), mean(closes[-50:]), mean(closes)
    spread = 2.0 * deviation(closes[-20:])
    order = (last > mean20) + (mean20 > mean50) + (mean50 > mean_all)
    readings = (
        relative_strength(closes) if strength is None else strength,
        100.0 * _share(last, min([bar.low for bar in recent]), max([bar.high for bar in recent])),
        100.0 * _share(last, mean20 - spread, mean20 + spread),
        100.0 * order / 3.0,
    )
    return mean(readings)


def volume_trend(bars: Sequence[Bar]) -> float:
    """Return the mean volume of 5 sessions over that of 20, less 1; 0 where nothing was traded."""
    long = mean([bar.volume for bar in bars[-20:]])
    return mean([bar.volume for bar in bars[-5:]]) / long - 1.0 if long > 0.0 else 0.0


def volume_quality_score(bars: Sequence[Bar], calendar: Calendar, newest_session: date) -> float:
    """Return the share of the last 20 sessions of the exchange on which the symbol has a bar with volume, 0-1."""
    recent = bars[-QUALITY_SESSIONS:]
    while recent and calendar.sessions_between(recent[0].session, newest_session) >= QUALITY_SESSIONS:
        recent = recent[1:]
    return sum([bar.volume > 0.0 for bar in recent]) / QUALITY_SESSIONS


def market_context(histories: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Context:
    """Return the market's mood by the newest closes of each declared symbol, up to `CONTEXT_BARS`, and their returns.

    Breadth is the share of symbols whose close stands above their mean of 50 sessions (a usual measure of breadth, as
    in StockCharts' "percent above moving average"). Turbulence is the standard deviation of the last 20 daily log
    returns over that of 250, averaged over the symbols; volatility clusters (Mandelbrot 1963), so a high ratio tends to
    last.

    - RISK_OFF: turbulence above 1.5, or breadth at most 0.4 with turbulence above 1.
    - RISK_ON: breadth at least 0.6 with turbulence at most 1.2.
    - NEUTRAL: all else, and where no symbol has 61 bars.
    """
    above, ratios = 0, []
    for closes, returns in histories:
        if len(closes) < MINIMUM_BARS:
            continue
        long = deviation(returns)
        above += closes[-1] > mean(closes[-BREADTH_SESSIONS:])
        ratios.append(deviation(returns[-20:]) / long if long > 0.0 else 1.0)
    if not ratios:
        return "NEUTRAL"
    breadth, turbulence = above / len(ratios), mean(ratios)
    if turbulence > 1.5 or (breadth <= 0.4 and turbulence > 1.0):
        return "RISK_OFF"
    if breadth >= 0.6 and turbulence <= 1.2:
        return "RISK_ON"
    return "NEUTRAL"


def scaled_margin(declared: str, context: Context) -> float:
    """Return the declared margin, scaled by the context."""
    return float(Decimal(declared) * MARGIN_SCALE[context])


def _share(value: float, low: float, high: float) -> float:
    if not high > low or math.isnan(value):
        return 0.5
    return min(max((value - low) / (high - low), 0.0), 1.0)
