"""Slots of a live scheduler: each is done once in its time, caught up, or reported as missed."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from bellwether.messages.scheduling import Job, Jobs, ReplayState, SlotJobs
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.scheduling import claims
from bellwether.scheduling import service as scheduling
from bellwether.scheduling.clockwork import SOON
from bellwether.spec.tasks import default_tasks
from bellwether.trading import service as trading
from harness.clock import Present
from harness.system import running
from harness.until import DEADLINE, until
from integration.scheduling.live import CLOSE, MINUTE, OPEN, Live, Maker, live
from integration.trading.peers import ROWS, Peers, declaration

pytestmark = pytest.mark.integration


async def test_due_slots_run_once_each_and_a_session_opens_and_closes(scheduler: Live) -> None:
    await scheduler.at(OPEN - 30 * MINUTE)
    await scheduler.at(OPEN - 29 * MINUTE)
    assert scheduler.count("generate_predictions") == 1
    await scheduler.at(OPEN - 15 * MINUTE)
    await scheduler.at(OPEN)
    await scheduler.at(CLOSE)
    await scheduler.at(CLOSE + timedelta(hours=1))
    await scheduler.at(CLOSE + timedelta(hours=2))
    assert scheduler.count("generate_predictions") == 2
    assert scheduler.count("publish_bars") == 2, "in the morning the bars of before once more, and at the close"
    assert scheduler.count("record_outcomes") == 1
    done = {name for name, status in (await scheduler.jobs()).items() if status == "completed"}
    assert done == {
        "morning_analysis-20260105",
        "prediction_generation-20260105",
        "session_close-20260105",
        "evening_analysis-20260105",
    }


async def test_a_slot_that_comes_due_while_another_is_worked_on_is_run_right_after_it(scheduler: Live) -> None:
    began, gate = scheduler.peers.hold("generate_predictions")
    scheduler.clock.instant = OPEN - 30 * MINUTE
    working = asyncio.create_task(scheduler.clockwork.tick())
    async with asyncio.timeout(DEADLINE):
        await began.wait()
    scheduler.clock.instant = OPEN - 14 * MINUTE
    gate.set()
    assert await working == SOON
    await scheduler.clockwork.tick()
    assert (await scheduler.jobs())["prediction_generation-20260105"] == "completed"


async def test_a_close_that_comes_due_while_the_open_is_asked_for_is_done_right_after_it(scheduler: Live) -> None:
    """A timer may be early: looked at a millisecond before the close, the session is still under way."""

    async def until_the_close(session: date) -> None:
        scheduler.clock.instant = CLOSE

    scheduler.clock.instant = CLOSE - timedelta(milliseconds=1)
    with mock.patch.object(scheduler.clockwork, "_open", until_the_close):
        assert await scheduler.clockwork.tick() == SOON
    await scheduler.clockwork.tick()
    assert (await scheduler.jobs())["session_close-20260105"] == "completed"


async def test_a_slot_missed_while_nothing_ran_is_reported_and_a_useful_one_is_caught_up(scheduler: Live) -> None:
    await scheduler.at(CLOSE + timedelta(hours=2))
    found = await scheduler.jobs()
    assert found["morning_analysis-20260105"] == "missed"
    assert found["prediction_generation-20260105"] == "missed"
    assert found["evening_analysis-20260105"] == "completed"
    missed = await scheduler.job("prediction_generation-20260105")
    assert missed.status == "missed"
    assert scheduler.count("generate_predictions") == 0


async def test_a_slot_asked_for_by_several_at_once_has_one_effect(scheduler: Live) -> None:
    scheduler.clock.instant = OPEN - 15 * MINUTE
    answers = await asyncio.gather(*(scheduler.job("prediction_generation-20260105") for _ in range(5)))
    assert {answer.status for answer in answers} == {"completed"}
    assert await scheduler.job("prediction_generation-20260105") == answers[0]
    assert scheduler.count("generate_predictions") == 1


async def test_a_slot_is_one_whether_asked_for_by_its_name_or_by_task_and_minute(scheduler: Live) -> None:
    scheduler.clock.instant = OPEN - 15 * MINUTE
    named, timed = await asyncio.gather(
        scheduler.job("prediction_generation-20260105"),
        scheduler.due("prediction_generation", OPEN - 15 * MINUTE + timedelta(seconds=59)),
    )
    assert named == timed
    assert (named.id, named.status) == ("prediction_generation-20260105", "completed")
    assert scheduler.count("generate_predictions") == 1


async def test_whoever_asks_late_for_a_slot_that_still_runs_gets_its_end(scheduler: Live) -> None:
    scheduler.clock.instant = OPEN
    began, gate = scheduler.peers.hold("generate_predictions")
    first = asyncio.create_task(scheduler.job("prediction_generation-20260105"))
    async with asyncio.timeout(DEADLINE):
        await began.wait()
    scheduler.clock.instant = OPEN + MINUTE
    second = asyncio.create_task(scheduler.job("prediction_generation-20260105"))
    other: Job = await scheduler.job("morning_analysis-20260105")
    assert other.status == "missed"
    gate.set()
    assert await second == await first
    assert (await first).status == "completed"


async def test_a_slot_whose_run_was_killed_runs_again(scheduler: Live) -> None:
    scheduler.clock.instant = OPEN - 15 * MINUTE
    name = "prediction_generation-20260105"
    store = scheduler.system.services["scheduler"].context.store
    assert store is not None
    due = claims.Due(name, "prediction_generation", OPEN.date(), OPEN - 15 * MINUTE)
    # What a process leaves behind that dies in the middle of its work.
    assert await store.transact(lambda tx: claims.claim(tx, "live", due, scheduler.clock.now()))
    answer = await scheduler.job(name)
    assert answer.status == "completed"
    assert answer.params["attempts"] == 2
    assert scheduler.count("generate_predictions") == 1


async def test_a_slot_whose_peer_is_unreachable_fails_with_words_and_may_be_tried_again(scheduler: Live) -> None:
    scheduler.clock.instant = OPEN - 15 * MINUTE
    scheduler.peers.away["generate_predictions"] = 1
    with pytest.raises(RpcError, match="UNAVAILABLE"):
        await scheduler.job("prediction_generation-20260105")
    assert (await scheduler.jobs())["prediction_generation-20260105"] == "failed"
    assert (await scheduler.job("prediction_generation-20260105")).status == "completed"


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("breakfast-20260105", "NOT_A_SLOT", "there is no task 'breakfast'"),
        ("morning_analysis-20260101", "NOT_A_SLOT", "XNYS does not trade on 2026-01-01"),
        ("morning_analysis-20261345", "NOT_A_SLOT", "is not a day"),
        ("now please", "NOT_A_SLOT", "there is no job 'now please'; scheduled are none"),
        ("morning_analysis-18000102", "NOT_A_SLOT", "is outside of it"),
        ("morning_analysis-20260106", "NOT_DUE_YET", "is due at 2026-01-06T14:00:00"),
    ],
)
async def test_what_is_no_slot_is_refused_with_words(scheduler: Live, name: str, code: str, words: str) -> None:
    with pytest.raises(RpcError) as refused:
        await scheduler.job(name)
    assert refused.value.code == code
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("params", "code", "words"),
    [
        ({"task": "breakfast", "minute": OPEN}, "NOT_A_SLOT", "there is no task 'breakfast'; declared are morning_ana"),
        ({"task": "morning_analysis", "minute": OPEN}, "NOT_A_SLOT", "nothing is due at XNYS within 2026-01-05T14:30"),
        ({"task": "morning_analysis", "minute": datetime(2050, 1, 1, tzinfo=UTC)}, "NOT_A_SLOT", "is outside of it"),
        ({"task": "morning_analysis", "minute": OPEN + 23.5 * 60 * MINUTE}, "NOT_DUE_YET", "morning_analysis-20260106"),
        (
            {"task": "morning_analysis", "minute": "2026-01-05T14:00:00"},
            "INVALID_PARAMS",
            "a minute with its time zone",
        ),
        ({"task": "morning_analysis"}, "INVALID_PARAMS", "a minute with its time zone"),
        ({"slot": "x-20260105", "task": "x", "minute": OPEN}, "INVALID_PARAMS", "give a slot, or a task"),
        ({}, "INVALID_PARAMS", "give a slot, or a task"),
    ],
)
async def test_a_minute_in_which_nothing_is_due_is_refused_with_words(
    scheduler: Live, params: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(RpcError) as refused:
        await scheduler.system.call("scheduler", "execute_slot", params, Job)
    assert refused.value.code == code
    assert words in refused.value.message


async def test_where_a_cluster_fires_the_tasks_only_sessions_are_driven_from_here(tmp_path: Path) -> None:
    clock, peers, maker = Present(OPEN - timedelta(hours=2)), Peers(), Maker(own_schedule=False)
    async with live(tmp_path, peers, clock, maker) as system:
        one = Live(system, clock, peers, maker.clockwork())
        await one.clockwork.tick()
        await one.at(OPEN - 15 * MINUTE)
        await one.at(CLOSE)
        assert one.count("generate_predictions") == 0
        assert one.count("publish_bars") == 1


async def test_where_a_cluster_fires_the_tasks_a_slot_that_nobody_came_for_is_recorded_as_missed(
    tmp_path: Path,
) -> None:
    clock, peers, maker = Present(OPEN - timedelta(hours=2)), Peers(), Maker(own_schedule=False)
    async with live(tmp_path, peers, clock, maker) as system:
        one = Live(system, clock, peers, maker.clockwork())
        await one.clockwork.tick()
        await one.at(OPEN - 30 * MINUTE)
        assert (await one.job("morning_analysis-20260105")).status == "completed"
        # Useful until the open: up to then somebody may still come.
        await one.at(OPEN)
        assert "prediction_generation-20260105" not in await one.jobs()
        await one.at(OPEN + timedelta(seconds=1))
        found = await one.jobs()
        assert found["prediction_generation-20260105"] == "missed"
        assert found["morning_analysis-20260105"] == "completed"
        assert (await one.job("prediction_generation-20260105")).status == "missed"
        assert one.count("generate_predictions") == 1


async def test_what_began_in_time_is_not_missed_while_it_runs(tmp_path: Path) -> None:
    clock, peers, maker = Present(OPEN - timedelta(hours=2)), Peers(), Maker(own_schedule=False)
    began, may_end = asyncio.Event(), asyncio.Event()

    def slow(context: ServiceContext) -> Service:
        service = peers.prediction(context)
        made = service.server.methods["generate_predictions"].handler

        async def waits(request: Any, call: Any) -> Any:
            began.set()
            await may_end.wait()
            return await made(request, call)

        waits.__annotations__ = made.__annotations__
        service.server.methods["generate_predictions"] = service.server.methods["generate_predictions"]._replace(
            handler=waits
        )
        return service

    async with live(tmp_path, peers, clock, maker, prediction=slow) as system:
        one = Live(system, clock, peers, maker.clockwork())
        await one.clockwork.tick()
        clock.instant = OPEN - 15 * MINUTE
        asked = asyncio.ensure_future(one.job("prediction_generation-20260105"))
        await began.wait()
        await one.at(OPEN + timedelta(seconds=1))
        assert (await one.jobs())["prediction_generation-20260105"] == "running"
        may_end.set()
        assert (await asked).status == "completed"
        await one.at(OPEN + timedelta(seconds=2))
        assert (await one.jobs())["prediction_generation-20260105"] == "completed"


async def test_the_slots_of_the_last_days_are_reported_with_the_first_start(scheduler: Live) -> None:
    began = OPEN - timedelta(hours=2)
    reported: SlotJobs = await scheduler.system.call("scheduler", "list_slots", {}, SlotJobs)
    since = {task.name: began for task in default_tasks()}
    assert reported == SlotJobs(began, [], since)
    await scheduler.at(OPEN - 30 * MINUTE)
    await scheduler.at(CLOSE)
    wish = {"job_id": "mine", "job_type": "custom", "params": {"anchor": "open"}}
    await scheduler.system.call("scheduler", "schedule_market_aware_job", wish, Job)
    await scheduler.job("mine")
    reported = await scheduler.system.call("scheduler", "list_slots", {}, SlotJobs)
    assert reported.since == began
    assert [(one.name, one.task, one.session, one.due, one.status) for one in reported.jobs] == [
        ("prediction_generation-20260105", "prediction_generation", OPEN.date(), OPEN - 15 * MINUTE, "missed"),
        ("morning_analysis-20260105", "morning_analysis", OPEN.date(), OPEN - 30 * MINUTE, "completed"),
    ]
    scheduler.clock.instant = OPEN + timedelta(days=9)
    reported = await scheduler.system.call("scheduler", "list_slots", {}, SlotJobs)
    assert reported == SlotJobs(began, [], since)


async def test_nothing_is_missed_of_before_the_first_start(tmp_path: Path) -> None:
    clock, peers, maker = Present(OPEN + timedelta(minutes=1)), Peers(), Maker(own_schedule=False)
    async with live(tmp_path, peers, clock, maker) as system:
        one = Live(system, clock, peers, maker.clockwork())
        await one.clockwork.tick()
        await one.at(CLOSE)
        assert "missed" not in (await one.jobs()).values()


async def test_a_live_scheduler_has_no_replay_and_its_clockwork_turns(tmp_path: Path) -> None:
    clock, peers = Present(CLOSE), Peers()
    builds = {**peers.builds(), "paper-trading": trading.create, "scheduler": scheduling.create}
    system = declaration(data={"provider": "csv", "csv": {"directory": "bars"}}, clock={"mode": "live"})
    async with running(builds, data_dir=tmp_path, declaration=system, rows=ROWS, clock=clock) as live_one:
        async with asyncio.timeout(DEADLINE):
            state = None
            while state != "off":
                found: ReplayState = await live_one.call("scheduler", "get_replay", {}, ReplayState)
                state = found.state
        health = await live_one.call("scheduler", "health", None, dict)
        assert health["replay"] == "off"


async def test_a_session_closes_although_the_work_of_a_slot_is_still_under_way(scheduler: Live) -> None:
    began, gate = scheduler.peers.hold("generate_predictions")
    scheduler.clock.instant = OPEN - 30 * MINUTE
    turning = asyncio.create_task(scheduler.clockwork.turn())
    try:
        async with asyncio.timeout(DEADLINE):
            await began.wait()
        scheduler.clock.instant = CLOSE
        scheduler.clockwork.wake()
        await until(lambda: scheduler.count("publish_bars") == 1)
        assert (await scheduler.jobs())["morning_analysis-20260105"] == "running"
        gate.set()
        answer = await scheduler.job("morning_analysis-20260105")
        assert (answer.status, answer.params["attempts"]) == ("completed", 1)
    finally:
        turning.cancel()
        await asyncio.gather(turning, return_exceptions=True)


async def test_what_a_killed_scheduler_was_at_is_not_said_to_run_and_is_caught_up_while_useful(tmp_path: Path) -> None:
    clock, peers, maker = Present(OPEN - timedelta(hours=2)), Peers(), Maker(own_schedule=False)
    began, gate = peers.hold("generate_predictions")
    async with live(tmp_path, peers, clock, maker) as system:
        one = Live(system, clock, peers, maker.clockwork())
        await one.schedule("mine", anchor="close")
        clock.instant = OPEN - 15 * MINUTE
        asked = [asyncio.create_task(one.job(name)) for name in ("prediction_generation-20260105", "mine")]
        async with asyncio.timeout(DEADLINE):
            await began.wait()
        await until(lambda: one.count("generate_predictions") == 2)
        # What a kill does: nothing of the work comes to an end, and nobody records that.
        await system.services["scheduler"]._stop_hooks[-1]()
        assert {(await one.jobs())[name] for name in ("prediction_generation-20260105", "mine@20260105T1415Z")} == {
            "running"
        }
        gate.set()
        for task in asked:
            task.cancel()
    del peers.held["generate_predictions"]
    maker = Maker(own_schedule=False)
    async with live(tmp_path, peers, clock, maker) as system:
        one = Live(system, clock, peers, maker.clockwork())
        # As failed, it gets a Job of its own from the operator.
        assert {slot.name: slot.status for slot in (await one.slots()).jobs} == {
            "prediction_generation-20260105": "failed"
        }
        found: Jobs = await system.call("scheduler", "list_jobs", {}, Jobs)
        (of_mine,) = [job for job in found.jobs if job.id == "mine@20260105T1415Z"]
        assert (of_mine.status, of_mine.last_error) == (
            "failed",
            "INTERRUPTED: the scheduler ended before this work did",
        )
        answer = await one.job("prediction_generation-20260105")
        assert (answer.status, answer.params["attempts"]) == ("completed", 2)


async def test_slots_of_a_system_that_an_older_release_began_go_on_to_be_missed(tmp_path: Path) -> None:
    before = Path(__file__).parents[2] / "fixtures" / "stores" / "slots-4.sql"
    began = (OPEN - timedelta(hours=2)).isoformat()
    with closing(sqlite3.connect(tmp_path / "slots.db")) as database:
        database.executescript(before.read_text())
        values = ("live", "first_start", "first_start", "2026-01-05", began, "completed", 1)
        database.execute("INSERT INTO slots VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, NULL)", values)
        database.commit()
    clock, peers, maker = Present(CLOSE), Peers(), Maker(own_schedule=True)
    async with live(tmp_path, peers, clock, maker) as system:
        one = Live(system, clock, peers, maker.clockwork())
        await one.clockwork.tick()
        slots = await one.slots()
        found = {slot.name: slot.status for slot in slots.jobs}
        assert found == {"morning_analysis-20260105": "missed", "prediction_generation-20260105": "missed"}
        assert slots.since == OPEN - timedelta(hours=2)


async def test_all_slots_of_the_declared_tasks_are_reported_whatever_jobs_there_are(scheduler: Live) -> None:
    for number in range(40):
        wish = {"job_id": f"job_{number}", "job_type": "custom", "params": {"anchor": "open", "offset": f"{number}m"}}
        await scheduler.system.call("scheduler", "schedule_market_aware_job", wish, Job)
    await scheduler.at(CLOSE + timedelta(days=7))
    reported = (await scheduler.slots()).jobs
    # Of six sessions, and of the last one the evening is still ahead.
    assert len(reported) == 3 * 6 - 1
    assert {slot.task for slot in reported} == {task.name for task in default_tasks()}
