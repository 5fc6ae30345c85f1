"""Figures against empyrical-reloaded, which computes them for itself with pandas."""

from __future__ import annotations

import math
import random
import warnings
from datetime import date, timedelta

import pandas as pd
import pytest

from bellwether.reporting.performance import Figure, Point, drawdowns, monthly, performance, returns_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import empyrical

INITIAL = 100_000.0


def curve(seed: int, count: int, drift: float) -> list[Point]:
    source, value, points = random.Random(seed), INITIAL, []
    for number in range(count):
        value *= 1 + source.gauss(drift, 0.012)
        points.append(Point(date(2009, 1, 2) + timedelta(days=number), value))
    return points


@pytest.mark.parametrize(("seed", "count", "drift"), [(1, 252, 0.0006), (2, 700, -0.0004), (3, 40, 0.002), (4, 2, 0.0)])
def test_every_figure_is_what_the_oracle_computes(seed: int, count: int, drift: float) -> None:
    points = curve(seed, count, drift)
    series = pd.Series(
        returns_of(INITIAL, points), index=pd.DatetimeIndex([pd.Timestamp(one.session) for one in points])
    )
    found = performance(INITIAL, points)
    wanted = {
        "total_return": empyrical.cum_returns_final(series),
        "annual_return": empyrical.annual_return(series),
        "annual_volatility": empyrical.annual_volatility(series),
        "sharpe": empyrical.sharpe_ratio(series),
        "sortino": empyrical.sortino_ratio(series),
        "max_drawdown": empyrical.max_drawdown(series),
        "calmar": empyrical.calmar_ratio(series),
    }
    for name, value in wanted.items():
        figure: Figure = getattr(found, name)
        if figure.value is None:
            assert not math.isfinite(value), f"{name}: the oracle has {value}"
        else:
            assert figure.value == pytest.approx(value, rel=1e-5, abs=2e-6), name
    by_month = empyrical.aggregate_returns(series, "monthly")
    ours = monthly(INITIAL, points)
    assert [month for month, _ in ours] == [f"{year}-{month:02d}" for year, month in by_month.index]
    assert [value for _, value in ours] == pytest.approx(list(by_month), abs=2e-6)


def test_what_is_undefined_is_none_and_says_why() -> None:
    days = [date(2009, 1, 2) + timedelta(days=number) for number in range(10)]
    cash = performance(INITIAL, [Point(day, INITIAL) for day in days])
    assert cash.sharpe == Figure(None, "the returns do not vary")
    assert cash.sortino == Figure(None, "no session lost anything")
    assert cash.calmar == Figure(None, "there was no drawdown")
    assert (cash.total_return, cash.max_drawdown) == (Figure(0.0), Figure(0.0))
    assert performance(INITIAL, []).total_return == Figure(None, "there is no session")
    assert performance(INITIAL, [Point(days[0], INITIAL)]).sharpe == Figure(None, "it takes two sessions")
    ruined = performance(INITIAL, [Point(days[0], 50_000.0), Point(days[1], 0.0)])
    assert ruined.annual_return == Figure(None, "nothing is left")


def test_a_drawdown_is_counted_from_the_initial_cash_too() -> None:
    days = [date(2009, 1, 2) + timedelta(days=number) for number in range(4)]
    points = [Point(day, value) for day, value in zip(days, (90.0, 95.0, 101.0, 100.0), strict=True)]
    assert drawdowns(100.0, points) == pytest.approx([-0.1, -0.05, 0.0, -1 / 101])
    assert performance(100.0, points).longest_drawdown == 2
