"""Indicators as pure functions of plain floats.

Plain Python on purpose: sums are added in the order of the sessions, so the bits are the same on every CPU, which a
vectorised sum does not promise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

RSI_SESSIONS = 14


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean of at least one value."""
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample (divisor n - 1) of at least two values."""
    centre = mean(values)
    return math.sqrt(math.fsum([(value - centre) ** 2 for value in values]) / (len(values) - 1))


def log_returns(closes: Sequence[float]) -> list[float]:
    """Return ln(close / previous close), one fewer than the closes."""
    return [math.log(later / earlier) for earlier, later in pairwise(closes)]


def relative_strength(closes: Sequence[float], sessions: int = RSI_SESSIONS) -> float:
    """Return the relative strength index, 0-100; 50 where the price never moved.

    Wilder's smoothing: the first average is the plain mean of the first `sessions` changes, each later one is
    (previous * (sessions - 1) + change) / sessions. Source: J. Welles Wilder, New Concepts in Technical Trading
    Systems (1978), section VI. The value depends on where the series begins, so callers give a fixed number of closes.

    Raises:
        ValueError: with fewer than `sessions` + 1 closes.
    """
    if len(closes) <= sessions:
        raise ValueError(f"{len(closes)} closes: the index over {sessions} sessions needs {sessions + 1}")
    gain = loss = 0.0
    for index in range(1, sessions + 1):
        change = closes[index] - closes[index - 1]
        if change > 0.0:
            gain += change
        else:
            loss -= change
    gain /= sessions
    loss /= sessions
    kept = sessions - 1
    for index in range(sessions + 1, len(closes)):
        change = closes[index] - closes[index - 1]
        if change > 0.0:
            gain = (gain * kept + change) / sessions
            loss = loss * kept / sessions
        else:
            gain = gain * kept / sessions
            loss = (loss * kept - change) / sessions
    if gain + loss == 0.0:
        return 50.0
    return 100.0 * gain / (gain + loss)
