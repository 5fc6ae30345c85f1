"""Splits and dividends: what they do to prices, and how they are read off adjusted closes (pure).

A source may give, beside the close as traded, an `Adj Close` that is scaled down for every later split and dividend.
Their quotient, the factor, is constant between actions and steps at each ex-date:

- a split of r new shares for one old multiplies it by r, and the price falls by about as much on that day;
- a cash dividend d multiplies it by 1 / (1 - d / previous close), and the price falls by d among everything else.

Source of the dividend formula: CRSP / Yahoo adjustment, "Adjusted close" help page: each earlier close is multiplied
by 1 - d / close on the day before the ex-date.

Prices are rounded, so each day states the factor only within an interval. A day whose interval does not meet the
intersection of all days since the last step begins a new step: rounding alone never makes an action. A large fall
without a step of the factor is a fall. A step that is neither clearly a split nor clearly a dividend is a doubt.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from bellwether.market_data.rows import SourceRow
from bellwether.messages.market_data import Bar

CLOSE_PLACES = 4
ADJUSTED_PLACES = 6
SLACK = 5.0e-6
"""Relative error of adjusted closes that are stated in more than cents: they were computed in single precision."""
PRICE_AGREEMENT = 0.3
"""At a large step the price stands within this (natural logarithm) of where the step would put it."""
LARGEST_DIVIDEND_STEP = 1.18
"""A step up to this is a dividend of up to 15 % of the price, unless it is the very ratio of a usual bonus issue."""
SMALLEST_SPLIT_STEP = 1.9
"""A step from here on is a split: no dividend takes half of a share's price."""
LARGEST_BESIDE_SPLIT = 1.06
"""A dividend on the day of a split is at most this step."""
BONUS_ISSUES = tuple(map(Fraction, ("21/20", "11/10", "6/5", "5/4", "4/3", "7/5", "3/2", "8/5", "5/3")))
"""Usual bonus issues below 2:1."""
SHARP = 1.0e-3
"""A step known to this share of itself tells an odd ratio (1231:1000) from what lies beside it."""
USUAL_TERM = 50
"""Terms of a usual split's ratio are at most this."""
SMALLEST_STEP_BELOW = 0.995
"""A step between this and 1 is an error of the source's arithmetic: no reverse split is so small."""
LARGEST_TERM = 2000
"""Ratios of splits have terms up to this: 1231:1000 happens, 12347:10000 does not."""


@dataclass(frozen=True, slots=True)
class Action:
    """A split (`ratio` new shares for one old) or a dividend (`amount` per share) effective before that open.

    A dividend on the day of a split is per share after the split.
    """

    session: date
    kind: Literal["split", "dividend"]
    ratio: float = 1.0
    amount: float = 0.0


@dataclass(frozen=True, slots=True)
class Doubt:
    """What cannot be known about prices from a session on: a stable code, and words."""

    session: date
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Inferred:
    """What the factor's steps state, in the order of their sessions."""

    actions: tuple[Action, ...]
    doubts: tuple[Doubt, ...]


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


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the factor between two rows: the interval it lies in, and its likeliest value."""

    last: SourceRow
    first: SourceRow
    low: float
    high: float
    middle: float


def infer_actions(rows: Sequence[SourceRow]) -> Inferred:
    """Return the actions that the factor's steps state, and the steps that stay open.

    Rows are in the order of their sessions; rows without an adjusted close are passed over.
    """
    actions: list[Action] = []
    doubts: list[Doubt] = []
    for step in _steps(rows):
        found = read_step(step)
        if isinstance(found, Doubt):
            doubts.append(found)
        else:
            actions += found
    return Inferred(tuple(actions), tuple(doubts))


def _steps(rows: Sequence[SourceRow]) -> list[Step]:
    stating = [row for row in rows if row.adjusted_close is not None and row.adjusted_close > 0.0 and row.close > 0.0]
    close_unit = half_unit((row.close for row in stating), CLOSE_PLACES)
    unit = half_unit((row.adjusted_close or 0.0 for row in stating), ADJUSTED_PLACES)
    slack = 0.0 if unit == 0.005 else SLACK
    segments: list[tuple[SourceRow, SourceRow, _Factor]] = []
    previous: SourceRow | None = None
    for row in stating:
        value = row.adjusted_close or 0.0
        around = unit + value * slack
        stated = _Factor(
            low=max(value - around, 0.0) / (row.close + close_unit),
            high=(value + around) / max(row.close - close_unit, close_unit),
        )
        met = segments[-1][2].narrowed(stated) if segments else None
        if met is None:
            segments.append((previous or row, row, stated))
        else:
            segments[-1] = (segments[-1][0], segments[-1][1], met)
        previous = row
    return [
        Step(last, first, after.low / before.high, after.high / before.low, after.middle / before.middle)
        for (_, _, before), (last, first, after) in pairwise(segments)
        if before.low > 0.0 and not SMALLEST_STEP_BELOW < after.middle / before.middle <= 1.0
    ]


def read_step(step: Step) -> list[Action] | Doubt:
    """Return the actions that a step of the factor means (split first), or why that cannot be known."""
    day, close = step.first.session, step.last.close
    bonus = next((one for one in BONUS_ISSUES if _is(step, one)), None)
    if bonus is None and 1.0 < step.middle <= LARGEST_DIVIDEND_STEP:
        return [Action(day, "dividend", amount=round(close * (1.0 - 1.0 / step.middle), 4))]
    if abs(math.log(step.first.close / close * step.middle)) > PRICE_AGREEMENT:
        return _doubt(step, "the price did not follow")
    if bonus is not None:
        return [_split(day, bonus)]
    if 1.0 < step.middle < SMALLEST_SPLIT_STEP:
        odd = _odd(step)
        return _doubt(step, "a split or a large dividend") if odd is None else [_split(day, odd)]
    whole = _whole(step)
    if len(whole) == 1:
        return [_split(day, whole[0])]
    if whole:
        return _doubt(step, f"a split of {whole[0]}, {whole[1]} or near it")
    ratio = simplest(step.low, step.high)
    if ratio is not None and max(ratio.numerator, ratio.denominator) <= USUAL_TERM:
        return [_split(day, ratio)]
    both = _split_and_dividend(step)
    if both is not None:
        return both
    odd = _odd(step) or (ratio if step.middle < 1.0 else None)
    return _doubt(step, "no ratio of whole numbers is meant") if odd is None else [_split(day, odd)]


def _whole(step: Step) -> list[Fraction]:
    """Return the ratios k:1, or 1:k for a step below 1, that a step can be."""
    if step.middle >= 1.0:
        return [Fraction(k) for k in range(math.ceil(step.low), math.floor(step.high) + 1) if k > 1]
    return [Fraction(1, k) for k in range(math.ceil(1.0 / step.high), math.floor(1.0 / step.low) + 1) if k > 1]


def _is(step: Step, ratio: Fraction) -> bool:
    """Whether a step is this ratio: within what is known, and nearer to the middle than to its edges."""
    half = (step.high - step.low) / 2.0
    return step.low <= ratio <= step.high and abs(step.middle - float(ratio)) <= half / 2.0


def _split_and_dividend(step: Step) -> list[Action] | None:
    """Return a usual split beside a small dividend, None where the step is no such pair."""
    for old in (1, 2, 3):
        for new in range(math.ceil(step.middle / LARGEST_BESIDE_SPLIT * old), math.floor(step.middle * old) + 1):
            ratio = Fraction(new, old)
            rest = step.middle / float(ratio)
            if ratio.denominator == old and 1.0 < rest <= LARGEST_BESIDE_SPLIT and new <= USUAL_TERM:
                amount = round(step.last.close / float(ratio) * (1.0 - 1.0 / rest), 4)
                return [_split(step.first.session, ratio), Action(step.first.session, "dividend", amount=amount)]
    return None


def _odd(step: Step) -> Fraction | None:
    """Return the step in thousandths, as odd ratios are stated (1231:1000), where it is known well enough."""
    near = Fraction(round(step.middle * 1000.0), 1000)
    return near if step.high / step.low - 1.0 <= SHARP and _is(step, near) else None


def _split(session: date, ratio: Fraction) -> Action:
    return Action(session, "split", ratio=float(ratio))


def _doubt(step: Step, why: str) -> Doubt:
    last, first = step.last, step.first
    return Doubt(
        first.session,
        "UNCLEAR_ACTION",
        f"{first.where or first.session}: the adjusted close steps by {step.middle:.4f} while the close goes from "
        f"{last.close:g} to {first.close:g}: {why}; columns Dividends and Stock Splits would tell",
    )


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


def simplest(low: float, high: float) -> Fraction | None:
    """Return the fraction with the smallest terms in a closed interval above 0; None where its terms are too large.

    The Stern-Brocot tree's first node within the interval (Graham, Knuth, Patashnik: Concrete Mathematics, 4.5).
    """
    if not 0.0 < low <= high:
        return None
    found = _simplest(Fraction(low), Fraction(high))
    return found if max(found.numerator, found.denominator) <= LARGEST_TERM else None


def _simplest(low: Fraction, high: Fraction) -> Fraction:
    whole = low.numerator // low.denominator
    if whole == low:
        return Fraction(whole)
    if whole + 1 <= high:
        return Fraction(whole + 1)
    rest = _simplest(1 / (high - whole), 1 / (low - whole))
    return whole + 1 / rest


def half_unit(values: Iterable[float], finest: int) -> float:
    """Return half of the last decimal place that these prices are stated in: 0.005 for cents, at most `finest` places.

    Prices that show more places than that are computed ones, exact as far as they go.
    """
    places = 2
    for value in values:
        while places < finest and not math.isclose(round(value, places), value, rel_tol=1.0e-9):
            places += 1
        if places == finest:
            break
    return 0.5 * 10.0**-places
