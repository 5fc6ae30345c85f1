"""How decisions fared, beside what the share of rises alone would have given. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bellwether.messages.reporting import CalibrationBin, IntervalValue, Judgement, OutcomeDay
from bellwether.reporting.intervals import (
    FEWEST_SESSIONS,
    Columns,
    Drawn,
    Interval,
    Sums,
    draw_sums,
    interval_of,
    rounded,
    wilson,
)

NO_OUTCOMES = "no decision has come to its horizon yet"
NO_SIGNALS = "no decision was a BUY or a SELL"


class _Counts(NamedTuple):
    """Sums over sessions."""

    decisions: int
    rose: int
    buys: int
    buys_rose: int
    sells: int
    sells_rose: int

    @property
    def signals(self) -> int:
        return self.buys + self.sells

    @property
    def hits(self) -> int:
        return self.buys_rose + self.sells - self.sells_rose


def judge(days: Sequence[OutcomeDay], bins: Sequence[CalibrationBin], horizon: int) -> Judgement:
    """Return how the decisions of these sessions fared; `horizon` in sessions says how far outcomes overlap."""
    rows: list[Sums] = [(day.decisions, day.rose, day.buys, day.buys_rose, day.sells, day.sells_rose) for day in days]
    total = _Counts(*(sum(column) for column in zip(*rows, strict=True))) if rows else _Counts(0, 0, 0, 0, 0, 0)
    count = total.decisions
    drawn = draw_sums(rows, horizon) if rows else None
    nothing = NO_SIGNALS if count else NO_OUTCOMES
    return Judgement(
        sessions=len(days),
        decisions=count,
        signals=total.signals,
        hits=total.hits,
        hit_rate=_share(total.hits, total.signals, drawn, _drawn_hits, nothing),
        base_hit_rate=_rounded(base_hit_rate(total)),
        difference=_difference(drawn, total, nothing),
        rise_rate=_share(total.rose, count, drawn, _drawn_rises, NO_OUTCOMES),
        brier=rounded(sum(day.brier for day in days) / count) if count else None,
        base_brier=rounded(sum(day.base_brier for day in days) / count) if count else None,
        bins=list(bins),
    )


def hit_rate(sums: Sums) -> float | None:
    """Return the share of the signals that hit; None without any."""
    counts = _Counts(*sums)
    return counts.hits / counts.signals if counts.signals else None


def base_hit_rate(sums: Sums) -> float | None:
    """Return what as many BUY and SELL signals would have hit at the share of rises; None without any."""
    counts = _Counts(*sums)
    if not counts.signals or not counts.decisions:
        return None
    rises = counts.rose / counts.decisions
    return (counts.buys * rises + counts.sells * (1.0 - rises)) / counts.signals


def _gain(sums: Sums) -> float | None:
    hits, base = hit_rate(sums), base_hit_rate(sums)
    return None if hits is None or base is None else hits - base


# The same of all resamples at once; what has no signal, or no decision, is not a number.


def _drawn_hits(sums: Columns) -> Columns:
    _, _, buys, buys_rose, sells, sells_rose = sums
    hits: Columns = (buys_rose + sells - sells_rose) / (buys + sells)
    return hits


def _drawn_gains(sums: Columns) -> Columns:
    buys, sells, rises = sums[2], sums[4], _drawn_rises(sums)
    gains: Columns = _drawn_hits(sums) - (buys * rises + sells * (1.0 - rises)) / (buys + sells)
    return gains


def _drawn_rises(sums: Columns) -> Columns:
    rises: Columns = sums[1] / sums[0]
    return rises


def _share(
    part: int, whole: int, drawn: Drawn | None, statistic: Callable[[Columns], Columns], undefined: str
) -> IntervalValue:
    if not whole:
        return IntervalValue(None, undefined=undefined)
    found = _interval(drawn, statistic) or _alone(wilson(part, whole))
    return _with(part / whole, found)


def _difference(drawn: Drawn | None, total: _Counts, undefined: str) -> IntervalValue:
    value = _gain(total)
    if value is None:
        return IntervalValue(None, undefined=undefined)
    found = _interval(drawn, _drawn_gains)
    if found is None:
        words = f"its interval is not defined: it takes {FEWEST_SESSIONS} sessions and twice the horizon, with signals"
        return IntervalValue(rounded(value), undefined=words)
    return _with(value, found)


def _interval(drawn: Drawn | None, statistic: Callable[[Columns], Columns]) -> Interval | None:
    return None if drawn is None else interval_of(drawn, statistic)


def _alone(found: Interval | None) -> Interval | None:
    """Say of Wilson's interval what it supposes."""
    return None if found is None else Interval(found.low, found.high, f"{found.method}, as if all were independent")


def _with(value: float, found: Interval | None) -> IntervalValue:
    if found is None:
        return IntervalValue(rounded(value))
    return IntervalValue(rounded(value), found.low, found.high, found.method)


def _rounded(value: float | None) -> float | None:
    return None if value is None else rounded(value)
