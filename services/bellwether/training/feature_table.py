"""The features by name: each one function of what is known of a symbol at the close of a session.

A new feature is one function here and its name in a recipe. Every feature is free of scale, so the units of a later
split do not matter, and looks at nothing but the `View`, so it cannot see what came later.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import math
import tokenize
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from types import FunctionType
from typing import Literal

from bellwether.messages.market_data import Bar
from bellwether.training.indicators import deviation, log_returns, mean, relative_strength

WINDOW = 120
"""Number of bars every feature row is computed from: exactly these, so that recursive indicators have one value."""

Needs = Literal["closes", "bars"]
Basket = Mapping[int, float]
"""The market's own move by session (its ordinal): the mean of the daily log returns of all symbols that traded."""


@dataclass(frozen=True)
class View:
    """What a feature may look at: the newest `WINDOW` bars of a symbol, and the basket's returns of their sessions."""

    bars: Sequence[Bar]
    basket: Basket

    @cached_property
    def closes(self) -> list[float]:
        """Closing prices, oldest first."""
        return [bar.close for bar in self.bars]

    @cached_property
    def returns(self) -> list[float]:
        """Daily log returns, one fewer than the bars."""
        return log_returns(self.closes)

    @cached_property
    def market(self) -> list[float]:
        """The basket's daily log returns of the same sessions as `returns`; 0 where the basket has none."""
        return [self.basket.get(bar.session.toordinal(), 0.0) for bar in self.bars[1:]]


Compute = Callable[[View], float]


@dataclass(frozen=True)
class Feature:
    """One feature: its name, how it is computed, and whether closing prices suffice."""

    name: str
    compute: Compute
    needs: Needs = "closes"
    basket: bool = False
    """Whether it looks at the other symbols."""


TABLE: dict[str, Feature] = {}


def _feature(needs: Needs = "closes", *, basket: bool = False) -> Callable[[Compute], Compute]:
    def enter(compute: Compute) -> Compute:
        name = compute.__name__.lstrip("_")
        TABLE[name] = Feature(name, compute, needs, basket)
        return compute

    return enter


# Returns


@_feature()
def _return_1(view: View) -> float:
    return view.returns[-1]


@_feature()
def _return_5(view: View) -> float:
    return _return(view, 5)


@_feature()
def _return_10(view: View) -> float:
    return _return(view, 10)


@_feature()
def _return_20(view: View) -> float:
    return _return(view, 20)


@_feature()
def _return_60(view: View) -> float:
    return _return(view, 60)


@_feature()
def _return_100(view: View) -> float:
    return _return(view, 100)


@_feature()
def _gap_to_mean_20(view: View) -> float:
    return math.log(view.closes[-1] / mean(view.closes[-20:]))


@_feature()
def _gap_to_mean_100(view: View) -> float:
    return math.log(view.closes[-1] / mean(view.closes[-100:]))


# Volatility


@_feature()
def _volatility_5(view: View) -> float:
    return deviation(view.returns[-5:])


@_feature()
def _volatility_20(view: View) -> float:
    return deviation(view.returns[-20:])


@_feature()
def _volatility_60(view: View) -> float:
    return deviation(view.returns[-60:])


@_feature()
def _volatility_ratio(view: View) -> float:
    """ln of the volatility of 20 sessions over that of 100; 0 where one of them is 0."""
    short, long = deviation(view.returns[-20:]), deviation(view.returns[-100:])
    return math.log(short / long) if short > 0.0 and long > 0.0 else 0.0


@_feature()
def _worst_20(view: View) -> float:
    """How far the close lies below the highest close of 20 sessions, as a log return (0 or less)."""
    return math.log(view.closes[-1] / max(view.closes[-20:]))


# Indicators


@_feature()
def _rsi_14(view: View) -> float:
    """Wilder's index over the window, moved to -1..1."""
    return relative_strength(view.closes) / 50.0 - 1.0


@_feature()
def _up_share_20(view: View) -> float:
    """The share of sessions with a higher close among 20, moved to -0.5..0.5."""
    return sum(move > 0.0 for move in view.returns[-20:]) / 20.0 - 0.5


@_feature()
def _close_position_60(view: View) -> float:
    """Where the close lies between the lowest and the highest close of 60 sessions, -0.5..0.5."""
    recent = view.closes[-60:]
    return _position(view.closes[-1], min(recent), max(recent))


@_feature("bars")
def _range_position_60(view: View) -> float:
    """Where the close lies between the lowest low and the highest high of 60 sessions, -0.5..0.5."""
    recent = view.bars[-60:]
    return _position(view.closes[-1], min(bar.low for bar in recent), max(bar.high for bar in recent))


@_feature("bars")
def _close_in_bar(view: View) -> float:
    """Where the close lies within the last bar, -0.5..0.5."""
    last = view.bars[-1]
    return _position(last.close, last.low, last.high)


@_feature("bars")
def _bar_range_20(view: View) -> float:
    """The mean of ln(high / low) over 20 sessions."""
    return mean([math.log(bar.high / bar.low) for bar in view.bars[-20:]])


# Gaps


@_feature("bars")
def _opening_gap(view: View) -> float:
    """ln(open / close before) of the last session."""
    return math.log(view.bars[-1].open / view.closes[-2])


@_feature("bars")
def _opening_gap_20(view: View) -> float:
    """The mean of ln(open / close before) over 20 sessions: what the nights brought."""
    return mean([math.log(view.bars[number].open / view.closes[number - 1]) for number in range(-20, 0)])


# Volume


@_feature("bars")
def _volume_ratio(view: View) -> float:
    """ln of the mean volume of 5 sessions over that of 60; 0 where nothing was traded."""
    volumes = [bar.volume for bar in view.bars[-60:]]
    return _log_ratio(mean(volumes[-5:]), mean(volumes))


@_feature("bars")
def _volume_surprise(view: View) -> float:
    """ln of the last volume over the mean of 20; 0 where nothing was traded."""
    return _log_ratio(view.bars[-1].volume, mean([bar.volume for bar in view.bars[-20:]]))


@_feature("bars")
def _signed_volume_20(view: View) -> float:
    """Volume of rising sessions less that of falling ones, as a share of all volume of 20 sessions, -1..1."""
    recent, moves = view.bars[-20:], view.returns[-20:]
    total = math.fsum(bar.volume for bar in recent)
    if total <= 0.0:
        return 0.0
    signed = math.fsum(bar.volume * ((move > 0.0) - (move < 0.0)) for bar, move in zip(recent, moves, strict=True))
    return signed / total


# Calendar


@_feature()
def _weekday(view: View) -> float:
    """The session's day of the week, Monday -1 to Friday 1."""
    return view.bars[-1].session.weekday() / 2.0 - 1.0


@_feature()
def _turn_of_month(view: View) -> float:
    """1 in the last three or first three days of a month, else 0."""
    day = view.bars[-1].session
    return float(day.day <= 3 or (day.toordinal() + 3) > _month_end(day.year, day.month))


@_feature()
def _days_off(view: View) -> float:
    """ln of the days since the session before: 0 on the day after one, more after a weekend or a holiday."""
    return math.log(view.bars[-1].session.toordinal() - view.bars[-2].session.toordinal())


# The market's own state


@_feature(basket=True)
def _basket_return_1(view: View) -> float:
    return view.market[-1]


@_feature(basket=True)
def _basket_return_5(view: View) -> float:
    return math.fsum(view.market[-5:])


@_feature(basket=True)
def _basket_return_20(view: View) -> float:
    return math.fsum(view.market[-20:])


@_feature(basket=True)
def _basket_volatility_20(view: View) -> float:
    return deviation(view.market[-20:])


@_feature(basket=True)
def _relative_return_5(view: View) -> float:
    """The symbol's log return of 5 sessions less the basket's."""
    return _return(view, 5) - math.fsum(view.market[-5:])


@_feature(basket=True)
def _relative_return_20(view: View) -> float:
    """The symbol's log return of 20 sessions less the basket's."""
    return _return(view, 20) - math.fsum(view.market[-20:])


def basket_of(histories: Iterable[Sequence[Bar]]) -> dict[int, float]:
    """Return the basket's daily log returns by session: the mean over all symbols that have that bar and one before."""
    moves: dict[int, list[float]] = {}
    for bars in histories:
        for earlier, later in pairwise(bars):
            moves.setdefault(later.session.toordinal(), []).append(math.log(later.close / earlier.close))
    return {day: mean(found) for day, found in moves.items()}


@cache
def feature_version(names: tuple[str, ...]) -> str:
    """Return the SHA-256 of the definitions behind some features, in their order.

    Of every function the tokens count, and those of all functions of this product that it calls: comments, docstrings
    and layout do not, so only a change of what is computed gives another version.
    """
    digest = hashlib.sha256(f"window {WINDOW}\n".encode())
    for name in names:
        digest.update(f"{name}\n{_definition(TABLE[name].compute)}".encode())
    return digest.hexdigest()


def _definition(compute: Callable[..., object]) -> str:
    found: dict[str, str] = {}
    left: list[object] = [compute, *(part.func for part in vars(View).values() if isinstance(part, cached_property))]
    while left:
        function = left.pop()
        if not isinstance(function, FunctionType) or not function.__module__.startswith("bellwether.training."):
            continue
        key = f"{function.__module__}.{function.__qualname__}"
        if key not in found:
            found[key] = _tokens(inspect.getsource(function))
            left += [function.__globals__.get(name) for name in function.__code__.co_names]
    return "\n".join(f"{key}: {text}" for key, text in sorted(found.items()))


def _tokens(source: str) -> str:
    kept: list[str] = []
    fresh = True
    for token in tokenize.generate_tokens(io.StringIO(inspect.cleandoc(source)).readline):
        if token.type in (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
            continue
        if token.type == tokenize.NEWLINE:
            fresh = True
        elif not (fresh and token.type == tokenize.STRING):  # a docstring stands alone at the start of a line
            kept.append(token.string)
            fresh = False
    return " ".join(kept)


def _return(view: View, sessions: int) -> float:
    return math.log(view.closes[-1] / view.closes[-1 - sessions])


def _position(value: float, low: float, high: float) -> float:
    if high <= low:
        return 0.0
    return (value - low) / (high - low) - 0.5


def _log_ratio(value: float, mean_value: float) -> float:
    if value <= 0.0 or mean_value <= 0.0:
        return 0.0
    return math.log(value / mean_value)


def _month_end(year: int, month: int) -> int:
    from datetime import date

    following = date(year + month // 12, month % 12 + 1, 1)
    return following.toordinal() - 1
