"""A live scheduler whose clock the test moves; its peers are stand-ins with made-up answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from bellwether.messages.scheduling import Job, Jobs, SlotJobs
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.declaration import encode_declaration
from bellwether.runtime.service import Service
from bellwether.scheduling import service as scheduling
from bellwether.scheduling.clockwork import Clockwork
from bellwether.spec.models import TradingSystem
from bellwether.spec.tasks import Task
from bellwether.trading import service as trading
from harness.clock import Present
from harness.system import System, running
from integration.trading.peers import ROWS, Peers, declaration

OPEN = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
CLOSE = datetime(2026, 1, 5, 21, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass
class Live:
    """A scheduler whose own clockwork stands still: the test turns it."""

    system: System
    clock: Present
    peers: Peers
    clockwork: Clockwork

    async def at(self, instant: datetime) -> None:
        self.clock.instant = instant
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
