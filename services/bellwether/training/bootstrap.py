"""The block bootstrap of a mean over sessions, in plain Python, the same bits everywhere. Pure.

Sessions are drawn in blocks of consecutive ones (circular: Politis and Romano, A Circular Block-Resampling Procedure,
1992), longer than the horizon, because labels that begin within one horizon overlap.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

DRAWS = 1000
SHORTEST_BLOCK = 10
FEWEST_BLOCKS = 10
"""With fewer blocks of test sessions nothing is said."""


class Resampled(NamedTuple):
    """A mean, its draws in order, and how many independent blocks there were."""

    mean: float
    draws: tuple[float, ...]
    blocks: int

    @property
    def error(self) -> float:
        """The standard error: the standard deviation of the draws."""
        centre = math.fsum(self.draws) / len(self.draws)
        return math.sqrt(math.fsum((draw - centre) ** 2 for draw in self.draws) / (len(self.draws) - 1))

    def quantile(self, share: float) -> float:
        """Return the quantile of the draws."""
        return self.draws[min(max(int(share * len(self.draws)), 0), len(self.draws) - 1)]

    def lower(self, level: float) -> float:
        """Return the one-sided lower bound at a level.

        The lower of the quantile of the draws, where there are enough of them to have one, and Student's bound with
        one degree of freedom less than there are blocks: a quantile alone is too hopeful with few blocks.
        """
        bound = self.mean - student(1.0 - level, self.blocks - 1) * self.error
        return min(bound, self.quantile(level)) if level * len(self.draws) >= 5 else bound

    def upper(self, level: float) -> float:
        """Return the one-sided upper bound at a level."""
        bound = self.mean + student(1.0 - level, self.blocks - 1) * self.error
        return max(bound, self.quantile(1.0 - level)) if level * len(self.draws) >= 5 else bound


def block_length(horizon: int) -> int:
    """Return how many sessions a block has: more than twice the horizon, and at least two weeks."""
    return max(2 * horizon + 1, SHORTEST_BLOCK)


@lru_cache(maxsize=8)
def starts(sessions: int, length: int, seed: int, draws: int = DRAWS) -> list[array[int]]:
    """Return, for each draw, the sessions at which its blocks begin."""
    drawn = random.Random(seed)  # noqa: S311 (a sample, no secret)
    blocks = math.ceil(sessions / length)
    return [array("I", drawn.choices(range(sessions), k=blocks)) for _ in range(draws)]


def resample(sums: Sequence[float], rows: Sequence[int], length: int, seed: int = 1) -> Resampled:
    """Return the mean per row of sums by session, and the means of the draws, sorted.

    Raises:
        ValueError: where there are too few sessions for `FEWEST_BLOCKS` blocks.
    """
    blocks = len(sums) // length
    if blocks < FEWEST_BLOCKS:
        raise ValueError(
            f"{len(sums)} test sessions: {FEWEST_BLOCKS} blocks of {length} sessions are needed to say anything"
        )
    values, counts = block_sums(sums, length), block_sums(rows, length)
    means = []
    for chosen in starts(len(sums), length, seed):
        count = sum(map(counts.__getitem__, chosen))
        means.append(sum(map(values.__getitem__, chosen)) / count if count else 0.0)
    return Resampled(math.fsum(sums) / sum(rows), tuple(sorted(means)), blocks)


def block_sums(values: Sequence[float], length: int) -> list[float]:
    """Return the sum of each block of consecutive values, by where it begins; the last is followed by the first."""
    total, found = math.fsum(values[number % len(values)] for number in range(length)), []
    for start in range(len(values)):
        found.append(total)
        total += values[(start + length) % len(values)] - values[start]
    return found


def student(share: float, freedom: int) -> float:
    """Return the quantile of Student's distribution, by its expansion around the normal one.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.5, four terms.
    """
    z, v = NormalDist().inv_cdf(share), float(max(freedom, 1))
    first = (z**3 + z) / 4.0
    second = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0
    third = (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0
    fourth = (79.0 * z**9 + 776.0 * z**7 + 1482.0 * z**5 - 1920.0 * z**3 - 945.0 * z) / 92160.0
    return z + first / v + second / v**2 + third / v**3 + fourth / v**4
