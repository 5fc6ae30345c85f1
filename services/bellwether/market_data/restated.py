"""History that a source states in other units than before: a split, its undoing, or a doubt (pure).

Stored rows are as traded. A source that adjusts its history divides every earlier price by each new split's ratio, so
over the rows that both have, stored / stated is constant between ex-dates: 1 after the newest split, its ratio before.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from bellwether.market_data.actions import Doubt, half_unit, simplest
from bellwether.market_data.rows import SourceRow

LONG_ENOUGH = 3
"""A ratio that so many rows running have is meant; fewer rows are corrections."""
MOST_PIECES = 4
PLACES = 4
SLACK = 1.0e-6
CORRECTION = 0.1
"""A row that is corrected by more than this (natural logarithm) counts as rewritten."""
REWRITTEN_SHARE = 0.05
USUAL_TERM = 12
NEAR = 5.0e-4
"""A usual ratio (2:1, 11:10) so near to what the rows say is meant: rows are corrected in their last place, too."""
HUNDRED = (80.0, 125.0)


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows from a session on, whose prices as traded are `ratio` times those stated."""

    first: date
    ratio: float


@dataclass(frozen=True, slots=True)
class Restatement:
    """By which ratios stated rows differ from stored ones, oldest first, and the newest session that both have."""

    pieces: Sequence[Piece]
    last: date | None

    def on(self, day: date) -> float:
        """Return what a day's stated prices are to be multiplied by; newer rows are in the units of their day."""
        return 1.0 if self.last is None or day > self.last else _ratio_on(self.pieces, day)


UNCHANGED = (Piece(date.min, 1.0),)


@dataclass(slots=True)
class _Run:
    first: date
    low: float
    high: float
    count: int = 1

    def takes(self, low: float, high: float) -> bool:
        if low > self.high or high < self.low:
            return False
        self.low, self.high, self.count = max(self.low, low), min(self.high, high), self.count + 1
        return True


def compare(stored: Mapping[date, float], rows: Sequence[SourceRow]) -> Restatement | Doubt:
    """Return by which ratios the stated rows differ from the stored closes as traded.

    A doubt says that no constant ratios explain the difference. Without a common session nothing differs.
    """
    common = [(row.session, stored[row.session], row.close) for row in rows if row.session in stored]
    if all(math.isclose(old, new, rel_tol=SLACK) for _, old, new in common):
        return Restatement(UNCHANGED, common[-1][0] if common else None)
    pieces = [Piece(run.first, _ratio(run)) for run in _runs(common)]
    pieces = [piece for index, piece in enumerate(pieces) if not index or piece.ratio != pieces[index - 1].ratio]
    pieces = [Piece(date.min, pieces[0].ratio), *pieces[1:]] if pieces else list(UNCHANGED)
    rewritten = sum(abs(math.log(old / new / _ratio_on(pieces, day))) > CORRECTION for day, old, new in common)
    if len(pieces) > MOST_PIECES or rewritten > max(LONG_ENOUGH - 1, REWRITTEN_SHARE * len(common)):
        return Doubt(
            rows[-1].session,
            "REWRITTEN",
            f"{max(rewritten, len(pieces))} of {len(common)} known rows changed, by no constant factor: "
            "is it the same share?",
        )
    for piece in pieces:
        if HUNDRED[0] <= max(piece.ratio, 1.0 / piece.ratio) <= HUNDRED[1]:
            return Doubt(rows[-1].session, "UNITS", f"earlier rows are now stated at 1:{piece.ratio:g}: other units?")
    return Restatement(pieces, common[-1][0])


def _ratio_on(pieces: Sequence[Piece], day: date) -> float:
    return pieces[bisect_right([piece.first for piece in pieces], day) - 1].ratio


def _runs(common: Sequence[tuple[date, float, float]]) -> list[_Run]:
    """Return the runs of rows with one ratio, without those too short to mean one."""
    new_unit = half_unit((new for _, _, new in common), PLACES)
    old_unit = half_unit((old for _, old, _ in common), PLACES)
    runs: list[_Run] = []
    for day, old, new in common:
        low = (old - old_unit) / (new + new_unit) * (1.0 - SLACK)
        high = (old + old_unit) / max(new - new_unit, new_unit) * (1.0 + SLACK)
        if runs and runs[-1].takes(low, high):
            continue
        if len(runs) > 1 and runs[-1].count < LONG_ENOUGH and runs[-2].takes(low, high):
            runs.pop()
            continue
        runs.append(_Run(day, low, high))
    last = runs[-1]
    # The newest rows may be from after the newest split, however few they are; else they are corrections.
    keep_last = last.count < LONG_ENOUGH and last.low <= 1.0 <= last.high
    return [run for run in runs if run.count >= LONG_ENOUGH or (run is last and keep_last)]


def _ratio(run: _Run) -> float:
    if run.low <= 1.0 <= run.high:
        return 1.0
    middle = (run.low + run.high) / 2.0
    found = simplest(min(run.low, middle * (1.0 - NEAR)), max(run.high, middle * (1.0 + NEAR)))
    if found is not None and max(found.numerator, found.denominator) <= USUAL_TERM:
        return float(found)
    odd = round(middle, 3)
    return odd if run.low <= odd <= run.high else round(middle, 6)
