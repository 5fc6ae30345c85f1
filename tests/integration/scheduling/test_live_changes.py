"""Tasks and sessions that are declared again while a scheduler lives: from when on their slots count."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from bellwether.runtime.errors import RpcError
from bellwether.spec.tasks import Task, default_tasks
from harness.clock import Present
from harness.until import DEADLINE
from integration.scheduling.live import CLOSE, MINUTE, OPEN, Live, Maker, live
from integration.trading.peers import Peers

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("own_schedule", [True, False], ids=["fired here", "fired by a cluster"])
async def test_a_task_is_not_missed_of_before_it_was_there_or_at_its_present_instant(
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
        clock.instant = reported = OPEN - 14 * MINUTE
        await one.declare(morning, predictions.model_copy(update={"offset": "-10m"}), evening)
        assert (await one.slots()).since_by_task["prediction_generation"] == reported
        await one.at(OPEN + 10 * MINUTE)
        found = {slot.name: slot.status for slot in (await one.slots()).jobs}
        assert found["prediction_generation-20260105"] == "missed"
        clock.instant = CLOSE
        await one.declare(morning, predictions, evening)
        clock.instant += MINUTE
        await one.declare(morning, predictions.model_copy(update={"offset": "-10m"}), evening)
        await one.clockwork.tick()
        assert (await one.slots()).since_by_task["prediction_generation"] == CLOSE + MINUTE


async def test_a_declaration_that_comes_while_work_is_under_way_is_seen_at_once(scheduler: Live) -> None:
    began, gate = scheduler.peers.hold("generate_predictions")
    scheduler.clock.instant = OPEN - 30 * MINUTE
    working = asyncio.create_task(scheduler.clockwork.tick())
    async with asyncio.timeout(DEADLINE):
        await began.wait()
    brunch = Task(name="brunch", anchor="open", offset="-20m", useful_until="30s")
    scheduler.clock.instant = reported = OPEN - 25 * MINUTE
    await scheduler.declare(*default_tasks(), brunch)
    scheduler.clock.instant = OPEN - 16 * MINUTE
    gate.set()
    await working
    await scheduler.clockwork.tick()
    slots = await scheduler.slots()
    assert slots.since_by_task["brunch"] == reported
    assert {slot.name: slot.status for slot in slots.jobs}["brunch-20260105"] == "missed"


async def test_a_task_that_was_declared_while_the_scheduler_was_unreachable_counts_from_its_start(
    tmp_path: Path,
) -> None:
    clock, peers = Present(OPEN - timedelta(hours=2)), Peers()
    for number in range(2):
        maker = Maker(own_schedule=False)
        brunch = [{"name": "brunch", "anchor": "open", "offset": f"{number}h"}]
        async with live(tmp_path, peers, clock, maker, tasks=brunch) as system:
            one = Live(system, clock, peers, maker.clockwork())
            assert (await one.slots()).since_by_task == {"brunch": clock.instant}
            assert (await one.slots()).since == OPEN - timedelta(hours=2)
        clock.instant = CLOSE


@pytest.mark.parametrize("own_schedule", [True, False], ids=["fired here", "fired by a cluster"])
async def test_a_slot_that_was_missed_and_is_moved_to_later_is_due_again(tmp_path: Path, own_schedule: bool) -> None:
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
        # It can still be done, so that it was missed is not reported any more.
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


async def test_a_slot_that_is_missed_again_at_its_later_instant_is_reported_with_that(scheduler: Live) -> None:
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
    scheduler.clock.instant = OPEN - 25 * MINUTE
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
        clock.instant = reported = holiday + timedelta(hours=2, minutes=50)
        await one.override({"date": "2026-01-01", "open": "10:00", "close": "13:00"})
        await one.clockwork.tick()
        if not own_schedule:
            assert (await one.job("prediction_generation-20260101")).status == "completed"
        with pytest.raises(RpcError, match="NOT_A_SLOT: morning_analysis-20260101 would have been due"):
            await one.job("morning_analysis-20260101")
        slots = await one.slots()
        assert {slot.name: slot.status for slot in slots.jobs} == {"prediction_generation-20260101": "completed"}
        assert slots.since_by_session == {date(2026, 1, 1): reported}
        # Taken back and given again after the evening's slot: that was to be done at no time.
        clock.instant = reported + MINUTE
        await one.override()
        await one.at(reported + timedelta(hours=9))
        await one.override({"date": "2026-01-01", "open": "10:00", "close": "13:00"})
        await one.clockwork.tick()
        assert {slot.task for slot in (await one.slots()).jobs} == {"prediction_generation"}


async def test_what_was_missed_is_said_although_its_task_moves_before_anybody_looked(tmp_path: Path) -> None:
    clock, peers, maker = Present(OPEN - timedelta(hours=2)), Peers(), Maker(own_schedule=False)
    async with live(tmp_path, peers, clock, maker) as system:
        one = Live(system, clock, peers, maker.clockwork())
        _, predictions, evening = default_tasks()
        clock.instant = OPEN + MINUTE
        await one.declare(predictions.model_copy(update={"offset": "-45m"}), evening)
        found = {slot.name: slot.status for slot in (await one.slots()).jobs}
        assert found == {"prediction_generation-20260105": "missed"}
        jobs = await one.jobs()
        assert jobs["morning_analysis-20260105"] == "missed"
