"""Prices on another scale: single rows that are left out, and lasting changes that nothing explains (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from bellwether.market_data.actions import Action, Doubt
from bellwether.market_data.rows import OddRow, SourceRow

LARGEST_MOVE = 10.0
"""No close is taken for ten times, or a tenth of, the one before it without an action that says so."""
RETURNS_WITHIN = 5
"""So many rows on another scale are mistakes if the prices return after them."""
RETURNED = 3.0
SPLIT_LIKE = 1.9
"""Where nothing in a source can tell a split, a step this large may be one."""


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


def jumps(rows: Sequence[SourceRow], actions: Sequence[Action], *, splits_told: bool) -> list[Doubt]:
    """Return the steps between rows as traded that no action explains.

    Args:
        rows: as traded, in the order of their sessions.
        actions: all that are known of these rows.
        splits_told: whether the source could have told a split; else a step that may be one is a doubt, too.
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
        elif not splits_told and first.adjusted_close is None and _leaps(first, expected):
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
