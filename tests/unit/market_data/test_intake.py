"""What a source's next statement does to the bars and actions that are stored, and what holds a symbol back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from bellwether.market.sessions import load_calendar
from bellwether.market_data.actions import Action
from bellwether.market_data.intake import take_in
from bellwether.market_data.known import Intake, Kept, Known, Rules, Stored
from bellwether.market_data.rows import Loaded, SourceRow

CALENDAR = load_calendar("XASX")
RULES = Rules(CALENDAR, timedelta(minutes=20))
DAYS = [session.day for session in CALENDAR.sessions(date(2024, 1, 2), date(2024, 6, 28))]
LATER = datetime(2024, 12, 1, tzinfo=UTC)


def row(day: date, close: float, adjusted: float | None = None, *, opening: float | None = None) -> SourceRow:
    first = close if opening is None else opening
    return SourceRow(day, first, max(first, close), min(first, close), close, 1000.0, adjusted)


def rows(closes: Sequence[float], begin: int = 0, *, adjusted: Sequence[float] | None = None) -> list[SourceRow]:
    """Return one row per close on consecutive sessions; the adjusted close equals the close unless given."""
    stated = closes if adjusted is None else adjusted
    return [row(DAYS[begin + index], close, stated[index]) for index, close in enumerate(closes)]


def loaded(found: Iterable[SourceRow], at: datetime = LATER, *, adjusted: bool = False, stated: bool = False) -> Loaded:
    return Loaded(tuple(found), "csv:X.csv", at.isoformat(), at, adjusted, stated)


def after(stored: Stored, statement: Loaded, now: datetime = LATER) -> tuple[Stored, Intake]:
    """Return what is stored after a statement, as the store does it."""
    found = take_in(stored, statement, RULES, now)
    bars = {day: kept for day, kept in stored.bars.items() if day not in found.withdrawn}
    bars |= {bar.session: Kept(bar, statement.recorded_at) for bar in found.bars}
    actions = [known for known in stored.actions if known.action not in found.dropped] + list(found.added)
    return Stored(dict(sorted(bars.items())), actions, found.hold), found


def closes(stored: Stored) -> list[float]:
    return [kept.bar.close for kept in stored.bars.values()]


def actions(stored: Stored) -> list[Action]:
    return [known.action for known in stored.actions]


# History that is restated


def test_rows_that_are_restated_at_half_are_a_split_before_the_new_row() -> None:
    stored, _ = after(Stored(), loaded(rows([50.0] * 20)))
    stored, found = after(stored, loaded([*rows([25.0] * 20), row(DAYS[20], 26.0, 26.0, opening=25.0)]))
    assert [kept.action for kept in found.added] == [Action(DAYS[20], "split", ratio=2.0)]
    assert closes(stored) == [50.0] * 20 + [26.0]
    assert found.hold is None
    assert [bar.session for bar in found.bars] == [DAYS[20]]


def test_a_restatement_is_one_action_however_often_it_is_read() -> None:
    stored, _ = after(Stored(), loaded(rows([50.0] * 20)))
    for count in (0, 1, 2, 3):
        stored, _ = after(stored, loaded([*rows([25.0] * 20), *rows([26.0] * count, 20)]))
    assert actions(stored) == [Action(DAYS[20], "split", ratio=2.0)]
    assert closes(stored) == [50.0] * 20 + [26.0] * 3


def test_rows_that_differ_in_their_last_place_hide_no_ratio() -> None:
    stored, _ = after(Stored(), loaded(rows([50.0, 50.01] * 20)))
    stored, found = after(stored, loaded(rows([25.01, 25.0] * 20 + [26.0])))
    assert [known.action for known in found.added] == [Action(DAYS[40], "split", ratio=2.0)]


def test_a_second_split_is_distinguished_from_the_first() -> None:
    stored, _ = after(Stored(), loaded(rows([60.0] * 10)))
    stored, _ = after(stored, loaded(rows([30.0] * 20)))
    stored, _ = after(stored, loaded(rows([10.0] * 30)))
    assert actions(stored) == [Action(DAYS[10], "split", ratio=2.0), Action(DAYS[20], "split", ratio=3.0)]
    assert closes(stored) == [60.0] * 10 + [30.0] * 10 + [10.0] * 10


def test_a_split_that_the_source_takes_back_before_its_day_is_none() -> None:
    stored, _ = after(Stored(), loaded(rows([50.0] * 20)))
    stored, _ = after(stored, loaded(rows([25.0] * 20)))
    assert actions(stored) == [Action(DAYS[20], "split", ratio=2.0)]
    stored, _ = after(stored, loaded(rows([50.0] * 21)))
    assert actions(stored) == []
    assert stored.hold is None


def test_a_split_that_the_source_undoes_later_is_undone_by_a_reverse_one() -> None:
    stored, _ = after(Stored(), loaded(rows([50.0] * 20)))
    stored, _ = after(stored, loaded(rows([25.0] * 24)))
    stored, _ = after(stored, loaded(rows([50.0] * 25)))
    assert [(one.session, one.ratio) for one in actions(stored)] == [(DAYS[20], 2.0), (DAYS[24], 0.5)]


def test_a_restatement_that_the_new_price_does_not_follow_holds_the_symbol_back() -> None:
    stored, _ = after(Stored(), loaded(rows([50.0] * 20)))
    stored, found = after(stored, loaded([*rows([25.0] * 20), row(DAYS[20], 50.5, 50.5)]))
    assert found.hold is not None
    assert found.hold.code == "RESTATED"
    assert "the price of" in found.hold.message
    assert not found.added
    stored, found = after(stored, loaded(rows([50.0] * 20 + [50.5])))
    assert (found.hold, closes(stored)[-1]) == (None, 50.5)


def test_prices_of_another_share_hold_the_symbol_back_and_stored_bars_stay() -> None:
    stored, _ = after(Stored(), loaded(rows([50.0 + 0.1 * index for index in range(40)])))
    before = closes(stored)
    stored, found = after(stored, loaded(rows([9.0 + (index % 7) for index in range(41)])))
    assert found.hold is not None
    assert found.hold.code == "REWRITTEN"
    assert closes(stored) == before


def test_history_restated_in_pence_holds_the_symbol_back() -> None:
    stored, _ = after(Stored(), loaded(rows([6.0] * 20)))
    _, found = after(stored, loaded(rows([600.0] * 21)))
    assert found.hold is not None
    assert found.hold.code == "UNITS"


def test_a_corrected_row_is_a_new_version_and_no_action() -> None:
    stored, _ = after(Stored(), loaded(rows([50.0] * 20)))
    stored, found = after(stored, loaded(rows([50.0] * 10 + [50.4] + [50.0] * 9)))
    assert [(bar.session, bar.close) for bar in found.bars] == [(DAYS[10], 50.4)]
    assert actions(stored) == []


def test_the_same_statement_again_makes_no_version() -> None:
    stored, _ = after(Stored(), loaded(rows([50.0] * 20)))
    _, found = after(stored, loaded(rows([50.0] * 20), LATER + timedelta(days=1)))
    assert (found.bars, found.withdrawn, found.added) == ((), (), ())


def test_a_row_that_the_source_has_no_more_is_withdrawn() -> None:
    stored, _ = after(Stored(), loaded(rows([50.0] * 20)))
    stored, found = after(stored, loaded([one for one in rows([50.0] * 20) if one.session != DAYS[7]]))
    assert found.withdrawn == (DAYS[7],)


def test_a_file_that_holds_only_the_newest_rows_leaves_the_older_bars() -> None:
    stored, _ = after(Stored(), loaded(rows([50.0] * 20)))
    stored, _ = after(stored, loaded(rows([50.0] * 5, 18)))
    assert len(stored.bars) == 23


# Rows from before the close


def test_a_jump_holds_back_for_as_long_as_only_the_newest_rows_are_stated() -> None:
    stored, _ = after(Stored(), loaded(rows([50.0] * 60), adjusted=True, stated=True))
    prices = [50.0] * 60 + [600.0] * 12
    for newest in range(61, len(prices) + 1):
        stored, _ = after(stored, loaded(rows(prices[newest - 10 : newest], newest - 10), adjusted=True, stated=True))
    assert stored.hold is not None
    assert (stored.hold.code, stored.hold.since) == ("PRICE_JUMP", DAYS[60])
    assert closes(stored) == [50.0] * 60


def test_a_row_from_before_the_close_is_replaced_by_the_final_one() -> None:
    close = CALENDAR.sessions(DAYS[20], DAYS[20])[0].close.astimezone(UTC)
    early, soon, final = close - timedelta(hours=5), close + timedelta(minutes=5), close + timedelta(minutes=30)
    stored, _ = after(Stored(), loaded(rows([50.0] * 20 + [50.2]), early), early)
    assert not RULES.final(DAYS[20], stored.bars[DAYS[20]].recorded_at)
    stored, _ = after(stored, loaded(rows([50.0] * 20 + [50.4]), soon), soon)
    assert not RULES.final(DAYS[20], stored.bars[DAYS[20]].recorded_at)
    stored, _ = after(stored, loaded(rows([50.0] * 20 + [50.4]), final), final)
    assert RULES.final(DAYS[20], stored.bars[DAYS[20]].recorded_at)
    assert closes(stored)[-1] == 50.4


def test_an_old_file_that_comes_back_does_not_make_a_final_bar_a_quote() -> None:
    close = CALENDAR.sessions(DAYS[20], DAYS[20])[0].close.astimezone(UTC)
    stored, _ = after(Stored(), loaded(rows([50.0] * 20 + [50.4]), close + timedelta(hours=1)))
    stored, _ = after(stored, loaded(rows([50.0] * 20 + [50.1]), close - timedelta(hours=1)))
    assert closes(stored)[-1] == 50.4


# Actions that the source states


def stated(closes_: Sequence[float], **events: float) -> list[SourceRow]:
    split, at, dividend = events.get("split", 1.0), int(events.get("at", 0)), events.get("dividend", 0.0)
    return [
        SourceRow(
            DAYS[index], close, close, close, close, 1000.0,
            split=split if index == at else 1.0, dividend=dividend if index == at else 0.0,
        )
        for index, close in enumerate(closes_)
    ]  # fmt: skip


@pytest.mark.parametrize("ratio", [2.0, 50.0, 0.04, 1.231, 1.1])
def test_a_stated_split_of_any_ratio_is_undone_in_stored_bars(ratio: float) -> None:
    stored, found = after(Stored(), loaded(stated([40.0] * 20, split=ratio, at=12), adjusted=True, stated=True))
    assert actions(stored) == [Action(DAYS[12], "split", ratio=ratio)]
    assert closes(stored) == pytest.approx([40.0 * ratio] * 12 + [40.0] * 8)
    assert found.hold is None


def test_a_stated_split_of_prices_as_traded_is_left_as_it_is() -> None:
    stored, _ = after(Stored(), loaded(stated([80.0] * 12 + [40.0] * 8, split=2.0, at=12), stated=True))
    assert closes(stored) == [80.0] * 12 + [40.0] * 8


def test_a_split_and_a_dividend_that_are_stated_on_one_day_are_both_reported() -> None:
    statement = loaded(stated([40.0] * 20, split=2.0, dividend=0.5, at=12), adjusted=True, stated=True)
    stored, _ = after(Stored(), statement)
    assert sorted((one.kind, one.ratio, one.amount) for one in actions(stored)) == [
        ("dividend", 1.0, 0.5),
        ("split", 2.0, 0.0),
    ]


def test_a_dividend_from_before_a_split_is_in_the_units_of_its_day() -> None:
    found = stated([40.0] * 20, split=4.0, at=12)
    found[5] = SourceRow(DAYS[5], 40.0, 40.0, 40.0, 40.0, 1000.0, split=1.0, dividend=0.25)
    stored, _ = after(Stored(), loaded(found, adjusted=True, stated=True))
    assert Action(DAYS[5], "dividend", amount=1.0) in actions(stored)


def test_a_split_that_was_restated_and_is_stated_later_is_one_action() -> None:
    stored, _ = after(Stored(), loaded(stated([50.0] * 20), adjusted=True, stated=True))
    stored, _ = after(stored, loaded(stated([25.0] * 20), adjusted=True, stated=True))
    stored, _ = after(stored, loaded(stated([25.0] * 23, split=2.0, at=20), adjusted=True, stated=True))
    assert actions(stored) == [Action(DAYS[20], "split", ratio=2.0)]
    assert closes(stored) == [50.0] * 20 + [25.0] * 3


def test_a_reading_that_was_wrong_before_is_replaced_by_the_right_one() -> None:
    stored, _ = after(Stored(), loaded(rows([14.0] * 5 + [12.4] * 5, adjusted=[12.3] * 5 + [12.4] * 5)))
    wrong = Stored(stored.bars, [Known(Action(DAYS[5], "split", ratio=8 / 7), "inferred")])
    again, _ = after(wrong, loaded(rows([14.0] * 5 + [12.4] * 5, adjusted=[12.3] * 5 + [12.4] * 5)))
    assert actions(again) == [Action(DAYS[5], "dividend", amount=1.7)]


# What is never traded on


def test_a_row_of_a_hundred_times_the_price_is_left_out_and_reported() -> None:
    found = rows([76.0] * 20)
    found[10] = SourceRow(DAYS[10], 7600, 7674, 7592, 7610, 1000.0, 7610, where="X.csv, line 12")
    stored, intake = after(Stored(), loaded(found))
    assert DAYS[10] not in stored.bars
    assert intake.hold is None
    assert [(one.where, one.message) for one in intake.odd] == [
        ("X.csv, line 12", "close 7610 between rows around 76; the row is left out")
    ]


def test_a_newest_row_of_a_hundred_times_the_price_holds_the_symbol_back_until_the_next() -> None:
    stored, intake = after(Stored(), loaded(rows([76.0] * 20 + [7610.0])))
    assert intake.hold is not None
    assert (intake.hold.since, intake.hold.code) == (DAYS[20], "UNITS")
    assert closes(stored) == [76.0] * 20
    stored, intake = after(stored, loaded(rows([76.0] * 20 + [7610.0, 76.4])))
    assert intake.hold is None
    assert closes(stored) == [76.0] * 20 + [76.4]


def test_one_price_of_a_hundred_times_the_others_is_left_out() -> None:
    found = rows([76.0] * 20)
    found[10] = SourceRow(DAYS[10], 76, 7674, 75, 76.2, 1000.0, 76.2)
    stored, intake = after(Stored(), loaded(found))
    assert DAYS[10] not in stored.bars
    assert len(intake.odd) == 1


def test_pence_that_become_pounds_are_held_back_and_no_loss() -> None:
    stored, intake = after(Stored(), loaded(rows([600.0] * 20 + [6.0] * 20)))
    assert intake.hold is not None
    assert (intake.hold.since, intake.hold.code) == (DAYS[20], "UNITS")
    assert "the close goes from 600" in intake.hold.message
    assert set(closes(stored)) == {600.0}


def test_units_that_changed_long_ago_begin_a_new_history() -> None:
    days = [session.day for session in CALENDAR.sessions(date(2022, 1, 4), date(2024, 6, 28))]
    found = [row(day, 600.0 if index < 100 else 6.0, None) for index, day in enumerate(days)]
    stored, intake = after(Stored(), loaded(found, adjusted=True))
    assert intake.hold is None
    assert next(iter(stored.bars)) == days[100]
    assert "history begins with" in intake.notes[0]


def test_a_step_like_a_split_in_a_file_that_tells_no_splits_is_held_back() -> None:
    found = [row(one.session, one.close) for one in rows([50.0] * 20 + [25.0] * 5)]
    _, intake = after(Stored(), loaded(found))
    assert intake.hold is not None
    assert intake.hold.code == "SPLIT_OR_FALL"


# Days that are not those of the exchange


def test_dates_that_are_a_day_early_hold_the_symbol_back() -> None:
    found = [row(day - timedelta(days=1), 50.0, 50.0) for day in DAYS[:60]]
    _, intake = after(Stored(), loaded(found))
    assert intake.hold is not None
    assert intake.hold.code == "CALENDAR"
    assert "no sessions of XASX" in intake.hold.message
    assert intake.bars == ()


def test_a_file_without_a_friday_in_it_holds_the_symbol_back() -> None:
    _, intake = after(Stored(), loaded([row(day, 50.0, 50.0) for day in DAYS if day.weekday() != 4]))
    assert intake.hold is not None
    assert "there is no Friday" in intake.hold.message


def test_a_few_days_without_a_session_are_passed_over() -> None:
    found = sorted([*rows([50.0] * 60), row(date(2024, 1, 6), 50.0, 50.0)], key=lambda one: one.session)
    _, intake = after(Stored(), loaded(found))
    assert intake.hold is None
