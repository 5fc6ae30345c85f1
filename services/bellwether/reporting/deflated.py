"""How much of the best Sharpe ratio of several tries is luck. Pure.

Sources: Bailey and López de Prado, The Deflated Sharpe Ratio (Journal of Portfolio Management 40 (5), 2014); the
standard error of a Sharpe ratio of returns that are not normal is Mertens' (2002).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from bellwether.reporting.intervals import rounded
from bellwether.reporting.performance import YEAR, Figure

FEWEST_SESSIONS = 20
_EULER = 0.5772156649015329
_NORMAL = statistics.NormalDist()
_LEVEL = 0.975
_FLAT = 1e-12


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
    """Return the ratio of these returns; None where there are too few, or they do not vary."""
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
    """Return the probability that a try's true ratio is above what luck makes of the best of all of them."""
    if one.error < _FLAT:
        return Figure(None, "its error cannot be told")
    return Figure(rounded(_NORMAL.cdf((one.ratio - luckiest(ratios)) / one.error)))
