"""Rows of a source that states its splits, in the units in which each was traded (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bellwether.market_data.actions import Action
from bellwether.market_data.rows import SourceRow

TELLING = 1.45
"""From this ratio on the price step itself tells whether a split is in the prices already."""


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
    if size < math.log(TELLING):
        return adjusted
    move = math.log(first.close / last.close)
    return abs(move) < abs(move + math.log(first.split or 1.0))
