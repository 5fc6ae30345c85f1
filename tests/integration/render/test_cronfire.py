"""When the rendered CronJobs fire, by the CronJob controller's own parser: at each slot's minute and never else."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from bellwether.market.declared import calendar_of, task_rules
from bellwether.market.sessions import Calendar, wall_clock
from bellwether.market.slots import slots
from bellwether.render.kubernetes import RenderContext, derive_keyring
from bellwether.render.kubernetes.context import Month, Period
from bellwether.render.kubernetes.cronjobs import cron_jobs
from bellwether.spec.models import TradingSystem
from devcluster import build
from environments.machine import CLUSTERS

pytestmark = pytest.mark.integration

YEARS = range(2000, 2041)
DAY = timedelta(days=1)
BEFORE, BEHIND = timedelta(days=45), timedelta(days=300)
"""A CronJob is there from some forty days before its month on, and surely gone within the year."""
CONTEXT = RenderContext("bellwether/services:1", derive_keyring(b"of tests only, never of a system", "uid"))
DEFAULT = [
    {"name": "morning_analysis", "anchor": "open", "offset": "-30m"},
    {"name": "prediction_generation", "anchor": "open", "offset": "-15m"},
    {"name": "evening_analysis", "anchor": "close", "offset": "1h"},
]
ODD = [
    {"name": "midnight", "anchor": "time", "time": "00:00"},
    {"name": "half_past_one", "anchor": "time", "time": "01:30"},
    {"name": "half_past_two", "anchor": "time", "time": "02:30"},
    {"name": "three_o_clock", "anchor": "time", "time": "03:00"},
    {"name": "last_minute", "anchor": "time", "time": "23:59"},
    {"name": "seconds", "anchor": "open", "offset": "-45m10s"},
    {"name": "the_small_hours", "anchor": "close", "offset": "10h25m"},
    {"name": "before_the_weekend_is_ov", "anchor": "open", "offset": "-31h30m"},
    {"name": "a_week_behind", "anchor": "close", "offset": "167h"},
    {"name": "a_week_ahead", "anchor": "open", "offset": "-167h"},
]


@pytest.fixture(scope="session")
def cronfire() -> Path:
    return build.ensure(CLUSTERS, lambda text: print(text, file=sys.stderr)) / "cronfire"


def overrides(calendar: Calendar, year: int) -> Iterator[dict[str, Any]]:
    """Yield a closure, a short day, a late one, an extra session at each change of clock."""
    sessions = calendar.sessions(date(year, 1, 10), date(year, 12, 10))
    closed, short, late = (sessions[(year * 37 + shift) % len(sessions)].day for shift in (0, 71, 142))
    yield {"date": f"{closed}", "closed": True}
    yield {"date": f"{short}", "close": "12:15"}
    yield {"date": f"{late}", "open": "12:45"}
    day, number = date(year, 1, 10), year
    while day < date(year, 12, 10):
        if _offset(calendar, day) != _offset(calendar, day + DAY) and calendar.session_on(day) is None:
            number += 1
            yield {"date": f"{day}", "open": ("00:40", "01:30", "02:30")[number % 3], "close": "04:20"}
        day += DAY


def _offset(calendar: Calendar, day: date) -> timedelta | None:
    return datetime.combine(day, time(0), calendar.timezone).utcoffset()


def declared(exchange: str, tasks: Sequence[dict[str, Any]], changes: Sequence[dict[str, Any]]) -> TradingSystem:
    spec = {"market": {"calendar": exchange, "overrides": list(changes)}, "tasks": list(tasks)}
    return TradingSystem.model_validate({"metadata": {"name": "a-system-of-20-chars", "uid": "uid"}, "spec": spec})


@dataclass(frozen=True)
class Line:
    """One CronJob as the controller's parser is asked about it."""

    month: Month
    task: str
    name: str
    asked: str


def lines_of(system: TradingSystem, calendar: Calendar, month: Month) -> Iterator[Line]:
    begin, end = bounds(calendar, month)
    context = RenderContext(CONTEXT.image, CONTEXT.keyring, period=Period(months=(month,)))
    for job in cron_jobs(system, context):
        spec, window = job["spec"], (begin - BEFORE, end + BEHIND)
        asked = "\t".join([spec["schedule"], spec["timeZone"], *(f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in window)])
        yield Line(month, job["metadata"]["labels"]["bellwether.dev/task"], job["metadata"]["name"], asked)


def bounds(calendar: Calendar, month: Month) -> tuple[datetime, datetime]:
    behind = Month(month.year + month.month // 12, month.month % 12 + 1)
    begin, end = (wall_clock(date(*each, 1), time(0), calendar.timezone) for each in (month, behind))
    return begin, end


def fires(cronfire: Path, lines: Sequence[Line]) -> list[list[datetime]]:
    """Return when each of the CronJobs fires."""
    asked = "".join(f"{line.asked}\n" for line in lines)
    answered = subprocess.run([cronfire, "-"], input=asked, capture_output=True, text=True, timeout=240, check=True)
    return [[datetime.fromisoformat(at) for at in answer.split()] for answer in answered.stdout.splitlines()]


def check(cronfire: Path, exchange: str, tasks: Sequence[dict[str, Any]], *, overridden: bool) -> int:
    """Compare all months of all years; return how many slots there were."""
    plain = calendar_of(declared(exchange, tasks, []).spec.market)
    lines: list[Line] = []
    due: dict[Month, Counter[tuple[str, datetime]]] = {}
    for year in YEARS:
        changes = list(overrides(plain, year)) if overridden else []
        system = declared(exchange, tasks, changes)
        calendar = calendar_of(system.spec.market)
        rules = task_rules(system.spec.tasks)
        for number in range(1, 13):
            month = Month(year, number)
            lines += lines_of(system, calendar, month)
            # The table has a last day, and so has the last month.
            end = min(bounds(calendar, month)[1], datetime(2040, 12, 31, 12, tzinfo=UTC))
            found = slots(rules, calendar, bounds(calendar, month)[0], end)
            due[month] = Counter((slot.task, slot.due.replace(second=0, microsecond=0)) for slot in found)
    fired: dict[Month, Counter[tuple[str, datetime]]] = {month: Counter() for month in due}
    for line, times in zip(lines, fires(cronfire, lines), strict=True):
        assert times, f"{line.name} never fires: {line.asked}"
        fired[line.month].update((line.task, at) for at in times)
    for month, expected in due.items():
        last = max((at for _, at in expected), default=None)
        got = fired[month]
        if month == (2040, 12) and last is not None:
            got = Counter({key: count for key, count in got.items() if key[1] <= last})
        assert got == expected, f"{exchange} {month}: {(got - expected) + (expected - got)}"
    assert len({(line.month, line.name) for line in lines}) == len(lines)
    assert all(len(line.name) <= 52 for line in lines)
    return sum(counter.total() for counter in due.values())


@pytest.mark.parametrize("exchange", ["XASX", "XNYS", "XHKG"])
def test_the_default_tasks_of_forty_years_fire_at_each_slot_once_and_never_else(cronfire: Path, exchange: str) -> None:
    assert check(cronfire, exchange, DEFAULT, overridden=False) > 41 * 245 * len(DEFAULT)


@pytest.mark.parametrize("exchange", ["XASX", "XNYS", "XHKG"])
def test_odd_tasks_under_overrides_fire_at_each_slot_once_and_never_else(cronfire: Path, exchange: str) -> None:
    assert check(cronfire, exchange, ODD, overridden=True) > 41 * 244 * len(ODD)


def test_without_a_schedule_in_utc_a_time_that_comes_twice_would_fire_twice(cronfire: Path) -> None:
    """Why such slots have CronJobs of their own: the controller takes the clock on the wall at its word."""
    window = "2026-04-03T00:00:00Z\t2026-04-07T00:00:00Z"
    asked = Line(Month(2026, 4), "x", "x", f"30 2 5 4 *\tAustralia/Sydney\t{window}")
    assert len(fires(cronfire, [asked])[0]) == 2
