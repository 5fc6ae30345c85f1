"""Slots: what is due when, by which name, through clock changes and overrides."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwether.market.sessions import Calendar, OutsideCalendar, Override, load_calendar, wall_clock
from bellwether.market.slots import (
    Slot,
    TaskRule,
    due_from_job_name,
    parse_slot_name,
    slot_due_at,
    slot_named,
    slots,
)

SYDNEY = ZoneInfo("Australia/Sydney")
NEW_YORK = ZoneInfo("America/New_York")
MORNING = TaskRule("morning_analysis", "open", timedelta(minutes=-30), useful_for=timedelta(minutes=15))
BATCH = TaskRule("prediction_generation", "open", timedelta(minutes=-15))
EVENING = TaskRule("evening_analysis", "close", timedelta(hours=1), useful_for=timedelta(hours=4))
NOON = TaskRule("noon", "time", at=time(12, 0))
DAY = [MORNING, BATCH, EVENING]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_trading_day_has_its_three_tasks_in_order_of_time() -> None:
    found = slots([EVENING, BATCH, MORNING], load_calendar("XNYS"), instant("2009-01-02"), instant("2009-01-03"))
    assert found == [
        Slot("morning_analysis", date(2009, 1, 2), instant("2009-01-02T14:00"), instant("2009-01-02T14:15")),
        Slot("prediction_generation", date(2009, 1, 2), instant("2009-01-02T14:15"), instant("2009-01-02T14:30")),
        Slot("evening_analysis", date(2009, 1, 2), instant("2009-01-02T22:00"), instant("2009-01-03T02:00")),
    ]


def test_work_after_the_close_comes_earlier_on_a_half_day() -> None:
    found = slots([EVENING], load_calendar("XASX"), instant("2026-12-24"), instant("2026-12-25"))
    assert [slot.due.astimezone(SYDNEY).time() for slot in found] == [time(15, 10)]


def test_no_slot_on_a_holiday_and_one_more_on_an_extra_session() -> None:
    start, end = instant("2026-12-24T12:00"), instant("2026-12-28")
    assert slots([NOON], load_calendar("XASX"), start, end) == []
    extra = load_calendar("XASX", [Override(date(2026, 12, 26), open=time(10), close=time(14))])
    assert [slot.name for slot in slots([NOON], extra, start, end)] == ["noon-20261226"]


def test_the_interval_includes_its_start_and_excludes_its_end() -> None:
    calendar, due = load_calendar("XNYS"), instant("2009-01-02T14:00")
    second = timedelta(seconds=1)
    assert len(slots([MORNING], calendar, due, due + second)) == 1
    assert slots([MORNING], calendar, due - second, due) == []
    assert slots([MORNING], calendar, due + second, due + 2 * second) == []
    assert slots([MORNING], calendar, due, due) == []


def test_slots_of_one_instant_come_in_the_tasks_order() -> None:
    twin = TaskRule("another", "open", timedelta(minutes=-30))
    found = slots([twin, MORNING], load_calendar("XNYS"), instant("2009-01-02"), instant("2009-01-03"))
    assert [slot.task for slot in found] == ["another", "morning_analysis"]


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two tasks are named noon"):
        slots([NOON, NOON], load_calendar("XASX"), instant("2026-01-01"), instant("2026-01-02"))


def test_an_interval_outside_of_the_table_is_refused() -> None:
    with pytest.raises(OutsideCalendar, match="2041"):
        slots([NOON], load_calendar("XASX"), instant("2040-12-30"), instant("2041-01-03"))


def test_the_first_and_last_slots_of_the_table_are_found() -> None:
    calendar = load_calendar("XASX")
    found = slots([NOON], calendar, instant("1990-01-01"), instant("2040-12-31T05:00"))
    assert found[0].name == "noon-19900102"
    assert found[-1].name == "noon-20401231"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"anchor": "time"}, "goes with anchor time"),
        ({"anchor": "open", "at": time(9)}, "goes with anchor time"),
        ({"anchor": "time", "at": time(9), "offset": timedelta(1)}, "takes no offset"),
        ({"anchor": "open", "offset": timedelta(days=8)}, "longer than 7 days"),
        ({"anchor": "open", "useful_for": timedelta(-1)}, "cannot be negative"),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(rule: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TaskRule("custom", **rule)  # type: ignore[arg-type]


def test_a_time_in_the_gap_is_due_at_the_first_instant_after_it() -> None:
    # Sydney's clocks went from 02:00 to 03:00 on 2026-10-04; New York's on 2026-03-08.
    assert wall_clock(date(2026, 10, 4), time(2, 30), SYDNEY).astimezone(SYDNEY).time() == time(3, 0)
    assert wall_clock(date(2026, 10, 4), time(2, 0), SYDNEY).astimezone(SYDNEY).time() == time(3, 0)
    assert wall_clock(date(2026, 10, 4), time(3, 0), SYDNEY).astimezone(SYDNEY).time() == time(3, 0)
    assert wall_clock(date(2026, 3, 8), time(2, 59), NEW_YORK) == instant("2026-03-08T07:00")


def test_a_time_in_the_fold_is_due_at_the_first_of_the_two() -> None:
    # Sydney's clocks went from 03:00 back to 02:00 on 2026-04-05, at 16:00 UTC the day before.
    assert wall_clock(date(2026, 4, 5), time(2, 30), SYDNEY) == instant("2026-04-04T15:30")
    assert wall_clock(date(2026, 4, 5), time(3, 0), SYDNEY) == instant("2026-04-04T17:00")


def test_an_odd_gap_of_half_an_hour() -> None:
    # Lord Howe Island goes forward by half an hour only.
    zone = ZoneInfo("Australia/Lord_Howe")
    assert wall_clock(date(2026, 10, 4), time(2, 15), zone).astimezone(zone).time() == time(2, 30)


def test_a_slot_is_found_again_by_its_name() -> None:
    calendar = load_calendar("XNYS")
    (slot,) = slots([MORNING], calendar, instant("2009-01-02"), instant("2009-01-03"))
    assert parse_slot_name(slot.name) == ("morning_analysis", date(2009, 1, 2))
    assert slot_named(slot.name, DAY, calendar) == slot
    assert slot_named("morning_analysis-20090101", DAY, calendar) is None
    assert slot_named("no_such_task-20090102", DAY, calendar) is None


@pytest.mark.parametrize("name", ["", "morning", "morning-2009", "morning-20091301", "-20090102", "UP-20090102"])
def test_what_is_not_the_name_of_a_slot_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a slot"):
        parse_slot_name(name)


def test_a_slot_is_found_again_by_the_minutes_in_a_jobs_name() -> None:
    calendar = load_calendar("XNYS")
    (slot,) = slots([MORNING], calendar, instant("2009-01-02"), instant("2009-01-03"))
    minute = due_from_job_name(f"asx-morning-2009-01-{slot.epoch_minutes}")
    assert minute == slot.due
    assert slot_due_at("morning_analysis", minute, DAY, calendar) == slot
    assert slot_due_at("morning_analysis", minute + timedelta(minutes=1), DAY, calendar) is None
    assert slot_due_at("evening_analysis", minute, DAY, calendar) is None
    with pytest.raises(ValueError, match="must end in"):
        due_from_job_name("asx-morning")


OFFSETS = st.integers(-3 * 24 * 60, 3 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes))
RULES = st.one_of(
    st.builds(TaskRule, st.just("task"), st.sampled_from(["open", "close"]), OFFSETS),
    st.builds(TaskRule, st.just("task"), st.just("time"), at=st.times().map(lambda at: at.replace(microsecond=0))),
)
STARTS = st.datetimes(datetime(2000, 1, 8), datetime(2040, 12, 1), timezones=st.just(UTC))  # noqa: DTZ001


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["XASX", "XNYS", "XHKG"]).map(load_calendar), RULES, STARTS, st.integers(0, 20 * 24 * 60))
def test_cutting_an_interval_in_two_neither_loses_nor_repeats_a_slot(
    calendar: Calendar, rule: TaskRule, start: datetime, minutes: int
) -> None:
    end = start + timedelta(days=20)
    cut = start + timedelta(minutes=minutes)
    whole = slots([rule], calendar, start, end)
    assert slots([rule], calendar, start, cut) + slots([rule], calendar, cut, end) == whole
    assert all(count == 1 for count in Counter(slot.name for slot in whole).values())


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["XASX", "XNYS", "XHKG"]).map(load_calendar), RULES, STARTS)
def test_every_session_has_exactly_one_slot_of_a_task_and_it_can_be_named(
    calendar: Calendar, rule: TaskRule, start: datetime
) -> None:
    first, last = start.date(), start.date() + timedelta(days=15)
    margin = timedelta(days=6)
    found = slots([rule], calendar, start - margin, start + timedelta(days=15) + margin)
    days = [slot.session for slot in found if first <= slot.session <= last]
    assert sorted(days) == [session.day for session in calendar.sessions(first, last)]
    assert all(slot_named(slot.name, [rule], calendar) == slot for slot in found)
