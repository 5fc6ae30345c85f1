"""What the rules of data quality judge by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime
from itertools import pairwise

import msgspec

from bellwether.market.sessions import Calendar
from bellwether.messages.market_data import PRICE_SLACK, Bar
from bellwether.messages.market_data import Evidence as Reported


class Evidence(msgspec.Struct, frozen=True):
    """What is known of one symbol's bars at an instant.

    Attributes:
        symbol: the share.
        as_of: the instant, UTC.
        bars: the newest bars, oldest first, in the units after the splits known at `as_of`.
        sessions: the calendar's sessions from the first of these bars through `expected`.
        expected: the session whose bar can be expected at `as_of`.
        closed: the newest session that is over at `as_of`. Its bar may be there before it is expected.
        off_calendar: rows on days without a session, which were passed over.
        held_back: why market-data holds the symbol back; empty when it does not.
        plausible: whether it is known that no single bar, and no step between two, is odd (`all_plausible`).
    """

    symbol: str
    as_of: datetime
    bars: Sequence[Bar]
    sessions: Sequence[date]
    expected: date
    closed: date
    off_calendar: int = 0
    held_back: str = ""
    plausible: bool = False


def evidence_of(reported: Reported, calendar: Calendar, as_of: datetime, *, plausible: bool = False) -> Evidence:
    """Return what market-data said of a symbol's bars, with the sessions that they are held against.

    Raises:
        OutsideCalendar: when the calendar's table does not reach so far.
    """
    first = reported.bars[0].session if reported.bars else reported.expected
    return Evidence(
        symbol=reported.symbol,
        as_of=as_of,
        bars=reported.bars,
        sessions=calendar.days(first, reported.expected),
        expected=reported.expected,
        closed=calendar.previous_session(as_of).day,
        off_calendar=reported.off_calendar,
        held_back=reported.held_back,
        plausible=plausible,
    )


SURELY_SMALL = 1.34
"""Where all steps are by less than this factor, none is looked at."""
HUNDRED = (80.0, 125.0)
"""A step by a factor between these is taken for a change between a currency and its hundredth."""


def all_plausible(bars: Sequence[Bar], before: Sequence[Bar] = ()) -> bool:
    """Return whether all figures of bars are surely right, no row is repeated and all steps are surely small.

    Most bars are like that, and most rules ask about single bars or steps.

    `before` are bars of which it is known: where they lead up to the last of the bars, only that one is looked at.
    """
    older = len(bars) - 1
    known = older > 0 and len(before) >= older and list(bars[:older]) == list(before[len(before) - older :])
    fresh = bars[-2:] if known else bars
    closes = [bar.close for bar in fresh]
    return (
        _plausible(fresh)
        and not any(figures_of(later) == figures_of(earlier) for earlier, later in pairwise(fresh))
        and _within(closes, closes, HUNDRED[0] - 1.0)
        and _within(closes, [bar.open for bar in fresh], SURELY_SMALL)
    )


def _plausible(bars: Sequence[Bar]) -> bool:
    """Return whether all figures are surely right, at a fraction of what looking at each costs."""
    prices = [price for bar in bars for price in (bar.open, bar.high, bar.low, bar.close)]
    volumes = [bar.volume for bar in bars]
    return (
        bool(bars)
        and min(prices) > 0.0 < min(volumes)
        # A sum is below infinity only if every part is a number.
        and sum(prices) < math.inf > sum(volumes)
        and not any(map(has_prices_out_of_order, bars))
    )


def has_prices_out_of_order(bar: Bar) -> bool:
    """Return whether open or close lies outside of high and low."""
    high, low = bar.high + PRICE_SLACK, bar.low - PRICE_SLACK
    return high < bar.open or high < bar.close or low > bar.open or low > bar.close


def figures_of(bar: Bar) -> tuple[float, ...]:
    """Return the prices and the volume of a bar."""
    return (bar.open, bar.high, bar.low, bar.close, bar.volume)


def _within(before: Sequence[float], after: Sequence[float], factor: float) -> bool:
    """Return whether each value is less than so many times the one before it, and more than that part of it."""
    steps = [later / earlier for earlier, later in zip(before, after[1:], strict=False)]
    return not steps or (min(steps) > 1.0 / factor and max(steps) < factor)
