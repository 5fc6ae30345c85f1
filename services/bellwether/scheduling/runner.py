"""Runs one slot at most once: checks that it is one, claims it, does its work, and keeps the answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from bellwether.market.sessions import OutsideCalendar
from bellwether.market.slots import TASK_BUDGET, Slot, TaskRule, parse_slot_name, slot_due_at, slot_named, slots
from bellwether.messages.envelope import LIVE
from bellwether.messages.scheduling import Job
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.scheduling import claims, declarations, jobs
from bellwether.scheduling.closing import Closer
from bellwether.scheduling.effects import OUTCOMES_TASK, run_task
from bellwether.scheduling.reports import SessionReports
from bellwether.scheduling.time_settings import Reader, TimeSettings
from bellwether.spec.tasks import SCHEDULER_NAMES
from bellwether.storage.store import Store, Transaction

_REQUEST_ID = re.compile(r"^[a-z0-9][-_a-z0-9]{0,39}$")
"""In small letters, so that none is taken for a minute (`20260105T1430Z`)."""
_OF_A_JOB = re.compile(r"-[0-9]{8}|@[0-9]{8}T[0-9]{4}Z")
"""What follows a job's id in the name of its slot, and of a run now without a request id."""


class Known(NamedTuple):
    """Every rule that slots come from, and by name the type of work (a declared task is its own type)."""

    rules: tuple[TaskRule, ...]
    types: dict[str, str]
    scheduled: dict[str, jobs.ScheduledJob]
    """The scheduled jobs by id."""


class Runner:
    """Runs slots of a live system."""

    def __init__(self, service: Service, store: Store, reader: Reader, closer: Closer, reports: SessionReports) -> None:
        self._service = service
        self._store = store
        self._reader = reader
        self._closer = closer
        self._reports = reports
        self._running: dict[str, asyncio.Task[Job]] = {}

    async def known(self, settings: TimeSettings | None = None) -> Known:
        """Return the declared tasks (of these settings, or those in force) and the scheduled jobs.

        A task that was declared later takes a job's name over.
        """
        declared = (settings or self._reader.settings).tasks
        taken = {rule.name for rule in declared} | set(SCHEDULER_NAMES)
        pending: Sequence[jobs.ScheduledJob] = await self._store.transact(jobs.pending)
        scheduled = [job for job in pending if job.rule.name not in taken]
        rules = (*declared, *(job.rule for job in scheduled))
        types = {rule.name: rule.name for rule in declared} | {job.rule.name: job.type for job in scheduled}
        return Known(rules, types, {job.rule.name: job for job in scheduled})

    async def execute(self, name: str, call: Call, *, request_id: str = "") -> Job:
        """Run a slot by its name, or a scheduled job by its id; done before, the stored answer is given.

        The id of a scheduled job means its slot while one is due and of use. Else it is a run now: whoever asks while
        one is under way gets its end, and within the same minute (UTC) the stored answer. With a `request_id` it is a
        run now in any case, one for each id.

        Raises:
            RpcError: NOT_A_SLOT when no task is due by that name, NOT_DUE_YET before its time, INVALID_PARAMS for a
                request id that is none or that comes with a slot; or the error of the service that could not do its
                part, after which it may be tried again.
        """
        known, now = await self.known(), self._now(call)
        job = known.scheduled.get(name)
        if job is None:
            if request_id:
                raise RpcError(
                    "INVALID_PARAMS", f"request_id: {name} is not a scheduled job, and a slot runs once whoever asks"
                )
            if not jobs.SLOT_LIKE.search(name):
                known_jobs = ", ".join(sorted(known.scheduled)) or "none"
                raise RpcError(
                    "NOT_A_SLOT", f"there is no job {name!r}; scheduled are {known_jobs} (a slot ends in its day)"
                )
            slot = self._slot(name, known.rules)
            return await self._execute_slot(slot, known.types[slot.task], now)
        if request_id:
            if not _REQUEST_ID.fullmatch(request_id):
                raise RpcError(
                    "INVALID_PARAMS",
                    f"request_id: {request_id!r} must be up to 40 of a-z, 0-9, - and _, and begin with one of a-z, 0-9",
                )
            return await self._execute_now(job, request_id, now)
        under_way = next((task for run, task in self._running.items() if _is_run_of(run, name)), None)
        if under_way is not None:
            return await asyncio.shield(under_way)
        open_slot = self._open_slot(job, now)
        if open_slot is not None:
            return await self._execute_slot(open_slot, job.type, now)
        return await self._execute_now(job, f"{now:%Y%m%dT%H%MZ}", now)

    async def execute_slot(self, name: str, call: Call) -> Job:
        """Run the slot of a declared task by its name; done before, the stored answer is given.

        Raises:
            RpcError: as `execute`; NOT_A_SLOT for scheduled jobs, too.
        """
        slot = self._slot(name, self._reader.settings.tasks)
        return await self._execute_slot(slot, slot.task, self._now(call))

    async def execute_due(self, task: str, minute: datetime, call: Call) -> Job:
        """Run the slot of a declared task that is due within this minute; done before, the stored answer is given.

        Raises:
            RpcError: as `execute`.
        """
        return await self._execute_slot(self._slot_due(task, minute), task, self._now(call))

    async def _execute_now(self, job: jobs.ScheduledJob, mark: str, now: datetime) -> Job:
        """Run a scheduled job now, once for each mark (a minute or a request id)."""
        name = f"{job.rule.name}@{mark}"
        before = await self.stored(LIVE, name)
        if before is None:
            session = self._reader.settings.calendar.local_day(now)
            return await self._once(claims.Due(name, job.type, session, now))
        # Tried again, it is the same work for the same day.
        session, due = date.fromisoformat(before.params["session"]), datetime.fromisoformat(before.schedule_time)
        return await self._once(claims.Due(name, before.type, session, due))

    def _open_slot(self, job: jobs.ScheduledJob, now: datetime) -> Slot | None:
        """Return the newest slot of a scheduled job that is due and still of use."""
        start, end = now - job.rule.useful_for, now + timedelta(microseconds=1)
        try:
            found = slots([job.rule], self._reader.settings.calendar, start, end)
        except OutsideCalendar:
            return None
        return next((slot for slot in reversed(found) if slot.due >= job.created_at), None)

    async def _execute_slot(self, slot: Slot, kind: str, now: datetime) -> Job:
        if now < slot.due:
            raise RpcError(
                "NOT_DUE_YET",
                f"{slot.name} is due at {slot.due.isoformat()}, it is {now.isoformat()}",
                seconds=(slot.due - now).total_seconds(),
            )
        due = claims.Due(slot.name, kind, slot.session, slot.due)
        # What began in time may end later: whoever asks then waits for the same end.
        if now > slot.useful_until and slot.name not in self._running:
            return await self._store.transact(lambda tx: self._missed(tx, due, slot, now))
        return await self._once(due)

    def _missed(self, tx: Transaction, due: claims.Due, slot: Slot, now: datetime) -> Job:
        """Record a slot as missed, if it was to run at all, and return it."""
        known = declarations.history(tx)
        if known is not None and known.versions[-1].with_jobs(jobs.pending(tx)).counts(slot):
            claims.miss(tx, LIVE, due, now)
        found = claims.find(tx, LIVE, due.name)
        if found is None:
            raise RpcError(
                "NOT_A_SLOT",
                f"{due.name} would have been due at {due.due.isoformat()}, before its task or its session was declared",
            )
        return found

    def _slot(self, name: str, rules: Sequence[TaskRule]) -> Slot:
        calendar = self._reader.settings.calendar
        try:
            task, day = parse_slot_name(name)
            slot = slot_named(name, rules, calendar)
        except (ValueError, OutsideCalendar) as error:
            raise RpcError("NOT_A_SLOT", str(error)) from None
        if slot is not None:
            return slot
        if calendar.session_on(day) is None:
            raise RpcError("NOT_A_SLOT", f"{name}: {calendar.name} does not trade on {day}")
        names = ", ".join(rule.name for rule in rules) or "none"
        raise RpcError("NOT_A_SLOT", f"{name}: there is no task {task!r}; declared are {names}")

    def _slot_due(self, task: str, minute: datetime) -> Slot:
        rules, calendar = self._reader.settings.tasks, self._reader.settings.calendar
        try:
            slot = slot_due_at(task, minute, rules, calendar)
        except OutsideCalendar as error:
            raise RpcError("NOT_A_SLOT", str(error)) from None
        if slot is not None:
            return slot
        names = [rule.name for rule in rules]
        if task not in names:
            raise RpcError("NOT_A_SLOT", f"there is no task {task!r}; declared are {', '.join(names) or 'none'}")
        raise RpcError("NOT_A_SLOT", f"{task}: nothing is due at {calendar.name} within {minute.isoformat()}")

    def _now(self, call: Call) -> datetime:
        return self._service.context.clock.now() if self._service.context.clock.live else call.as_of

    async def _once(self, due: claims.Due) -> Job:
        """Run a claimed slot; whoever asks for it meanwhile waits for the same end."""
        running = self._running.get(due.name)
        if running is None:
            running = asyncio.get_running_loop().create_task(self._run(due), name=f"slot {due.name}")
            self._running[due.name] = running
            running.add_done_callback(lambda _: self._running.pop(due.name, None))
        # A caller that gives up must not stop work that others wait for.
        return await asyncio.shield(running)

    async def _run(self, due: claims.Due) -> Job:
        clock = self._service.context.clock
        if await self._store.transact(lambda tx: claims.claim(tx, LIVE, due, clock.now())):
            if due.task == OUTCOMES_TASK:
                # By default it is due at the very instant at which a session no longer waits for its bars.
                await self._closer.close_through(due.session)
            call = self._service.call(budget=TASK_BUDGET.total_seconds())
            try:
                result = await run_task(due.task, due.name, due.session, call, self._reports)
            except RpcError as error:
                text = f"{error.code}: {error.message}"
                await self._store.transact(lambda tx: claims.fail(tx, LIVE, due.name, clock.now(), text))
                raise
            await self._store.transact(lambda tx: claims.complete(tx, LIVE, due.name, clock.now(), result))
        found = await self.stored(LIVE, due.name)
        if found is None:
            raise RpcError("NOT_A_SLOT", f"{due.name} was never claimed")
        return found

    async def stored(self, run: str, name: str) -> Job | None:
        """Return the stored answer of a slot, none when it was never claimed."""
        return await self._store.transact(lambda tx: claims.find(tx, run, name))

    async def miss(self, due: claims.Due) -> bool:
        """Record a slot that could not run while it was useful; False when that is known already, or it runs."""
        if due.name in self._running:
            return False
        now = self._service.context.clock.now()
        return await self._store.transact(lambda tx: claims.miss(tx, LIVE, due, now))

    async def abandon(self) -> None:
        """Cancel what still runs; its slots stay claimed and run again after the next start."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _is_run_of(name: str, job_id: str) -> bool:
    """Whether this is a scheduled job's slot or a run now of it that has no request id of its own."""
    return name.startswith(job_id) and _OF_A_JOB.fullmatch(name[len(job_id) :]) is not None
