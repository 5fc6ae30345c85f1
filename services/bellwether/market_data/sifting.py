"""What a statement's rows are by themselves: on the exchange's days, on one scale, as traded (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

from bellwether.market.sessions import Calendar
from bellwether.market_data.actions import Action, Doubt
from bellwether.market_data.rows import OddRow, SourceRow

FEW = 3
"""So many days without a session are passed over wherever they stand."""
SHARE = 0.01
NEWEST = 100
"""More than a few among the newest rows are too many, however long the file is."""
WEEKS = 8
"""A weekday that is missing in so many weeks running is no accident."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LARGEST_MOVE = 10.0
"""No close is taken for ten times, or a tenth of, the one before it without an action that says so."""
RETURNS_WITHIN = 5
"""So many rows on another scale are mistakes if the prices return after them."""
RETURNED = 3.0
SPLIT_LIKE = 1.9
"""Where nothing in a source can tell a split, a step this large may be one."""
CONCLUSIVE = 1.45
"""From this ratio on the price step itself tells whether a split is in the prices already."""


def off_calendar(days: Sequence[date], calendar: Calendar) -> list[date]:
    """Return the days that are no sessions; those outside the calendar's table are not judged."""
    return [day for day in days if calendar.first_day <= day <= calendar.last_day and not calendar.session_on(day)]


def calendar_problem(days: Sequence[date], calendar: Calendar) -> str | None:
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


def without_odd_scale(rows: Sequence[SourceRow]) -> tuple[list[SourceRow], list[OddRow]]:
    """Return the rows without those whose prices are on another scale than their neighbours', and those left out."""
    kept: list[SourceRow] = []
    odd: list[OddRow] = []
    index = 0
    while index < len(rows):
        row = rows[index]
        if max(row.open, row.high, row.low, row.close) >= LARGEST_MOVE * min(row.open, row.high, row.low, row.close):
            odd.append(_odd(row, f"its prices run from {row.low:g} to {row.high:g} within one session"))
            index += 1
            continue
        end = _end_of_excursion(rows, index, kept[-1].close) if kept else index
        if end > index:
            before = kept[-1].close
            odd += [_odd(one, f"close {one.close:g} between rows around {before:g}") for one in rows[index:end]]
            index = end
            continue
        kept.append(row)
        index += 1
    return kept, odd


def _end_of_excursion(rows: Sequence[SourceRow], index: int, before: float) -> int:
    """Return the position of the row with which prices are back near `before`; `index` where they never left."""
    if not _far(rows[index].close / before, LARGEST_MOVE):
        return index
    for later in range(index + 1, min(index + 1 + RETURNS_WITHIN, len(rows))):
        if not _far(rows[later].close / before, RETURNED):
            return later
    return index


def jumps(rows: Sequence[SourceRow], actions: Sequence[Action], *, splits_stated: bool) -> list[Doubt]:
    """Return the steps between rows as traded that no action explains.

    Args:
        rows: as traded, in the order of their sessions.
        actions: all that are known of these rows.
        splits_stated: whether the source could have reported a split; else a step that may be one is a doubt, too.
    """
    splits = [action for action in actions if action.kind == "split"]
    found = []
    for last, first in pairwise(rows):
        expected = last.close
        for split in splits:
            if last.session < split.session <= first.session:
                expected /= split.ratio
        move = first.close / expected
        if _far(move, LARGEST_MOVE):
            found.append(_jump(last, first, move))
        elif not splits_stated and first.adjusted_close is None and _leaps(first, expected):
            words = "a split or a true move, and nothing in this file tells which"
            found.append(Doubt(first.session, "SPLIT_OR_FALL", f"{_from_to(last, first)}: {words}"))
    return found


def _leaps(row: SourceRow, expected: float) -> bool:
    """Whether a row opened and closed where a split would have put it: a share that fell in the day did not split."""
    return _far(row.close / expected, SPLIT_LIKE) and _far(row.open / expected, SPLIT_LIKE)


def _jump(last: SourceRow, first: SourceRow, move: float) -> Doubt:
    hundred = 60.0 <= max(move, 1.0 / move) <= 160.0
    words = "prices in other units (pence and pounds, cents and dollars?)" if hundred else "no action explains this"
    return Doubt(first.session, "UNITS" if hundred else "PRICE_JUMP", f"{_from_to(last, first)}: {words}")


def _from_to(last: SourceRow, first: SourceRow) -> str:
    return f"{first.where or first.session}: the close goes from {last.close:g} ({last.session}) to {first.close:g}"


def _far(ratio: float, factor: float) -> bool:
    return abs(math.log(ratio)) >= math.log(factor) - 1.0e-9


def _odd(row: SourceRow, words: str) -> OddRow:
    return OddRow(row.where, row.session, "PRICE_SCALE", f"{words}; the row is left out")


@dataclass(frozen=True, slots=True)
class Traded:
    """A row as traded, and by what its stated prices were multiplied for it."""

    row: SourceRow
    scale: float

    def times(self, ratio: float) -> Traded:
        """Return the row with prices multiplied by a ratio, its volume divided."""
        if ratio == 1.0:
            return self
        row = self.row
        dividend = None if row.dividend is None else row.dividend * ratio
        prices = (round(value * ratio, 6) for value in (row.open, row.high, row.low, row.close))
        opening, high, low, close = prices
        changed = replace(
            row, open=opening, high=high, low=low, close=close, volume=row.volume / ratio, dividend=dividend
        )
        return Traded(changed, self.scale * ratio)


def as_traded(rows: Sequence[SourceRow], *, adjusted: bool) -> tuple[list[Traded], list[Action]]:
    """Return the rows as traded, and the stated actions with dividends in the units of their day.

    `adjusted` says whether the source divides the prices before a split; for a large split its price step decides.
    """
    found: list[Traded] = []
    actions: list[Action] = []
    ratio = 1.0
    for index in range(len(rows) - 1, -1, -1):
        row = rows[index]
        one = Traded(row, 1.0).times(ratio)
        found.append(one)
        if one.row.dividend:
            actions.append(Action(row.session, "dividend", amount=round(one.row.dividend, 6)))
        if row.split is not None and row.split > 0.0 and row.split != 1.0:
            actions.append(Action(row.session, "split", ratio=row.split))
            if index and _in_prices(rows[index - 1], row, adjusted=adjusted):
                ratio *= row.split
    found.reverse()
    actions.reverse()
    return found, actions


def _in_prices(last: SourceRow, first: SourceRow, *, adjusted: bool) -> bool:
    """Whether the rows before a split are stated in the units after it."""
    size = abs(math.log(first.split or 1.0))
    if size < math.log(CONCLUSIVE):
        return adjusted
    move = math.log(first.close / last.close)
    return abs(move) < abs(move + math.log(first.split or 1.0))
