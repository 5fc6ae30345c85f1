"""Slots under every kind of override and at every change of the clock, against a plain reckoning of its own.

`test_oracle.py` holds the built-in sessions to exchange_calendars; here the days around them are changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bellwether.market.sessions import Calendar, CalendarError, Override, load_calendar
from bellwether.market.slots import TaskRule, slot_due_at, slot_named, slots

EXCHANGES = ("XASX", "XNYS", "XHKG")
YEARS = range(2000, 2041)
DAY = timedelta(days=1)
Hours = tuple[datetime, datetime]


def first_shown(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return when clocks first show a time of day, or the first one after it: by trying, minute by minute."""
    wanted = datetime.combine(day, at)
    readings = sorted(wanted.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    for instant in readings:
        if instant.astimezone(zone).replace(tzinfo=None) == wanted:
            return instant
    instant = readings[0].replace(second=0, microsecond=0)
    while instant.astimezone(zone).replace(tzinfo=None) < wanted:
        instant += timedelta(minutes=1)
    return instant


@cache
def plain(exchange: str) -> Calendar:
    return load_calendar(exchange)


def reckoned(exchange: str, overrides: Sequence[Override], first: date, last: date) -> dict[date, Hours]:
    """Return the hours of each session of these days: the built-in ones, with the overrides laid over them."""
    calendar = plain(exchange)
    hours = {session.day: (session.open, session.close) for session in calendar.sessions(first, last)}
    for override in overrides:
        if override.closed:
            hours.pop(override.day, None)
            continue
        known = hours.get(override.day)
        opens = known[0] if override.open is None and known else None
        closes = known[1] if override.close is None and known else None
        if override.open is not None:
            opens = first_shown(override.day, override.open, calendar.timezone)
        if override.close is not None:
            closes = first_shown(override.day, override.close, calendar.timezone)
        assert opens is not None
        assert closes is not None
        hours[override.day] = (opens, closes)
    return hours


def due(rule: TaskRule, day: date, hours: Hours, zone: ZoneInfo) -> datetime:
    if rule.at is not None:
        return first_shown(day, rule.at, zone)
    return hours[0 if rule.anchor == "open" else 1] + rule.offset


@cache
def changes_of_the_clock(exchange: str) -> tuple[date, ...]:
    """Return the days on which the exchange's clocks are put forward or back."""
    zone, found = plain(exchange).timezone, []
    day = date(YEARS[0], 1, 1)
    while day.year <= YEARS[-1] - 1:
        if datetime.combine(day, time(0), zone).utcoffset() != datetime.combine(day + DAY, time(0), zone).utcoffset():
            found.append(day)
        day += DAY
    return tuple(found)


@cache
def odd_days(exchange: str) -> tuple[date, ...]:
    """Return the half days, and the weekdays without a session."""
    calendar = plain(exchange)
    sessions = {session.day: session for session in calendar.sessions(date(2000, 1, 15), date(2040, 12, 15))}
    days = [date(2000, 1, 15) + number * DAY for number in range(14_900)]
    holidays = [day for day in days if day.weekday() < 5 and day not in sessions]
    return tuple(sorted({*holidays, *(day for day, session in sessions.items() if session.irregular)}))


def test_the_clocks_change_twice_a_year_and_in_hong_kong_never() -> None:
    assert {exchange: len(changes_of_the_clock(exchange)) for exchange in EXCHANGES} == {
        "XASX": 80,
        "XNYS": 80,
        "XHKG": 0,
    }


@pytest.mark.parametrize("exchange", ["XASX", "XNYS"])
def test_an_extra_session_at_every_change_of_the_clock_has_each_slot_once(exchange: str) -> None:
    quarters = [time(hour, minute) for hour in range(4) for minute in (0, 15, 30, 45)]
    rules = [TaskRule(f"at_{at:%H%M}", "time", at=at) for at in quarters]
    rules += [
        TaskRule("before", "open", timedelta(minutes=-75)),
        TaskRule("after", "close", timedelta(hours=1)),
        TaskRule("odd", "close", timedelta(days=-1, seconds=-90)),
    ]
    calendar = plain(exchange)
    for number, day in enumerate(changes_of_the_clock(exchange)):
        # Open or close in the hour that is left out or comes twice, each year at other quarters.
        first = number // 2 % 11
        overrides = [Override(day, open=quarters[first], close=quarters[first + 5])]
        assert calendar.session_on(day) is None
        with_extra = load_calendar(exchange, overrides)
        begin, end = (datetime.combine(day + shift * DAY, time(0), UTC) for shift in (-4, 5))
        found = slots(rules, with_extra, begin, end)
        hours = reckoned(exchange, overrides, day - 8 * DAY, day + 8 * DAY)
        expected = {
            (rule.name, session): due(rule, session, times, calendar.timezone)
            for session, times in hours.items()
            for rule in rules
        }
        inside = {key: at for key, at in expected.items() if begin <= at < end}
        assert sum(session == day for _, session in inside) == len(rules)
        assert {(slot.task, slot.session): slot.due for slot in found} == inside
        assert len(found) == len(inside)
        # Whoever is started for a minute finds the very slot of that minute again.
        assert all(slot_due_at(slot.task, slot.due, rules, with_extra) == slot for slot in found[::7])


TIMES = st.one_of(
    st.times(),
    st.builds(time, st.integers(0, 4), st.integers(0, 59)),
).map(lambda at: at.replace(second=0, microsecond=0))
OFFSETS = st.integers(-3 * 86_400, 3 * 86_400).map(lambda seconds: timedelta(seconds=seconds))


@st.composite
def rules(draw: st.DrawFn) -> list[TaskRule]:
    kinds = draw(st.lists(st.sampled_from(["open", "close", "time"]), min_size=1, max_size=3))
    return [
        TaskRule(f"task{number}", "time", at=draw(TIMES))
        if kind == "time"
        else TaskRule(f"task{number}", "open" if kind == "open" else "close", draw(OFFSETS))
        for number, kind in enumerate(kinds)
    ]


@st.composite
def situations(draw: st.DrawFn) -> tuple[str, date, list[Override]]:
    """Return an exchange, a day around which something happens, and overrides around it."""
    exchange = draw(st.sampled_from(EXCHANGES))
    special = [days for days in (changes_of_the_clock(exchange), odd_days(exchange)) if days]
    any_day = st.dates(date(2000, 2, 1), date(2040, 11, 1))
    centre = draw(st.one_of(any_day, *(st.sampled_from(days) for days in special)))
    calendar = plain(exchange)
    overrides = []
    for shift in draw(st.sets(st.integers(-5, 5), max_size=5)):
        day = centre + shift * DAY
        kinds = ["closed", "both", "open", "close"] if calendar.session_on(day) else ["closed", "both"]
        kind = draw(st.sampled_from(kinds))
        if kind == "closed":
            overrides.append(Override(day, closed=True))
        else:
            opens = draw(TIMES) if kind in ("both", "open") else None
            closes = draw(TIMES) if kind in ("both", "close") else None
            overrides.append(Override(day, open=opens, close=closes))
    return exchange, centre, overrides


@settings(max_examples=80, deadline=None)
@given(situations(), rules())
def test_whatever_is_overridden_every_session_has_each_slot_once_and_no_other_day_has_any(
    situation: tuple[str, date, list[Override]], tasks: list[TaskRule]
) -> None:
    exchange, centre, overrides = situation
    try:
        calendar = load_calendar(exchange, overrides)
    except CalendarError:
        assume(False)
    begin, end = (datetime.combine(centre + shift * DAY, time(0), UTC) for shift in (-7, 8))
    found = slots(tasks, calendar, begin, end)
    hours = reckoned(exchange, overrides, centre - 14 * DAY, centre + 14 * DAY)
    expected = {
        (task.name, day): due(task, day, times, calendar.timezone) for day, times in hours.items() for task in tasks
    }
    assert {(slot.task, slot.session): slot.due for slot in found} == {
        key: at for key, at in expected.items() if begin <= at < end
    }
    assert len({slot.name for slot in found}) == len(found)
    assert all(slot_named(slot.name, tasks, calendar) == slot for slot in found)
    assert all(slot_due_at(slot.task, slot.due, tasks, calendar) == slot for slot in found)
    closed = {override.day for override in overrides if override.closed}
    assert not closed & {slot.session for slot in found}


@settings(max_examples=40, deadline=None)
@given(situations())
def test_a_session_opens_before_it_closes_and_overlaps_no_other(situation: tuple[str, date, list[Override]]) -> None:
    exchange, centre, overrides = situation
    try:
        calendar = load_calendar(exchange, overrides)
    except CalendarError:
        assume(False)
    sessions = calendar.sessions(centre - 7 * DAY, centre + 7 * DAY)
    assert all(session.open < session.close for session in sessions)
    assert all(one.close <= other.open for one, other in pairwise(sessions))
    for session in sessions:
        assert calendar.local_day(session.open) == session.day
        assert calendar.session_at(session.open) == session
        assert calendar.session_at(session.close) != session
