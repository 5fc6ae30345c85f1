"""CronJobs: one per task, month and time of day, which fires on the very days on which the task is due.

Nothing but those days stands in a schedule, so nothing runs on a holiday, and a month's work goes on without the
operator. Whole months are rendered, so a schedule stays as it is while time goes on; where an override changes the
month, the object is made again. A schedule has no year: the same days would fire a year later. By then the CronJob is
long gone, and the scheduler would answer that nothing is due.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from bellwether.market.declared import calendar_of, task_rules
from bellwether.market.sessions import Calendar, wall_clock
from bellwether.market.slots import Slot, TaskRule, slots
from bellwether.render.kubernetes.context import LABEL_TASK, Manifest, Month, RenderContext, metadata
from bellwether.render.kubernetes.jobs import dashed, minute_job
from bellwether.render.nats import JOB
from bellwether.spec.models import TradingSystem

LONGEST_NAME = 52
"""Of a CronJob: the controller appends the minute to make the name of a Job."""
SHORTEST_DEADLINE = 30
"""Seconds; with less than 10 the controller may never fire. The scheduler knows the exact end itself."""
_UNIVERSAL = "Etc/UTC"
_HASH_LENGTH = 6


class _Fire(NamedTuple):
    """The minute at which a slot's Job is made, in the zone of its schedule, and until when the slot is useful."""

    at: datetime
    useful_until: datetime


class _Schedule(NamedTuple):
    """What one CronJob is for: a task at a time of day in a month of a zone."""

    task: str
    zone: str
    year: int
    month: int
    hour: int
    minute: int


def cron_jobs(system: TradingSystem, context: RenderContext) -> list[Manifest]:
    """Return the CronJobs that fire at the minute of every slot that is due in the period's months; none in a replay.

    A slot that is due at some second of a minute is fired at its beginning; the scheduler has it wait.

    Raises:
        ValueError: when the declaration does not fit the calendar.
    """
    if not context.period.months:
        return []
    rules = tuple(task_rules(system.spec.tasks))
    found = _schedules(context.period.months, rules, calendar_of(system.spec.market))
    return [_cron_job(system, context, schedule, fires) for schedule, fires in found]


@lru_cache(maxsize=64)
def _schedules(
    months: tuple[Month, ...], rules: tuple[TaskRule, ...], calendar: Calendar
) -> tuple[tuple[_Schedule, tuple[_Fire, ...]], ...]:
    """Return when each schedule fires, in order. Systems that share exchange and tasks share the answer."""
    found: dict[_Schedule, list[_Fire]] = {}
    for slot in _slots_of(months, rules, calendar):
        fire = _Fire(_minute_of(slot.due, calendar.timezone), slot.useful_until)
        found.setdefault(_schedule_of(slot.task, fire.at, calendar.timezone), []).append(fire)
    return tuple((schedule, tuple(found[schedule])) for schedule in sorted(found))


def _slots_of(months: Iterable[Month], rules: Sequence[TaskRule], calendar: Calendar) -> Iterator[Slot]:
    """Yield the slots that are due in these months at the exchange, as far as the calendar reaches."""
    for year, month in months:
        first, behind = date(year, month, 1), date(year + month // 12, month % 12 + 1, 1)
        start = wall_clock(max(first, calendar.first_day), time.min, calendar.timezone)
        end = wall_clock(min(behind, calendar.last_day), time.max, calendar.timezone)
        for slot in slots(rules, calendar, start, end):
            day = calendar.local_day(slot.due)
            if (day.year, day.month) == (year, month):
                yield slot


def _minute_of(due: datetime, zone: ZoneInfo) -> datetime:
    """Return the beginning of the minute on the exchange's clock, or in UTC where that clock shows it twice.

    In the zone such a minute cannot be said: the controller would fire at both.
    """
    local = due.astimezone(zone).replace(second=0, microsecond=0)
    twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
    return local.astimezone(UTC) if twice else local


def _schedule_of(task: str, at: datetime, zone: ZoneInfo) -> _Schedule:
    return _Schedule(task, zone.key if at.tzinfo is zone else _UNIVERSAL, at.year, at.month, at.hour, at.minute)


def _cron_job(system: TradingSystem, context: RenderContext, schedule: _Schedule, fires: Sequence[_Fire]) -> Manifest:
    useful_for = max(fire.useful_until - fire.at for fire in fires)
    days = ",".join(str(fire.at.day) for fire in sorted(fires))
    found = metadata(system, JOB, _name(system.metadata.name, schedule))
    found["labels"][LABEL_TASK] = schedule.task
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": found,
        "spec": {
            "concurrencyPolicy": "Forbid",
            "failedJobsHistoryLimit": 1,
            "jobTemplate": minute_job(system, context, schedule.task, useful_for),
            "schedule": f"{schedule.minute} {schedule.hour} {days} {schedule.month} *",
            "startingDeadlineSeconds": max(SHORTEST_DEADLINE, math.ceil(useful_for.total_seconds())),
            "successfulJobsHistoryLimit": 1,
            # Said, so that a schedule that somebody suspends is drift: what is to rest says so in the declaration.
            "suspend": False,
            "timeZone": schedule.zone,
        },
    }


def _name(system: str, schedule: _Schedule) -> str:
    """Return `<system>-<task>-<yyyymm>-<HHMM>`, with `-utc` behind where month and time are in UTC."""
    end = f"-{schedule.year:04}{schedule.month:02}-{schedule.hour:02}{schedule.minute:02}"
    if schedule.zone == _UNIVERSAL:
        end += "-utc"
    return f"{system}-{_shortened(schedule.task, LONGEST_NAME - len(system) - 1 - len(end))}{end}"


def _shortened(task: str, length: int) -> str:
    """Return a task's name in at most so many characters; one that is cut carries a hash of the whole."""
    name = dashed(task)
    if len(name) <= length:
        return name
    digest = hashlib.sha256(task.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{name[: length - _HASH_LENGTH - 1].rstrip('-')}-{digest}"
