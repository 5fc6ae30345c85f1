from __future__ import annotations

import math
import random

import pytest

from bellwether.reporting.performance import Sharpe, deflated, luckiest, session_sharpe


def ratios(count: int, deviation: float) -> list[float]:
    """Return so many ratios of this sample standard deviation."""
    one = deviation * math.sqrt((count - 1) / count)
    return [one if number % 2 else -one for number in range(count)]


def test_the_example_of_the_paper_comes_out() -> None:
    # Bailey and Lopez de Prado (2014): 100 tries whose annual ratios have variance 1/2, the best 2.5, over 1,250 days
    # of 250 a year, skewness -3, kurtosis 10.
    tries, ratio = ratios(100, math.sqrt(0.5 / 250)), 2.5 / math.sqrt(250)
    assert luckiest(tries) == pytest.approx(0.1132, abs=1e-4)
    error = math.sqrt((1 + 3 * ratio + 9 / 4 * ratio**2) / 1249)
    assert deflated(Sharpe(ratio, error, 1250), tries).value == pytest.approx(0.9004, abs=1e-3)


def test_more_tries_make_the_same_ratio_worth_less() -> None:
    one = Sharpe(0.1, 0.03, 1000)
    found = [deflated(one, ratios(count, 0.05)).value or 0.0 for count in (2, 10, 100)]
    assert found == sorted(found, reverse=True)
    assert luckiest([0.1]) == 0.0


def test_the_interval_of_normal_returns_is_that_of_the_textbook() -> None:
    source = random.Random(3)
    returns = [source.gauss(0.0005, 0.01) for _ in range(2000)]
    found = session_sharpe(returns)
    assert found is not None
    assert found.error == pytest.approx(math.sqrt((1 + found.ratio**2 / 2) / 1999), rel=0.05)
    low, high = found.interval
    assert low < found.ratio * math.sqrt(252) < high


def test_too_few_or_equal_returns_have_no_ratio() -> None:
    assert session_sharpe([0.01, -0.01] * 9) is None
    assert session_sharpe([0.0] * 100) is None
