"""Judging the lines of a crontab by an exchange's sessions. Pure.

Cron knows no holidays, no half days and only the machine's time zone. For each line: on which days it ran, or would
run, although the exchange was closed, at another hour of the exchange's clock than on other days, or after the close
of a half day; and which task of a TradingSystem does the same by the session.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from bellwether.market.declared import task_rules
from bellwether.market.sessions import Calendar, Session
from bellwether.market.slots import TaskRule
from bellwether.spec.tasks import default_tasks

_ASSIGNMENT = re.compile(r"^\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = 5
MOST_RUNS = 200_000
"""A line that runs each minute of a year is judged; no more than this many runs are looked at."""


class Wrong(StrEnum):
    """What is wrong with one run."""

    closed = "closed"
    """The exchange had no session that day."""
    hour = "hour"
    """Another time on the exchange's clock than the line's usual one: the machine's zone has another summer time."""
    half_day = "half day"
    """After the early close of a half day, at a time at which a usual session is still open."""


@dataclass(frozen=True)
class Line:
    """One job of a crontab: where it stands, when it runs, in which zone, and what it runs."""

    number: int
    schedule: str
    timezone: ZoneInfo
    command: str


@dataclass(frozen=True)
class Unreadable:
    """A line that is no job, and why."""

    number: int
    text: str
    why: str


@dataclass(frozen=True)
class Fault:
    """One run at a wrong time: the instant (UTC), the day and time on the exchange's clock, and what is wrong."""

    at: datetime
    day: date
    clock: time
    wrong: Wrong


@dataclass(frozen=True)
class Judgement:
    """One line: how often it runs within the span, its usual time on the exchange's clock, and its faults."""

    line: Line
    runs: int
    usual: time | None
    faults: tuple[Fault, ...]
    replacement: TaskRule
    """The task of a TradingSystem that does the same by the session."""
    cut: bool
    """Whether there were more runs than are looked at."""


TASKS = tuple(task_rules(default_tasks()))
_WORDS = (
    ("evening", "evening_analysis"),
    ("outcome", "evening_analysis"),
    ("report", "evening_analysis"),
    ("morning", "morning_analysis"),
    ("predict", "prediction_generation"),
)


def read(text: str, timezone: ZoneInfo, *, with_user: bool = False) -> tuple[list[Line], list[Unreadable]]:
    """Return the jobs of a crontab and the lines that are none.

    `CRON_TZ=` and `TZ=` lines set the zone of what follows; `with_user` for files like /etc/crontab.
    """
    jobs: list[Line] = []
    odd: list[Unreadable] = []
    zone = timezone
    for number, raw in enumerate(text.splitlines(), 1):
        stripped = raw.strip()
        if not stripped or stripped.startswith("#"):
            continue
        assigned = _ASSIGNMENT.match(stripped)
        if assigned is not None:
            if assigned[1] in ("CRON_TZ", "TZ"):
                try:
                    zone = ZoneInfo(assigned[2].strip("\"'"))
                except (KeyError, ValueError, OSError):
                    odd.append(Unreadable(number, stripped, f"there is no time zone {assigned[2]}"))
            continue
        try:
            jobs.append(_job(number, stripped, zone, with_user=with_user))
        except ValueError as error:
            odd.append(Unreadable(number, stripped, str(error)))
    return jobs, odd


def _job(number: int, text: str, zone: ZoneInfo, *, with_user: bool) -> Line:
    words = text.split(None, 1 if text.startswith("@") else _FIELDS)
    if text.startswith("@"):
        if words[0] not in _MACROS:
            raise ValueError(f"{words[0]} is no time of day" if words[0] == "@reboot" else f"{words[0]} is not known")
        schedule, rest = _MACROS[words[0]], words[1:]
    else:
        schedule, rest = " ".join(words[:_FIELDS]), words[_FIELDS:]
    try:
        CronSim(schedule, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ValueError(f"{schedule!r} is no schedule: {error}") from error
    command = rest[0] if rest else ""
    if with_user:
        command = command.split(None, 1)[1] if len(command.split(None, 1)) > 1 else ""
    if not command:
        raise ValueError("there is no command after the schedule")
    return Line(number, schedule, zone, command)


def judge(line: Line, calendar: Calendar, first: date, last: date) -> Judgement:
    """Return what a line did, or will do, from one day to another, both included.

    Raises:
        OutsideCalendar: if the exchange's table does not reach that far.
    """
    sessions = {one.day: one for one in calendar.sessions(first, last)}
    zone = calendar.timezone
    looked_at = islice(_runs(line, first, last, zone), MOST_RUNS)
    runs = [(at, at.astimezone(zone)) for at in looked_at]
    regular = next((one for one in sessions.values() if not one.irregular), None)
    usual = None if _times_a_day(runs) > 1 else _usual(runs, regular, zone, line.command)
    found = [_fault(at, local, sessions, regular, usual) for at, local in runs]
    return Judgement(
        line,
        len(runs),
        usual,
        tuple(one for one in found if one is not None),
        replacement(line.command, usual, regular, zone),
        len(runs) >= MOST_RUNS,
    )


def _runs(line: Line, first: date, last: date, exchange: ZoneInfo) -> Iterator[datetime]:
    """Yield the instants (UTC) at which cron starts a line, as Debian's cron treats the changes of the clock."""
    begin = datetime.combine(first, time(), exchange)
    end = datetime.combine(last + timedelta(days=1), time(), exchange)
    for at in CronSim(line.schedule, begin.astimezone(line.timezone) - timedelta(minutes=1)):
        instant = at.astimezone(UTC)
        if instant >= end:
            return
        if instant >= begin:
            yield instant


def _times_a_day(runs: Sequence[tuple[datetime, datetime]]) -> int:
    return max(Counter(local.date() for _, local in runs).values(), default=0)


def _usual(
    runs: Sequence[tuple[datetime, datetime]], regular: Session | None, zone: ZoneInfo, command: str
) -> time | None:
    """Return the time on the exchange's clock that a line is meant for: of those it has, the nearest to its task."""
    times = Counter(local.time() for _, local in runs)
    if regular is None or len(times) < 2:
        return next(iter(times), None)
    due = [_seconds(_due(task, regular, zone)) for task in _candidates(command)]
    return min(times, key=lambda at: (min(abs(_seconds(at) - one) for one in due), -times[at]))


def _candidates(command: str) -> list[TaskRule]:
    """Return the tasks that a command may stand for: the one that its words name, else all."""
    words = command.lower()
    named = next((task for word, task in _WORDS if word in words), None)
    return [one for one in TASKS if named in (None, one.name)]


def _due(task: TaskRule, session: Session, zone: ZoneInfo) -> time:
    """Return when a task is due on the exchange's clock."""
    anchor = session.open if task.anchor == "open" else session.close
    return (anchor + task.offset).astimezone(zone).time()


def _seconds(at: time) -> int:
    return at.hour * 3600 + at.minute * 60 + at.second


def _fault(
    at: datetime, local: datetime, sessions: Mapping[date, Session], regular: Session | None, usual: time | None
) -> Fault | None:
    """Return what is wrong with one run; None: nothing. A day without a session outweighs the hour."""
    session = sessions.get(local.date())
    wrong: Wrong | None = None
    if session is None:
        wrong = Wrong.closed
    elif usual is not None and local.time() != usual:
        wrong = Wrong.hour
    elif session.irregular and regular is not None and session.close <= at:
        usual_close = regular.close.astimezone(local.tzinfo).time()
        wrong = Wrong.half_day if local.time() < usual_close else None
    return None if wrong is None else Fault(at, local.date(), local.time(), wrong)


def replacement(command: str, usual: time | None, regular: Session | None, zone: ZoneInfo) -> TaskRule:
    """Return the task that replaces a line: the one that its command names, else the nearest by time.

    Its offset is the line's own distance from the open or the close where the line runs once a day.
    """
    found = _candidates(command)
    if usual is None or regular is None:
        return found[0]
    nearest = min(found, key=lambda task: abs(_seconds(usual) - _seconds(_due(task, regular, zone))))
    anchor = regular.open if nearest.anchor == "open" else regular.close
    offset = _seconds(usual) - _seconds(anchor.astimezone(zone).time())
    return replace(nearest, offset=timedelta(seconds=offset))
