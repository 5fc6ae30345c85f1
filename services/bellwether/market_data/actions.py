"""Splits and dividends read off the difference between closes and adjusted closes (pure).

A source in Yahoo's column form gives, beside the close as traded, an `Adj Close` that is scaled down for every later
split and dividend. Their quotient, the factor, is constant between actions and steps up at each ex-date:

- a split of r new shares for one old multiplies it by r, and the price falls by about as much on that day;
- a cash dividend d multiplies it by 1 / (1 - d / previous close), and the price falls by d among everything else.

Source of the dividend formula: CRSP / Yahoo adjustment, "Adjusted close" help page: each earlier close is multiplied
by 1 - d / close on the day before the ex-date.

`Adj Close` is rounded to cents, so each day states the factor only within an interval. A day whose interval does not
meet the intersection of all days since the last step begins a new step: rounding alone never makes an action. A
large fall without a step of the factor is a fall.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from bellwether.market_data.rows import SourceRow
from bellwether.messages.market_data import Bar

ROUNDING = 0.005
"""Half a cent: how far a published price can lie from the exact one."""
FINE_ROUNDING = 1.0e-6
LARGEST_PART = 20
"""Splits are quotients of whole numbers up to this (3 for 2, 7 for 1, 1 for 10)."""
SMALLEST_SPLIT_STEP = 1.12
"""A smaller step of the factor is a dividend, unless it is below 1: then it can only be a reverse split."""
PRICE_AGREEMENT = 0.25
"""On the ex-date of a split the price stands within this of where the ratio alone would put it."""
LARGEST_DIVIDEND = 0.5
"""A step that would be a dividend above this share of the price is left out: the data is wrong there."""


@dataclass(frozen=True, slots=True)
class Action:
    """A split (`ratio` new shares for one old) or a dividend (`amount` per share) effective before that open."""

    session: date
    kind: Literal["split", "dividend"]
    ratio: float = 1.0
    amount: float = 0.0


@dataclass(slots=True)
class _Factor:
    """The interval in which the factor lies, narrowed by every day since the last step."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2.0

    def narrowed(self, other: _Factor) -> _Factor | None:
        low, high = max(self.low, other.low), min(self.high, other.high)
        return _Factor(low, high) if low <= high else None


def infer_actions(rows: Sequence[SourceRow]) -> list[Action]:
    """Return the actions that the factor's steps state, in the order of their sessions.

    Rows are in the order of their sessions; rows without an adjusted close are passed over.
    """
    segments: list[tuple[SourceRow, SourceRow, _Factor]] = []
    current: _Factor | None = None
    previous: SourceRow | None = None
    for row in rows:
        stated = _stated(row)
        if stated is None:
            continue
        if current is None:
            current = stated
            segments.append((row, row, current))
        else:
            met = current.narrowed(stated)
            if met is None and previous is not None:
                segments.append((previous, row, stated))
                met = stated
            current = met
            if current is not None:
                segments[-1] = (segments[-1][0], segments[-1][1], current)
        previous = row
    found = []
    for before, (last, first, factor) in pairwise(segments):
        action = _action(before[2], last, first, factor)
        if action is not None:
            found.append(action)
    return found


def splits_through(actions: Iterable[Action], day: date) -> list[Action]:
    """Return the splits that are effective by a day, its own included, in the order of their sessions.

    A split is announced weeks before and effective before the open, so it is known from the first hour of its day.
    """
    return sorted(
        (action for action in actions if action.kind == "split" and action.session <= day),
        key=lambda action: action.session,
    )


def adjusted(bars: Sequence[Bar], splits: Sequence[Action]) -> list[Bar]:
    """Return bars in the units after all these splits: earlier prices divided by the ratios, volumes multiplied."""
    if not splits:
        return list(bars)
    found: list[Bar] = []
    pending = list(splits)
    ratio = 1.0
    for bar in reversed(bars):
        while pending and pending[-1].session > bar.session:
            ratio *= pending.pop().ratio
        found.append(bar if ratio == 1.0 else _scaled(bar, ratio))
    found.reverse()
    return found


def _scaled(bar: Bar, ratio: float) -> Bar:
    return Bar(
        session=bar.session,
        open=bar.open / ratio,
        high=bar.high / ratio,
        low=bar.low / ratio,
        close=bar.close / ratio,
        volume=bar.volume * ratio,
    )


def _stated(row: SourceRow) -> _Factor | None:
    if row.adjusted_close is None or row.adjusted_close <= 0.0 or row.close <= 0.0:
        return None
    value = row.adjusted_close
    # Sources that state more than cents are exact as far as they go.
    around = ROUNDING if round(value, 2) == value else FINE_ROUNDING
    return _Factor(
        low=max(value - around, 0.0) / (row.close + ROUNDING),
        high=(value + around) / max(row.close - ROUNDING, ROUNDING),
    )


def _action(before: _Factor, last: SourceRow, first: SourceRow, after: _Factor) -> Action | None:
    if before.low <= 0.0:
        return None
    step = after.middle / before.middle
    ratio = _split_ratio(step, after.low / before.high, after.high / before.low)
    if ratio is not None:
        expected = last.close / float(ratio)
        if abs(first.close / expected - 1.0) <= PRICE_AGREEMENT:
            return Action(first.session, "split", ratio=float(ratio))
    if step <= 1.0:
        return None
    share = 1.0 - 1.0 / step
    if share > LARGEST_DIVIDEND:
        return None
    return Action(first.session, "dividend", amount=round(last.close * share, 4))


def _split_ratio(step: float, low: float, high: float) -> Fraction | None:
    """Return the simplest quotient of small whole numbers that the step can be, if it is large enough for a split."""
    if 1.0 / SMALLEST_SPLIT_STEP < step < SMALLEST_SPLIT_STEP:
        return None
    candidates = (
        Fraction(new, old)
        for total in range(3, 2 * LARGEST_PART)
        for old in range(1, min(total, LARGEST_PART + 1))
        if (new := total - old) <= LARGEST_PART and new != old
    )
    tolerance = 0.005
    for candidate in candidates:
        value = float(candidate)
        if low * (1.0 - tolerance) <= value <= high * (1.0 + tolerance):
            return candidate
    return None
