"""Jobs that somebody scheduled at a live scheduler beside the declared tasks, and runs asked for now."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bellwether.messages.scheduling import Job, StoppedJobs
from bellwether.runtime.errors import RpcError
from bellwether.spec.tasks import Task, default_tasks
from harness.until import DEADLINE, until
from integration.scheduling.live import CLOSE, MINUTE, OPEN, Live

pytestmark = pytest.mark.integration


async def test_a_scheduled_job_runs_at_its_time_until_all_are_stopped(scheduler: Live) -> None:
    request = {"job_id": "mine", "job_type": "custom", "params": {"anchor": "open", "offset": "5m"}}
    made: Job = await scheduler.system.call("scheduler", "schedule_market_aware_job", request, Job)
    assert made.next_run == OPEN + 5 * MINUTE
    await scheduler.at(OPEN + 5 * MINUTE)
    assert (await scheduler.jobs())["mine-20260105"] == "completed"
    at_once = await scheduler.job("mine")
    assert at_once.status == "completed"
    stopped: StoppedJobs = await scheduler.system.call("scheduler", "stop_all_jobs", {}, StoppedJobs)
    assert stopped.stopped == 1
    await scheduler.at(OPEN + timedelta(days=1, minutes=5))
    assert "mine-20260106" not in await scheduler.jobs()


async def test_a_scheduled_job_that_is_asked_for_again_within_its_due_slot_has_one_effect(scheduler: Live) -> None:
    await scheduler.schedule("mine", anchor="open", offset="5m")
    scheduler.clock.instant = OPEN + 5 * MINUTE
    answers = await asyncio.gather(*(scheduler.job("mine") for _ in range(3)))
    scheduler.clock.instant = OPEN + 19 * MINUTE
    answers += [await scheduler.job("mine"), await scheduler.job("mine-20260105")]
    await scheduler.clockwork.tick()
    assert {(one.id, one.status) for one in answers} == {("mine-20260105", "completed")}
    assert scheduler.count("generate_predictions") == 1


async def test_a_scheduled_job_runs_now_at_most_once_a_minute_where_no_slot_of_it_is_due(scheduler: Live) -> None:
    await scheduler.schedule("mine", anchor="open", offset="5m")
    scheduler.clock.instant = OPEN - 20 * MINUTE
    first = await scheduler.job("mine")
    scheduler.clock.instant += timedelta(seconds=59)
    assert await scheduler.job("mine") == first
    assert (first.id, first.status, first.type) == ("mine@20260105T1410Z", "completed", "custom")
    assert scheduler.count("generate_predictions") == 1
    scheduler.clock.instant += timedelta(seconds=1)
    assert (await scheduler.job("mine")).id == "mine@20260105T1411Z"
    # Not its slot: that is still to come.
    await scheduler.at(OPEN + 5 * MINUTE)
    assert (await scheduler.jobs())["mine-20260105"] == "completed"
    made = [one for one in await scheduler.jobs() if one.startswith("mine")]
    assert len(made) == 3


async def test_whoever_asks_while_a_run_now_is_under_way_gets_its_end(scheduler: Live) -> None:
    await scheduler.schedule("mine", anchor="close")
    began, gate = scheduler.peers.hold("generate_predictions")
    scheduler.clock.instant = OPEN + timedelta(seconds=59)
    first = asyncio.create_task(scheduler.job("mine"))
    async with asyncio.timeout(DEADLINE):
        await began.wait()
    scheduler.clock.instant = OPEN + timedelta(minutes=2)
    second = asyncio.create_task(scheduler.job("mine"))
    scheduler_service = scheduler.system.services["scheduler"]
    await until(lambda: scheduler_service.server.in_flight == 2)
    gate.set()
    assert await second == await first
    assert scheduler.count("generate_predictions") == 1


async def test_a_request_id_runs_a_scheduled_job_once_even_on_another_day_and_beside_its_slot(scheduler: Live) -> None:
    await scheduler.schedule("mine", "evening_analysis", anchor="open", offset="5m")
    await scheduler.at(OPEN + 5 * MINUTE)
    scheduler.peers.away["record_outcomes"] = 1
    with pytest.raises(RpcError, match="UNAVAILABLE"):
        await scheduler.job("mine", "once-more")
    scheduler.clock.instant += timedelta(days=1)
    first = await scheduler.job("mine", "once-more")
    assert await scheduler.job("mine", "once-more") == first
    assert (first.id, first.status, first.params) == (
        "mine@once-more",
        "completed",
        {"session": "2026-01-05", "attempts": 2},
    )
    assert scheduler.count("record_outcomes") == 3
    assert (await scheduler.job("mine", "twice-more")).params["session"] == "2026-01-06"


@pytest.mark.parametrize(
    ("job", "request_id", "words"),
    [
        ("mine", "Mine", "request_id: 'Mine' must be up to 40 of a-z, 0-9, - and _"),
        ("mine", "20260105T1410Z", "must be up to 40"),
        ("mine", "x" * 41, "must be up to 40"),
        ("prediction_generation-20260105", "again", "is not a scheduled job, and a slot runs once whoever asks"),
    ],
)
async def test_a_request_id_that_is_none_is_refused_with_words(
    scheduler: Live, job: str, request_id: str, words: str
) -> None:
    await scheduler.schedule("mine", anchor="open")
    scheduler.clock.instant = OPEN - 15 * MINUTE
    with pytest.raises(RpcError) as refused:
        await scheduler.job(job, request_id)
    assert refused.value.code == "INVALID_PARAMS"
    assert words in refused.value.message
    assert scheduler.count("generate_predictions") == 0


async def test_a_task_that_is_declared_later_takes_the_name_of_a_job_over(scheduler: Live) -> None:
    wish = {"job_id": "noon", "job_type": "custom", "params": {"time": "12:00"}}
    await scheduler.system.call("scheduler", "schedule_market_aware_job", wish, Job)
    await scheduler.declare(*default_tasks(), Task(name="noon", anchor="open", offset="5m"))
    await scheduler.at(OPEN + 5 * MINUTE)
    assert (await scheduler.jobs())["noon-20260105"] == "completed"


async def test_a_job_that_was_done_today_is_said_to_run_next_on_another_day(scheduler: Live) -> None:
    await scheduler.schedule("mine", anchor="open", offset="-1h")
    await scheduler.at(OPEN - timedelta(hours=1))
    again = await scheduler.schedule("mine", anchor="open", offset="1h")
    assert again.next_run == OPEN + timedelta(days=1, hours=1)
    await scheduler.at(OPEN + timedelta(hours=1))
    assert scheduler.count("generate_predictions") == 1


async def test_a_scheduled_job_is_not_missed_of_before_it_was_asked_for(scheduler: Live) -> None:
    await scheduler.at(CLOSE + timedelta(days=2))
    wish = {"job_id": "late", "job_type": "evening_analysis", "params": {"anchor": "open", "offset": "5m"}}
    await scheduler.system.call("scheduler", "schedule_market_aware_job", wish, Job)
    await scheduler.at(CLOSE + timedelta(days=2, minutes=1))
    assert {name for name in await scheduler.jobs() if name.startswith("late-")} == {"late-20260108"}
    await scheduler.at(OPEN + timedelta(days=3, minutes=5))
    assert (await scheduler.jobs())["late-20260108"] == "completed"
    # It does a declared task's work under a name of its own, and is no slot of that task.
    assert "late-20260108" not in {slot.name for slot in (await scheduler.slots()).jobs}


async def test_a_scheduled_job_is_of_use_for_as_long_as_the_task_whose_work_it_does(scheduler: Live) -> None:
    wish = {"job_id": "books", "job_type": "evening_analysis", "params": {}}
    await scheduler.system.call("scheduler", "schedule_market_aware_job", wish, Job)
    await scheduler.at(CLOSE + timedelta(hours=4))
    assert (await scheduler.jobs())["books-20260105"] == "completed"


async def test_a_job_of_the_schedulers_own_name_is_refused_and_sessions_go_on_to_close(scheduler: Live) -> None:
    wish = {"job_id": "session_close", "job_type": "custom", "params": {"anchor": "close", "offset": "-1h"}}
    with pytest.raises(RpcError, match="is the scheduler's own"):
        await scheduler.system.call("scheduler", "schedule_market_aware_job", wish, Job)
    await scheduler.at(CLOSE - timedelta(hours=1))
    await scheduler.at(CLOSE)
    assert (await scheduler.jobs())["session_close-20260105"] == "completed"
    assert scheduler.count("publish_bars") == 1
