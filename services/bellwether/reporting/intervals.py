"""How sure a share is: Wilson's interval, and a bootstrap over blocks of sessions where outcomes overlap. Pure.

Outcomes of one session move together, and horizons of several sessions overlap, so single outcomes are not independent.
The circular block bootstrap (Politis and Romano, 1992) draws runs of sessions, as long as a horizon, instead.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

import msgspec

LEVEL = 0.95
RESAMPLES = 200
FEWEST_SESSIONS = 20
"""With fewer sessions there are too few blocks to draw from."""
_Z = 1.959963984540054
_SEED = 1

Sums = tuple[int, ...]


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


def block_bootstrap(
    rows: Sequence[Sums], block: int, statistic: Callable[[Sums], float | None], resamples: int = RESAMPLES
) -> Interval | None:
    """Return the 95 % percentile interval of a statistic of sums over sessions.

    `rows` are counts (0 or more) of each session, in order; `statistic` gets their sums, and None from it is left out.
    The draws are the same for the same number of sessions, so the same rows give the same interval. None where there
    are too few sessions, or where more than a tenth of the draws have no statistic.
    """
    drawn = draw_sums(rows, block, resamples)
    return None if drawn is None else interval_of(drawn, statistic)


class Drawn(NamedTuple):
    """The sums of each resample, and how many sessions each block has."""

    sums: list[Sums]
    length: int


def draw_sums(rows: Sequence[Sums], block: int, resamples: int = RESAMPLES) -> Drawn | None:
    """Return the sums that resampling blocks of sessions gives; None where there are too few sessions."""
    count = len(rows)
    length = max(1, min(block, count))
    if count < FEWEST_SESSIONS or count < 2 * length:
        return None
    width, blocks = len(rows[0]), math.ceil(count / length)
    # All sums of a session in one number, with room for the largest. Up to 62 bits are added without an object each.
    bits = max(map(max, rows)).bit_length() + (length * blocks).bit_length()
    packed = [sum(value << (bits * place) for place, value in enumerate(row)) for row in rows]
    around = packed + packed[: length - 1]
    within = [sum(around[first : first + length]) for first in range(count)]
    shifts, mask = [bits * place for place in range(width)], (1 << bits) - 1
    totals = (sum(draw(within)) for draw in _draws(count, blocks, resamples))
    return Drawn([tuple([(total >> shift) & mask for shift in shifts]) for total in totals], length)


def interval_of(drawn: Drawn, statistic: Callable[[Sums], float | None]) -> Interval | None:
    """Return the 95 % percentile interval of a statistic of resampled sums."""
    values = map(statistic, drawn.sums)
    found = sorted(value for value in values if value is not None)
    if len(found) < 0.9 * len(drawn.sums):
        return None
    edge = (1 - LEVEL) / 2
    words = f"bootstrap over blocks of {drawn.length} session{'' if drawn.length == 1 else 's'}"
    return Interval(rounded(quantile(found, edge)), rounded(quantile(found, 1 - edge)), words)


@lru_cache(maxsize=4)
def _draws(count: int, blocks: int, resamples: int) -> tuple[Callable[[Sequence[int]], tuple[int, ...]], ...]:
    """Return for each resample what picks its blocks. Of `random` only `random()` is the same in every Python."""
    chances = _chances(1 << (blocks * resamples).bit_length())
    return tuple(
        itemgetter(*[int(chance * count) for chance in chances[first : first + blocks]])
        for first in range(0, blocks * resamples, blocks)
    )


@lru_cache(maxsize=2)
def _chances(count: int) -> list[float]:
    source = random.Random(_SEED)  # noqa: S311
    return [source.random() for _ in range(count)]


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of sorted numbers, between two of them in proportion (the usual type 7)."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def rounded(value: float) -> float:
    """Return a figure with six digits behind the point, as reports carry it."""
    return round(value, 6) + 0.0
