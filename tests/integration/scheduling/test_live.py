"""A live scheduler whose clock the test moves; its peers are stand-ins with made-up answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from bellwether.messages.scheduling import Job, Jobs, ReplayState, SlotJobs, StoppedJobs
from bellwether.runtime.call import ServiceContext
from bellwether.runtime.declaration import encode_declaration
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.scheduling import claims
from bellwether.scheduling import service as scheduling
from bellwether.scheduling.clockwork import Clockwork
from bellwether.spec.models import Task, TradingSystem, default_tasks
from bellwether.trading import service as trading
from harness.system import System, running
from harness.until import until
from integration.trading.peers import ROWS, Peers, declaration

pytestmark = pytest.mark.integration

OPEN = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
CLOSE = datetime(2026, 1, 5, 21, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Present:
    live = True

    def __init__(self, now: datetime) -> None:
        self.moment = now

    def now(self) -> datetime:
        return self.moment

    def observe(self, as_of: datetime) -> None:
        pass


@dataclass
class Live:
    """A scheduler whose own clockwork stands still: the test turns it."""

    system: System
    clock: Present
    peers: Peers
    clockwork: Clockwork

    async def at(self, moment: datetime) -> None:
        self.clock.moment = moment
        await self.clockwork.tick()

    async def job(self, name: str, request_id: str = "") -> Job:
        params = {"job_id": name, "request_id": request_id}
        found: Job = await self.system.call("scheduler", "execute_job", params, Job)
        return found

    async def schedule(self, job_id: str, job_type: str = "custom", **params: str) -> Job:
        wish = {"job_id": job_id, "job_type": job_type, "params": params}
        found: Job = await self.system.call("scheduler", "schedule_market_aware_job", wish, Job)
        return found

    async def due(self, task: str, minute: datetime) -> Job:
        params = {"task": task, "minute": minute}
        found: Job = await self.system.call("scheduler", "execute_slot", params, Job)
        return found

    async def jobs(self) -> dict[str, str]:
        found: Jobs = await self.system.call("scheduler", "list_jobs", {}, Jobs)
        return {job.id: job.status for job in found.jobs}

    async def declare(self, *tasks: Task) -> None:
        holder = self.system.services["scheduler"].context.declaration
        system = holder.current
        spec = system.spec.model_copy(update={"tasks": list(tasks)})
        metadata = system.metadata.model_copy(update={"generation": system.metadata.generation + 1})
        await holder.offer(encode_declaration(system.model_copy(update={"spec": spec, "metadata": metadata})))

    async def override(self, *overrides: dict[str, str]) -> None:
        holder = self.system.services["scheduler"].context.declaration
        body = holder.current.model_dump(by_alias=True, exclude_none=True)
        body["spec"]["market"]["overrides"] = list(overrides)
        body["metadata"]["generation"] += 1
        ack = await holder.offer(encode_declaration(TradingSystem.model_validate(body)))
        assert ack is not None
        assert ack.applied, ack.error

    async def slots(self) -> SlotJobs:
        found: SlotJobs = await self.system.call("scheduler", "list_slots", {}, SlotJobs)
        return found

    def count(self, method: str) -> int:
        return sum(1 for name, _ in self.peers.calls if name == method)


@dataclass
class Maker:
    """Builds the scheduler and keeps what the test turns by hand."""

    own_schedule: bool
    made: list[Clockwork] = field(default_factory=list)

    def __call__(self, context: ServiceContext) -> Service:
        context.config = replace(context.config, own_schedule=self.own_schedule)
        with mock.patch.object(scheduling, "Clockwork", self._keep):
            service = scheduling.create(context)
        service._background.clear()
        return service

    def _keep(self, *parts: Any) -> Clockwork:
        self.made.append(Clockwork(*parts))
        return self.made[-1]

    def clockwork(self) -> Clockwork:
        return self.made[-1]


def live(folder: Path, peers: Peers, clock: Present, maker: Maker, tasks: Any = None, **others: Any) -> Any:
    system = declaration(
        symbols=["AAA", "BBB", "CCC"],
        data={"provider": "csv", "csv": {"directory": "bars"}},
        clock={"mode": "live"},
        **({} if tasks is None else {"tasks": tasks}),
    )
    builds = {**peers.builds(), "paper-trading": trading.create, "scheduler": maker, **others}
    return running(builds, data_dir=folder, declaration=system, rows=ROWS, clock=clock)


@pytest.fixture
async def scheduler(tmp_path: Path) -> AsyncIterator[Live]:
    clock, peers, maker = Present(OPEN - timedelta(hours=2)), Peers(), Maker(own_schedule=True)
    async with live(tmp_path, peers, clock, maker) as system:
        one = Live(system, clock, peers, maker.clockwork())
        await one.clockwork.tick()
        yield one


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
    assert scheduler.count("publish_bars") == 1
    assert scheduler.count("record_outcomes") == 1
    done = {name for name, status in (await scheduler.jobs()).items() if status == "completed"}
    assert done == {
        "morning_analysis-20260105",
        "prediction_generation-20260105",
        "session_close-20260105",
        "evening_analysis-20260105",
    }


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
    scheduler.clock.moment = OPEN - 15 * MINUTE
    answers = await asyncio.gather(*(scheduler.job("prediction_generation-20260105") for _ in range(5)))
    assert {answer.status for answer in answers} == {"completed"}
    assert await scheduler.job("prediction_generation-20260105") == answers[0]
    assert scheduler.count("generate_predictions") == 1


async def test_a_slot_is_one_whether_asked_for_by_its_name_or_by_task_and_minute(scheduler: Live) -> None:
    scheduler.clock.moment = OPEN - 15 * MINUTE
    named, timed = await asyncio.gather(
        scheduler.job("prediction_generation-20260105"),
        scheduler.due("prediction_generation", OPEN - 15 * MINUTE + timedelta(seconds=59)),
    )
    assert named == timed
    assert (named.id, named.status) == ("prediction_generation-20260105", "completed")
    assert scheduler.count("generate_predictions") == 1


async def test_whoever_asks_late_for_a_slot_that_still_runs_gets_its_end(scheduler: Live) -> None:
    scheduler.clock.moment = OPEN
    began, gate = scheduler.peers.hold("generate_predictions")
    first = asyncio.create_task(scheduler.job("prediction_generation-20260105"))
    async with asyncio.timeout(10):
        await began.wait()
    scheduler.clock.moment = OPEN + MINUTE
    second = asyncio.create_task(scheduler.job("prediction_generation-20260105"))
    other: Job = await scheduler.job("morning_analysis-20260105")
    assert other.status == "missed"
    gate.set()
    assert await second == await first
    assert (await first).status == "completed"


async def test_a_slot_whose_run_was_killed_runs_again(scheduler: Live) -> None:
    scheduler.clock.moment = OPEN - 15 * MINUTE
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


async def test_a_slot_whose_peer_is_away_fails_with_words_and_may_be_tried_again(scheduler: Live) -> None:
    scheduler.clock.moment = OPEN - 15 * MINUTE
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
        ("now please", "NOT_A_SLOT", "is not the name of a slot"),
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
    scheduler.clock.moment = OPEN + 5 * MINUTE
    answers = await asyncio.gather(*(scheduler.job("mine") for _ in range(3)))
    scheduler.clock.moment = OPEN + 19 * MINUTE
    answers += [await scheduler.job("mine"), await scheduler.job("mine-20260105")]
    await scheduler.clockwork.tick()
    assert {(one.id, one.status) for one in answers} == {("mine-20260105", "completed")}
    assert scheduler.count("generate_predictions") == 1


async def test_a_scheduled_job_runs_now_at_most_once_a_minute_where_no_slot_of_it_is_due(scheduler: Live) -> None:
    await scheduler.schedule("mine", anchor="open", offset="5m")
    scheduler.clock.moment = OPEN - 20 * MINUTE
    first = await scheduler.job("mine")
    scheduler.clock.moment += timedelta(seconds=59)
    assert await scheduler.job("mine") == first
    assert (first.id, first.status, first.type) == ("mine@20260105T1410Z", "completed", "custom")
    assert scheduler.count("generate_predictions") == 1
    scheduler.clock.moment += timedelta(seconds=1)
    assert (await scheduler.job("mine")).id == "mine@20260105T1411Z"
    # Not its slot: that is still to come.
    await scheduler.at(OPEN + 5 * MINUTE)
    assert (await scheduler.jobs())["mine-20260105"] == "completed"
    made = [one for one in await scheduler.jobs() if one.startswith("mine")]
    assert len(made) == 3


async def test_whoever_asks_while_a_run_now_is_under_way_gets_its_end(scheduler: Live) -> None:
    await scheduler.schedule("mine", anchor="close")
    began, gate = scheduler.peers.hold("generate_predictions")
    scheduler.clock.moment = OPEN + timedelta(seconds=59)
    first = asyncio.create_task(scheduler.job("mine"))
    async with asyncio.timeout(10):
        await began.wait()
    scheduler.clock.moment = OPEN + timedelta(minutes=2)
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
    scheduler.clock.moment += timedelta(days=1)
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
    scheduler.clock.moment = OPEN - 15 * MINUTE
    with pytest.raises(RpcError) as refused:
        await scheduler.job(job, request_id)
    assert refused.value.code == "INVALID_PARAMS"
    assert words in refused.value.message
    assert scheduler.count("generate_predictions") == 0


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
        clock.moment = OPEN - 15 * MINUTE
        asked = asyncio.ensure_future(one.job("prediction_generation-20260105"))
        await began.wait()
        await one.at(OPEN + timedelta(seconds=1))
        assert (await one.jobs())["prediction_generation-20260105"] == "running"
        may_end.set()
        assert (await asked).status == "completed"
        await one.at(OPEN + timedelta(seconds=2))
        assert (await one.jobs())["prediction_generation-20260105"] == "completed"


async def test_the_slots_of_the_last_days_are_told_with_the_first_start(scheduler: Live) -> None:
    began = OPEN - timedelta(hours=2)
    told: SlotJobs = await scheduler.system.call("scheduler", "list_slots", {}, SlotJobs)
    since = {task.name: began for task in default_tasks()}
    assert told == SlotJobs(began, [], since)
    await scheduler.at(OPEN - 30 * MINUTE)
    await scheduler.at(CLOSE)
    wish = {"job_id": "mine", "job_type": "custom", "params": {"anchor": "open"}}
    await scheduler.system.call("scheduler", "schedule_market_aware_job", wish, Job)
    await scheduler.job("mine")
    told = await scheduler.system.call("scheduler", "list_slots", {}, SlotJobs)
    assert told.since == began
    assert [(one.name, one.task, one.session, one.due, one.status) for one in told.jobs] == [
        ("prediction_generation-20260105", "prediction_generation", OPEN.date(), OPEN - 15 * MINUTE, "missed"),
        ("morning_analysis-20260105", "morning_analysis", OPEN.date(), OPEN - 30 * MINUTE, "completed"),
    ]
    scheduler.clock.moment = OPEN + timedelta(days=9)
    told = await scheduler.system.call("scheduler", "list_slots", {}, SlotJobs)
    assert told == SlotJobs(began, [], since)


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
        async with asyncio.timeout(10):
            state = None
            while state != "off":
                found: ReplayState = await live_one.call("scheduler", "get_replay", {}, ReplayState)
                state = found.state
        health = await live_one.call("scheduler", "health", None, dict)
        assert health["replay"] == "off"


async def test_a_task_that_is_declared_later_takes_the_name_of_a_job_over(scheduler: Live) -> None:
    wish = {"job_id": "noon", "job_type": "custom", "params": {"time": "12:00"}}
    await scheduler.system.call("scheduler", "schedule_market_aware_job", wish, Job)
    await scheduler.declare(*default_tasks(), Task(name="noon", anchor="open", offset="5m"))
    await scheduler.at(OPEN + 5 * MINUTE)
    assert (await scheduler.jobs())["noon-20260105"] == "completed"


@pytest.mark.parametrize("own_schedule", [True, False], ids=["fired here", "fired by a cluster"])
async def test_a_task_is_not_missed_of_before_it_was_there_or_at_its_present_moment(
    tmp_path: Path, own_schedule: bool
) -> None:
    began, later = OPEN - timedelta(hours=2), CLOSE + timedelta(days=3, hours=-1)
    clock, peers, maker = Present(began), Peers(), Maker(own_schedule=own_schedule)
    async with live(tmp_path, peers, clock, maker) as system:
        one = Live(system, clock, peers, maker.clockwork())
        await one.clockwork.tick()
        morning, predictions, evening = default_tasks()
        await one.at(later - timedelta(hours=6))
        before = await one.jobs()
        assert before["prediction_generation-20260107"] == "missed"
        brunch = Task(name="brunch", anchor="open", offset="1h")
        await one.declare(morning, predictions.model_copy(update={"offset": "-10m"}), evening, brunch)
        await one.clockwork.tick()
        await one.at(later)
        found = await one.slots()
        assert [slot.name for slot in found.jobs if slot.task == "brunch"] == ["brunch-20260108"]
        assert found.since_by_task == {
            "morning_analysis": began,
            "evening_analysis": began,
            "prediction_generation": later - timedelta(hours=6),
            "brunch": later - timedelta(hours=6),
        }
        # Gone and back: what was due meanwhile was not to be done.
        await one.declare(morning, predictions, evening)
        await one.at(later + timedelta(minutes=1))
        await one.declare(morning, predictions, evening, brunch)
        await one.at(later + timedelta(minutes=2))
        assert (await one.slots()).since_by_task["brunch"] == later + timedelta(minutes=1)


@pytest.mark.parametrize("own_schedule", [True, False], ids=["fired here", "fired by a cluster"])
async def test_a_task_counts_from_the_acknowledgement_of_its_declaration_whenever_the_next_look_is(
    tmp_path: Path, own_schedule: bool
) -> None:
    clock, peers, maker = Present(OPEN - timedelta(hours=2)), Peers(), Maker(own_schedule=own_schedule)
    async with live(tmp_path, peers, clock, maker) as system:
        one = Live(system, clock, peers, maker.clockwork())
        morning, predictions, evening = default_tasks()
        # An hour later, and then gone: each is known before the next look.
        clock.moment = told = OPEN - 14 * MINUTE
        await one.declare(morning, predictions.model_copy(update={"offset": "-10m"}), evening)
        assert (await one.slots()).since_by_task["prediction_generation"] == told
        await one.at(OPEN + 10 * MINUTE)
        found = {slot.name: slot.status for slot in (await one.slots()).jobs}
        assert found["prediction_generation-20260105"] == "missed"
        clock.moment = CLOSE
        await one.declare(morning, predictions, evening)
        clock.moment += MINUTE
        await one.declare(morning, predictions.model_copy(update={"offset": "-10m"}), evening)
        await one.clockwork.tick()
        assert (await one.slots()).since_by_task["prediction_generation"] == CLOSE + MINUTE


async def test_a_session_closes_although_the_work_of_a_slot_is_still_under_way(scheduler: Live) -> None:
    began, gate = scheduler.peers.hold("generate_predictions")
    scheduler.clock.moment = OPEN - 30 * MINUTE
    turning = asyncio.create_task(scheduler.clockwork.turn())
    try:
        async with asyncio.timeout(10):
            await began.wait()
        scheduler.clock.moment = CLOSE
        scheduler.clockwork.wake()
        await until(lambda: scheduler.count("publish_bars") == 1)
        assert (await scheduler.jobs())["morning_analysis-20260105"] == "running"
        gate.set()
        answer = await scheduler.job("morning_analysis-20260105")
        assert (answer.status, answer.params["attempts"]) == ("completed", 1)
    finally:
        turning.cancel()
        await asyncio.gather(turning, return_exceptions=True)


async def test_a_declaration_that_comes_while_work_is_under_way_is_seen_at_once(scheduler: Live) -> None:
    began, gate = scheduler.peers.hold("generate_predictions")
    scheduler.clock.moment = OPEN - 30 * MINUTE
    working = asyncio.create_task(scheduler.clockwork.tick())
    async with asyncio.timeout(10):
        await began.wait()
    brunch = Task(name="brunch", anchor="open", offset="-20m", useful_until="30s")
    scheduler.clock.moment = told = OPEN - 25 * MINUTE
    await scheduler.declare(*default_tasks(), brunch)
    scheduler.clock.moment = OPEN - 16 * MINUTE
    gate.set()
    await working
    await scheduler.clockwork.tick()
    slots = await scheduler.slots()
    assert slots.since_by_task["brunch"] == told
    assert {slot.name: slot.status for slot in slots.jobs}["brunch-20260105"] == "missed"


async def test_a_task_that_was_declared_while_the_scheduler_was_away_counts_from_its_start(tmp_path: Path) -> None:
    clock, peers = Present(OPEN - timedelta(hours=2)), Peers()
    for number in range(2):
        maker = Maker(own_schedule=False)
        brunch = [{"name": "brunch", "anchor": "open", "offset": f"{number}h"}]
        async with live(tmp_path, peers, clock, maker, tasks=brunch) as system:
            one = Live(system, clock, peers, maker.clockwork())
            assert (await one.slots()).since_by_task == {"brunch": clock.moment}
            assert (await one.slots()).since == OPEN - timedelta(hours=2)
        clock.moment = CLOSE


@pytest.mark.parametrize("own_schedule", [True, False], ids=["fired here", "fired by a cluster"])
async def test_a_slot_that_was_missed_and_is_moved_to_later_is_due_anew(tmp_path: Path, own_schedule: bool) -> None:
    clock, peers, maker = Present(OPEN - timedelta(hours=2)), Peers(), Maker(own_schedule=own_schedule)
    async with live(tmp_path, peers, clock, maker) as system:
        one = Live(system, clock, peers, maker.clockwork())
        name = "prediction_generation-20260105"
        await one.clockwork.tick()
        await one.at(OPEN + MINUTE)
        assert {slot.name: slot.status for slot in (await one.slots()).jobs}[name] == "missed"
        morning, predictions, evening = default_tasks()
        await one.declare(morning, predictions.model_copy(update={"offset": "1h"}), evening)
        await one.clockwork.tick()
        # It can still be done, so that it was missed is not told any more.
        assert name not in {slot.name for slot in (await one.slots()).jobs}
        with pytest.raises(RpcError, match="NOT_DUE_YET"):
            await one.job(name)
        await one.at(OPEN + timedelta(hours=1))
        assert (await one.job(name)).status == "completed"
        assert one.count("generate_predictions") == 1
        found = {slot.name: (slot.status, slot.due) for slot in (await one.slots()).jobs}
        assert found[name] == ("completed", OPEN + timedelta(hours=1))
        # What is done stays done, wherever it is moved to.
        await one.declare(morning, predictions.model_copy(update={"offset": "2h"}), evening)
        await one.at(OPEN + timedelta(hours=2))
        await one.job(name)
        assert one.count("generate_predictions") == 1


async def test_a_slot_that_is_missed_again_at_its_later_moment_is_told_with_that(scheduler: Live) -> None:
    name = "prediction_generation-20260105"
    await scheduler.at(OPEN + MINUTE)
    morning, predictions, evening = default_tasks()
    await scheduler.declare(morning, predictions.model_copy(update={"offset": "1h"}), evening)
    await scheduler.at(OPEN + timedelta(hours=1, minutes=16))
    found = {slot.name: (slot.status, slot.due) for slot in (await scheduler.slots()).jobs}
    assert found[name] == ("missed", OPEN + timedelta(hours=1))
    # Moved to between then and now, it was at no time to be done there.
    await scheduler.declare(morning, predictions.model_copy(update={"offset": "70m"}), evening)
    await scheduler.clockwork.tick()
    found = {slot.name: (slot.status, slot.due) for slot in (await scheduler.slots()).jobs}
    assert found[name] == ("missed", OPEN + timedelta(hours=1))
    assert scheduler.count("generate_predictions") == 0


@pytest.mark.parametrize("asked", ["prediction_generation-20251231", "morning_analysis-20260105"])
async def test_a_slot_of_before_its_task_was_known_is_not_missed_whoever_asks(scheduler: Live, asked: str) -> None:
    scheduler.clock.moment = OPEN - 25 * MINUTE
    morning, predictions, evening = default_tasks()
    await scheduler.declare(
        morning.model_copy(update={"offset": "-35m", "useful_until": "5m"}),
        predictions,
        evening,
    )
    with pytest.raises(RpcError, match="before its task or its session was declared") as refused:
        await scheduler.job(asked)
    assert refused.value.code == "NOT_A_SLOT"
    assert (await scheduler.slots()).jobs == []


async def test_what_a_killed_scheduler_was_at_is_not_said_to_run_and_is_caught_up_while_useful(tmp_path: Path) -> None:
    clock, peers, maker = Present(OPEN - timedelta(hours=2)), Peers(), Maker(own_schedule=False)
    began, gate = peers.hold("generate_predictions")
    async with live(tmp_path, peers, clock, maker) as system:
        one = Live(system, clock, peers, maker.clockwork())
        await one.schedule("mine", anchor="close")
        clock.moment = OPEN - 15 * MINUTE
        asked = [asyncio.create_task(one.job(name)) for name in ("prediction_generation-20260105", "mine")]
        async with asyncio.timeout(10):
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


async def test_a_job_that_was_done_today_is_told_to_run_next_on_another_day(scheduler: Live) -> None:
    await scheduler.schedule("mine", anchor="open", offset="-1h")
    await scheduler.at(OPEN - timedelta(hours=1))
    again = await scheduler.schedule("mine", anchor="open", offset="1h")
    assert again.next_run == OPEN + timedelta(days=1, hours=1)
    await scheduler.at(OPEN + timedelta(hours=1))
    assert scheduler.count("generate_predictions") == 1


@pytest.mark.parametrize("own_schedule", [True, False], ids=["fired here", "fired by a cluster"])
async def test_of_a_session_that_an_override_opens_late_only_what_can_still_be_done_is_to_be_done(
    tmp_path: Path, own_schedule: bool
) -> None:
    holiday = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    clock, peers, maker = Present(holiday), Peers(), Maker(own_schedule=own_schedule)
    async with live(tmp_path, peers, clock, maker) as system:
        one = Live(system, clock, peers, maker.clockwork())
        await one.clockwork.tick()
        # 14:50 UTC: of the opening at 15:00 the morning's slot was of use until 14:45, the batch's is until then.
        clock.moment = told = holiday + timedelta(hours=2, minutes=50)
        await one.override({"date": "2026-01-01", "open": "10:00", "close": "13:00"})
        await one.clockwork.tick()
        if not own_schedule:
            assert (await one.job("prediction_generation-20260101")).status == "completed"
        with pytest.raises(RpcError, match="NOT_A_SLOT: morning_analysis-20260101 would have been due"):
            await one.job("morning_analysis-20260101")
        slots = await one.slots()
        assert {slot.name: slot.status for slot in slots.jobs} == {"prediction_generation-20260101": "completed"}
        assert slots.since_by_session == {date(2026, 1, 1): told}
        # Taken back and given again after the evening's slot: that was to be done at no time.
        clock.moment = told + MINUTE
        await one.override()
        await one.at(told + timedelta(hours=9))
        await one.override({"date": "2026-01-01", "open": "10:00", "close": "13:00"})
        await one.clockwork.tick()
        assert {slot.task for slot in (await one.slots()).jobs} == {"prediction_generation"}


async def test_what_was_missed_is_said_although_its_task_moves_before_anybody_looked(tmp_path: Path) -> None:
    clock, peers, maker = Present(OPEN - timedelta(hours=2)), Peers(), Maker(own_schedule=False)
    async with live(tmp_path, peers, clock, maker) as system:
        one = Live(system, clock, peers, maker.clockwork())
        _, predictions, evening = default_tasks()
        clock.moment = OPEN + MINUTE
        await one.declare(predictions.model_copy(update={"offset": "-45m"}), evening)
        found = {slot.name: slot.status for slot in (await one.slots()).jobs}
        assert found == {"prediction_generation-20260105": "missed"}
        jobs = await one.jobs()
        assert jobs["morning_analysis-20260105"] == "missed"


async def test_slots_of_a_system_that_an_older_release_began_go_on_to_be_missed(scheduler: Live) -> None:
    store = scheduler.system.services["scheduler"].context.store
    assert store is not None
    await store.transact(lambda tx: tx.connection.exec_driver_sql("DELETE FROM slots WHERE run = 'rules'"))
    await scheduler.at(CLOSE)
    found = {slot.name: slot.status for slot in (await scheduler.slots()).jobs}
    assert found == {"morning_analysis-20260105": "missed", "prediction_generation-20260105": "missed"}


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


async def test_all_slots_of_the_declared_tasks_are_told_whatever_jobs_there_are(scheduler: Live) -> None:
    for number in range(40):
        wish = {"job_id": f"job_{number}", "job_type": "custom", "params": {"anchor": "open", "offset": f"{number}m"}}
        await scheduler.system.call("scheduler", "schedule_market_aware_job", wish, Job)
    await scheduler.at(CLOSE + timedelta(days=7))
    told = (await scheduler.slots()).jobs
    # Of six sessions, and of the last one the evening is still ahead.
    assert len(told) == 3 * 6 - 1
    assert {slot.task for slot in told} == {task.name for task in default_tasks()}


async def test_a_job_of_the_schedulers_own_name_is_refused_and_sessions_go_on_to_close(scheduler: Live) -> None:
    wish = {"job_id": "session_close", "job_type": "custom", "params": {"anchor": "close", "offset": "-1h"}}
    with pytest.raises(RpcError, match="is the scheduler's own"):
        await scheduler.system.call("scheduler", "schedule_market_aware_job", wish, Job)
    await scheduler.at(CLOSE - timedelta(hours=1))
    await scheduler.at(CLOSE)
    assert (await scheduler.jobs())["session_close-20260105"] == "completed"
    assert scheduler.count("publish_bars") == 1
