"""When live outcomes demote a model: never by looking often, and surely where it is worse than the base rate."""

from __future__ import annotations

import random
from datetime import date, timedelta

from bellwether.messages.registry import LiveDay
from bellwether.training.gate import Look, newest_look, sessions_needed

FIRST = date(2026, 1, 5)
HORIZON = 1
BLOCK = 10
"""Sessions of a block at this horizon."""


def days(count: int, gain: float, *, spread: float = 0.05, seed: int = 1) -> list[LiveDay]:
    chance = random.Random(seed)
    found = []
    for number in range(count):
        here = gain + chance.gauss(0.0, spread)
        found.append(LiveDay(FIRST + timedelta(number), 4, 4 * (0.69 - here), 4 * 0.69, 1.0, 1.0))
    return found


def look(reported: list[LiveDay], level: float = 0.01, margin: float = 0.0) -> Look | None:
    return newest_look(reported, HORIZON, minimum=60, level=level, margin=margin)


def test_nothing_is_said_before_there_are_ten_blocks() -> None:
    assert sessions_needed(60, HORIZON) == 10 * BLOCK
    assert sessions_needed(60, 5) == 110
    assert look(days(99, -1.0)) is None


def test_a_model_that_is_worse_than_the_base_rate_is_found_and_one_that_is_not_is_not() -> None:
    bad, good = look(days(100, -0.05)), look(days(100, 0.02))
    assert bad is not None
    assert good is not None
    assert (bad.worse, good.worse) == (True, False)
    assert bad.words.startswith("live log loss -0.0")
    tolerated = look(days(100, -0.05), margin=0.1)
    assert tolerated is not None
    assert not tolerated.worse


def test_between_two_looks_nothing_changes_and_each_look_spends_less() -> None:
    reported = days(129, -0.01)
    looks = [look(reported[:count]) for count in (100, 109, 110, 119, 120)]
    assert [one.number for one in looks if one] == [1, 1, 2, 2, 3]
    assert looks[0] == looks[1]
    levels = [one.level for one in looks if one]
    assert levels[0] == 0.005
    assert levels[0] > levels[2] > levels[4]


def test_a_model_as_good_as_the_base_rate_is_hardly_ever_demoted_however_often_it_is_looked_at() -> None:
    demoted = sum(
        any((found := look(reported[:count])) is not None and found.worse for count in range(100, 300, BLOCK))
        for reported in (days(300, 0.0, seed=seed) for seed in range(8))
    )
    assert demoted == 0
