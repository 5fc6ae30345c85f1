"""The rules of data quality: one table of pure checks over the bars of a symbol.

A rule looks at the evidence and says how far it is broken, from 0 (not at all) to 1 (as badly as it can be). What is
taken off the score is that share of the rule's weight. Bars are stated in the units after the known splits, so a split
that the source tells leaves no step; a step that is left is either a split that nobody reported, or a real move.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from bellwether.messages.market_data import Bar
from bellwether.quality.evidence import HUNDRED, Evidence, figures_of, has_prices_out_of_order

WINDOW = 260
"""Bars that are looked at: about a year of sessions."""
RECENT = 60
"""Sessions in which single odd rows still count: what a feature row looks back on for most of its values."""
NEWEST = 20
LARGE_STEP = math.log(1.35)
"""A smaller step from a close to the next open is a market's own affair."""
SPLIT_TOLERANCE = 0.04
"""How close a step has to be to a ratio of small whole numbers to be taken for a split that nobody reported."""
SPLIT_RATIOS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0)
NEWS_VOLUME = 4.0
"""A real crash or jump trades at least this many times the usual volume; a split alone does not."""
FEWEST_BARS = 60


class Breach(NamedTuple):
    """How far a rule is broken (0-1), what was found, what would be right, and the sentence for people."""

    share: float
    value: str
    limit: str
    message: str


Check = Callable[[Evidence], Breach | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its id, how many points it can take off, what it means, and what a person can do."""

    id: str
    weight: float
    meaning: str
    remedy: str
    check: Check


BAR_RULES: list[Rule] = []
"""Every rule about bars, the gravest first."""


def _rule(weight: float, meaning: str, remedy: str) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        BAR_RULES.append(Rule(check.__name__.lstrip("_"), weight, meaning, remedy, check))
        return check

    return add


@_rule(
    100,
    "market-data holds the symbol back: what is reported of it contradicts itself.",
    "Read the reason; correct the file or wait for the source, then it is taken up again.",
)
def _held_back(evidence: Evidence) -> Breach | None:
    if not evidence.held_back:
        return None
    return Breach(1.0, "held back", "not held back", f"{evidence.symbol} is held back: {evidence.held_back}")


@_rule(
    100, "A price is not a number above 0, or a volume is no number.", "Correct the row at the source, or leave it out."
)
def _not_finite(evidence: Evidence) -> Breach | None:
    if evidence.plausible:
        return None
    for bar in evidence.bars:
        prices = (bar.open, bar.high, bar.low, bar.close)
        if not all(math.isfinite(price) and price > 0.0 for price in prices):
            worst = next(price for price in prices if not (math.isfinite(price) and price > 0.0))
            return Breach(1.0, str(worst), "a number above 0", f"{bar.session}: a price is {worst}")
        if not math.isfinite(bar.volume) or bar.volume < 0.0:
            return Breach(1.0, str(bar.volume), "0 or more", f"{bar.session}: the volume is {bar.volume}")
    return None


@_rule(
    100,
    "Two consecutive closes differ by a factor near 100: the unit of the price changed.",
    "Have all rows in one unit (pence or pounds), then load them again.",
)
def _hundredfold_step(evidence: Evidence) -> Breach | None:
    if evidence.plausible:
        return None
    for before, after in _pairs(evidence, WINDOW):
        factor = max(before.close, after.close) / min(before.close, after.close)
        if HUNDRED[0] <= factor <= HUNDRED[1]:
            return Breach(
                1.0,
                f"factor {factor:.1f}",
                "no step near 100",
                f"{after.session}: the close went from {before.close:g} to {after.close:g}, a factor near 100: "
                "the unit of the price changed",
            )
    return None


@_rule(
    60,
    "A step that looks like a split, without a split of the source and without news in the volume.",
    "Add the split to the file (`Stock Splits`), or ask the source again later.",
)
def _untold_split(evidence: Evidence) -> Breach | None:
    for before, after, factor, busy in _steps(evidence):
        ratio = _split_ratio(factor)
        if ratio is not None and not busy:
            return Breach(
                1.0,
                f"factor {factor:.3f}",
                "a split that the source tells",
                f"{after.session}: from a close of {before.close:g} to an open of {after.open:g} without news in the "
                f"volume: a split of about {ratio} that the source does not tell",
            )
    return None


@_rule(
    40,
    f"A step of more than {math.exp(LARGE_STEP):.2f} times between a close and the next open without an action.",
    "Look the day up: a real move on heavy volume costs little; on ordinary volume the row is likely wrong.",
)
def _large_step(evidence: Evidence) -> Breach | None:
    found = [
        (before, after, factor, busy)
        for before, after, factor, busy in _steps(evidence)
        if busy or _split_ratio(factor) is None
    ]
    if not found:
        return None
    before, after, factor, busy = max(found, key=lambda each: abs(math.log(each[2])))
    why = "on heavy volume, so it is likely real" if busy else "on ordinary volume"
    return Breach(
        0.35 if busy else 1.0,
        f"factor {factor:.3f}",
        f"less than {math.exp(LARGE_STEP):.2f} times without an action",
        f"{after.session}: from a close of {before.close:g} to an open of {after.open:g} {why}",
    )


@_rule(
    60,
    "The exchange traded and there is no bar of the symbol.",
    "Was the share suspended? Else load the missing sessions, or correct the calendar with market.overrides.",
)
def _missing_sessions(evidence: Evidence) -> Breach | None:
    if not evidence.bars:
        return None
    # All are sessions, and none is there twice: as many as there are up to the newest, from the first on.
    first, newest = evidence.bars[0].session, evidence.bars[-1].session
    if evidence.sessions[:1] == [first] and bisect_right(evidence.sessions, newest) == len(evidence.bars):
        return None
    days = [bar.session for bar in evidence.bars]
    have = set(days)
    missing = [day for day in evidence.sessions if day not in have and day <= newest]
    if not missing:
        return None
    recent = set(evidence.sessions[-NEWEST:])
    weighed = sum(1.0 if day in recent else 0.25 for day in missing)
    return Breach(
        min(1.0, weighed / 4.0),
        f"{len(missing)} sessions missing",
        "0",
        f"{_count(len(missing), 'session')} without a bar, the newest {missing[-1]}",
    )


@_rule(
    60,
    "The newest bar is older than the one that can be expected.",
    "See what the source says in the health of market-data.",
)
def _stale(evidence: Evidence) -> Breach | None:
    if not evidence.bars:
        return None
    newest = evidence.bars[-1].session
    behind = bisect_right(evidence.sessions, evidence.expected) - bisect_right(evidence.sessions, newest)
    if behind <= 0:
        return None
    return Breach(
        min(1.0, behind / 2.0),
        f"bar of {newest}",
        f"bar of {evidence.expected}",
        f"the newest bar is of {newest}, {_count(behind, 'session')} before that of {evidence.expected}",
    )


@_rule(40, "Open or close lies outside of high and low.", "Correct the row at the source.")
def _price_order(evidence: Evidence) -> Breach | None:
    if evidence.plausible:
        return None
    odd = [bar for bar in evidence.bars[-RECENT:] if has_prices_out_of_order(bar)]
    if not odd:
        return None
    bar = odd[-1]
    return Breach(
        min(1.0, len(odd) / 2.0),
        f"{_count(len(odd), 'bar')}",
        "open and close between low and high",
        f"{bar.session}: open {bar.open:g} and close {bar.close:g} do not lie between low {bar.low:g} and high "
        f"{bar.high:g}",
    )


@_rule(
    40,
    "Consecutive bars have the same prices and the same volume.",
    "The source fills gaps with the row before: take the repeated rows out.",
)
def _repeated_rows(evidence: Evidence) -> Breach | None:
    if evidence.plausible:
        return None
    same = [
        after
        for before, after in _pairs(evidence, RECENT)
        if after.volume > 0.0 and figures_of(before) == figures_of(after)
    ]
    if not same:
        return None
    return Breach(
        min(1.0, len(same) / 2.0),
        f"{_count(len(same), 'repeated row')}",
        "0",
        f"{same[-1].session}: the same prices and volume as the bar before",
    )


@_rule(
    60,
    f"Among the newest {NEWEST} sessions are some on which nothing was traded.",
    "A share that hardly trades cannot be bought at the price that is stated: take it out of symbols.",
)
def _no_volume(evidence: Evidence) -> Breach | None:
    if evidence.plausible:
        return None
    newest = evidence.bars[-NEWEST:]
    empty = [bar for bar in newest if bar.volume == 0.0]
    if not empty:
        return None
    return Breach(
        min(1.0, 2.0 * len(empty) / len(newest)),
        f"{len(empty)} of {len(newest)}",
        "0",
        f"{_count(len(empty), 'session')} of the newest {len(newest)} without volume, the last {empty[-1].session}",
    )


@_rule(
    40,
    "The usual volume of the newest five sessions is 50 times that of before, or a 50th.",
    "Is it the same share, in the same unit (shares, not thousands)?",
)
def _volume_step(evidence: Evidence) -> Breach | None:
    volumes = [bar.volume for bar in evidence.bars if bar.volume > 0.0]
    if len(volumes) < FEWEST_BARS or max(volumes) / min(volumes) < 50.0:
        return None
    before, after = median(volumes[:-5]), median(volumes[-5:])
    factor = max(before, after) / min(before, after)
    if factor < 50.0:
        return None
    return Breach(
        1.0, f"factor {factor:.0f}", "less than 50", f"the usual volume went from {before:.0f} to {after:.0f} shares"
    )


@_rule(
    60, "The close has not changed for ten sessions or more.", "The share is suspended or dead: take it out of symbols."
)
def _flat_prices(evidence: Evidence) -> Breach | None:
    run = 1
    for after, before in pairwise(reversed(evidence.bars)):
        if before.close != after.close:
            break
        run += 1
    if run < 10:
        return None
    return Breach(
        min(1.0, run / 20.0), f"{run} sessions", "less than 10", f"the close has not changed for {run} sessions"
    )


@_rule(
    60,
    "There are rows on days on which the exchange did not trade.",
    "Are the dates in the exchange's time zone? A day that the calendar lacks is added by market.overrides.",
)
def _off_calendar(evidence: Evidence) -> Breach | None:
    if evidence.off_calendar <= 0:
        return None
    return Breach(
        min(1.0, evidence.off_calendar / 4.0),
        str(evidence.off_calendar),
        "0",
        f"{_count(evidence.off_calendar, 'row')} on days without a session: wrong dates, or a calendar to correct",
    )


@_rule(
    60,
    "There is a bar of a session that is not over yet.",
    "Set the machine's clock (NTP), or correct the dates at the source.",
)
def _clock_skew(evidence: Evidence) -> Breach | None:
    if evidence.bars and evidence.bars[-1].session > evidence.closed:
        newest = evidence.bars[-1].session
        return Breach(
            1.0, f"bar of {newest}", f"at most {evidence.closed}", f"there is a bar of {newest}, which is not over yet"
        )
    return None


@_rule(40, f"There are fewer than {FEWEST_BARS} bars.", "Load more history.")
def _short_history(evidence: Evidence) -> Breach | None:
    count = len(evidence.bars)
    if count >= FEWEST_BARS:
        return None
    return Breach(1.0 - count / FEWEST_BARS, f"{count} bars", f"{FEWEST_BARS}", f"there are {count} bars only")


def _pairs(evidence: Evidence, newest: int) -> list[tuple[Bar, Bar]]:
    return list(pairwise(evidence.bars[-newest:]))


def _steps(evidence: Evidence) -> list[tuple[Bar, Bar, float, bool]]:
    """Return the large steps, short of a hundredfold: both bars, the factor, and whether the volume shows news."""
    if evidence.plausible:
        return []
    found = []
    bars = evidence.bars[-WINDOW:]
    for index in range(1, len(bars)):
        before, after = bars[index - 1], bars[index]
        factor = after.open / before.close
        if abs(math.log(factor)) < LARGE_STEP or HUNDRED[0] <= max(factor, 1.0 / factor) <= HUNDRED[1]:
            continue
        found.append((before, after, factor, _is_busy(bars, index)))
    return found


def _is_busy(bars: Sequence[Bar], index: int) -> bool:
    """Whether much more was traded than usual, by value: a split changes the number of shares and not their worth."""
    usual = [bar.volume * bar.close for bar in bars[max(0, index - NEWEST) : index] if bar.volume > 0.0]
    return bool(usual) and bars[index].volume * bars[index].close >= NEWS_VOLUME * median(usual)


def _split_ratio(factor: float) -> str | None:
    """Return the ratio of small whole numbers that a step is near to, in words, or None."""
    size = 1.0 / factor if factor < 1.0 else factor
    near = min(SPLIT_RATIOS, key=lambda ratio: abs(size / ratio - 1.0))
    if abs(size / near - 1.0) > SPLIT_TOLERANCE:
        return None
    return f"{near:g}:1" if factor < 1.0 else f"1:{near:g}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
