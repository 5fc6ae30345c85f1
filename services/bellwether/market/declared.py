"""From the declaration's words to the calendar and the tasks that sessions and slots are computed with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

from bellwether.market.sessions import Calendar, CalendarError, Override, load_calendar
from bellwether.market.slots import LONGEST_OFFSET, Slot, TaskRule, slots
from bellwether.naming import symbol_token
from bellwether.spec.backup import Backup
from bellwether.spec.fields import parse_duration
from bellwether.spec.market import Market, SessionOverride
from bellwether.spec.models import TradingSystemSpec
from bellwether.spec.tasks import Task
from bellwether.spec.validate_structure import Problem

BACKUP_TASK = "create_backup"
"""What the scheduler of a local run does for spec.backup.schedule. In a cluster the operator has slots of its own;
under systemd a timer asks."""


def calendar_of(market: Market) -> Calendar:
    """Return the declared exchange's calendar with the declared overrides.

    Raises:
        CalendarError: when an override does not fit the calendar; the message names its day.
    """
    return load_calendar(market.calendar, overrides_of(market))


def overrides_of(market: Market) -> tuple[Override, ...]:
    """Return the declared corrections of single days, in their order.

    Raises:
        CalendarError: when there is no such day; the message names it.
    """
    return tuple(_override(declared) for declared in market.overrides)


def _override(declared: SessionOverride) -> Override:
    try:
        day = date.fromisoformat(declared.date)
    except ValueError as error:
        raise CalendarError(f"override {declared.date}: there is no such day") from error
    return Override(
        day=day,
        closed=bool(declared.closed),
        open=None if declared.open is None else time.fromisoformat(declared.open),
        close=None if declared.close is None else time.fromisoformat(declared.close),
    )


def task_rules(tasks: Sequence[Task]) -> list[TaskRule]:
    """Return when the declared tasks are due, in their order.

    Raises:
        ValueError: when an offset or a use is longer than a week, naming the task.
    """
    return [
        TaskRule(
            name=task.name,
            anchor=task.anchor,
            offset=timedelta(0) if task.offset is None else _length(task.name, "offset", task.offset),
            at=None if task.time is None else time.fromisoformat(task.time),
            useful_for=_length(task.name, "usefulUntil", task.useful_until),
        )
        for task in tasks
    ]


def backup_rule(backup: Backup | None) -> list[TaskRule]:
    """Return when the declared backup of a session is due, as one task; none where no schedule is declared.

    Raises:
        ValueError: when the offset is longer than a week.
    """
    schedule = None if backup is None else backup.schedule
    if schedule is None:
        return []
    return [
        TaskRule(
            name=BACKUP_TASK,
            anchor="close",
            offset=_length(BACKUP_TASK, "offset", schedule.offset),
            useful_for=_length(BACKUP_TASK, "usefulUntil", schedule.useful_until),
        )
    ]


def _length(task: str, field: str, declared: str) -> timedelta:
    try:
        return parse_duration(declared)
    except OverflowError as error:
        raise ValueError(f"task {task}: {field} {declared} is longer than {LONGEST_OFFSET.days} days") from error


def slots_of(spec: TradingSystemSpec, start: datetime, end: datetime) -> list[Slot]:
    """Return the declared tasks' slots that are due in start <= due < end.

    Raises:
        ValueError: when the declaration does not fit the calendar, or the interval is outside of it.
    """
    return slots(task_rules(spec.tasks), calendar_of(spec.market), start, end)


def fit(spec: TradingSystemSpec) -> list[Problem]:
    """Return what of a well-formed declaration does not fit its exchange: overrides by the table, offsets by length.

    The API server cannot know this; the command line says it beforehand, the operator as a condition.
    """
    problems = []
    for index, override in enumerate(spec.market.overrides):
        try:
            calendar_of(spec.market.model_copy(update={"overrides": [override]}))
        except CalendarError as error:
            problems.append(Problem(f"spec.market.overrides[{index}]", str(error)))
    for index, task in enumerate(spec.tasks):
        for field, other in (("offset", {"useful_until": "0s"}), ("usefulUntil", {"offset": None})):
            try:
                task_rules([task.model_copy(update=other)])
            except ValueError as error:
                problems.append(Problem(f"spec.tasks[{index}].{field}", str(error)))
    return problems + _symbols_that_are_one(spec.symbols) + _days_without_session(spec)


def _symbols_that_are_one(symbols: Sequence[str]) -> list[Problem]:
    problems, seen = [], dict[str, str]()
    for index, symbol in enumerate(symbols):
        other = seen.setdefault(symbol_token(symbol), symbol)
        if other != symbol:
            problems.append(
                Problem(f"spec.symbols[{index}]", f"{symbol} and {other} cannot be distinguished on the bus")
            )
    return problems


def _days_without_session(spec: TradingSystemSpec) -> list[Problem]:
    """Return what of a replay's days the calendar cannot step through."""
    clock = spec.clock
    if clock.from_ is None:
        return []
    calendar = load_calendar(spec.market.calendar)
    for field, day in (("from", clock.from_), ("to", clock.to)):
        if day is not None and not calendar.first_day <= date.fromisoformat(day) <= calendar.last_day:
            said = f"{day}: calendar {calendar.name} covers {calendar.first_day} to {calendar.last_day}"
            return [Problem(f"spec.clock.{field}", said)]
    first, last = date.fromisoformat(clock.from_), date.fromisoformat(clock.to or clock.from_)
    try:
        sessions = calendar_of(spec.market).sessions(first, last)
    except CalendarError:
        return []
    if clock.to is not None and not sessions:
        return [Problem("spec.clock.to", f"{calendar.name} has no session from {first} to {last}")]
    return []
