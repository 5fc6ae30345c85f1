"""Which due slots nobody has started, and what is known of each task. Pure.

CronJobs start slots by themselves, with or without an operator. What they could not start, because the node, the
cluster or the CronJob was gone at that minute, is started here by a Job that bears the slot's name, for as long as the
slot is useful. The scheduler claims a slot once, so a Job too many does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from bellwether.market.declared import slots_of
from bellwether.market.sessions import OutsideCalendar
from bellwether.market.slots import LONGEST_OFFSET, Slot, due_from_job_name
from bellwether.render.kubernetes.context import LABEL_SLOT, LABEL_SYSTEM_UID, LABEL_TASK
from bellwether.spec.models import TradingSystemSpec
from bellwether_operator.observe.kinds import JOB, Observed
from bellwether_operator.report.finding import instant_of
from bellwether_operator.report.observation import TaskRow

GRACE = timedelta(seconds=45)
"""How long a CronJob is given to start its Job: its controller looks every 10 s."""
LOOK_BACK = timedelta(days=9)
"""How far back slots are judged; what is older was reported before."""
LOOK_AHEAD = timedelta(days=40)
_AFTER_THE_END = timedelta(seconds=5)
"""So long after a slot's use is over its owner, the scheduler, has surely recorded it as missed."""


@dataclass(frozen=True)
class Claims:
    """What the scheduler said of slots: when, since when it counts them, and the state of each that was claimed."""

    at: datetime
    since: datetime | None
    states: Mapping[str, str]
    """By a slot's name: running, completed, failed or missed."""
    since_by_task: Mapping[str, datetime] = field(default_factory=dict)
    """Since when each task is counted, where it was declared later; one that is left out is not known there yet."""

    since_by_session: Mapping[date, datetime] = field(default_factory=dict)
    """Since when overridden sessions have had their hours; all others have had theirs all along."""

    def counts(self, slot: Slot) -> bool:
        """Whether the scheduler counts a slot: it knew the task when that was due, and the session in time for it."""
        if slot.useful_until < self.since_by_session.get(slot.session, slot.useful_until):
            return False
        if not self.since_by_task:
            return True
        since = self.since_by_task.get(slot.task)
        return since is not None and slot.due >= since


@dataclass(frozen=True)
class StartedJob:
    """A Job that stands for a slot, whoever made it."""

    task: str
    slot: str | None
    """The slot's name, of a Job that bears it."""
    minute: datetime | None
    """The minute (UTC) for which a CronJob made it."""
    failed: bool = False
    ended: datetime | None = None
    """When it was over, failed or not."""

    def is_for(self, slot: Slot) -> bool:
        """Whether it was made for this slot."""
        if self.slot is not None:
            return self.slot == slot.name
        return self.task == slot.task and self.minute == slot.due.replace(second=0, microsecond=0)


@dataclass(frozen=True)
class DueWork:
    """What is to be done about slots now, and when to look again."""

    start: Sequence[Slot] = ()
    tasks: Sequence[TaskRow] = ()
    next_due: datetime | None = None


def due_work(
    spec: TradingSystemSpec,
    *,
    began: datetime,
    claims: Claims | None,
    jobs: Iterable[StartedJob],
    before: Mapping[str, TaskRow],
    now: datetime,
) -> DueWork:
    """Return which slots to start, what to report of each task, and when something about slots changes next.

    Args:
        spec: the declaration.
        began: since when the system is there; what was due earlier is not its affair.
        claims: what the scheduler said last; None while it says nothing.
        jobs: the Jobs that are there.
        before: what was reported last; kept where nothing newer is known.
        now: an aware instant.

    Raises:
        ValueError: when the declaration does not fit the calendar, or the calendar ends before `now`.
    """
    if spec.clock.mode == "replay" or not spec.tasks:
        return DueWork()
    since = max([began, now - LOOK_BACK, *([claims.since] if claims and claims.since else [])])
    past = slots_of(spec, since, now + timedelta(microseconds=1)) if since <= now else []
    past = [slot for slot in past if claims is None or claims.counts(slot)]
    known = list(jobs)
    start = [slot for slot in past if _wants_a_job(slot, claims, known, now)]
    coming = _coming(spec, now)
    tasks = [_times(task.name, past, coming, claims, before.get(task.name)) for task in spec.tasks]
    return DueWork(start, tasks, _next_due(past, coming, claims, now))


def _coming(spec: TradingSystemSpec, now: datetime) -> list[Slot]:
    """Return the slots ahead, fewer where the calendar ends; a week is enough in most cases."""
    for ahead in (LONGEST_OFFSET + timedelta(days=5), LOOK_AHEAD):
        try:
            found = [slot for slot in slots_of(spec, now, now + ahead) if slot.due > now]
        except OutsideCalendar:
            return []
        if {slot.task for slot in found} == {task.name for task in spec.tasks}:
            break
    return found


def _wants_a_job(slot: Slot, claims: Claims | None, jobs: Sequence[StartedJob], now: datetime) -> bool:
    if not slot.due + GRACE <= now <= slot.useful_until:
        return False
    state = None if claims is None else claims.states.get(slot.name)
    if state in {"running", "completed", "missed"}:
        return False
    mine = [job for job in jobs if job.is_for(slot)]
    if any(job.slot is not None for job in mine):
        return False  # it tries again by itself, up to its own limit
    return all(job.failed or _did_nothing(job, claims) for job in mine)


def _did_nothing(job: StartedJob, claims: Claims | None) -> bool:
    """Whether a Job is over and the scheduler, asked later, knows of no claim: it answered that this is no slot."""
    return job.ended is not None and claims is not None and claims.at > job.ended + _AFTER_THE_END


def _times(
    name: str, past: Sequence[Slot], coming: Sequence[Slot], claims: Claims | None, before: TaskRow | None
) -> TaskRow:
    known = before or TaskRow(name)
    last, missed = known.last, known.missed
    for slot in past:
        if slot.task != name or claims is None:
            continue
        state = claims.states.get(slot.name)
        if state == "completed":
            last = _later(last, slot.due)
        elif state == "missed" or (state != "running" and claims.at > slot.useful_until + _AFTER_THE_END):
            missed = _later(missed, slot.due)
    return TaskRow(name, next((slot.due for slot in coming if slot.task == name), None), last, missed)


def _later(known: datetime | None, found: datetime) -> datetime:
    return found if known is None else max(known, found)


def _next_due(past: Sequence[Slot], coming: Sequence[Slot], claims: Claims | None, now: datetime) -> datetime | None:
    times = [slot.due for slot in coming[:1]]
    for slot in past:
        if claims is not None and claims.states.get(slot.name) in {"completed", "missed"}:
            continue
        times += [slot.due + GRACE, slot.useful_until + 2 * _AFTER_THE_END]
    return min((time for time in times if time > now), default=None)


def reported(rows: Iterable[Mapping[str, Any]]) -> dict[str, TaskRow]:
    """Return what a status said of tasks."""
    found = {}
    for row in rows:
        times = {name: instant_of(row.get(name)) for name in ("next", "last", "missed")}
        found[str(row["name"])] = TaskRow(str(row["name"]), **times)
    return found


def started_jobs(children: Iterable[Observed], uid: str) -> list[StartedJob]:
    """Return the Jobs of one system that stand for a slot: those of its CronJobs, and those that bear a slot's name."""
    found = []
    for child in children:
        task = child.labels.get(LABEL_TASK)
        if child.key.kind != JOB or task is None or child.labels.get(LABEL_SYSTEM_UID) != uid:
            continue
        slot = child.labels.get(LABEL_SLOT)
        over = {
            each["type"]: datetime.fromisoformat(each["lastTransitionTime"])
            for each in child.status.get("conditions") or ()
            if each.get("type") in {"Complete", "Failed"} and each.get("status") == "True"
        }
        try:
            minute = None if slot is not None else due_from_job_name(child.key.name)
        except ValueError:
            continue  # somebody made it by hand from a CronJob: it stands for no minute
        found.append(StartedJob(task, slot, minute, "Failed" in over, max(over.values(), default=None)))
    return found
