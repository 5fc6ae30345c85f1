"""How sure a share is: Wilson's interval, and a bootstrap over blocks of sessions where outcomes overlap. Pure.

Outcomes of one session move together, and horizons of several sessions overlap, so single outcomes are not independent.
The circular block bootstrap (Politis and Romano, 1992) draws runs of sessions, as long as a horizon, instead.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 200
FEWEST_SESSIONS = 20
"""With fewer sessions there are too few blocks to draw from."""
_Z = 1.959963984540054
_SEED = 1

Sums = tuple[int, ...]
Columns: TypeAlias = "NDArray[np.float64]"
"""Sums by resample: a row for each count, a column for each resample. Whole numbers, so they are exact."""


class Interval(msgspec.Struct, frozen=True):
    """A 95 % interval and how it was made."""

    low: float
    high: float
    method: str


def wilson(hits: int, count: int) -> Interval | None:
    """Return Wilson's 95 % interval of a share (Wilson, 1927); None without a single case."""
    if count == 0:
        return None
    share, square = hits / count, _Z * _Z
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = _Z / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    return Interval(rounded(max(0.0, middle - half)), rounded(min(1.0, middle + half)), "Wilson")


class Drawn(NamedTuple):
    """The sums of each resample, and how many sessions each block has."""

    sums: Columns
    length: int


def draw_sums(rows: Sequence[Sums], block: int, resamples: int = RESAMPLES) -> Drawn | None:
    """Return the sums that resampling blocks of sessions gives; None where there are too few sessions."""
    # Deferred: whoever makes no report has no use for it in memory.
    import numpy as np

    count = len(rows)
    length = max(1, min(block, count))
    if count < FEWEST_SESSIONS or count < 2 * length:
        return None
    single = np.array(list(chain.from_iterable(rows)), dtype=np.float64).reshape(count, -1)
    around = np.concatenate([single, single[: length - 1]])
    within = around[:count].copy()
    for first in range(1, length):
        within += around[first : first + count]
    times = _times_drawn(count, math.ceil(count / length), resamples)
    return Drawn(np.matmul(times, within).T, length)


def interval_of(drawn: Drawn, statistic: Callable[[Columns], Columns]) -> Interval | None:
    """Return the 95 % percentile interval of a statistic of resampled sums."""
    import numpy as np

    with np.errstate(invalid="ignore", divide="ignore"):
        values = statistic(drawn.sums)
    found = np.sort(values[~np.isnan(values)]).tolist()
    if len(found) < 0.9 * len(values):
        return None
    edge = (1 - LEVEL) / 2
    words = f"bootstrap over blocks of {drawn.length} session{'' if drawn.length == 1 else 's'}"
    return Interval(rounded(quantile(found, edge)), rounded(quantile(found, 1 - edge)), words)


@lru_cache(maxsize=1)
def _times_drawn(count: int, blocks: int, resamples: int) -> Columns:
    """Return for each resample how often it draws the block that begins at each session."""
    import numpy as np

    first = (_chances(1 << (blocks * resamples).bit_length())[: blocks * resamples] * count).astype(np.int64)
    places = first.reshape(resamples, blocks) + count * np.arange(resamples)[:, None]
    drawn = np.bincount(places.ravel(), minlength=resamples * count).reshape(resamples, count)
    return drawn.astype(np.float64)


@lru_cache(maxsize=2)
def _chances(count: int) -> Columns:
    """Return chances from 0 to 1. Of `random` only `random()` is the same in every Python."""
    import numpy as np

    source = random.Random(_SEED)  # noqa: S311
    return np.array([source.random() for _ in range(count)])


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of sorted numbers, between two of them in proportion (the usual type 7)."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def rounded(value: float) -> float:
    """Return a figure with six digits behind the point, as reports carry it."""
    return round(value, 6) + 0.0
