"""Which due slots get a Job from the operator, and what is reported of each task."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwether.market.declared import slots_of
from bellwether.spec.models import TradingSystemSpec
from bellwether_operator.catching_up import GRACE, Claims, DueWork, StartedJob, due_work, reported
from bellwether_operator.report.observation import TaskRow

# 2026-11-23 is a Monday; Sydney opens at 23:00 UTC of the day before.
DUE = datetime(2026, 11, 22, 22, 45, tzinfo=UTC)
SLOT = "prediction_generation-20261123"
LONG_AGO = DUE - timedelta(days=30)
SPEC = TradingSystemSpec.model_validate(
    {
        "tasks": [
            {"name": "prediction_generation", "anchor": "open", "offset": "-15m", "usefulUntil": "15m"},
            {"name": "evening_analysis", "anchor": "close", "offset": "1h", "usefulUntil": "4h"},
        ]
    }
)


def look(
    now: datetime,
    states: Mapping[str, str] | None = None,
    jobs: tuple[StartedJob, ...] = (),
    before: Mapping[str, TaskRow] | None = None,
    began: datetime = DUE - timedelta(hours=1),
) -> DueWork:
    claims = None if states is None else Claims(now, LONG_AGO, states)
    return due_work(SPEC, began=began, claims=claims, jobs=jobs, before=before or {}, now=now)


def started(found: DueWork) -> list[str]:
    return [slot.name for slot in found.start]


def times(found: DueWork, task: str = "prediction_generation") -> TaskRow:
    return next(each for each in found.tasks if each.name == task)


def test_a_due_slot_that_nobody_started_gets_a_job_once_its_cron_job_had_its_time() -> None:
    assert started(look(DUE + GRACE - timedelta(seconds=1), {})) == []
    assert started(look(DUE + GRACE, {})) == [SLOT]


def test_a_slot_is_started_also_while_the_scheduler_says_nothing() -> None:
    assert started(look(DUE + GRACE, None)) == [SLOT]


@pytest.mark.parametrize("state", ["running", "completed", "missed"])
def test_a_claimed_slot_is_left_alone(state: str) -> None:
    assert started(look(DUE + GRACE, {SLOT: state})) == []


def test_a_failed_slot_is_started_again() -> None:
    assert started(look(DUE + GRACE, {SLOT: "failed"})) == [SLOT]


def test_a_slot_past_its_use_is_missed_and_not_started() -> None:
    late = DUE + timedelta(minutes=15, seconds=6)
    found = look(late, {})
    assert started(found) == []
    assert times(found).missed == DUE


def test_a_slot_is_not_called_missed_by_an_older_word() -> None:
    late = DUE + timedelta(minutes=16)
    claims = Claims(DUE + timedelta(minutes=14), LONG_AGO, {})
    found = due_work(SPEC, began=LONG_AGO, claims=claims, jobs=(), before={}, now=late)
    assert times(found).missed != DUE


def test_the_job_of_a_cron_job_stands_for_its_slot_unless_it_failed() -> None:
    job = StartedJob("prediction_generation", None, DUE)
    assert started(look(DUE + GRACE, {}, (job,))) == []
    failed = StartedJob("prediction_generation", None, DUE, failed=True)
    assert started(look(DUE + GRACE, {}, (failed,))) == [SLOT]


def test_a_job_that_ended_without_a_claim_stands_for_nothing() -> None:
    """It asked a scheduler that did not have the declaration yet, and was answered that there is no such slot."""
    now = DUE + timedelta(minutes=3)
    job = StartedJob("prediction_generation", None, DUE, ended=DUE + timedelta(seconds=20))
    assert started(look(now, {}, (job,))) == [SLOT]
    claims = Claims(DUE + timedelta(seconds=10), LONG_AGO, {})
    found = due_work(SPEC, began=DUE - timedelta(hours=1), claims=claims, jobs=(job,), before={}, now=now)
    assert started(found) == []


def test_a_job_of_another_minute_or_task_stands_for_nothing() -> None:
    others = (
        StartedJob("prediction_generation", None, DUE - timedelta(days=3)),
        StartedJob("evening_analysis", None, DUE),
        StartedJob("prediction_generation", "prediction_generation-20261120", None),
    )
    assert started(look(DUE + GRACE, {}, others)) == [SLOT]


def test_a_job_that_bears_the_slots_name_is_not_repeated_even_when_it_failed() -> None:
    job = StartedJob("prediction_generation", SLOT, None, failed=True)
    assert started(look(DUE + GRACE, {}, (job,))) == []


def test_what_was_due_before_the_system_was_there_is_not_its_affair() -> None:
    found = look(DUE + GRACE, {}, began=DUE + timedelta(seconds=1))
    assert started(found) == []
    assert times(found).missed is None


def test_what_was_due_before_the_scheduler_first_started_is_not_its_affair() -> None:
    claims = Claims(DUE + GRACE, DUE + timedelta(seconds=1), {})
    found = due_work(SPEC, began=LONG_AGO, claims=claims, jobs=(), before={}, now=DUE + GRACE)
    assert started(found) == []


def test_a_task_that_was_declared_after_a_slot_was_due_has_not_missed_it() -> None:
    now = DUE + timedelta(minutes=16)
    known = {"prediction_generation": DUE + timedelta(seconds=1), "evening_analysis": LONG_AGO}
    found = due_work(SPEC, began=LONG_AGO, claims=Claims(now, LONG_AGO, {}, known), jobs=(), before={}, now=now)
    assert times(found).missed is None
    assert times(found, "evening_analysis").missed is not None


def test_a_session_that_an_override_gave_too_late_for_a_slot_has_not_missed_it() -> None:
    """An override that comes while a slot is still of use leaves it to be done; one that comes later does not."""
    began, over, day = DUE - timedelta(hours=1), DUE + timedelta(minutes=15), DUE.date() + timedelta(days=1)
    for since, missed in ((over, DUE), (over + timedelta(microseconds=1), None)):
        claims = Claims(over + timedelta(hours=1), LONG_AGO, {}, since_by_session={day: since})
        assert times(due_work(SPEC, began=began, claims=claims, jobs=(), before={}, now=claims.at)).missed == missed
    claims = Claims(DUE + GRACE, LONG_AGO, {}, since_by_session={day: DUE + GRACE})
    assert started(due_work(SPEC, began=began, claims=claims, jobs=(), before={}, now=claims.at)) == [SLOT]


def test_a_task_that_the_scheduler_does_not_know_yet_is_neither_started_nor_missed() -> None:
    now = DUE + GRACE
    claims = Claims(now, LONG_AGO, {}, {"evening_analysis": LONG_AGO})
    found = due_work(SPEC, began=DUE - timedelta(hours=1), claims=claims, jobs=(), before={}, now=now)
    assert started(found) == []


def test_a_task_says_when_it_is_next_and_was_last_done() -> None:
    found = times(look(DUE + timedelta(minutes=1), {SLOT: "completed"}))
    assert found == TaskRow("prediction_generation", next=DUE + timedelta(days=1), last=DUE)


def test_what_was_reported_stays_while_nothing_newer_is_known() -> None:
    known = TaskRow("prediction_generation", None, DUE - timedelta(days=3), DUE - timedelta(days=4))
    found = times(look(DUE - timedelta(minutes=5), None, before={known.name: known}))
    assert (found.last, found.missed) == (known.last, known.missed)


def test_over_a_weekend_the_next_slot_is_on_monday() -> None:
    friday = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
    assert times(look(friday, {})).next == datetime(2026, 11, 29, 22, 45, tzinfo=UTC)


def test_it_is_looked_again_when_a_cron_job_had_its_time_and_when_the_use_is_over() -> None:
    assert look(DUE - timedelta(minutes=1), {}).next_due == DUE
    assert look(DUE, {}).next_due == DUE + GRACE
    after = look(DUE + GRACE, {}).next_due
    assert after is not None
    assert DUE + timedelta(minutes=15) < after < DUE + timedelta(minutes=16)


def test_a_replay_has_no_slots() -> None:
    replay = TradingSystemSpec.model_validate(
        {"data": {"provider": "replay"}, "clock": {"mode": "replay", "from": "2009-01-02"}}
    )
    assert due_work(replay, began=LONG_AGO, claims=None, jobs=(), before={}, now=DUE + GRACE) == DueWork()


def test_what_a_status_said_is_read_back() -> None:
    rows = [{"name": "noon", "last": "2026-11-20T01:00:00Z"}]
    assert reported(rows) == {"noon": TaskRow("noon", last=datetime(2026, 11, 20, 1, tzinfo=UTC))}


@given(
    offset=st.integers(min_value=0, max_value=20 * 24 * 60),
    states=st.dictionaries(
        st.sampled_from([slot.name for slot in slots_of(SPEC, DUE - timedelta(days=10), DUE + timedelta(days=25))]),
        st.sampled_from(["running", "completed", "failed", "missed"]),
    ),
)
def test_only_useful_slots_without_a_claim_are_started(offset: int, states: dict[str, str]) -> None:
    now = DUE + timedelta(minutes=offset)
    found = look(now, states, began=LONG_AGO)
    assert len({slot.name for slot in found.start}) == len(found.start)
    for slot in found.start:
        assert slot.due + GRACE <= now <= slot.useful_until
        assert states.get(slot.name) in {None, "failed"}
    assert found.next_due is None or found.next_due > now
