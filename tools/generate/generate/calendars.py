"""The exchanges' session tables, from exchange_calendars.

Each table is a rule (the weekdays that trade) with its exceptions (days closed, days with other hours), so that a
change of one holiday is one changed entry in the diff.

`knownThrough`: the library carries holiday rules forward without end, so its own horizon says nothing about what
an exchange has announced. The convention here: known up to the end of the year after the one in which the library's
release was built, because exchanges publish a year's holidays before it begins. That is a convention, not a reading
of five exchanges' notices; a closure announced later (a day of mourning, a typhoon) is an override in the resource.
A release that is not listed below is refused, so that nobody trusts a table further than somebody has looked.

What the library lacks of the past (typhoons, outages) is in `corrections.py`, with sources.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, time
from functools import cache
from importlib import metadata
from itertools import groupby
from typing import Any

import exchange_calendars
import pandas as pd

from generate import corrections
from generate.walks import WalkError

FIRST_DAY = date(1990, 1, 1)
LAST_DAY = date(2040, 12, 31)
BUILT = {"4.13.2": date(2026, 3, 10)}
"""When each version of the library that was used here was built (the date of the files in its wheel)."""

Hours = tuple[time, time]


def tables(names: Iterable[str]) -> dict[str, str]:
    """Return the JSON text of each exchange's table."""
    return {name: table(name) for name in names}


@cache
def table(name: str) -> str:
    """Return the JSON text of one exchange's table."""
    oracle = _oracle(name)
    first_day = max(FIRST_DAY, oracle.bound_min().date()) if oracle.bound_min() is not None else FIRST_DAY
    schedule = oracle.schedule
    hours = _regular_hours(oracle, first_day)
    weekdays = [index for index, traded in enumerate(oracle.weekmask) if traded == "1"]
    opens_at, closes_at = (schedule[column].dt.tz_convert(oracle.tz).dt.time for column in ("open", "close"))
    days = [stamp.date() for stamp in schedule.index]
    sessions: dict[date, Hours] = dict(zip(days, zip(opens_at, closes_at, strict=True), strict=True))
    for correction in corrections.of(name):
        if correction.hours is None:
            sessions.pop(correction.day, None)
        else:
            sessions[correction.day] = correction.hours
    every_day = map(date.fromordinal, range(first_day.toordinal(), LAST_DAY.toordinal() + 1))
    by_rule = {day for day in every_day if day.weekday() in weekdays}
    irregular: dict[Hours, list[date]] = {}
    for day, found in sorted(sessions.items()):
        if found != _hours_on(hours, day):
            irregular.setdefault(found, []).append(day)
    content: dict[str, Any] = {
        "name": name,
        "source": f"exchange_calendars {_version()}, corrected on {len(corrections.of(name))} days",
        "timezone": str(oracle.tz),
        "firstDay": first_day.isoformat(),
        "lastDay": LAST_DAY.isoformat(),
        "knownThrough": known_through().isoformat(),
        "weekdays": weekdays,
        "hours": [
            {"from": day.isoformat(), "open": f"{opens:%H:%M}", "close": f"{closes:%H:%M}"}
            for day, (opens, closes) in hours
        ],
        "closed": _by_year(by_rule - sessions.keys()),
        "extra": _by_year(sessions.keys() - by_rule),
        "irregular": [
            {"open": f"{opens:%H:%M}", "close": f"{closes:%H:%M}", "days": _by_year(days)}
            for (opens, closes), days in sorted(irregular.items())
        ],
    }
    return json.dumps(content, indent=1) + "\n"


def known_through() -> date:
    """Return the last day on which the installed library's holidays are called announced."""
    version = _version()
    if version not in BUILT:
        raise SystemExit(
            f"exchange_calendars {version}: add the date of the files in its wheel to BUILT in generate/calendars.py"
        )
    return date(BUILT[version].year + 1, 12, 31)


def _oracle(name: str) -> exchange_calendars.ExchangeCalendar:
    last = exchange_calendars.get_calendar(name).bound_max()
    if last is not None and last.date() < LAST_DAY:
        raise WalkError(
            f"{name}: exchange_calendars knows its holidays to {last.date()}, needed are those to {LAST_DAY}"
        )
    # Asked for from 1990; an exchange whose early history the library does not know names its first day.
    bound = exchange_calendars.get_calendar(name).bound_min()
    start = max(pd.Timestamp(FIRST_DAY), bound) if bound is not None else pd.Timestamp(FIRST_DAY)
    return exchange_calendars.get_calendar(name, start=start, end=pd.Timestamp(LAST_DAY))


def _regular_hours(oracle: exchange_calendars.ExchangeCalendar, first_day: date) -> list[tuple[date, Hours]]:
    starts = {first_day}
    for since, _ in (*oracle.open_times, *oracle.close_times):
        if since is not None and since.date() > first_day:
            starts.add(since.date())
    return [(day, (_time_on(oracle.open_times, day), _time_on(oracle.close_times, day))) for day in sorted(starts)]


def _time_on(entries: Iterable[tuple[pd.Timestamp | None, time]], day: date) -> time:
    return [at for since, at in entries if since is None or since.date() <= day][-1]


def _hours_on(hours: list[tuple[date, Hours]], day: date) -> Hours:
    return [found for since, found in hours if since <= day][-1]


def _by_year(days: Iterable[date]) -> dict[str, str]:
    return {
        str(year): " ".join(f"{day:%m%d}" for day in found)
        for year, found in groupby(sorted(days), key=lambda day: day.year)
    }


def _version() -> str:
    return metadata.version("exchange_calendars")
