"""Figures of an equity curve: returns, drawdowns, ratios, and how much of the best of several tries is luck. Pure.

Returns are simple, from close to close, the first from the initial cash; 252 sessions a year, a riskless rate of 0.
What is undefined is None with the reason, never a number that stands for it.
"""

from __future__ import annotations

import math
import statistics
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


FEWEST_SESSIONS = 20
_EULER = 0.5772156649015329
_NORMAL = statistics.NormalDist()
_LEVEL = 0.975


class Sharpe(NamedTuple):
    """The Sharpe ratio of one session's returns (not annualised), its standard error, and over how many sessions."""

    ratio: float
    error: float
    sessions: int

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval, annualised."""
        half = _NORMAL.inv_cdf(_LEVEL) * self.error
        return rounded((self.ratio - half) * math.sqrt(YEAR)), rounded((self.ratio + half) * math.sqrt(YEAR))


def session_sharpe(returns: Sequence[float]) -> Sharpe | None:
    """Return the ratio of these returns; None where there are too few, or they do not vary.

    The standard error of a Sharpe ratio of returns that are not normal is Mertens' (2002).
    """
    count = len(returns)
    if count < FEWEST_SESSIONS:
        return None
    middle = math.fsum(returns) / count
    moments = [math.fsum((one - middle) ** power for one in returns) / count for power in (2, 3, 4)]
    if moments[0] < _FLAT**2:
        return None
    deviation = math.sqrt(moments[0])
    ratio, skew, kurtosis = middle / deviation, moments[1] / deviation**3, moments[2] / moments[0] ** 2
    variance = 1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
    return Sharpe(ratio, math.sqrt(max(variance, 0.0) / (count - 1)), count)


def luckiest(ratios: Sequence[float]) -> float:
    """Return the best ratio that so many tries without any skill are expected to show; 0 for a single one.

    `ratios` are of the tries, not annualised; their spread says how much they differ by chance.
    """
    count = len(ratios)
    if count < 2:
        return 0.0
    spread = statistics.stdev(ratios)
    first, second = _NORMAL.inv_cdf(1.0 - 1.0 / count), _NORMAL.inv_cdf(1.0 - 1.0 / (count * math.e))
    return spread * ((1.0 - _EULER) * first + _EULER * second)


def deflated(one: Sharpe, ratios: Sequence[float]) -> Figure:
    """Return the probability that a try's true ratio is above what luck makes of the best of all of them.

    Source: Bailey and López de Prado, The Deflated Sharpe Ratio (Journal of Portfolio Management 40 (5), 2014).
    """
    if one.error < _FLAT:
        return Figure(None, "its error cannot be known")
    return Figure(rounded(_NORMAL.cdf((one.ratio - luckiest(ratios)) / one.error)))
