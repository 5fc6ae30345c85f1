"""Weeks of a live scheduler with edits, overrides, restarts, kills and peers that are unreachable, drawn by a seed.

The clock is the test's, the days are those around a change of the exchange's clock, the peers are stand-ins. What is
held after each of them: a slot has at most one effect, at no time but its own and on no closed day; one that was due
and stayed so is done or said to be missed; and nothing is missed that was never to be done.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bellwether.market.declared import calendar_of, task_rules
from bellwether.market.sessions import OutsideCalendar
from bellwether.market.slots import Slot, slot_named, slots
from bellwether.messages.prediction import GeneratePredictions, PredictionBatch, Summary
from bellwether.messages.scheduling import Job, SlotJobs
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.declaration import encode_declaration
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.scheduling.closing import LOOK_BACK
from bellwether.spec.models import TradingSystem
from bellwether.trading import service as trading
from harness.clock import Present
from harness.system import System, running
from integration.scheduling.live import Maker
from integration.trading.peers import ROWS, Peers, declaration

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)
TASKS = [
    {"name": "early", "anchor": "open", "offset": "-30m", "usefulUntil": "15m"},
    {"name": "prediction_generation", "anchor": "open", "offset": "-15m", "usefulUntil": "15m"},
    {"name": "night", "anchor": "time", "time": "02:30", "usefulUntil": "20m"},
    {"name": "late", "anchor": "close", "offset": "1h", "usefulUntil": "4h"},
]
OFFSETS = ("-3h", "-30m", "-15m", "-1m", "0s", "10m", "2h", "9h")
SCENES = [
    # The days around the change of clocks, in spring and autumn, of exchanges on both halves of the globe.
    ("XNYS", datetime(2026, 3, 5, tzinfo=UTC)),
    ("XNYS", datetime(2026, 10, 29, tzinfo=UTC)),
    ("XASX", datetime(2026, 4, 1, tzinfo=UTC)),
    ("XASX", datetime(2026, 10, 1, tzinfo=UTC)),
]
LENGTH = timedelta(days=8)


class Recording(Peers):
    """Stand-ins that record which slot had an effect, and may be made to hang."""

    def __init__(self) -> None:
        super().__init__()
        self.effects: list[tuple[str, datetime]] = []

    def prediction(self, context: ServiceContext) -> Service:
        service = super().prediction(context)

        async def generate_predictions(request: GeneratePredictions, call: Call) -> PredictionBatch:
            self._met("generate_predictions", call)
            self.effects.append((str(request.slot), call.as_of))
            if "generate_predictions" in self.held:
                began, gate = self.held["generate_predictions"]
                began.set()
                await gate.wait()
            return PredictionBatch({}, {}, Summary(0, 0, 0, 0, 0, 0.0), [])

        known = service.server.methods["generate_predictions"]
        service.server.methods["generate_predictions"] = known._replace(handler=generate_predictions)
        return service


@dataclass
class World:
    """A system over its restarts, and what was in force when."""

    folder: Path
    own_schedule: bool
    chance: random.Random
    system: TradingSystem
    clock: Present
    peers: Recording = field(default_factory=Recording)
    reported: list[tuple[datetime, TradingSystem]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    """Slots whose work was killed in the middle: it is done again."""
    running: System | None = None
    maker: Maker | None = None

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        self.maker = Maker(own_schedule=self.own_schedule)
        builds: dict[str, Any] = {
            **self.peers.builds(),
            "paper-trading": trading.create,
            "scheduler": self.maker,
        }
        data = self.folder / "data"
        async with running(builds, data_dir=data, declaration=self.system, rows=ROWS, clock=self.clock) as found:
            self.running = found
            self.reported.append((self.clock.instant, self.system))
            yield
        self.running = None

    @property
    def now(self) -> datetime:
        return self.clock.instant

    async def look(self) -> None:
        assert self.maker is not None
        await self.maker.clockwork().tick()

    async def ask(self, name: str) -> None:
        assert self.running is not None
        with contextlib.suppress(RpcError):
            await self.running.call("scheduler", "execute_slot", {"slot": name}, Job)

    async def declare(self, **changes: Any) -> None:
        spec = self.system.spec.model_copy(update=changes)
        body = self.system.model_dump(by_alias=True, exclude_none=True)
        body["spec"] = spec.model_dump(by_alias=True, exclude_none=True)
        body["metadata"]["generation"] += 1
        self.system = TradingSystem.model_validate(body)
        assert self.running is not None
        ack = await self.running.services["scheduler"].context.declaration.offer(encode_declaration(self.system))
        assert ack is not None
        assert ack.applied, ack.error
        self.reported.append((self.now, self.system))

    async def slots(self) -> dict[str, str]:
        assert self.running is not None
        found: SlotJobs = await self.running.call("scheduler", "list_slots", {}, SlotJobs)
        return {job.name: job.status for job in found.jobs}

    # What may happen

    async def edit(self) -> None:
        """Move a task, often by an instant at which it is about to be due."""
        tasks = list(self.system.spec.tasks)
        position = self.chance.choice([at for at, task in enumerate(tasks) if task.anchor != "time"])
        tasks[position] = tasks[position].model_copy(update={"offset": self.chance.choice(OFFSETS)})
        await self.declare(tasks=tasks)

    async def override(self) -> None:
        """Close a day, shorten it, open one, or take that back."""
        day = calendar_of(self.system.spec.market).local_day(self.now) + timedelta(days=self.chance.choice((0, 0, 1)))
        others = [one for one in self.system.spec.market.overrides if one.date != day.isoformat()]
        kind = self.chance.choice(("closed", "hours", "none"))
        new = {"closed": [{"date": day.isoformat(), "closed": True}], "none": []}.get(
            kind, [{"date": day.isoformat(), "open": "11:00", "close": "13:00"}]
        )
        body = self.system.model_dump(by_alias=True, exclude_none=True)
        body["spec"]["market"]["overrides"] = [
            *(one.model_dump(by_alias=True, exclude_none=True) for one in others),
            *new,
        ]
        await self.declare(market=TradingSystem.model_validate(body).spec.market)

    async def killed(self) -> None:
        """Leave work in the middle, as a kill does."""
        began, gate = self.peers.hold("generate_predictions")
        before = len(self.peers.effects)
        work = asyncio.create_task(self.look())
        waiting = asyncio.create_task(began.wait())
        await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
        assert self.running is not None
        await self.running.services["scheduler"]._stop_hooks[-1]()
        self.broken |= {name for name, _ in self.peers.effects[before:]}
        gate.set()
        del self.peers.held["generate_predictions"]
        for task in (work, waiting):
            task.cancel()
        await asyncio.gather(work, waiting, return_exceptions=True)

    # What must hold

    def in_force(self, at: datetime) -> TradingSystem:
        return [system for since, system in self.reported if since <= at][-1]

    def slot_at(self, name: str, at: datetime) -> Slot | None:
        return slot_of(self.in_force(at), name)


def slot_of(system: TradingSystem, name: str) -> Slot | None:
    return slot_named(name, task_rules(system.spec.tasks), calendar_of(system.spec.market))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("exchange", "begin"), SCENES, ids=lambda value: value if isinstance(value, str) else f"{value:%m}"
)
@pytest.mark.parametrize("own_schedule", [True, False], ids=["fired here", "fired by a cluster"])
async def test_whatever_happens_each_slot_is_done_once_in_its_time_or_said_to_be_missed(
    tmp_path: Path, exchange: str, begin: datetime, own_schedule: bool, seed: int
) -> None:
    system = declaration(
        market={"calendar": exchange},
        data={"provider": "csv", "csv": {"directory": "bars"}},
        clock={"mode": "live"},
        trading={"mode": "off"},
        tasks=TASKS,
    )
    chance = random.Random(f"{exchange} {begin} {own_schedule} {seed}")
    world = World(tmp_path, own_schedule, chance, system, Present(begin))
    missed_at: dict[str, datetime] = {}
    while world.now < begin + LENGTH:
        async with world.started():
            for _ in range(chance.randint(5, 40)):
                world.clock.instant += chance.choice((MINUTE, 7 * MINUTE, 15 * MINUTE, 45 * MINUTE, timedelta(hours=3)))
                await happen(world)
                for name, status in (await world.slots()).items():
                    if status == "missed":
                        missed_at.setdefault(name, world.now)
            if chance.random() < 0.5:
                await world.killed()
        world.clock.instant += chance.choice((MINUTE, 20 * MINUTE, timedelta(hours=5)))
    async with world.started():
        await world.look()
        final = await world.slots()
    check_effects(world)
    check_missed(world, missed_at)
    check_nothing_is_silent(world, final, begin)


async def happen(world: World) -> None:
    what = world.chance.random()
    if what < 0.06:
        await world.edit()
    elif what < 0.12:
        await world.override()
    elif what < 0.2:
        world.peers.away["generate_predictions"] = 1
    elif what < 0.5:
        calendar, rules = calendar_of(world.system.spec.market), task_rules(world.system.spec.tasks)
        near = slots(rules, calendar, world.now - timedelta(days=1), world.now + timedelta(hours=1))
        for slot in near[-3:]:
            await world.ask(slot.name)
    if what < 0.8:
        await world.look()


def check_effects(world: World) -> None:
    counted = Counter(name for name, _ in world.peers.effects)
    assert not {name for name, count in counted.items() if count > 1} - world.broken
    for name, at in world.peers.effects:
        slot = world.slot_at(name, at)
        assert slot is not None, f"{name} ran at {at}, where it was none"
        assert slot.due <= at <= slot.useful_until, f"{name} ran at {at}"


def check_missed(world: World, missed_at: dict[str, datetime]) -> None:
    for name, at in missed_at.items():
        assert was_to_be_done(world, name, at), f"{name} is missed at {at}, and was never to be done"


def was_to_be_done(world: World, name: str, until: datetime) -> bool:
    """Whether some declaration was there while the slot was still of use by it, and that use is over."""
    declared = [(since, slot_of(system, name)) for since, system in world.reported]
    return any(slot is not None and since <= slot.useful_until < until for since, slot in declared)


def check_nothing_is_silent(world: World, final: dict[str, str], begin: datetime) -> None:
    system = world.system
    rules, calendar = task_rules(system.spec.tasks), calendar_of(system.spec.market)
    with contextlib.suppress(OutsideCalendar):
        for slot in slots(rules, calendar, max(begin, world.now - LOOK_BACK), world.now):
            at_due = world.in_force(slot.due)
            held = [slot_of(one, slot.name) for since, one in world.reported if since >= slot.due or one is at_due]
            stayed = all(one == slot for one in held)
            if stayed and slot.useful_until < world.now:
                assert final.get(slot.name) in {"completed", "missed"}, f"{slot.name}: {final.get(slot.name)}"


def test_the_days_of_each_scene_hold_a_change_of_the_exchanges_clock() -> None:
    for exchange, begin in SCENES:
        calendar = calendar_of(declaration(market={"calendar": exchange}).spec.market)
        offsets = {
            (begin + timedelta(days=number)).astimezone(calendar.timezone).utcoffset() for number in range(LENGTH.days)
        }
        assert len(offsets) == 2
