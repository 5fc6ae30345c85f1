from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwether.market.declared import task_rules
from bellwether.market.sessions import load_calendar
from bellwether.market.slots import TaskRule
from bellwether.scheduling.timeline import Step, Timeline, cursor_text, parse_cursor, timeline
from bellwether.spec.tasks import default_tasks

CALENDAR = load_calendar("XNYS")
TASKS = task_rules(default_tasks())
FIRST, LAST = date(2009, 1, 2), date(2009, 1, 6)


def drawn(*tasks: TaskRule) -> Timeline:
    return timeline(tasks or TASKS, CALENDAR, FIRST, LAST)


def steps(line: Timeline) -> list[Step]:
    return [line[index] for index in range(len(line))]


def test_a_day_goes_from_the_morning_s_slots_over_open_and_close_to_the_evening() -> None:
    first_day = [step.name for step in steps(drawn())[:5]]
    assert first_day == [
        "morning_analysis-20090102",
        "prediction_generation-20090102",
        "session_open-20090102",
        "session_close-20090102",
        "evening_analysis-20090102",
    ]
    assert drawn().sessions == (date(2009, 1, 2), date(2009, 1, 5), date(2009, 1, 6))
    assert len(drawn()) == 15


def test_steps_are_in_order_of_time_and_no_key_comes_twice() -> None:
    keys = [step.key for step in steps(drawn())]
    assert keys == sorted(set(keys))


def test_at_the_same_instant_the_session_closes_and_opens_before_slots_in_declared_order() -> None:
    line = drawn(
        TaskRule("late", "close"), TaskRule("early", "close"), TaskRule("starts", "open"), TaskRule("ten", "open")
    )
    names = [step.name.removesuffix("-20090102") for step in steps(line) if step.session == FIRST]
    assert names == ["session_open", "starts", "ten", "session_close", "late", "early"]


def test_slots_of_other_days_are_where_their_time_is() -> None:
    line = drawn(TaskRule("next_day", "close", timedelta(hours=20)), TaskRule("noon", "time", at=time(12, 0)))
    names = [step.name for step in steps(line)]
    assert names.index("next_day-20090105") > names.index("session_open-20090106")
    assert names[-1] == "next_day-20090106"


def test_a_half_day_s_close_moves_what_hangs_on_it() -> None:
    line = timeline(TASKS, CALENDAR, date(2009, 11, 27), date(2009, 11, 27))
    assert line[-2].at == datetime(2009, 11, 27, 18, 0, tzinfo=UTC)
    assert line[-1].at == datetime(2009, 11, 27, 19, 0, tzinfo=UTC)


@given(st.integers(0, 15))
def test_behind_a_cursor_comes_the_next_step(done: int) -> None:
    line = drawn()
    cursor = line[done - 1].key if done else None
    assert line.after(cursor) == done
    if cursor is not None:
        assert parse_cursor(cursor_text(cursor)) == cursor


def test_a_cursor_whose_step_is_gone_goes_on_behind_its_instant() -> None:
    cursor = next(step.key for step in steps(drawn()) if step.name == "prediction_generation-20090105")
    other = drawn(TASKS[2])
    assert other[other.after(cursor)].name == "session_open-20090105"
    assert other.sessions_closed(other.after(cursor)) == 1


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two tasks have the same name"):
        drawn(TASKS[0], TASKS[0])


@pytest.mark.parametrize("text", ["", "1 2 3", "yesterday 0 0 20090102"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cursor|Invalid isoformat"):
        parse_cursor(text)
