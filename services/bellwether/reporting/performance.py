"""Figures of an equity curve: returns, drawdowns, ratios. Pure.

Returns are simple, from close to close, the first from the initial cash; 252 sessions a year, a riskless rate of 0.
What is undefined is None with the reason, never a number that stands for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import NamedTuple

import msgspec

from bellwether.reporting.intervals import rounded

YEAR = 252
"""Sessions a year, as ratios are annualised."""
_FLAT = 1e-12
"""Deviations below it are rounding, not risk."""


class Figure(msgspec.Struct, frozen=True):
    """A number, or why there is none."""

    value: float | None
    undefined: str = ""


class Point(NamedTuple):
    """A value at the close of a session."""

    session: date
    value: float


class Performance(msgspec.Struct, frozen=True):
    """What one curve came to; rates as fractions, days and drawdowns included."""

    final: float
    total_return: Figure
    annual_return: Figure
    annual_volatility: Figure
    sharpe: Figure
    sortino: Figure
    max_drawdown: Figure
    calmar: Figure
    best_session: Figure
    worst_session: Figure
    longest_drawdown: int
    """Sessions between a peak and its next, or the end."""


def returns_of(initial: float, points: Sequence[Point]) -> list[float]:
    """Return the simple return of each session."""
    values = [initial, *(point.value for point in points)]
    return [after / before - 1.0 for before, after in pairwise(values)]


def performance(initial: float, points: Sequence[Point]) -> Performance:
    """Return the figures of a curve that began with `initial`, which must be above 0."""
    returns = returns_of(initial, points)
    final = points[-1].value if points else initial
    nothing = Figure(None, "there is no session")
    return Performance(
        final=rounded(final),
        total_return=Figure(rounded(final / initial - 1.0)) if points else nothing,
        annual_return=annual_return(returns),
        annual_volatility=annual_volatility(returns),
        sharpe=sharpe(returns),
        sortino=sortino(returns),
        max_drawdown=Figure(rounded(min(drawdowns(initial, points)))) if points else nothing,
        calmar=calmar(returns),
        best_session=Figure(rounded(max(returns))) if returns else nothing,
        worst_session=Figure(rounded(min(returns))) if returns else nothing,
        longest_drawdown=longest_drawdown(initial, points),
    )


def annual_return(returns: Sequence[float]) -> Figure:
    """Return the compound annual growth rate."""
    if not returns:
        return Figure(None, "there is no session")
    growth = math.prod(1.0 + one for one in returns)
    if growth <= 0:
        return Figure(None, "nothing is left")
    return Figure(rounded(growth ** (YEAR / len(returns)) - 1.0))


def annual_volatility(returns: Sequence[float]) -> Figure:
    """Return the sample standard deviation of the returns, times the root of 252."""
    if len(returns) < 2:
        return Figure(None, "it takes two sessions")
    return Figure(rounded(_deviation(returns) * math.sqrt(YEAR)))


def sharpe(returns: Sequence[float]) -> Figure:
    """Return mean over standard deviation, times the root of 252 (Sharpe, 1994, riskless rate 0)."""
    if len(returns) < 2:
        return Figure(None, "it takes two sessions")
    deviation = _deviation(returns)
    if deviation < _FLAT:
        return Figure(None, "the returns do not vary")
    return Figure(rounded(_mean(returns) / deviation * math.sqrt(YEAR)))


def sortino(returns: Sequence[float]) -> Figure:
    """Return mean over downside deviation (of all sessions, target 0), times the root of 252 (Sortino, 1994)."""
    if len(returns) < 2:
        return Figure(None, "it takes two sessions")
    downside = math.sqrt(_mean([min(0.0, one) ** 2 for one in returns]))
    if downside < _FLAT:
        return Figure(None, "no session lost anything")
    return Figure(rounded(_mean(returns) / downside * math.sqrt(YEAR)))


def calmar(returns: Sequence[float]) -> Figure:
    """Return annual return over the largest drawdown (Young, 1991)."""
    growth = annual_return(returns)
    if growth.value is None:
        return growth
    value, peak, worst = 1.0, 1.0, 0.0
    for one in returns:
        value *= 1.0 + one
        peak = max(peak, value)
        worst = min(worst, value / peak - 1.0)
    if worst > -_FLAT:
        return Figure(None, "there was no drawdown")
    return Figure(rounded(growth.value / -worst))


def drawdowns(initial: float, points: Sequence[Point]) -> list[float]:
    """Return at each close how far the value is below its highest so far, as a fraction of it (0 or less)."""
    peak, found = initial, []
    for point in points:
        peak = max(peak, point.value)
        found.append(point.value / peak - 1.0)
    return found


def longest_drawdown(initial: float, points: Sequence[Point]) -> int:
    """Return the most sessions in a row below an earlier close."""
    longest = now = 0
    for one in drawdowns(initial, points):
        now = now + 1 if one < -_FLAT else 0
        longest = max(longest, now)
    return longest


def monthly(initial: float, points: Sequence[Point]) -> list[tuple[str, float]]:
    """Return the return of each month (`2009-01`), compounded."""
    ends: dict[str, float] = {}
    for point in points:
        ends[f"{point.session:%Y-%m}"] = point.value
    found, before = [], initial
    for month, value in ends.items():
        found.append((month, rounded(value / before - 1.0)))
        before = value
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    middle = _mean(values)
    return math.sqrt(math.fsum((one - middle) ** 2 for one in values) / (len(values) - 1))
