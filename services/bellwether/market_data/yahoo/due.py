"""When Yahoo is asked, for how much, and how often at most: nothing for a while after a refusal (pure)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import msgspec

from bellwether.market.sessions import Calendar, Session

WINDOW_SESSIONS = 10
"""So many of the newest sessions are fetched again each time."""
WEEK = timedelta(days=7)
LEAD = timedelta(minutes=10)
"""How long before a slot its bars are seen to."""
FIRST_PAUSE = timedelta(minutes=2)
LONGEST_PAUSE = timedelta(hours=1)
"""Between tries for a bar that is not there yet, or a symbol that gives none."""
WINDOW = 60.0
LIMITED = (timedelta(minutes=5), timedelta(hours=2))
FAULT = (timedelta(seconds=30), timedelta(minutes=15))
"""First and longest hold: after a 429, and after a fault of the network or of Yahoo."""
JITTER = 0.25


class Record(msgspec.Struct, frozen=True):
    """What is remembered of asking for a symbol; kept on disk.

    Attributes:
        fingerprint: of the rows that were handed over last; None before there were any.
        full_at: when the whole history was fetched last.
        asked_at: when it was last answered for, with or without bars.
        final: the newest session whose final row was fetched.
        tries: answers in a row that did not bring what they were to bring.
        wanted: why the whole history is wanted, empty when it is not.
        error: why the last answer gave no bars, empty when it did.
    """

    fingerprint: str | None = None
    full_at: datetime | None = None
    asked_at: datetime | None = None
    final: date | None = None
    tries: int = 0
    wanted: str = ""
    error: str = ""


@dataclass(frozen=True)
class Ask:
    """One symbol to ask for: from which day on, whether that is the whole history, and why."""

    symbol: str
    start: date
    whole: bool
    reason: str


def whole_history(symbol: str, calendar: Calendar, years: int, now: datetime, reason: str) -> Ask:
    """Return the request for a symbol's bars of the last years."""
    day = calendar.local_day(now)
    return Ask(symbol, day.replace(year=day.year - years, day=1), True, reason)


def expected_final(calendar: Calendar, delay: timedelta, now: datetime) -> Session:
    """Return the newest session whose row is final by now.

    Raises:
        OutsideCalendar: when the calendar's table does not reach so far.
    """
    return calendar.previous_session(now - delay)


def due(
    symbols: Iterable[str],
    records: Mapping[str, Record],
    calendar: Calendar,
    *,
    delay: timedelta,
    years: int,
    slots: Sequence[datetime],
    now: datetime,
) -> list[Ask]:
    """Return what is to be asked for now, what matters most first.

    A symbol is asked for its whole history at first, when something of it is in doubt, and once a week while the
    exchange is closed; for its last ten sessions once the newest session is final, until its bar is there, and in the
    morning before the first slot. `slots` are the instants at which bars are needed. Tries that brought nothing are
    repeated after a growing pause, and once more before each slot.
    """
    newest = expected_final(calendar, delay, now)
    closed = calendar.session_at(now) is None
    found: list[tuple[int, Ask]] = []
    for symbol in symbols:
        record = records.get(symbol, Record())
        if not _may(record, slots, now):
            continue
        if record.full_at is None or record.wanted:
            found.append(
                (0, whole_history(symbol, calendar, years, now, record.wanted or "its history was never fetched"))
            )
        elif record.final is None or record.final < newest.day:
            found.append((1, _window(symbol, calendar, newest, f"the bar of {newest.day} is not there")))
        elif closed and record.full_at <= now - WEEK:
            found.append((3, whole_history(symbol, calendar, years, now, "a week has gone since")))
        elif _before_first_slot(record, calendar, slots, now):
            found.append((2, _window(symbol, calendar, newest, "the first slot of the day comes")))
    return [ask for _, ask in sorted(found, key=lambda each: each[0])]


def answered(record: Record, ask: Ask, *, fingerprint: str, final: date | None, now: datetime, newest: date) -> Record:
    """Return what is remembered after an answer with bars; `newest` is the session that was to be there."""
    known = max((day for day in (record.final, final) if day is not None), default=None)
    behind = known is None or known < newest
    return Record(
        fingerprint=fingerprint,
        full_at=now if ask.whole else record.full_at,
        asked_at=now,
        final=known,
        tries=record.tries + 1 if behind else 0,
    )


def refused(record: Record, *, error: str, now: datetime) -> Record:
    """Return what is remembered after an answer without bars."""
    return msgspec.structs.replace(record, asked_at=now, tries=record.tries + 1, error=error)


def doubted(record: Record, reason: str) -> Record:
    """Return a record by which the whole history is fetched next, after a pause that grows while nothing helps."""
    return record if record.wanted else msgspec.structs.replace(record, wanted=reason, tries=record.tries + 1)


def _may(record: Record, slots: Sequence[datetime], now: datetime) -> bool:
    if record.asked_at is None or not record.tries:
        return True
    pause = min(FIRST_PAUSE * 2 ** min(record.tries - 1, 10), LONGEST_PAUSE)
    if now >= record.asked_at + pause:
        return True
    return any(slot - LEAD <= now < slot and record.asked_at < slot - LEAD for slot in slots)


def _before_first_slot(record: Record, calendar: Calendar, slots: Sequence[datetime], now: datetime) -> bool:
    coming = [slot for slot in slots if slot - LEAD <= now < slot]
    return bool(coming) and (
        record.asked_at is None or calendar.local_day(record.asked_at) < calendar.local_day(coming[0])
    )


def _window(symbol: str, calendar: Calendar, newest: Session, reason: str) -> Ask:
    days = [session.day for session in calendar.sessions(newest.day - timedelta(days=40), newest.day)]
    return Ask(symbol, days[-WINDOW_SESSIONS:][0], False, reason)


@dataclass
class Allowance:
    """The requests of the last minute, on a monotonic clock; what was used over the limit is waited for later."""

    per_minute: int
    _spent: deque[float] = field(default_factory=deque)

    def wait(self, now: float, wanted: int) -> float:
        """Return the seconds until so many more requests are within the limit; 0 when they are now."""
        self._forget(now)
        over = len(self._spent) + min(wanted, self.per_minute) - self.per_minute
        if over <= 0:
            return 0.0
        return self._spent[over - 1] + WINDOW - now

    def spend(self, now: float, count: int) -> None:
        """Count requests that were made."""
        self._spent.extend([now] * count)

    def used(self, now: float) -> int:
        """Return how many requests the last minute has."""
        self._forget(now)
        return len(self._spent)

    def _forget(self, now: float) -> None:
        while self._spent and self._spent[0] <= now - WINDOW:
            self._spent.popleft()


@dataclass(frozen=True)
class Hold:
    """Why nothing is asked, and until when; `times` counts refusals in a row."""

    until: datetime
    reason: str
    times: int = 1


def held(before: Hold | None, now: datetime, words: str, chance: float, *, limited: bool) -> Hold:
    """Return the hold after one more refusal: twice as long as the one before, by up to a quarter more or less.

    `chance` is from 0 to 1; `limited` says that Yahoo refused for too many requests, which is waited for longer than a
    fault of the network.
    """
    times = 1 if before is None else before.times + 1
    first, longest = LIMITED if limited else FAULT
    length = min(first * 2 ** min(times - 1, 10), longest)
    until = now + length * (1.0 + JITTER * (2.0 * chance - 1.0))
    return Hold(until, f"{words}; Yahoo is asked for nothing until {until:%H:%M:%S} UTC", times)
