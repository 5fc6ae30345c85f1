"""From which day on a history suffices to make a model, known by its bars alone. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

from bellwether.messages.market_data import Bar
from bellwether.training.features import MOVE, WINDOW, moves
from bellwether.training.recipe import Recipe

TOO_FEW_ROWS = 3
"""Exit code of the training process where the bars do not suffice: only others help."""


class _Row(NamedTuple):
    day: date
    known: date
    rose: bool


def first_enough(recipe: Recipe, histories: Mapping[str, Sequence[Bar]]) -> date | None:
    """Return the first session before which the bars suffice to learn and to calibrate; None: not even all of them do.

    It parts the rows as `fit` does. More bars may have one outcome only where fewer have both; that is passed over.
    """
    rows = sorted(_rows(recipe, histories), key=lambda row: row.known)
    days = sorted({bar.session for bars in histories.values() for bar in bars})
    found = bisect_left(days, True, key=lambda day: _suffice(recipe, rows, day))
    return days[found] if found < len(days) else None


def _rows(recipe: Recipe, histories: Mapping[str, Sequence[Bar]]) -> list[_Row]:
    found: list[_Row] = []
    horizon = recipe.horizon_sessions
    for bars in histories.values():
        closes = [bar.close for bar in bars]
        for end in range(WINDOW, len(bars) - horizon + 1):
            if moves(closes[end - MOVE : end]):
                last, outcome = bars[end - 1], bars[end - 1 + horizon]
                found.append(_Row(last.session, outcome.session, outcome.close > last.close))
    return found


def _suffice(recipe: Recipe, rows: Sequence[_Row], cut: date) -> bool:
    """Return whether the rows whose outcome is known before a day are enough; they are ordered by that."""
    known = rows[: bisect_left(rows, cut, key=lambda row: row.known)]
    if not known:
        return False
    days = sorted({row.day for row in known})
    first = days[min(int(len(days) * (1.0 - recipe.calibration.share)), len(days) - 1)]
    learn = [row.rose for row in known if row.known < first]
    calibrate = [row.rose for row in known if row.day >= first]
    return len(learn) >= recipe.minimum_rows and len(set(learn)) == 2 and len(set(calibrate)) == 2
