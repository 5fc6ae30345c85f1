"""Bars in memory as columns of plain numbers: 44 bytes each, where an object with its numbers takes 230 (pure)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import overload

from bellwether.messages.market_data import Bar

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
