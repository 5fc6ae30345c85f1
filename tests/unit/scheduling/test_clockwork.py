from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from bellwether.market.declared import task_rules
from bellwether.market.sessions import Override, load_calendar
from bellwether.scheduling.clockwork import (
    ASK_AGAIN,
    ASK_SOON,
    asked_again,
    next_due,
    session_actions,
)
from bellwether.spec.tasks import default_tasks

CALENDAR = load_calendar("XNYS")
TASKS = task_rules(default_tasks())
MONDAY = date(2026, 1, 5)
OPEN = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
CLOSE = datetime(2026, 1, 5, 21, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_the_open_is_asked_for_while_the_session_is_under_way_and_the_close_once() -> None:
    (action,) = session_actions(CALENDAR, set(), OPEN, OPEN)
    assert (action.kind, action.session) == ("open", MONDAY)
    (action,) = session_actions(CALENDAR, set(), OPEN, CLOSE)
    assert (action.kind, action.name) == ("close", "session_close-20260105")
    assert session_actions(CALENDAR, {"session_close-20260105"}, OPEN, CLOSE) == []
    (action,) = session_actions(CALENDAR, set(), CLOSE - timedelta(days=3), OPEN - MINUTE)
    assert action.name == "session_close-20260102"


def test_closes_that_were_not_done_come_before_the_open_oldest_first_from_the_last_done_or_the_first_start_on() -> None:
    thursday = OPEN + timedelta(days=3)
    found = session_actions(CALENDAR, {"session_close-20260105"}, OPEN - timedelta(days=30), thursday)
    assert [action.name for action in found] == [
        "session_close-20260106",
        "session_close-20260107",
        "session_open-20260108",
    ]
    found = session_actions(CALENDAR, set(), CLOSE + timedelta(days=1, seconds=1), thursday)
    assert [action.name for action in found] == ["session_close-20260107", "session_open-20260108"]


def test_after_a_long_absence_the_newest_closes_are_caught_up_and_always_the_last() -> None:
    began = OPEN - timedelta(days=300)
    found = session_actions(CALENDAR, set(), began, CLOSE)
    assert (found[0].name, found[-1].name) == ("session_close-20251229", "session_close-20260105")
    long_ago = load_calendar(
        "XNYS", [Override(MONDAY + timedelta(days=number), closed=True) for number in range(1, 12)]
    )
    (action,) = session_actions(long_ago, set(), began, CLOSE + timedelta(days=10))
    assert action.name == "session_close-20260105"


def test_the_next_due_is_the_nearest_of_slots_open_close_and_the_next_look() -> None:
    assert next_due(TASKS, CALENDAR, OPEN - 31 * MINUTE) == OPEN - 30 * MINUTE
    assert next_due(TASKS, CALENDAR, OPEN - MINUTE) == OPEN
    assert next_due(TASKS, CALENDAR, OPEN) == OPEN + ASK_SOON
    assert next_due(TASKS, CALENDAR, CLOSE - MINUTE) == CLOSE
    assert next_due((), CALENDAR, CLOSE) == OPEN + timedelta(days=1)


def test_an_open_is_asked_for_again_within_seconds_and_ever_less_often() -> None:
    for passed, wait in ((0, 5), (30, 5), (60, 6), (600, 60), (3_600, 300), (7_200, 300)):
        now = OPEN + timedelta(seconds=passed)
        assert next_due((), CALENDAR, now) == now + timedelta(seconds=wait)
    assert timedelta(seconds=300) == ASK_AGAIN


def test_a_close_that_waits_for_bars_is_asked_for_again_within_seconds_and_ever_less_often() -> None:
    for passed, wait in ((0, 5), (60, 6), (1_830, 183), (3_600, 300)):
        now = CLOSE + timedelta(seconds=passed)
        assert asked_again(CLOSE, now) == now + timedelta(seconds=wait)


def test_what_a_cluster_fires_is_looked_at_right_after_its_last_useful_instant() -> None:
    # Due and not yet over: the end of what is useful counts, not the instant at which it was due.
    behind = OPEN + timedelta(milliseconds=1)
    assert next_due((), CALENDAR, OPEN - MINUTE, TASKS) == OPEN
    assert next_due((), CALENDAR, OPEN, TASKS) == behind
    assert next_due((), CALENDAR, behind, TASKS) == behind + ASK_SOON
    evening = CLOSE + timedelta(hours=5)
    assert next_due((), CALENDAR, evening, TASKS) == evening + timedelta(milliseconds=1)
