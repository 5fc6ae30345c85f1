"""Bars that go into columns come out as they were."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwether.market_data.series import Columns
from bellwether.messages.canonical import canonical_bytes
from bellwether.messages.market_data import Bar

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
BARS = st.lists(st.builds(Bar, st.dates(), NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=8)


@given(BARS)
def test_every_bar_comes_back_with_the_same_bytes(bars: list[Bar]) -> None:
    columns = Columns(bars)
    assert canonical_bytes(list(columns)) == canonical_bytes(bars)
    assert [columns[at] for at in range(len(columns))] == bars
    assert list(columns.closes) == [bar.close for bar in bars]


@given(BARS, st.slices(8))
def test_a_slice_is_that_of_a_list(bars: list[Bar], part: slice) -> None:
    assert Columns(bars)[part] == bars[part]


@given(st.lists(st.tuples(st.integers(0, 1300), st.integers(0, 700)), max_size=12))
def test_what_was_asked_for_before_changes_no_answer(questions: list[tuple[int, int]]) -> None:
    bars = [Bar(date(2000, 1, 1) + timedelta(days=at), 1.0, 2.0, 0.5, float(at), 10.0) for at in range(1300)]
    columns = Columns(bars)
    for begin, count in questions:
        assert columns[begin : begin + count] == bars[begin : begin + count]
        assert columns[min(begin, 1299)] == bars[min(begin, 1299)]


def test_what_is_not_there_is_an_index_error() -> None:
    columns = Columns([Bar(date(2024, 1, 2) + timedelta(days=at), 1.0, 2.0, 0.5, 1.5, 10.0) for at in range(3)])
    assert columns[-1].session == date(2024, 1, 4)
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"bar {index} of 3"):
            columns[index]
