"""What only a file's rows together show: repeated days, spikes, weekly bars, dividends taken out (pure)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from itertools import pairwise

from bellwether.market_data.csv_forms.cells import FormError
from bellwether.market_data.rows import OddRow, SourceRow

SPIKE = 8.0
"""A row whose close is this many times that of its neighbours, or this part of it, while they agree with each other."""
NEIGHBOURS_AGREE = 2.0
LONGEST_SPIKE = 3
"""Rows in a row. A longer stretch is another unit (pence and pounds): that is judged with the stored bars."""
WEEKLY_DAYS = 5
"""A median distance of as many days between rows is that of weekly bars."""

_PRICES = ("open", "high", "low", "close")


def each_day_once(rows: Sequence[SourceRow], *, newest_first: bool) -> tuple[list[SourceRow], list[OddRow]]:
    """Return one row for each day, by day, and what was left out.

    Of equal rows one is kept. Yahoo writes the newest day twice: of these the row that was written later counts.
    Another day that is stated in two ways is left out.
    """
    by_day: dict[date, list[SourceRow]] = {}
    for row in reversed(rows) if newest_first else rows:
        by_day.setdefault(row.session, []).append(row)
    newest = max(by_day)
    found: list[SourceRow] = []
    odd: list[OddRow] = []
    for day in sorted(by_day):
        first, *others = by_day[day]
        if not others:
            found.append(first)
        elif day == newest or all(_same(first, other) for other in others):
            kept = others[-1]
            found.append(replace(kept, flags=(*kept.flags, "REPEATED")))
            odd += [
                OddRow(row.where, day, "REPEATED", f"{day} is given again in {_line(kept)}")
                for row in (first, *others[:-1])
            ]
        else:
            for row in (first, *others):
                other = others[0] if row is first else first
                odd.append(OddRow(row.where, day, "CONFLICT", f"{day} is given with other prices in {_line(other)}"))
    return found, odd


def without_spikes(rows: Sequence[SourceRow]) -> tuple[list[SourceRow], list[OddRow]]:
    """Return rows without those that stand at many times, or a small part of, the price around them.

    The newest rows have no neighbour after them: they are held against those before, unless a split is stated. They
    come back when the rows that follow confirm them.
    """
    found: list[SourceRow] = []
    odd: list[OddRow] = []
    at = 0
    while at < len(rows):
        length = _spike(rows, found, at)
        for row in rows[at : at + length]:
            times = row.close / found[-1].close
            shown = f"{times:.4g} times" if times > 1 else f"1/{1 / times:.4g} of"
            odd.append(
                OddRow(
                    row.where,
                    row.session,
                    "SPIKE",
                    f"Close {row.close:g} is {shown} that of {found[-1].session} ({found[-1].close:g})",
                )
            )
        if not length:
            found.append(rows[at])
        at += max(length, 1)
    return found, odd


def _spike(rows: Sequence[SourceRow], kept: Sequence[SourceRow], at: int) -> int:
    """Return how many rows from here on are a spike; 0 for none."""
    if not kept or not _far(kept[-1].close, rows[at].close):
        return 0
    for length in range(1, LONGEST_SPIKE + 1):
        inside = rows[at : at + length]
        if any(row.split not in (None, 1.0) for row in inside) or not all(
            _far(kept[-1].close, row.close) for row in inside
        ):
            return 0
        after = at + length
        if after >= len(rows):
            return len(inside) if _stated_none_or_alone(rows, kept) else 0
        if _close(kept[-1].close, rows[after].close):
            return length
    return 0


def _stated_none_or_alone(rows: Sequence[SourceRow], kept: Sequence[SourceRow]) -> bool:
    # A factor (Adj Close) that moves with the price is a split, and is judged with the other actions.
    last, before = rows[-1], kept[-1]
    if last.adjusted_close is None or before.adjusted_close is None:
        return True
    return not _far(last.adjusted_close / last.close, before.adjusted_close / before.close)


def _far(one: float, other: float) -> bool:
    return max(one / other, other / one) >= SPIKE


def _close(one: float, other: float) -> bool:
    return max(one / other, other / one) <= NEIGHBOURS_AGREE


def check_daily(rows: Sequence[SourceRow], name: str) -> None:
    """Check that rows are a day apart.

    Raises:
        FormError: when they are a week, or longer, apart.
    """
    gaps = [(later.session - earlier.session).days for earlier, later in pairwise(rows)]
    if len(gaps) >= 2 and statistics.median_low(gaps) >= WEEKLY_DAYS:
        length = f"{statistics.median_low(gaps)} days"
        raise FormError(f"{name}: its rows are {length} apart: only daily bars are read, export them by day")


def check_past(rows: Sequence[SourceRow], today: date, name: str) -> None:
    """Check that no row is of a day to come.

    Raises:
        FormError: naming the first row that is.
    """
    for row in rows:
        if row.session > today:
            raise FormError(f"{row.where}: {row.session} has not come yet: check the order of day and month in {name}")


def _same(one: SourceRow, other: SourceRow) -> bool:
    return all(getattr(one, price) == getattr(other, price) for price in _PRICES) and one.volume == other.volume


def _line(row: SourceRow) -> str:
    return row.where.rpartition(", ")[2]


def without_dividends_taken_out(rows: Sequence[SourceRow]) -> list[SourceRow]:
    """Return rows with prices before dividends were taken out, the stated close kept as the adjusted one.

    yfinance's `history()` multiplies each close before an ex-date by 1 - d / c, c being the close of the day before
    (the CRSP method). Walking back from the newest row undoes it exactly: c = stated / scale + d.

    Rows are in the order of their sessions. Dividends after the newest row are not known here: then all prices stand
    too low by the same share.
    """
    found: list[SourceRow] = []
    scale, pending = 1.0, 0.0
    for row in reversed(rows):
        if pending > 0.0:
            close = row.close / scale + pending
            scale *= 1.0 - pending / close
        found.append(
            row
            if scale == 1.0
            else replace(
                row, open=row.open / scale, high=row.high / scale, low=row.low / scale, close=row.close / scale
            )
        )
        found[-1] = replace(found[-1], adjusted_close=row.close)
        pending = row.dividend or 0.0
    found.reverse()
    return found
