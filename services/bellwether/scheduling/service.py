"""The scheduler on the runtime: which message does what, and what runs beside them."""

from __future__ import annotations

import contextlib
import logging
from datetime import datetime, timedelta
from typing import Any

from bellwether.market.slots import slots
from bellwether.messages import scheduling as messages
from bellwether.messages.alarms import alarm
from bellwether.messages.envelope import LIVE
from bellwether.messages.monitoring import AlarmReading
from bellwether.messages.reporting import GetReport, ListReports, Reports, StoredReport
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.scheduling import claims, declarations, jobs, tables
from bellwether.scheduling.clockwork import Clockwork
from bellwether.scheduling.closing import LOOK_BACK, Closer
from bellwether.scheduling.conductor import Conductor
from bellwether.scheduling.declarations import is_due_again, is_open
from bellwether.scheduling.replay_reports import add_replay_reports
from bellwether.scheduling.reports import SessionReports
from bellwether.scheduling.runner import Runner
from bellwether.scheduling.time_settings import Reader
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Store, Transaction

MOST_ROWS = 1000
LOOK_AHEAD = timedelta(days=7)

MISSED_LOOK_BACK = timedelta(days=7)
"""How long a missed slot is reported where its task does not run again."""

_log = logging.getLogger(__name__)


def create(context: ServiceContext) -> Service:
    """Return the service scheduler with its slots opened."""
    service = Service("scheduler", context)
    store = context.open_store(tables.metadata, version=tables.VERSION, upgrades=tables.UPGRADES)
    reader = Reader(context.declaration, backs_up=context.config.run_folder is not None)
    reports = SessionReports(store, reader)
    conductor = Conductor(service, store, reader, reports)
    closer = Closer(service, store, reader)
    runner = Runner(service, store, reader, closer, reports)
    clockwork = Clockwork(service, store, reader, runner, closer)
    _register_jobs(service, store, reader, conductor, runner)
    _register_slots(service, store, reader, conductor, clockwork)
    _register_schedule(service, store, reader, clockwork)
    _register_reports(service, reader, conductor, reports)
    add_replay_reports(service)

    @service.rpc("get_replay")
    async def get_replay(call: Call) -> messages.ReplayState:
        return conductor.state()

    @service.on_declaration
    async def declared(system: TradingSystem) -> None:
        # Reading the words here makes a declaration that cannot be applied fail its acknowledgement.
        if not reader.settings.replays:
            await clockwork.judge()
        conductor.declared.set()
        clockwork.wake()

    @service.on_start
    async def begin() -> None:
        now = context.clock.now()
        await store.transact(lambda tx: claims.interrupt(tx, LIVE, now))

    @service.background
    async def work() -> None:
        await conductor.conduct()
        if conductor.progress.state == "off":
            await clockwork.turn()

    @service.on_stop
    async def stop() -> None:
        await runner.abandon()
        # Its peers stop after it: what the cursor stands for has to be on disk before it is.
        with contextlib.suppress(RpcError):
            await conductor.make_durable()

    @service.on_health
    def health() -> dict[str, Any]:
        state = conductor.state()
        found: dict[str, Any] = {"replay": state.state, "step": state.step, "sessions_done": state.sessions_done}
        if state.error is not None:
            found["warning"] = state.error
        if state.state == "failed":
            found["status"] = "degraded"
        return found

    _register_alarms(service, store, reader)
    return service


def _register_alarms(service: Service, store: Store, reader: Reader) -> None:
    @service.on_alarms
    async def alarms() -> list[AlarmReading]:
        if not service.context.declaration.known or reader.settings.replays:
            return []
        since = service.context.clock.now() - MISSED_LOOK_BACK
        missed = await store.transact(lambda tx: claims.last_missed(tx, LIVE, since))
        return [alarm("slot_missed", "missed: " + ", ".join(missed))] if missed else []


def _register_jobs(service: Service, store: Store, reader: Reader, conductor: Conductor, runner: Runner) -> None:
    @service.rpc("execute_job")
    async def execute_job(request: messages.ExecuteJob, call: Call) -> messages.Job:
        if reader.settings.replays:
            return await conducted(request.job_id)
        return await runner.execute(request.job_id, call, request_id=request.request_id)

    @service.rpc("execute_slot")
    async def execute_slot(request: messages.ExecuteSlot, call: Call) -> messages.Job:
        due = _due(request)
        if reader.settings.replays:
            return await conducted(request.slot or str(request.task))
        return await (runner.execute_slot(request.slot, call) if due is None else runner.execute_due(*due, call))

    async def conducted(name: str) -> messages.Job:
        done = await runner.stored(conductor.run, name)
        if done is not None and done.status in ("completed", "failed"):
            return done
        raise RpcError(
            "REPLAY_CONDUCTS",
            f"{name}: with clock.mode replay every slot runs in its turn; this one has not come to its end",
        )

    @service.rpc("list_jobs")
    async def list_jobs(request: messages.ListJobs, call: Call) -> messages.Jobs:
        if not 1 <= request.limit <= MOST_ROWS:
            raise RpcError("INVALID_PARAMS", f"limit: {request.limit} must be from 1 to {MOST_ROWS}")
        if reader.settings.replays:
            return messages.Jobs(await store.transact(lambda tx: claims.newest(tx, conductor.run, request.limit)))
        past = await store.transact(lambda tx: claims.newest(tx, LIVE, request.limit))
        coming = await _coming(reader, runner, service)
        claimed = {job.id for job in past}
        return messages.Jobs([*(job for job in coming if job.id not in claimed), *past][: request.limit])


def _register_slots(service: Service, store: Store, reader: Reader, conductor: Conductor, clockwork: Clockwork) -> None:
    @service.rpc("list_slots")
    async def list_slots(call: Call) -> messages.SlotJobs:
        tasks = [task.name for task in reader.settings.tasks]
        if not reader.settings.replays:
            since = service.context.clock.now() - LOOK_BACK

            def look(tx: Transaction) -> messages.SlotJobs:
                known = declarations.history(tx)
                if known is None:
                    return messages.SlotJobs(None, [], failing=clockwork.failing)
                version = known.versions[-1]
                by_session = {day: at for day, at in version.since_by_session.items() if day >= since.date()}
                found = claims.recent(tx, LIVE, tasks, since, MOST_ROWS)
                listed = [job for job in found if not is_due_again(job, version)]
                return messages.SlotJobs(
                    known.began, listed, dict(version.since_by_task), by_session, clockwork.failing
                )

            return await store.transact(look)
        at = conductor.progress.at
        if at is None:
            return messages.SlotJobs(None, [])
        return await store.transact(
            lambda tx: messages.SlotJobs(None, claims.recent(tx, conductor.run, tasks, at - LOOK_BACK, MOST_ROWS))
        )


def _due(request: messages.ExecuteSlot) -> tuple[str, datetime] | None:
    """Return the task and the minute that are asked for, none when a slot is asked for by its name."""
    if request.slot and request.task is None and request.minute is None:
        return None
    if request.slot or request.task is None or request.minute is None or request.minute.tzinfo is None:
        raise RpcError("INVALID_PARAMS", "execute_slot: give a slot, or a task and a minute with its time zone")
    return request.task, request.minute


def _register_schedule(service: Service, store: Store, reader: Reader, clockwork: Clockwork) -> None:
    @service.rpc("schedule_market_aware_job")
    async def schedule_market_aware_job(request: messages.ScheduleJob, call: Call) -> messages.Job:
        if reader.settings.replays:
            raise RpcError("REPLAY_CONDUCTS", "with clock.mode replay only declared tasks run: add it to spec.tasks")
        now = service.context.clock.now()
        job = jobs.job_of(request, reader.settings.tasks, now)

        def add(tx: Transaction) -> dict[str, datetime]:
            jobs.add(tx, job)
            return claims.over(tx, LIVE, now - LOOK_AHEAD)

        over = await store.transact(add)
        clockwork.wake()
        coming = slots([job.rule], reader.settings.calendar, now, now + LOOK_AHEAD)
        # Put to another time, a job that was done today is not done again.
        due = next((slot.due for slot in coming if is_open(slot, over)), None)
        return messages.Job(job.rule.name, job.type, due.isoformat() if due else "", job.params, "pending", due)

    @service.rpc("stop_all_jobs")
    async def stop_all_jobs(call: Call) -> messages.StoppedJobs:
        stopped = await store.transact(jobs.stop_all)
        clockwork.wake()
        _log.info("%d scheduled jobs are stopped", stopped)
        return messages.StoppedJobs(stopped)


def _register_reports(service: Service, reader: Reader, conductor: Conductor, reports: SessionReports) -> None:
    def run() -> str:
        return conductor.run if reader.settings.replays else LIVE

    @service.rpc("get_report")
    async def get_report(request: GetReport, call: Call) -> StoredReport:
        return await reports.stored(run(), request.session, call, verify=request.verify)

    @service.rpc("list_reports")
    async def list_reports(request: ListReports, call: Call) -> Reports:
        return await reports.listed(run(), request.limit, call)


async def _coming(reader: Reader, runner: Runner, service: Service) -> list[messages.Job]:
    """Return the next slot of each task and scheduled job, the furthest first."""
    known, now = await runner.known(), service.context.clock.now()
    found: dict[str, messages.Job] = {}
    for slot in slots(known.rules, reader.settings.calendar, now, now + LOOK_AHEAD):
        if slot.task not in found:
            params = {"session": slot.session.isoformat()}
            kind = known.types[slot.task]
            found[slot.task] = messages.Job(slot.name, kind, slot.due.isoformat(), params, "pending", slot.due)
    return sorted(found.values(), key=lambda job: job.schedule_time, reverse=True)
