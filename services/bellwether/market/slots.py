"""Which work is due when: the slots of a declaration's tasks, as a pure function of tasks, calendar and interval.

A slot is one task at one session. Its name is a function of the two, so that everything that starts work (a cluster's
schedule, the operator catching up, a replay) means the same slot by the same name, and the second one to come finds
it claimed.

A time of day is read on the exchange's clock on every session day (`sessions.wall_clock`). An anchor of open or close
with an offset is counted in elapsed time, so clock changes do not move it. Last: which bar can be expected when.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from bellwether.market.sessions import Calendar, Session, wall_clock

Anchor = Literal["open", "close", "time"]

LONGEST_OFFSET = timedelta(days=7)
"""An offset further than this from its session is refused: it would belong to another one."""
LONGEST_USE = LONGEST_OFFSET
"""So far back is looked for work that was missed; a longer use would be a promise that nobody keeps."""
TASK_BUDGET = timedelta(minutes=2)
"""How long the work of one slot may take once it has started; then that try has failed."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_NAME = re.compile(r"^(?P<task>[a-z](?:[-_a-z0-9]*[a-z0-9])?)-(?P<day>[0-9]{8})$")
_JOB_NAME = re.compile(r"^.*-(?P<minutes>[0-9]{1,10})$")


@dataclass(frozen=True, slots=True)
class TaskRule:
    """When one task is due.

    Attributes:
        name: the task's name.
        anchor: what its instant is counted from: the session's open or close, or a time of day.
        offset: before (negative) or after the open or close; zero with anchor time.
        at: the time of day at the exchange, with anchor time only.
        useful_for: how long after it was due the work is still worth starting.
    """

    name: str
    anchor: Anchor
    offset: timedelta = timedelta(0)
    at: time | None = None
    useful_for: timedelta = timedelta(minutes=15)

    def __post_init__(self) -> None:
        if (self.anchor == "time") != (self.at is not None):
            raise ValueError(f"task {self.name}: a time of day goes with anchor time, and only with it")
        if self.anchor == "time" and self.offset:
            raise ValueError(f"task {self.name}: anchor time takes no offset")
        if abs(self.offset) > LONGEST_OFFSET:
            raise ValueError(f"task {self.name}: offset {self.offset} is longer than {LONGEST_OFFSET.days} days")
        if self.useful_for < timedelta(0):
            raise ValueError(f"task {self.name}: useful_for is {self.useful_for}, it cannot be negative")
        if self.useful_for > LONGEST_USE:
            raise ValueError(f"task {self.name}: useful_for is {self.useful_for}, at most are {LONGEST_USE.days} days")


@dataclass(frozen=True, slots=True)
class Slot:
    """One task at one session.

    Attributes:
        task: the task's name.
        session: the session's day at the exchange (not always the day on which the slot is due).
        due: when the work is to start, UTC.
        useful_until: until when it is still worth starting, UTC.
    """

    task: str
    session: date
    due: datetime
    useful_until: datetime

    @property
    def name(self) -> str:
        """`<task>-<YYYYMMDD>` with the session's day, such as `morning_analysis-20090102`."""
        return f"{self.task}-{self.session:%Y%m%d}"

    @property
    def epoch_minutes(self) -> int:
        """Whole minutes from 1970-01-01 UTC to the instant it is due: the end of a scheduled Job's name."""
        return epoch_minutes(self.due)


def slots(tasks: Sequence[TaskRule], calendar: Calendar, start: datetime, end: datetime) -> list[Slot]:
    """Return the slots that are due in start <= due < end, in order of time, then of the tasks.

    Raises:
        ValueError: when two tasks have the same name.
        OutsideCalendar: when the interval is not inside the calendar's table.
    """
    names = [task.name for task in tasks]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"two tasks are named {', '.join(twice)}: a slot's name must say which one it is")
    if not tasks or start >= end:
        return []
    found: list[tuple[datetime, int, Slot]] = []
    for session in _sessions_that_may_matter(tasks, calendar, start, end):
        for position, task in enumerate(tasks):
            slot = slot_of(task, session, calendar.timezone)
            if start <= slot.due < end:
                found.append((slot.due, position, slot))
    return [slot for _, _, slot in sorted(found, key=lambda entry: entry[:2])]


def slot_of(task: TaskRule, session: Session, timezone: ZoneInfo) -> Slot:
    """Return the slot of this task at this session."""
    due = due_at(task, session, timezone)
    return Slot(task=task.name, session=session.day, due=due, useful_until=due + task.useful_for)


def due_at(task: TaskRule, session: Session, timezone: ZoneInfo) -> datetime:
    """Return the instant (UTC) at which the task is due at this session."""
    if task.anchor == "open":
        return session.open + task.offset
    if task.anchor == "close":
        return session.close + task.offset
    assert task.at is not None  # noqa: S101 - held by TaskRule
    return wall_clock(session.day, task.at, timezone)


def parse_slot_name(name: str) -> tuple[str, date]:
    """Return task and session day of a slot's name.

    Raises:
        ValueError: when the text is not `<task>-<YYYYMMDD>`.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not the name of a slot: it looks like morning_analysis-20090102")
    digits = match["day"]
    try:
        return match["task"], date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError as error:
        raise ValueError(f"{name!r} is not the name of a slot: {digits} is not a day") from error


def slot_named(name: str, tasks: Sequence[TaskRule], calendar: Calendar) -> Slot | None:
    """Return the slot of this name, None when there is no such task or no session on that day.

    Raises:
        ValueError: when the text is not the name of a slot.
        OutsideCalendar: when the day is not inside the calendar's table.
    """
    task_name, day = parse_slot_name(name)
    session = calendar.session_on(day)
    rule = next((task for task in tasks if task.name == task_name), None)
    return None if session is None or rule is None else slot_of(rule, session, calendar.timezone)


def epoch_minutes(instant: datetime) -> int:
    """Return the whole minutes from 1970-01-01 UTC to this instant, rounded down."""
    return (instant - _EPOCH) // _MINUTE


def due_from_job_name(job_name: str) -> datetime:
    """Return the minute (UTC) for which a schedule started this Job: the number at the end of its name.

    Not for slot names: eight digits of a day and eight of minutes look alike, so the two are never guessed apart.

    Raises:
        ValueError: when the name does not end in a number of minutes.
    """
    match = _JOB_NAME.fullmatch(job_name)
    if match is None:
        raise ValueError(f"{job_name!r} is not the name of a scheduled Job: it must end in -<minutes since 1970>")
    return _EPOCH + int(match["minutes"]) * _MINUTE


def slot_due_at(task: str, minute: datetime, tasks: Sequence[TaskRule], calendar: Calendar) -> Slot | None:
    """Return the slot of this task that is due within this minute, None when there is none (NOT_A_SLOT)."""
    begin = _EPOCH + epoch_minutes(minute) * _MINUTE
    rules = [rule for rule in tasks if rule.name == task]
    found = slots(rules, calendar, begin, begin + _MINUTE)
    return found[0] if found else None


def _sessions_that_may_matter(
    tasks: Sequence[TaskRule], calendar: Calendar, start: datetime, end: datetime
) -> list[Session]:
    """Return every session that can have a slot in the interval, with a margin that stops where the table does."""
    first, last = calendar.local_day(start), calendar.local_day(end)
    calendar.sessions(first, last)  # refuses an interval outside of the table
    early = max((-task.offset for task in tasks), default=timedelta(0))
    late = max((task.offset for task in tasks), default=timedelta(0))
    # One day more on each side: an open or close is up to a day from its midnight, a fold or gap within hours.
    first -= timedelta(days=max(late, timedelta(0)).days + 2)
    last += timedelta(days=max(early, timedelta(0)).days + 2)
    return calendar.sessions(max(first, calendar.first_day), min(last, calendar.last_day))


ARRIVES_WITHIN = timedelta(hours=1)
"""How long after its session's close a bar may take to come in: so long the one before it is new enough."""


def expected_bar(calendar: Calendar, instant: datetime) -> date:
    """Return the newest session whose bar should be there at this instant (aware).

    Raises:
        OutsideCalendar: when the calendar's table does not reach so far.
    """
    return calendar.previous_session(instant - ARRIVES_WITHIN).day


def closes_by(calendar: Calendar, session: Session) -> datetime:
    """Return until when (UTC) a session waits for its bars before its book is closed without them.

    An hour after its close; where the next session opens so soon that this would be late, half way to that open.

    Raises:
        OutsideCalendar: when the calendar's table does not reach to the next session.
    """
    pause = calendar.after(session.day, 1).open - session.close
    return session.close + min(ARRIVES_WITHIN, pause / 2)
