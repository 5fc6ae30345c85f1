"""Whether the days of a file are sessions of the declared exchange (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from bellwether.market.sessions import Calendar

FEW = 3
"""So many days without a session are passed over wherever they stand."""
SHARE = 0.01
NEWEST = 100
"""More than a few among the newest rows are too many, however long the file is."""
WEEKS = 8
"""A weekday that is missing in so many weeks running is no accident."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def off_calendar(days: Sequence[date], calendar: Calendar) -> list[date]:
    """Return the days that are no sessions; those outside the calendar's table are not judged."""
    return [day for day in days if calendar.first_day <= day <= calendar.last_day and not calendar.session_on(day)]


def misfit(days: Sequence[date], calendar: Calendar) -> str | None:
    """Return why these days, in order, cannot be those of the calendar's sessions; None where they can."""
    off = off_calendar(days, calendar)
    recent = set(days[-NEWEST:])
    if len(off) > FEW and (len(off) > SHARE * len(days) or sum(day in recent for day in off) > FEW):
        newest = f"{WEEKDAYS[off[-1].weekday()]} {off[-1]}"
        return (
            f"{len(off)} of {len(days)} days are no sessions of {calendar.name}, the newest of them {newest}: "
            "another exchange's, or dates moved by a day (market.calendar, market.overrides)"
        )
    missing = _missing_weekday(days, calendar)
    if missing is not None:
        return f"there is no {WEEKDAYS[missing]} in the newest {WEEKS} weeks: dates moved by a day, or days left out"
    return None


def _missing_weekday(days: Sequence[date], calendar: Calendar) -> int | None:
    """Return the one weekday whose sessions are all missing in the newest weeks, though other days are there."""
    known = [day for day in days if calendar.first_day <= day <= calendar.last_day]
    if not known:
        return None
    begin = max(known[0], date.fromordinal(known[-1].toordinal() - 7 * WEEKS + 1))
    there = {day for day in known if day >= begin}
    wanted: dict[int, int] = {}
    had: dict[int, int] = {}
    for session in calendar.sessions(begin, known[-1]):
        weekday = session.day.weekday()
        wanted[weekday] = wanted.get(weekday, 0) + 1
        had[weekday] = had.get(weekday, 0) + (session.day in there)
    gone = [weekday for weekday, count in wanted.items() if count >= WEEKS - 2 and not had[weekday]]
    others = sum(had[weekday] for weekday in wanted if weekday not in gone)
    complete = others >= 0.75 * sum(wanted[weekday] for weekday in wanted if weekday not in gone)
    return gone[0] if len(gone) == 1 and complete else None
