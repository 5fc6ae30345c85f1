from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from bellwether.reporting.intervals import RESAMPLES, Columns, Interval, Sums, draw_sums, interval_of, wilson


def block_bootstrap(
    rows: Sequence[Sums], block: int, statistic: Callable[[Columns], Columns], resamples: int = RESAMPLES
) -> Interval | None:
    drawn = draw_sums(rows, block, resamples)
    return None if drawn is None else interval_of(drawn, statistic)


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    # From R: prop.test(x, n, correct = FALSE).
    [(8, 10, 0.490162, 0.943318), (0, 10, 0.0, 0.277533), (10, 10, 0.722467, 1.0), (50, 100, 0.403832, 0.596168)],
)
def test_wilson_is_what_the_textbook_says(hits: int, count: int, low: float, high: float) -> None:
    found = wilson(hits, count)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=2e-6)


def test_a_share_of_nothing_has_no_interval() -> None:
    assert wilson(0, 0) is None


def share(sums: Columns) -> Columns:
    shares: Columns = sums[1] / sums[0]
    return shares


def test_the_draws_are_those_of_sessions_added_one_by_one() -> None:
    """The sums are those of blocks that are drawn and added one after the other, as the method says."""
    source = random.Random(7)
    rows = [(source.randrange(9), source.randrange(4)) for _ in range(53)]
    drawn = draw_sums(rows, 5, resamples=40)
    assert drawn is not None
    chances = random.Random(1)
    for number in range(40):
        begins = [int(chances.random() * 53) for _ in range(11)]
        taken = [(begin + place) % 53 for begin in begins for place in range(5)]
        for column, name in enumerate(("cases", "hits")):
            assert drawn.sums[column][number] == sum(rows[one][column] for one in taken), name


def test_independent_sessions_give_about_the_interval_of_independent_cases() -> None:
    source = random.Random(4)
    rows = [(1, int(source.random() < 0.5)) for _ in range(400)]
    ours, textbook = block_bootstrap(rows, 1, share), wilson(sum(row[1] for row in rows), 400)
    assert ours is not None
    assert textbook is not None
    assert ours.high - ours.low == pytest.approx(textbook.high - textbook.low, rel=0.15)


def test_sessions_that_repeat_each_other_give_a_wider_interval_in_blocks() -> None:
    source = random.Random(4)
    rows = [row for row in [(1, int(source.random() < 0.5)) for _ in range(80)] for _ in range(5)]
    alone, blocks = block_bootstrap(rows, 1, share), block_bootstrap(rows, 5, share)
    assert alone is not None
    assert blocks is not None
    # Five equal cases in a row are worth one: the truth is the square root of 5 times as wide.
    assert blocks.high - blocks.low > 1.7 * (alone.high - alone.low)


def test_the_same_rows_give_the_same_interval_and_few_or_empty_ones_none() -> None:
    rows = [(2, number % 3 == 0) for number in range(60)]
    assert block_bootstrap(rows, 5, share) == block_bootstrap(rows, 5, share)
    assert block_bootstrap(rows[:19], 1, share) is None
    assert block_bootstrap(rows[:25], 13, share) is None
    assert block_bootstrap([(0, 0)] * 60, 5, share) is None
