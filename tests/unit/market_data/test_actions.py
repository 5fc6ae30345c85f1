from __future__ import annotations

from datetime import date

import pytest

from bellwether.market_data.actions import Action, adjusted, infer_actions, splits_through
from bellwether.market_data.rows import SourceRow
from bellwether.market_data.sources import RecordedBars
from bellwether.messages.market_data import Bar


@pytest.fixture(scope="module")
def recorded() -> RecordedBars:
    return RecordedBars("us-2000-2013")


def actions_of(recorded: RecordedBars, symbol: str) -> list[Action]:
    return list(infer_actions(recorded.load(symbol).rows).actions)


def raw(day: int, close: float, adjusted_close: float | None) -> SourceRow:
    return SourceRow(date(2020, 1, day), close, close, close, close, 100.0, adjusted_close)


def test_recorded_splits_are_the_three_that_happened(recorded: RecordedBars) -> None:
    splits = {
        (symbol, action.session, action.ratio)
        for symbol in recorded.symbols
        for action in actions_of(recorded, symbol)
        if action.kind == "split"
    }
    assert splits == {
        ("AAPL", date(2000, 6, 21), 2.0),
        ("AAPL", date(2005, 2, 28), 2.0),
        ("MSFT", date(2003, 2, 18), 2.0),
    }


def test_the_real_fall_of_apple_in_september_2000_is_no_action(recorded: RecordedBars) -> None:
    assert not [
        action for action in actions_of(recorded, "AAPL") if action.session.year == 2000 and action.session.month == 9
    ]


def test_google_had_neither_splits_nor_dividends(recorded: RecordedBars) -> None:
    assert actions_of(recorded, "GOOG") == []


def test_ibm_paid_each_quarter_and_never_cut(recorded: RecordedBars) -> None:
    dividends = [action for action in actions_of(recorded, "IBM") if action.kind == "dividend"]
    years = {year: [one for one in dividends if one.session.year == year] for year in range(2001, 2013)}
    assert {year: len(found) for year, found in years.items()} == dict.fromkeys(range(2001, 2013), 4)
    totals = [sum(one.amount for one in found) for found in years.values()]
    assert totals == sorted(totals)
    assert totals[-1] == pytest.approx(3.30, rel=0.02)


def test_microsoft_paid_three_dollars_once(recorded: RecordedBars) -> None:
    special = max(
        (action for action in actions_of(recorded, "MSFT") if action.kind == "dividend"), key=lambda one: one.amount
    )
    assert special.session == date(2004, 11, 15)
    assert special.amount == pytest.approx(3.08, rel=0.02)


def test_rounding_of_the_adjusted_close_makes_no_action() -> None:
    closes = [10.0 + 0.37 * (day % 5) for day in range(1, 29)]
    rows = [raw(day, round(close, 2), round(close * 0.0713, 2)) for day, close in enumerate(closes, 1)]
    assert list(infer_actions(rows).actions) == []


def test_a_reverse_split_is_a_split_below_one() -> None:
    rows = [raw(1, 1.0, 10.0), raw(2, 1.02, 10.2), raw(3, 10.1, 10.1), raw(6, 10.2, 10.2)]
    assert list(infer_actions(rows).actions) == [Action(date(2020, 1, 3), "split", ratio=0.1)]


def test_a_dividend_is_read_off_the_step() -> None:
    rows = [raw(1, 50.0, 49.0), raw(2, 50.0, 49.0), raw(3, 49.0, 49.0)]
    assert list(infer_actions(rows).actions) == [Action(date(2020, 1, 3), "dividend", amount=1.0)]


def test_rows_without_an_adjusted_close_are_passed_over() -> None:
    assert not infer_actions([raw(1, 50.0, None), raw(2, 25.0, None)]).actions


SHOWN = pytest.mark.parametrize(
    ("closes", "adjusted_closes", "ratio"),
    [
        ([2500.0, 2510.0, 50.5], [50.0, 50.2, 50.5], 50.0),
        ([0.41, 0.40, 10.1], [10.25, 10.0, 10.1], 0.04),
        ([100.0, 101.0, 82.0], [81.23, 82.05, 82.0], 1.231),
        ([22.0, 22.11, 20.1], [20.0, 20.1, 20.1], 1.1),
        ([30.0, 29.7, 20.1], [20.0, 19.8, 20.1], 1.5),
        ([700.0, 693.0, 99.0], [100.0, 99.0, 99.0], 7.0),
    ],
)


@SHOWN
def test_a_split_of_any_ratio_is_read_off_the_step(
    closes: list[float], adjusted_closes: list[float], ratio: float
) -> None:
    rows = [raw(day, *pair) for day, pair in enumerate(zip(closes, adjusted_closes, strict=True), 1)]
    assert list(infer_actions(rows).actions) == [Action(date(2020, 1, 3), "split", ratio=ratio)]


def test_a_reverse_split_of_a_share_of_cents_is_read_off_two_rows() -> None:
    rows = [raw(1, 0.40, 10.0), SourceRow(date(2020, 1, 2), 9.9, 10.2, 9.7, 10.1, 200000.0, 10.1)]
    assert list(infer_actions(rows).actions) == [Action(date(2020, 1, 2), "split", ratio=0.04)]


def test_a_large_dividend_is_no_split() -> None:
    rows = [raw(1, 14.0, 12.3), raw(2, 14.0, 12.3), raw(3, 12.4, 12.4)]
    assert list(infer_actions(rows).actions) == [Action(date(2020, 1, 3), "dividend", amount=1.7)]


def test_a_split_and_a_dividend_on_one_day_are_both_read() -> None:
    rows = [raw(1, 100.0, 49.5), raw(2, 100.0, 49.5), raw(3, 49.6, 49.6)]
    assert list(infer_actions(rows).actions) == [
        Action(date(2020, 1, 3), "split", ratio=2.0),
        Action(date(2020, 1, 3), "dividend", amount=0.5),
    ]


@pytest.mark.parametrize(
    ("closes", "adjusted_closes", "words"),
    [
        ([14.0, 14.0], [7.0, 14.0], "the price did not follow"),
        ([50.0, 41.5], [41.0, 41.5], "a split or a large dividend"),
        ([0.02, 0.20], [0.20, 0.20], "a split of 1/8, 1/9 or near it"),
    ],
)
def test_a_step_that_stays_open_is_a_doubt_and_never_dropped(
    closes: list[float], adjusted_closes: list[float], words: str
) -> None:
    found = infer_actions([raw(day, *pair) for day, pair in enumerate(zip(closes, adjusted_closes, strict=True), 1)])
    assert not found.actions
    assert [words in doubt.message for doubt in found.doubts] == [True]


def test_dividends_that_ibm_declared_come_out_to_a_cent_or_two(recorded: RecordedBars) -> None:
    declared = {2009: (0.50, 0.55, 0.55, 0.55), 2010: (0.55, 0.65, 0.65, 0.65), 2011: (0.65, 0.75, 0.75, 0.75)}
    found = [action for action in actions_of(recorded, "IBM") if action.kind == "dividend"]
    for year, amounts in declared.items():
        assert [one.amount for one in found if one.session.year == year] == pytest.approx(amounts, abs=0.03)


def test_adjusting_divides_prices_and_multiplies_volumes_before_each_split() -> None:
    bars = [Bar(date(2020, 1, day), 8.0, 8.0, 8.0, 8.0, 1.0) for day in (1, 2, 3)]
    splits = [Action(date(2020, 1, 2), "split", ratio=2.0), Action(date(2020, 1, 3), "split", ratio=4.0)]
    found = adjusted(bars, splits)
    assert [(bar.close, bar.volume) for bar in found] == [(1.0, 8.0), (2.0, 4.0), (8.0, 1.0)]


def test_a_split_is_known_on_its_day_and_not_before() -> None:
    actions = [Action(date(2020, 1, 2), "split", ratio=2.0), Action(date(2020, 1, 2), "dividend", amount=1.0)]
    assert splits_through(actions, date(2020, 1, 1)) == []
    assert splits_through(actions, date(2020, 1, 2)) == actions[:1]
