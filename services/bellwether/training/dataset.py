"""From bars to rows: features and label of each session of each symbol, and how rows are parted in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from bellwether.messages.canonical import content_hash
from bellwether.messages.market_data import Bar
from bellwether.training.feature_table import Basket
from bellwether.training.features import MOVE, WINDOW, basket_of, features, moves, needs_basket

Matrix = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Rows ordered by session, then symbol. Days are ordinals; `known` is the session that shows the label."""

    x: Matrix
    y: Numbers
    day: Numbers
    known: Numbers
    symbol: Numbers
    symbols: tuple[str, ...]
    gain: Matrix | None = None
    """Return of a share bought at the next session's open and sold at the horizon's close, as a fraction."""

    def where(self, mask: Flags) -> Rows:
        """Return the rows of a mask."""
        gain = None if self.gain is None else self.gain[mask]
        return Rows(self.x[mask], self.y[mask], self.day[mask], self.known[mask], self.symbol[mask], self.symbols, gain)

    def of(self, symbol: str) -> Rows:
        """Return the rows of one symbol."""
        return self.where(self.symbol == self.symbols.index(symbol))

    def __len__(self) -> int:
        return len(self.y)

    @property
    def days(self) -> Numbers:
        """The sessions that occur, once each, ascending."""
        return np.unique(self.day)


def make_rows(histories: Mapping[str, Sequence[Bar]], names: Sequence[str], horizon: int) -> Rows:
    """Return a row for each bar that has a full window behind it and its outcome ahead.

    The label is 1 where the close `horizon` sessions later is higher. Features come from the function that prediction
    calls, on windows of the same length. Sessions at which a share stands still are left out: nothing is said of them.
    """
    basket = basket_of(histories.values()) if needs_basket(tuple(names)) else {}
    return join_rows({symbol: symbol_rows(bars, names, horizon, basket) for symbol, bars in histories.items()}, names)


Row = tuple[int, list[float], int, int, float]
"""Session, features, outcome, the session that shows it (days as ordinals), and what holding brought."""


def symbol_rows(bars: Sequence[Bar], names: Sequence[str], horizon: int, basket: Basket) -> list[Row]:
    """Return the rows of one symbol: plain values, so that processes can share the work."""
    found: list[Row] = []
    closes = [bar.close for bar in bars]
    for end in range(WINDOW, len(bars) - horizon + 1):
        if not moves(closes[end - MOVE : end]):
            continue
        last, outcome = bars[end - 1], bars[end - 1 + horizon]
        values = features(bars[end - WINDOW : end], names, basket)
        row = [values[name] for name in names]
        gain = outcome.close / bars[end].open - 1.0
        found.append(
            (last.session.toordinal(), row, int(outcome.close > last.close), outcome.session.toordinal(), gain)
        )
    return found


def join_rows(parts: Mapping[str, Sequence[Row]], names: Sequence[str]) -> Rows:
    """Return the rows of all symbols in one table."""
    symbols = tuple(sorted(parts))
    found = [
        (day, number, row, outcome, known, gain)
        for number, symbol in enumerate(symbols)
        for day, row, outcome, known, gain in parts[symbol]
    ]
    found.sort(key=lambda row: row[:2])
    return Rows(
        x=np.array([row[2] for row in found], dtype=np.float64).reshape(len(found), len(names)),
        y=np.array([row[3] for row in found], dtype=np.int64),
        day=np.array([row[0] for row in found], dtype=np.int64),
        known=np.array([row[4] for row in found], dtype=np.int64),
        symbol=np.array([row[1] for row in found], dtype=np.int64),
        symbols=symbols,
        gain=np.array([row[5] for row in found], dtype=np.float64),
    )


def part_by_day(rows: Rows, first_day: int) -> tuple[Rows, Rows]:
    """Return (before, from) a day, purged: labels of the first part are all known before the second begins."""
    return rows.where(rows.known < first_day), rows.where(rows.day >= first_day)


def newest_share(rows: Rows, share: float) -> int:
    """Return the day with which the newest `share` of the sessions begins."""
    days = rows.days
    return int(days[min(int(len(days) * (1.0 - share)), len(days) - 1)])


def test_blocks(rows: Rows, folds: int, share: float) -> list[tuple[int, int]]:
    """Return (first day, last day) of consecutive test blocks over the newest `share` of the sessions."""
    days = rows.days[rows.days >= newest_share(rows, share)]
    return [(int(block[0]), int(block[-1])) for block in np.array_split(days, min(folds, len(days)))]


def data_revision(histories: Mapping[str, Sequence[Bar]]) -> str:
    """Return the SHA-256 of all bars, by symbol: the same bars give the same revision."""
    return content_hash({symbol: list(bars) for symbol, bars in histories.items()})


def last_session(histories: Mapping[str, Sequence[Bar]]) -> date:
    """Return the last session of any symbol."""
    return max(bars[-1].session for bars in histories.values() if bars)
