"""The bars of one symbol in memory, answered as of an instant (pure).

A bar exists from the close of its session on. Prices are stated in the units of that instant: divided by the ratios of
the splits that are effective by its day. Everything behind an answer is a function of bars, actions, calendar and
instant, so an answer does not change when later bars are added.

A row that its source recorded before the close is a quote: it tells the opening price, and is no bar. A symbol that is
held back has no opening price, no action and no state from the first session in doubt on.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import pairwise
from math import log, nan
from typing import overload

import msgspec

from bellwether.market.sessions import Calendar, OutsideCalendar
from bellwether.market_data.actions import Action, adjusted
from bellwether.market_data.known import Hold
from bellwether.messages.canonical import canonical_bytes
from bellwether.messages.market_data import Bar

_MOST_KEPT = 600
_PRICES = 5
"""Numbers of a bar: open, high, low, close, volume."""
_CLOSE = 3
_LARGE, _KEPT = 600, 300
"""Bars that are made are kept for the next question, which is about nearly the same: up to `_LARGE`, then `_KEPT`."""


class Columns(Sequence[Bar]):
    """Some bars, oldest first; a `Bar` is made when one is asked for, a list of them for a slice."""

    __slots__ = ("_first", "_newest", "_numbers", "days")

    def __init__(self, bars: Iterable[Bar]) -> None:
        self.days = array("i")
        """The sessions, as proleptic Gregorian ordinals."""
        self._numbers = array("d")
        for bar in bars:
            self.days.append(bar.session.toordinal())
            self._numbers.extend((bar.open, bar.high, bar.low, bar.close, bar.volume))
        self._first, self._newest = 0, list[Bar]()

    def __len__(self) -> int:
        return len(self.days)

    @overload
    def __getitem__(self, index: int) -> Bar: ...

    @overload
    def __getitem__(self, index: slice) -> list[Bar]: ...

    def __getitem__(self, index: int | slice) -> Bar | list[Bar]:
        if isinstance(index, slice):
            begin, end, step = index.indices(len(self))
            return self._between(begin, end) if step == 1 else list(self)[index]
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(f"bar {index} of {len(self)}")
        kept = at - self._first
        return self._newest[kept] if 0 <= kept < len(self._newest) else next(self._made(at, at + 1))

    def __iter__(self) -> Iterator[Bar]:
        return self._made(0, len(self))

    @property
    def closes(self) -> array[float]:
        """The closing prices."""
        return self._numbers[_CLOSE::_PRICES]

    def _between(self, begin: int, end: int) -> list[Bar]:
        """Return some bars; the newest of those that were asked for are kept."""
        if end - begin > _LARGE:
            return list(self._made(begin, end))
        first, kept = self._first, self._newest
        known = first + len(kept)
        if begin < first or begin > known:
            self._first, self._newest = begin, list(self._made(begin, end))
            return self._newest[:]
        if end > known:
            kept += self._made(known, end)
            if len(kept) > _LARGE:
                del kept[: -max(_KEPT, end - begin)]
                first = self._first = end - len(kept)
        return kept[begin - first : end - first]

    def _made(self, begin: int, end: int) -> Iterator[Bar]:
        # One iterator five times: a bar takes the next five numbers.
        number = iter(self._numbers[_PRICES * begin : _PRICES * end])
        return map(Bar, map(date.fromordinal, self.days[begin:end]), number, number, number, number, number)


class CanonicalBars:
    """The canonical bytes of bars, and their hashes: 32 bytes for each bar, of all bars up to it."""

    def __init__(self, bars: Sequence[Bar]) -> None:
        self._bars = bars
        self._first, self._ends, self._text = 0, [0], bytearray()
        """The first of the bars whose bytes are kept, where each one's end in the text, and the text."""
        revisions, digest = bytearray(), b""
        for bar in bars:
            digest = hashlib.sha256(digest + canonical_bytes(bar)).digest()
            revisions += digest
        self._revisions = bytes(revisions)

    def hash_between(self, begin: int, end: int) -> str:
        """Return the SHA-256 of the canonical bytes of the bars from one position to before another.

        They are kept for the next question, which is about nearly the same bars; those of all bars take 100 bytes each.
        """
        known = self._first + len(self._ends) - 1
        if not self._first <= begin <= known or len(self._ends) > _MOST_KEPT:
            self._first, self._ends, self._text = begin, [0], bytearray()
            known = begin
        for at in range(known, end):
            self._text += b"," + canonical_bytes(self._bars[at])
            self._ends.append(len(self._text))
        digest = hashlib.sha256(b"[")
        digest.update(memoryview(self._text)[self._ends[begin - self._first] + 1 : self._ends[end - self._first]])
        digest.update(b"]")
        return digest.hexdigest()

    def revision(self, count: int) -> str:
        """Return the hash of the first `count` bars, as 64 hexadecimal digits."""
        return self._revisions[32 * (count - 1) : 32 * count].hex()


@dataclass(slots=True)
class _Epoch:
    """All bars in the units after the first k splits, with what is quick to look up by position."""

    bars: Columns
    canonical: CanonicalBars | None = None
    closes: array[float] | None = None
    returns: array[float] | None = None
    """The log return of each bar but the first."""
    rises: dict[int, array[int]] | None = None
    newest: dict[int, tuple[int, str]] = field(default_factory=dict)
    """By how many bars were asked for: of how many they were the newest, and their hash."""


class View(msgspec.Struct, frozen=True):
    """What is known of a symbol at an instant: the first `count` bars of an epoch."""

    series: Series
    epoch: int
    count: int

    def bars(self, newest: int | None = None) -> list[Bar]:
        """Return the newest bars, oldest first, in the units of the instant."""
        begin = 0 if newest is None else max(self.count - newest, 0)
        return self.series.epoch(self.epoch).bars[begin : self.count]

    def moves(self, newest: int) -> tuple[array[float], array[float]]:
        """Return the closes of `bars(newest)`, and the log returns between them."""
        closes, returns = self.series.moves(self.epoch)
        begin = max(self.count - newest, 0)
        return closes[begin : self.count], returns[begin : max(self.count - 1, 0)]

    def first_day(self, newest: int) -> date | None:
        """Return the session of the first of `bars(newest)`, None where there is none."""
        days = self.series.epoch(self.epoch).bars.days
        return date.fromordinal(days[max(self.count - newest, 0)]) if self.count else None

    @property
    def last(self) -> Bar | None:
        """The newest bar, None where there is none yet."""
        return self.series.epoch(self.epoch).bars[self.count - 1] if self.count else None

    @property
    def traded(self) -> View:
        """The same bars in the units in which each was traded."""
        return View(self.series, 0, self.count)

    @property
    def revision(self) -> str:
        """A hash of all bars in the view: each bar's bytes hashed onto the revision before it."""
        if not self.count:
            return hashlib.sha256(b"").hexdigest()
        return self.series.canonical(self.epoch).revision(self.count)

    def revision_of(self, newest: int) -> str:
        """Return the SHA-256 of the canonical bytes of the newest bars."""
        kept = self.series.epoch(self.epoch).newest
        found = kept.get(newest)
        if found is None or found[0] != self.count:
            begin = max(self.count - newest, 0)
            found = kept[newest] = (self.count, self.series.canonical(self.epoch).hash_between(begin, self.count))
        return found[1]

    def before(self, day: date) -> View:
        """Return the same view without the bars from a day on."""
        return View(self.series, self.epoch, min(self.count, self.series.position(day)))

    def base_rate(self, horizon: int) -> tuple[float, int]:
        """Return the share of sessions after which the close was higher `horizon` sessions later, and of how many.

        Only sessions whose outcome lies within the view count. Without any, the share is 0.5.
        """
        known = self.count - horizon
        if known <= 0:
            return 0.5, 0
        return self.series.rises(self.epoch, horizon)[known] / known, known


class Series:
    """One symbol's bars on the sessions of a calendar, oldest first."""

    def __init__(
        self,
        bars: Sequence[Bar],
        actions: Sequence[Action],
        calendar: Calendar,
        quotes: Mapping[date, Bar] | None = None,
        hold: Hold | None = None,
    ) -> None:
        self.off_calendar: list[date] = []
        self.quotes = quotes or {}
        self.hold = hold
        self._closes: list[datetime] = []
        kept: list[Bar] = []
        for bar in bars:
            close = _close_of(calendar, bar.session)
            if close is None:
                self.off_calendar.append(bar.session)
            else:
                kept.append(bar)
                self._closes.append(close)
        self._raw = Columns(kept)
        self._calendar = calendar
        self._actions = sorted(actions, key=lambda action: (action.session, action.kind != "split"))
        self._splits = [action for action in self._actions if action.kind == "split"]
        self._split_days = [action.session for action in self._splits]
        self._epochs: dict[int, _Epoch] = {}

    @property
    def first(self) -> date | None:
        """The first session, over all that is recorded."""
        return date.fromordinal(self._raw.days[0]) if self._raw else None

    @property
    def last(self) -> date | None:
        """The last session, over all that is recorded."""
        return date.fromordinal(self._raw.days[-1]) if self._raw else None

    def as_of(self, instant: datetime) -> View:
        """Return what is known at an instant."""
        count = bisect_right(self._closes, instant)
        splits = bisect_right(self._split_days, self._calendar.local_day(instant)) if self._split_days else 0
        return View(self, splits, count)

    def unadjusted(self, instant: datetime) -> View:
        """Return what is known at an instant, in the units in which each bar was traded."""
        return View(self, 0, bisect_right(self._closes, instant))

    def held(self, day: date) -> Hold | None:
        """Return why the symbol is held back on a day at the exchange, None where it is not."""
        return self.hold if self.hold is not None and self.hold.since <= day else None

    def bar_on(self, session: date) -> Bar | None:
        """Return the final bar of a session as traded, None where there is none. It may not be complete yet."""
        index = self.position(session)
        return self._raw[index] if index < len(self._raw) and self._raw.days[index] == session.toordinal() else None

    def position(self, day: date) -> int:
        """Return how many bars are of sessions before a day."""
        return bisect_left(self._raw.days, day.toordinal())

    def traded_on(self, session: date) -> Bar | None:
        """Return what is known of a session's trading: its bar or quote, None where the symbol did not trade.

        A day of volume 0 with four equal prices is a halt that repeats the last price: nothing was traded at it.
        """
        bar = self.bar_on(session) or self.quotes.get(session)
        if bar is None or self.held(session) is not None:
            return None
        still = bar.volume == 0.0 and bar.open == bar.high == bar.low == bar.close
        return None if still else bar

    def actions_within(self, first: date, last: date) -> list[Action]:
        """Return the actions effective before the opens of these sessions, by session, splits first."""
        return [
            action for action in self._actions if first <= action.session <= last and self.held(action.session) is None
        ]

    def epoch(self, splits: int) -> _Epoch:
        """Return all bars in the units after the first `splits` splits."""
        found = self._epochs.get(splits)
        if found is None:
            bars = Columns(adjusted(self._raw, self._splits[:splits])) if splits else self._raw
            found = self._epochs[splits] = _Epoch(bars)
        return found

    def canonical(self, splits: int) -> CanonicalBars:
        """Return the canonical bytes and revisions of the bars of an epoch."""
        epoch = self.epoch(splits)
        if epoch.canonical is None:
            epoch.canonical = CanonicalBars(epoch.bars)
        return epoch.canonical

    def moves(self, splits: int) -> tuple[array[float], array[float]]:
        """Return the closes of all bars of an epoch, and the log returns between them."""
        epoch = self.epoch(splits)
        if epoch.closes is None or epoch.returns is None:
            epoch.closes = epoch.bars.closes
            pairs = pairwise(epoch.closes)
            epoch.returns = array("d", [log(new / old) if old > 0.0 < new else nan for old, new in pairs])
        return epoch.closes, epoch.returns

    def rises(self, splits: int, horizon: int) -> array[int]:
        """Return how many of the first n closes were followed by a higher one `horizon` sessions later, for each n."""
        epoch = self.epoch(splits)
        if epoch.rises is None:
            epoch.rises = {}
        counts = epoch.rises.get(horizon)
        if counts is None:
            closes = epoch.bars.closes
            counts = array("l", [0])
            for earlier, later in zip(closes, closes[horizon:], strict=False):
                counts.append(counts[-1] + (later > earlier))
            epoch.rises[horizon] = counts
        return counts


def _close_of(calendar: Calendar, day: date) -> datetime | None:
    try:
        session = calendar.session_on(day)
    except OutsideCalendar:
        return None
    return None if session is None else session.close.astimezone(UTC)
