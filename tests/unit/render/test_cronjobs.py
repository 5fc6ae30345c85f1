"""CronJobs: whole months, one per task and time of day, and nothing on a day on which nothing is due."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from bellwether.render.kubernetes import Manifest, RenderContext, render
from bellwether.render.kubernetes.context import Month, Period, period_of
from bellwether.render.kubernetes.cronjobs import cron_jobs

from .conftest import build

LIVE: dict[str, Any] = {"data": {"provider": "yahoo"}, "clock": {"mode": "live"}}
MORNING = {"name": "morning_analysis", "anchor": "open", "offset": "-30m"}
EVENING = {"name": "evening_analysis", "anchor": "close", "offset": "1h", "usefulUntil": "4h"}
NIGHT = {"name": "night", "anchor": "time", "time": "02:30"}


def found(context: RenderContext, *months: tuple[int, int], name: str = "demo", **spec: Any) -> dict[str, Manifest]:
    """Return the spec of each CronJob of these months, by name."""
    period = Period(months=tuple(Month(*month) for month in months))
    system = build(**LIVE, **spec)
    system = system.model_copy(update={"metadata": system.metadata.model_copy(update={"name": name})})
    jobs = cron_jobs(system, RenderContext(context.image, context.keyring, period=period))
    names = [job["metadata"]["name"] for job in jobs]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 52 for name in names)
    return {job["metadata"]["name"]: job["spec"] for job in jobs}


def schedules(specs: dict[str, Manifest]) -> dict[str, str]:
    return {name: spec["schedule"] for name, spec in specs.items()}


def test_a_month_is_one_cron_job_per_task_and_time_of_day(context: RenderContext) -> None:
    jobs = found(context, (2026, 12), tasks=[MORNING, EVENING])
    assert schedules(jobs) == {
        # A half day's close comes earlier, and so does what follows it.
        "demo-evening-analysis-202612-1510": "10 15 24,31 12 *",
        "demo-evening-analysis-202612-1700": "0 17 1,2,3,4,7,8,9,10,11,14,15,16,17,18,21,22,23,29,30 12 *",
        "demo-morning-analysis-202612-0930": "30 9 1,2,3,4,7,8,9,10,11,14,15,16,17,18,21,22,23,24,29,30,31 12 *",
    }
    assert {spec["timeZone"] for spec in jobs.values()} == {"Australia/Sydney"}


def test_what_a_cron_job_says_besides_its_days(context: RenderContext) -> None:
    (spec,) = found(context, (2026, 11), tasks=[EVENING]).values()
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] == 4 * 3600
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (1, 1)
    assert spec["suspend"] is False, "said, so that one suspended by hand is drift"


def test_a_short_use_still_leaves_the_controller_time_to_look(context: RenderContext) -> None:
    (spec,) = found(context, (2026, 11), tasks=[{**MORNING, "usefulUntil": "5s"}]).values()
    assert spec["startingDeadlineSeconds"] == 30


def test_a_task_that_is_due_within_a_minute_is_fired_at_its_beginning(context: RenderContext) -> None:
    (job,) = found(context, (2026, 11), tasks=[{**MORNING, "offset": "-29m15s"}]).items()
    assert job[0].endswith("-0930")
    assert job[1]["startingDeadlineSeconds"] == 15 * 60 + 45
    assert job[1]["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 15 * 60 + 45 + 120 + 60


def test_a_slot_belongs_to_the_month_in_which_it_is_due_not_to_its_sessions(context: RenderContext) -> None:
    late = {"name": "late", "anchor": "close", "offset": "20h"}
    jobs = schedules(found(context, (2026, 6), tasks=[late]))
    # Friday the 29th of May is still due in May, Tuesday the 30th of June in July; the 8th of June is a holiday.
    assert jobs == {"demo-late-202606-1200": "0 12 2,3,4,5,6,10,11,12,13,16,17,18,19,20,23,24,25,26,27,30 6 *"}


def test_a_time_that_the_clocks_show_twice_has_a_cron_job_of_its_own_in_utc(context: RenderContext) -> None:
    extra = [{"date": "2026-04-05", "open": "10:00", "close": "12:00"}]
    jobs = found(context, (2026, 4), tasks=[NIGHT], market={"overrides": extra})
    utc = jobs.pop("demo-night-202604-1530-utc")
    assert (utc["schedule"], utc["timeZone"]) == ("30 15 4 4 *", "Etc/UTC")
    (usual,) = jobs.values()
    assert usual["schedule"].startswith("30 2 1,2,7,8,")


def test_the_month_of_a_time_in_utc_can_be_the_one_before(context: RenderContext) -> None:
    extra = [{"date": "2029-04-01", "open": "10:00", "close": "12:00"}]
    jobs = found(context, (2029, 4), tasks=[NIGHT], market={"overrides": extra})
    assert jobs["demo-night-202903-1530-utc"]["schedule"] == "30 15 31 3 *"
    assert not any(name.endswith("-utc") for name in found(context, (2029, 3), tasks=[NIGHT]))


def test_a_time_that_the_clocks_leave_out_is_fired_when_they_show_the_next(context: RenderContext) -> None:
    extra = [{"date": "2026-10-04", "open": "10:00", "close": "12:00"}]
    jobs = schedules(found(context, (2026, 10), tasks=[NIGHT], market={"overrides": extra}))
    assert jobs["demo-night-202610-0300"] == "0 3 4 10 *"
    assert "4" not in jobs["demo-night-202610-0230"].split()[2].split(",")


def test_an_override_changes_its_own_month_only(context: RenderContext) -> None:
    plain = found(context, (2026, 11), (2026, 12), tasks=[MORNING])
    closed = found(
        context,
        (2026, 11),
        (2026, 12),
        tasks=[MORNING],
        market={"overrides": [{"date": "2026-12-02", "closed": True}]},
    )
    assert closed["demo-morning-analysis-202611-0930"] == plain["demo-morning-analysis-202611-0930"]
    assert closed["demo-morning-analysis-202612-0930"]["schedule"].startswith("30 9 1,3,4,")


def test_a_months_schedule_stays_as_it_is_while_time_goes_on(context: RenderContext) -> None:
    system = build(**LIVE)
    seen: dict[str, Manifest] = {}
    for day in range(1, 29):
        period = period_of(system.spec, datetime(2026, 11, day, tzinfo=UTC))
        for job in cron_jobs(system, RenderContext(context.image, context.keyring, period=period)):
            assert seen.setdefault(job["metadata"]["name"], job) == job
    months = {name.split("-")[-2] for name in seen}
    assert months == {"202611", "202612", "202701"}


def test_long_names_are_cut_and_stay_apart(context: RenderContext) -> None:
    names = ["a_very_long_task_name_xy", "a_very_long_task_name_xz", "a_very_long_task_name_x", "short"]
    tasks = [{"name": name, "anchor": "open"} for name in names]
    jobs = found(context, (2026, 11), name="s" * 20, tasks=tasks)
    assert len(jobs) == len(names)
    assert "s" * 20 + "-short-202611-1000" in jobs
    for name, spec in jobs.items():
        assert name.startswith("s" * 20 + "-")
        assert spec["jobTemplate"]["metadata"]["labels"]["bellwether.dev/task"] in names


def test_a_month_that_the_calendar_does_not_reach_has_none_and_its_last_is_whole(context: RenderContext) -> None:
    jobs = found(context, (2040, 12), (2041, 1), tasks=[MORNING])
    (schedule,) = schedules(jobs).values()
    assert schedule.endswith("31 12 *")
    assert found(context, (2041, 2), tasks=[MORNING]) == {}
    first = found(context, (1990, 1), (1989, 12), tasks=[MORNING])
    assert schedules(first)["demo-morning-analysis-199001-0930"].startswith("30 9 2,3,")


def test_a_replay_and_a_system_without_tasks_have_none(context: RenderContext) -> None:
    period = period_of(build().spec, datetime(2026, 11, 22, tzinfo=UTC))
    assert cron_jobs(build(), RenderContext(context.image, context.keyring, period=period)) == []
    assert found(context, (2026, 11), tasks=[]) == {}


@pytest.mark.parametrize("profile", ["compact", "standard"])
def test_they_are_rendered_behind_everything_that_their_jobs_need(context: RenderContext, profile: str) -> None:
    system = build(profile=profile, **LIVE)
    period = period_of(system.spec, datetime(2026, 11, 22, tzinfo=UTC))
    kinds = [each["kind"] for each in render(system, RenderContext(context.image, context.keyring, period=period))]
    first = kinds.index("CronJob")
    assert set(kinds[first:]) == {"CronJob"}
    assert period.months[0] == (date(2026, 11, 22).year, 11)
