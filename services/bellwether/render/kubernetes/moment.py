"""What of the time the objects of a system depend on: the session under way, and the months ahead."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from bellwether.market.declared import calendar_of
from bellwether.market.sessions import Calendar, OutsideCalendar, Session
from bellwether.spec.models import TradingSystemSpec

AHEAD = timedelta(days=40)
"""How far ahead schedules are made: so long do tasks go on without the operator."""


class Month(NamedTuple):
    """A month of the exchange's calendar."""

    year: int
    month: int


@dataclass(frozen=True)
class Moment:
    """An instant as far as rendering can tell it from another.

    Two instants with equal moments give the same objects, so a system is rendered again only at `until`.
    """

    session: Session | None = None
    """The session under way; None when the exchange is closed, and in a replay, which has no session to wait for."""
    months: tuple[Month, ...] = ()
    """The months, at the exchange, that schedules are made for, whole ones, so that a schedule stays as it is while
    time goes on; none in a replay."""
    upcoming: Session | None = field(default=None, compare=False)
    """The next session; not of a replay."""
    until: datetime = field(default=datetime.max.replace(tzinfo=UTC), compare=False)
    """When the moment is over (UTC): at the next open or close, when a month is over or another comes into reach."""


CLOSED = Moment()
"""Of a replay: nothing depends on the time."""


def moment_of(spec: TradingSystemSpec, now: datetime) -> Moment:
    """Return what of this instant (aware) the objects depend on.

    Raises:
        CalendarError: when the declaration's overrides do not fit the calendar, or the calendar ends before `now`.
    """
    if spec.clock.mode == "replay":
        return CLOSED
    calendar = calendar_of(spec.market)
    # First, because it refuses what lies outside of the calendar: so far ahead there may be no date any more.
    under_way = calendar.session_at(now)
    first, last = calendar.local_day(now), calendar.local_day(now + AHEAD)
    upcoming = _next_session(calendar, now)
    ends = [_next_month_begins(calendar, first), _next_month_begins(calendar, last) - AHEAD]
    if under_way is not None:
        ends.append(under_way.close)
    elif upcoming is not None:
        ends.append(upcoming.open)
    return Moment(under_way, _months(first, last), upcoming, min(ends))


def _next_session(calendar: Calendar, now: datetime) -> Session | None:
    try:
        return calendar.next_session(now)
    except OutsideCalendar:
        return None


def _months(first: date, last: date) -> tuple[Month, ...]:
    found = [Month(first.year, first.month)]
    while found[-1] < (last.year, last.month):
        year, month = found[-1]
        found.append(Month(year + month // 12, month % 12 + 1))
    return tuple(found)


def _next_month_begins(calendar: Calendar, day: date) -> datetime:
    begins = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return datetime.combine(begins, time(0), calendar.timezone).astimezone(UTC)
