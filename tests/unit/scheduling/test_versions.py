"""Which slots were to be done by the versions of a declaration, and what of them is due."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import msgspec
import pytest

from bellwether.market.declared import task_rules
from bellwether.market.sessions import Override
from bellwether.market.slots import TaskRule
from bellwether.scheduling.claims import DONE
from bellwether.scheduling.declarations import Timing, Version, due_slots, next_version
from bellwether.scheduling.jobs import ScheduledJob
from bellwether.spec.tasks import default_tasks

MORNING, PREDICTIONS, EVENING = TASKS = tuple(task_rules(default_tasks()))
TIMING = Timing("XNYS", (), TASKS)
MONDAY = date(2026, 1, 5)
OPEN = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
CLOSE = datetime(2026, 1, 5, 21, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LONG_AGO = OPEN - timedelta(days=300)
NAMES = {task.name: f"{task.name}-20260105" for task in TASKS}


def versions(*said: tuple[datetime, Timing]) -> list[Version]:
    """Return the versions of a declaration that said this from then on."""
    found: list[Version] = []
    for at, timing in said:
        found.append(next_version(found[-1] if found else None, timing, at))
    return found


def tasks(*rules: TaskRule) -> Timing:
    return Timing("XNYS", (), rules)


def due(
    known: list[Version], now: datetime, done: Any = (), since: datetime = OPEN - 2 * HOUR
) -> list[tuple[str, str]]:
    over = done if isinstance(done, dict) else dict.fromkeys(done, DONE)
    return [(action.kind, action.name) for action in due_slots(known, over, since, now)]


ALL_ALONG = versions((LONG_AGO, TIMING))


def test_a_due_slot_is_run_while_useful_and_missed_afterwards() -> None:
    assert due(ALL_ALONG, OPEN - 10 * MINUTE) == [
        ("missed", "morning_analysis-20260105"),
        ("run", "prediction_generation-20260105"),
    ]


def test_what_is_done_is_not_due_again_and_nothing_is_due_before_its_time() -> None:
    assert due(ALL_ALONG, OPEN - 31 * MINUTE) == []
    assert due(ALL_ALONG, OPEN - 30 * MINUTE, {"morning_analysis-20260105"}) == []


def test_nothing_is_due_on_a_closed_day() -> None:
    holiday = datetime(2026, 1, 1, tzinfo=UTC)
    assert due(ALL_ALONG, holiday + timedelta(days=1), since=holiday) == []


def test_a_slot_is_missed_right_after_its_last_useful_instant() -> None:
    done = {"morning_analysis-20260105"}
    assert due(ALL_ALONG, OPEN, done) == [("run", "prediction_generation-20260105")]
    assert due(ALL_ALONG, OPEN + timedelta(milliseconds=1), done) == [("missed", "prediction_generation-20260105")]


def test_slots_count_from_when_their_task_was_there() -> None:
    known = versions(
        (LONG_AGO, tasks()),
        (OPEN - 30 * MINUTE, tasks(MORNING)),
        (OPEN - 14 * MINUTE, tasks(MORNING, PREDICTIONS)),
    )
    since, now = OPEN - timedelta(days=9), OPEN - 10 * MINUTE
    assert due(known, now, since=since) == [("missed", "morning_analysis-20260105")]
    assert len(due(ALL_ALONG, now, since=since)) > 1


def test_a_session_that_an_override_gave_is_to_be_done_as_far_as_its_slots_are_still_of_use() -> None:
    closed = msgspec.structs.replace(TIMING, overrides=(Override(MONDAY, closed=True),))
    just_too_late = OPEN - 15 * MINUTE + timedelta(microseconds=1)
    known = versions((LONG_AGO, closed), (just_too_late, TIMING))
    assert due(known, OPEN) == [("run", "prediction_generation-20260105")]
    known = versions((LONG_AGO, closed), (OPEN - 15 * MINUTE, TIMING))
    assert len(due(known, OPEN)) == 2


def test_a_task_is_at_another_instant_by_anchor_offset_time_and_calendar_and_not_by_its_use() -> None:
    rule, noon = TaskRule("mine", "open"), TaskRule("mine", "time", at=time(12))
    others = [replace(rule, anchor="close"), replace(rule, offset=MINUTE), noon]
    for before, after in [(rule, other) for other in others] + [(noon, replace(noon, at=time(12, 1)))]:
        assert versions((LONG_AGO, tasks(before)), (OPEN, tasks(after)))[-1].since_by_task == {"mine": OPEN}
    elsewhere = Timing("XASX", (), (rule,))
    assert versions((LONG_AGO, tasks(rule)), (OPEN, elsewhere))[-1].since_by_task == {"mine": OPEN}
    longer = replace(rule, useful_for=HOUR)
    assert versions((LONG_AGO, tasks(rule)), (OPEN, tasks(longer)))[-1].since_by_task == {"mine": LONG_AGO}


@pytest.mark.parametrize(
    "later",
    [tasks(), tasks(replace(MORNING, offset=-HOUR)), Timing("XNYS", (Override(MONDAY, closed=True),), (MORNING,))],
    ids=["removed", "moved to before", "of a day that is closed"],
)
def test_what_was_missed_before_an_edit_stays_missed_whenever_that_is_looked_at(later: Timing) -> None:
    known = versions((LONG_AGO, tasks(MORNING)), (CLOSE, later))
    assert due(known, CLOSE + 9 * HOUR) == [("missed", "morning_analysis-20260105")]


def test_a_slot_that_was_still_of_use_when_its_task_was_moved_is_due_at_the_new_instant_only() -> None:
    known = versions((LONG_AGO, tasks(MORNING)), (OPEN - 20 * MINUTE, tasks(replace(MORNING, offset=HOUR))))
    assert due(known, OPEN) == []
    assert due(known, OPEN + HOUR) == [("run", "morning_analysis-20260105")]


def test_a_slot_that_was_missed_and_moved_to_later_is_due_again_and_one_that_was_done_is_not() -> None:
    known = versions((LONG_AGO, tasks(MORNING)), (OPEN, tasks(replace(MORNING, offset=HOUR))))
    missed, done = {NAMES["morning_analysis"]: OPEN - 30 * MINUTE}, [NAMES["morning_analysis"]]
    assert due(known, OPEN + MINUTE, missed) == []
    assert due(known, OPEN + HOUR, missed) == [("run", "morning_analysis-20260105")]
    assert due(known, OPEN + HOUR, done) == []


def test_a_use_that_an_edit_shortens_to_before_it_is_missed() -> None:
    known = versions((LONG_AGO, tasks(EVENING)), (CLOSE + 2 * HOUR, tasks(replace(EVENING, useful_for=MINUTE))))
    assert due(known, CLOSE + 2 * HOUR) == [("missed", "evening_analysis-20260105")]


def test_a_job_counts_from_when_it_was_asked_for_until_a_task_takes_its_name() -> None:
    job = ScheduledJob(TaskRule("mine", "open"), "custom", {}, OPEN)
    declared = versions((LONG_AGO, tasks()), (OPEN + HOUR, tasks(TaskRule("mine", "close"))))
    known = [version.with_jobs([job]) for version in declared]
    assert due(known[:1], OPEN) == [("run", "mine-20260105")]
    assert due(known, OPEN + HOUR) == [("missed", "mine-20260105")]
    asked_late = job._replace(created_at=OPEN + MINUTE)
    assert due([declared[0].with_jobs([asked_late])], OPEN + MINUTE) == []


def test_a_version_is_kept_in_a_form_that_is_read_back() -> None:
    noon = TaskRule("noon", "time", at=time(12), useful_for=90 * MINUTE)
    timing = Timing("XNYS", (Override(MONDAY, open=time(11)), Override(date(2026, 1, 6), closed=True)), (*TASKS, noon))
    assert msgspec.json.decode(msgspec.json.encode(timing), type=Timing) == timing
