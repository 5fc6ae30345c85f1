from __future__ import annotations

import math
import random
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwether.messages.market_data import Bar
from bellwether.training.features import FEATURES, MOVE, WINDOW, NotEnoughBars, features, moves, rose
from bellwether.training.indicators import relative_strength


def made_up(seed: int, count: int = WINDOW) -> list[Bar]:
    chance = random.Random(seed)
    found, close = [], 50.0
    for number in range(count):
        opened = close * math.exp(chance.gauss(0.0, 0.01))
        close = opened * math.exp(chance.gauss(0.0, 0.02))
        high, low = max(opened, close) * 1.01, min(opened, close) * 0.99
        day = date(2020, 1, 1) + timedelta(days=number)
        found.append(Bar(day, opened, high, low, close, chance.uniform(1e5, 1e6)))
    return found


def test_every_feature_has_its_name() -> None:
    assert tuple(features(made_up(1))) == FEATURES


def test_only_the_newest_window_is_looked_at() -> None:
    bars = made_up(2, WINDOW + 50)
    assert features(bars) == features(bars[-WINDOW:])


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(0, 40))
def test_a_row_is_bit_equal_whatever_comes_later(seed: int, later: int) -> None:
    bars = made_up(seed, WINDOW + 40)
    end = WINDOW + later
    assert features(bars[:end]) == features(list(bars)[end - WINDOW : end])


def test_a_two_for_one_split_of_units_changes_no_bit() -> None:
    bars = made_up(3)
    halved = [Bar(bar.session, bar.open / 2, bar.high / 2, bar.low / 2, bar.close / 2, bar.volume * 2) for bar in bars]
    assert features(bars) == features(halved)


def test_prices_that_never_move_give_finite_features() -> None:
    flat = [Bar(bar.session, 5.0, 5.0, 5.0, 5.0, 0.0) for bar in made_up(4)]
    assert set(features(flat).values()) == {0.0}


def test_a_share_moves_when_one_of_its_last_twenty_closes_differs() -> None:
    assert not moves([5.0] * WINDOW)
    assert not moves([4.0, *[5.0] * MOVE])
    assert moves([4.0, *[5.0] * (MOVE - 1)])


def test_fewer_bars_than_a_window_are_refused() -> None:
    with pytest.raises(NotEnoughBars, match=f"{WINDOW - 1} bars: features need {WINDOW}"):
        features(made_up(5, WINDOW - 1))


def test_a_label_says_whether_the_close_was_higher_at_the_end_of_the_horizon() -> None:
    assert rose([1.0, 2.0, 1.0, 3.0], 2) == [False, True]


def test_relative_strength_of_wilders_kind() -> None:
    # Worked by hand over 2 sessions: both means 0.5, then a gain of 2: (0.5 + 2) / 2 = 1.25 and (0.5 + 0) / 2 = 0.25.
    assert relative_strength([10.0, 11.0, 10.0, 12.0], sessions=2) == pytest.approx(100.0 * 1.25 / 1.5)


@pytest.mark.parametrize(("step", "value"), [(1.0, 100.0), (-1.0, 0.0), (0.0, 50.0)])
def test_relative_strength_at_its_ends(step: float, value: float) -> None:
    assert relative_strength([100.0 + step * number for number in range(20)]) == value


def test_relative_strength_needs_one_close_more_than_sessions() -> None:
    with pytest.raises(ValueError, match="14 closes: the index over 14 sessions needs 15"):
        relative_strength([1.0] * 14)
