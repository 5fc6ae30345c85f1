"""When an exchange trades: its sessions, from tables that come with the package.

A session is one trading day: one open, one close, one calendar day in the exchange's time zone. Midday breaks
(Hong Kong, Tokyo) are not modelled: such a day is one session from the first open to the last close, because
nothing here trades inside a session. Auctions before the open and after the close are outside of it.

A time of day is read on the exchange's clock. Where the clock is put forward over it (a gap), it stands for the first
instant after the gap; where the clock is put back and shows the time twice (a fold), for the first of the two.

The tables are generated (`make generate`) and read without pandas. They reach further than exchanges have
announced their holidays: `Calendar.known_through` says up to which day they are to be trusted.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from importlib import resources
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from bellwether.spec.exchanges import CALENDARS


class CalendarError(ValueError):
    """A calendar that does not exist, or an override that does not fit its table."""


class OutsideCalendar(CalendarError):
    """A day that the table does not cover: nothing is known, so neither open nor closed is answered."""


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day of an exchange.

    Attributes:
        day: the calendar day in the exchange's time zone.
        open: the first instant of trading, UTC.
        close: the first instant after trading, UTC.
        irregular: other hours than the usual ones of that period (a half day, a late open), or a day that trades
            only because of an override.
    """

    day: date
    open: datetime
    close: datetime
    irregular: bool


@dataclass(frozen=True, slots=True)
class Override:
    """A correction of one day: closed, or with another open or close (time of day at the exchange).

    A day without a session becomes an extra session only when both times are given, so that a mistyped date does
    not open the exchange on a holiday.
    """

    day: date
    closed: bool = False
    open: time | None = None
    close: time | None = None


Hours = tuple[time, time]
T = TypeVar("T")
INSTANTS_KEPT = 64

_MINUTE = timedelta(minutes=1)


def wall_clock(day: date, at: time, timezone: ZoneInfo) -> datetime:
    """Return the instant (UTC) at which clocks in this zone first show this time of day, or have passed over it."""
    local = datetime.combine(day, at, timezone)
    instant = local.astimezone(UTC)
    if instant.astimezone(timezone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return instant
    # In a gap the earlier reading counts with the offset of after the change (fold=1), the later one with that of
    # before (fold=0); the change lies between them, on a whole minute.
    low, high = local.replace(fold=1).astimezone(UTC), instant
    before = low.astimezone(timezone).utcoffset()
    while high - low > _MINUTE:
        middle = low + (high - low) // _MINUTE // 2 * _MINUTE
        if middle.astimezone(timezone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


@dataclass(frozen=True, slots=True)
class Table:
    """What is built in about one exchange, as read from the package's data."""

    name: str
    timezone: ZoneInfo
    first_day: date
    last_day: date
    known_through: date
    regular_hours: tuple[tuple[date, Hours], ...]
    irregular_hours: Mapping[date, Hours]
    session_ordinals: array[int]

    def regular_hours_on(self, day: date) -> Hours:
        """Return the usual open and close of that time, as times of day at the exchange."""
        at = bisect_right(self.regular_hours, day, key=lambda entry: entry[0]) - 1
        return self.regular_hours[max(at, 0)][1]


class Calendar:
    """The sessions of one exchange with the declaration's overrides applied.

    Every method that is asked about a day outside the table raises `OutsideCalendar`. Instants are aware
    datetimes of any zone; answers are UTC.
    """

    def __init__(self, table: Table, overrides: Iterable[Override] = ()) -> None:
        self._table = table
        self._irregular = dict(table.irregular_hours)
        self._overridden: set[date] = set()
        removed: set[int] = set()
        added: set[int] = set()
        for override in overrides:
            self._apply(override, removed, added)
        ordinals = table.session_ordinals
        if removed or added:
            ordinals = array("l", sorted((set(ordinals) - removed) | added))
        self._ordinals = ordinals
        self._cache: dict[int, Session] = {}
        # Of the instants that were asked about last: one step of a replay asks about the same one again and again.
        self._days: dict[datetime, date] = {}
        self._previous: dict[datetime, Session] = {}
        self._newest_days: tuple[tuple[date, date] | None, list[date]] = (None, [])

    @property
    def name(self) -> str:
        """The exchange's market identifier code, such as XASX."""
        return self._table.name

    @property
    def timezone(self) -> ZoneInfo:
        """The exchange's time zone."""
        return self._table.timezone

    @property
    def first_day(self) -> date:
        """The first day that the table covers."""
        return self._table.first_day

    @property
    def last_day(self) -> date:
        """The last day that the table covers."""
        return self._table.last_day

    @property
    def known_through(self) -> date:
        """The last day for which holidays rest on announcements rather than on rules carried forward."""
        return self._table.known_through

    def local_day(self, instant: datetime) -> date:
        """Return the calendar day at the exchange at this instant.

        Raises:
            OutsideCalendar: where the exchange's clock would show a year before 1 or after 9999.
        """
        if instant.tzinfo is None:
            raise ValueError(f"{instant.isoformat()} has no time zone: give an aware datetime")
        found = self._days.get(instant)
        if found is not None:
            return found
        try:
            return _kept(self._days, instant, instant.astimezone(self._table.timezone).date())
        except OverflowError as error:
            raise OutsideCalendar(self._coverage(f"{instant.isoformat()} is outside of it")) from error

    def sessions(self, first_day: date, last_day: date) -> list[Session]:
        """Return the sessions of these days, both included, in order."""
        return [self._session(index) for index in self._between(first_day, last_day)]

    def days(self, first_day: date, last_day: date) -> list[date]:
        """Return the days of `sessions`; not to be changed, it is kept for the next question about them."""
        if self._newest_days[0] != (first_day, last_day):
            found = [date.fromordinal(self._ordinals[index]) for index in self._between(first_day, last_day)]
            self._newest_days = ((first_day, last_day), found)
        return self._newest_days[1]

    def _between(self, first_day: date, last_day: date) -> range:
        if first_day > last_day:
            return range(0)
        self._check(first_day)
        self._check(last_day)
        begin = bisect_left(self._ordinals, first_day.toordinal())
        return range(begin, bisect_right(self._ordinals, last_day.toordinal()))

    def session_on(self, day: date) -> Session | None:
        """Return the session of this day, None when the exchange is closed all day."""
        self._check(day)
        index = bisect_left(self._ordinals, day.toordinal())
        if index < len(self._ordinals) and self._ordinals[index] == day.toordinal():
            return self._session(index)
        return None

    def session_at(self, instant: datetime) -> Session | None:
        """Return the session that is under way (open <= instant < close), None when the exchange is closed."""
        session = self.session_on(self.local_day(instant))
        if session is not None and session.open <= instant < session.close:
            return session
        return None

    def next_session(self, instant: datetime) -> Session:
        """Return the first session that opens after this instant."""
        day = self.local_day(instant)
        self._check(day)
        index = bisect_left(self._ordinals, day.toordinal())
        if index < len(self._ordinals) and self._session(index).open <= instant:
            index += 1
        return self._at(index, "after", instant)

    def previous_session(self, instant: datetime) -> Session:
        """Return the last session that had closed by this instant (close <= instant)."""
        found = self._previous.get(instant)
        if found is not None:
            return found
        day = self.local_day(instant)
        self._check(day)
        index = bisect_right(self._ordinals, day.toordinal()) - 1
        if index >= 0 and self._session(index).close > instant:
            index -= 1
        return _kept(self._previous, instant, self._at(index, "before", instant))

    def sessions_between(self, earlier: date, later: date) -> int:
        """Return how many sessions lie after the first day, up to and including the second; negative backwards.

        The age of a bar in sessions, or how long a position has been held.
        """
        self._check(earlier)
        self._check(later)
        return bisect_right(self._ordinals, later.toordinal()) - bisect_right(self._ordinals, earlier.toordinal())

    def after(self, day: date, count: int) -> Session:
        """Return the session that is `count` sessions after this day (1: the first one after it; at least 1)."""
        if count < 1:
            raise ValueError(f"count is {count}: the first session after a day is 1")
        self._check(day)
        return self._at(bisect_right(self._ordinals, day.toordinal()) + count - 1, f"{count} after", day)

    def _at(self, index: int, place: str, when: date) -> Session:
        if not 0 <= index < len(self._ordinals):
            raise OutsideCalendar(self._coverage(f"there is no session {place} {when.isoformat()} in the table"))
        return self._session(index)

    def _session(self, index: int) -> Session:
        ordinal = self._ordinals[index]
        found = self._cache.get(ordinal)
        if found is None:
            found = self._cache[ordinal] = self._build(date.fromordinal(ordinal))
        return found

    def _build(self, day: date) -> Session:
        hours = self._irregular.get(day)
        opens, closes = hours or self._table.regular_hours_on(day)
        return Session(
            day=day,
            open=wall_clock(day, opens, self._table.timezone),
            close=wall_clock(day, closes, self._table.timezone),
            irregular=hours is not None,
        )

    def _check(self, day: date) -> None:
        if not self._table.first_day <= day <= self._table.last_day:
            raise OutsideCalendar(self._coverage(f"{day} is outside of it"))

    def _coverage(self, problem: str) -> str:
        table = self._table
        return f"calendar {table.name} covers {table.first_day} to {table.last_day}: {problem}"

    def _apply(self, override: Override, removed: set[int], added: set[int]) -> None:
        day, table = override.day, self._table
        if day in self._overridden:
            raise CalendarError(f"override {day}: given twice; write one entry for each day")
        self._overridden.add(day)
        self._check(day)
        if override.closed:
            if override.open is not None or override.close is not None:
                raise CalendarError(f"override {day}: a closed day has no open or close")
            removed.add(day.toordinal())
            return
        if override.open is None and override.close is None:
            raise CalendarError(f"override {day}: say closed, or give an open or a close time")
        trades = day.toordinal() in table.session_ordinals
        if not trades and (override.open is None or override.close is None):
            raise CalendarError(
                f"override {day}: {table.name} has no session on that day; an extra session needs open and close"
            )
        usual = table.irregular_hours.get(day) or table.regular_hours_on(day)
        opens, closes = override.open or usual[0], override.close or usual[1]
        if opens >= closes:
            raise CalendarError(f"override {day}: the open {opens:%H:%M} is not before the close {closes:%H:%M}")
        if wall_clock(day, opens, table.timezone) >= wall_clock(day, closes, table.timezone):
            raise CalendarError(
                f"override {day}: the clocks of {table.name} leave out all from the open {opens:%H:%M} to the close "
                f"{closes:%H:%M} on that day, when they are put forward"
            )
        self._irregular[day] = (opens, closes)
        if not trades:
            added.add(day.toordinal())


def _kept(answers: dict[datetime, T], instant: datetime, answer: T) -> T:
    if len(answers) >= INSTANTS_KEPT:
        answers.clear()
    answers[instant] = answer
    return answer


def load_calendar(name: str, overrides: Iterable[Override] = ()) -> Calendar:
    """Return the calendar of an exchange with these corrections.

    Raises:
        CalendarError: for an exchange without a table, or an override that does not fit.
    """
    return _calendar(name, tuple(overrides))


@lru_cache(maxsize=64)
def _calendar(name: str, overrides: tuple[Override, ...]) -> Calendar:
    """Return the same calendar for the same corrections: it remembers the sessions that it has worked out."""
    return Calendar(read_table(name), overrides)


@cache
def read_table(name: str) -> Table:
    """Return the built-in table of an exchange; read once per process.

    Raises:
        CalendarError: when there is none of that name.
    """
    if name not in CALENDARS:
        raise CalendarError(f"calendar {name!r} is not known: use one of {', '.join(CALENDARS)}")
    text = resources.files("bellwether.market").joinpath("tables", f"{name}.json").read_text("utf-8")
    return parse_table(json.loads(text))


def parse_table(data: Mapping[str, Any]) -> Table:
    """Return a table from its JSON form: weekdays that trade, less `closed`, plus `extra`."""
    first_day, last_day = date.fromisoformat(data["firstDay"]), date.fromisoformat(data["lastDay"])
    weekdays = frozenset(data["weekdays"])
    closed, extra = _days(data["closed"]), _days(data["extra"])
    # Ordinal 1 (0001-01-01) is a Monday.
    sessions = {
        ordinal for ordinal in range(first_day.toordinal(), last_day.toordinal() + 1) if (ordinal - 1) % 7 in weekdays
    }
    sessions = (sessions - {day.toordinal() for day in closed}) | {day.toordinal() for day in extra}
    return Table(
        name=data["name"],
        timezone=ZoneInfo(data["timezone"]),
        first_day=first_day,
        last_day=last_day,
        known_through=date.fromisoformat(data["knownThrough"]),
        regular_hours=tuple(
            (date.fromisoformat(entry["from"]), (time.fromisoformat(entry["open"]), time.fromisoformat(entry["close"])))
            for entry in data["hours"]
        ),
        irregular_hours={
            day: (time.fromisoformat(entry["open"]), time.fromisoformat(entry["close"]))
            for entry in data["irregular"]
            for day in _days(entry["days"])
        },
        session_ordinals=array("l", sorted(sessions)),
    )


def _days(by_year: Mapping[str, str]) -> list[date]:
    """Return the days of `{"2009": "0101 0410"}`."""
    return [
        date(int(year), int(entry[:2]), int(entry[2:]))
        for year, entries in by_year.items()
        for entry in entries.split()
    ]
