"""Made-up shares: prices that never were, on the real sessions of an exchange, the same ones at each run."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property

from bellwether.market.sessions import Calendar, Session

BEGIN = date(2012, 1, 3)
"""The first day of every walk: prices do not depend on when the stand-in is asked."""
DAILY = 0.012
"""Standard deviation of a day's log return."""
MEAN_SESSIONS = 20
BASE = 20.0

EXCHANGES: Mapping[str, tuple[str, str, str]] = {
    "XASX": ("ASX", "ASX", "AUD"),
    "XNYS": ("NYQ", "NYSE", "USD"),
    "XLON": ("LSE", "LSE", "GBp"),
    "XHKG": ("HKG", "HKSE", "HKD"),
    "XTKS": ("JPX", "Tokyo", "JPY"),
}
"""Per calendar, what Yahoo calls the exchange (short, long) and its currency."""


@dataclass(frozen=True, slots=True)
class Row:
    """One session as traded."""

    session: Session
    open: float
    high: float
    low: float
    close: float
    volume: int


@dataclass(frozen=True)
class Share:
    """One made-up share.

    Attributes:
        signal: how strongly a close falls back to its mean of 20 sessions, 0 (a random walk) to 1. A model that sees
            the distance from the mean predicts this.
        splits: by day, new shares for one old, as (numerator, denominator).
        dividends: by day, cash per share as paid.
        listed: the first day that it trades.
        walk: another number, other prices.
    """

    symbol: str
    calendar: Calendar
    signal: float = 0.0
    splits: Mapping[date, tuple[int, int]] = field(default_factory=dict)
    dividends: Mapping[date, float] = field(default_factory=dict)
    listed: date = BEGIN
    walk: int = 0

    @property
    def name(self) -> str:
        """What Yahoo would call the company."""
        return f"{self.symbol} (MADE UP BARS)"

    @cached_property
    def _walk(self) -> list[Row]:
        chance = random.Random(f"{self.symbol}{self.walk or ''}")
        level = math.log(BASE * (1.0 + chance.random()))
        recent = [level] * MEAN_SESSIONS
        units = 1.0
        found: list[Row] = []
        for session in self.calendar.sessions(BEGIN, self.calendar.last_day):
            new, old = self.splits.get(session.day, (1, 1))
            units *= new / old
            pull = self.signal * (sum(recent) / MEAN_SESSIONS - level)
            opening = level + pull / 2 + chance.gauss(0.0, DAILY / 4)
            level = opening + pull / 2 + chance.gauss(0.0, DAILY)
            high = max(opening, level) + abs(chance.gauss(0.0, DAILY / 3))
            low = min(opening, level) - abs(chance.gauss(0.0, DAILY / 3))
            volume = int(1_000_000 * math.exp(chance.gauss(0.0, 0.3)) * units)
            recent = [*recent[1:], level]
            first, top, bottom, final = (math.exp(each) / units for each in (opening, high, low, level))
            found.append(Row(session, first, top, bottom, final, volume))
        return found

    def rows(self, now: datetime) -> list[Row]:
        """Return the sessions that have opened, as traded; the last one may be under way."""
        return [row for row in self._walk if self.listed <= row.session.day and row.session.open <= now]


@dataclass(frozen=True)
class Stated:
    """A share's history in the units of today, as Yahoo states it: by session, with what was worked into it."""

    rows: Sequence[Row]
    adjusted: Sequence[float]
    splits: Mapping[date, tuple[int, int]]
    dividends: Mapping[date, float]


def stated(share: Share, now: datetime, *, missing: bool = False, restated: float = 1.0) -> Stated:
    """Return a share's history as Yahoo states it at an instant.

    Prices, volumes and dividends are in the units after all splits up to that instant; the adjusted close is further
    scaled down for each later dividend by 1 - dividend / close before it.
    """
    rows = share.rows(now)
    splits = {row.session.day: share.splits[row.session.day] for row in rows if row.session.day in share.splits}
    reported = {} if missing else splits
    scaled: list[Row] = []
    dividends: dict[date, float] = {}
    units = 1.0
    for row in reversed(rows):
        day = row.session.day
        by = restated / units
        scaled.append(
            Row(row.session, row.open * by, row.high * by, row.low * by, row.close * by, int(row.volume * units))
        )
        if day in share.dividends:
            dividends[day] = share.dividends[day] * by
        if day in reported:
            new, old = reported[day]
            units *= new / old
    scaled.reverse()
    adjusted: list[float] = []
    factor = 1.0
    for index in range(len(scaled) - 1, -1, -1):
        adjusted.append(scaled[index].close * factor)
        paid = dividends.get(scaled[index].session.day)
        if paid is not None and index > 0:
            factor *= 1.0 - paid / scaled[index - 1].close
    return Stated(scaled, adjusted[::-1], reported, dividends)


def default_shares(symbols: Iterable[str], calendar: Calendar, signal: float = 0.0, walk: int = 0) -> dict[str, Share]:
    """Return shares by symbol, each with two dividends a year and one split in its past."""
    found = {}
    for number, symbol in enumerate(symbols):
        dividends, splits = {}, {}
        for year in range(2013, calendar.last_day.year + 1):
            for month in (3, 9):
                first = date(year, month, 1 + number % 20)
                if calendar.first_day <= first < calendar.last_day:
                    dividends[calendar.after(first, 1).day] = 0.35
        if number % 3 == 0:
            splits[calendar.after(date(2019, 6, 1 + number % 20), 1).day] = (2, 1)
        found[symbol] = Share(symbol, calendar, signal=signal, splits=splits, dividends=dividends, walk=walk)
    return found
