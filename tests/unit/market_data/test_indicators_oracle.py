"""The indicators against TA-Lib, on walks of the standard library's random numbers."""

from __future__ import annotations

import math
import random
from datetime import date, timedelta

import numpy as np
import pytest
import talib

from bellwether.market_data import indicators
from bellwether.messages.market_data import Bar
from bellwether.training.indicators import deviation, log_returns, mean, relative_strength

SEEDS = range(20)
REL = 1.0e-9


def walk(seed: int, count: int = indicators.STATE_BARS) -> list[Bar]:
    chance, level, found = random.Random(seed), 50.0, []
    for number in range(count):
        opening = level * math.exp(chance.gauss(0.0, 0.005))
        level = opening * math.exp(chance.gauss(0.0, 0.015))
        high = max(opening, level) * (1.0 + abs(chance.gauss(0.0, 0.004)))
        low = min(opening, level) * (1.0 - abs(chance.gauss(0.0, 0.004)))
        day = date(2020, 1, 1) + timedelta(days=number)
        found.append(Bar(day, opening, high, low, level, chance.randint(1, 10**6)))
    return found


def column(bars: list[Bar], name: str) -> np.ndarray:
    return np.array([getattr(bar, name) for bar in bars], dtype=float)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sessions", [2, 14, 30])
def test_relative_strength_is_wilders(seed: int, sessions: int) -> None:
    closes = column(walk(seed), "close")
    assert relative_strength(closes.tolist(), sessions) == pytest.approx(talib.RSI(closes, sessions)[-1], rel=REL)


@pytest.mark.parametrize("seed", SEEDS)
def test_means_and_deviations(seed: int) -> None:
    closes = column(walk(seed), "close")
    assert mean(closes[-20:].tolist()) == pytest.approx(talib.SMA(closes, 20)[-1], rel=REL)
    sample = math.sqrt(20 / 19)
    expected = talib.STDDEV(closes, 20)[-1] * sample
    assert deviation(closes[-20:].tolist()) == pytest.approx(expected, rel=1.0e-6)
    returns = np.log(closes[1:] / closes[:-1])
    assert log_returns(closes.tolist()) == pytest.approx(returns.tolist(), rel=REL)
    assert log_returns(closes.tolist())[-1] == pytest.approx(math.log1p(talib.ROCP(closes, 1)[-1]), rel=1.0e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_score_is_the_mean_of_wilders_lanes_and_bollingers_readings_and_of_the_order_of_means(seed: int) -> None:
    bars = walk(seed)
    closes, highs, lows = column(bars, "close"), column(bars, "high"), column(bars, "low")
    lane, _ = talib.STOCHF(highs, lows, closes, fastk_period=60, fastd_period=1)
    width = 2.0 * math.sqrt(20 / 19)
    upper, middle, lower = talib.BBANDS(closes, timeperiod=20, nbdevup=width, nbdevdn=width)
    bollinger = min(max((closes[-1] - lower[-1]) / (upper[-1] - lower[-1]), 0.0), 1.0)
    fifty, all_of_them = talib.SMA(closes, 50)[-1], talib.SMA(closes, len(bars))[-1]
    order = sum(map(bool, (closes[-1] > middle[-1], middle[-1] > fifty, fifty > all_of_them)))
    expected = (talib.RSI(closes, 14)[-1] + lane[-1] + 100 * bollinger + 100 * order / 3) / 4
    assert indicators.tech_score(bars) == pytest.approx(expected, rel=1.0e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_trend_of_volume_is_the_short_mean_over_the_long_one(seed: int) -> None:
    bars = walk(seed)
    volumes = column(bars, "volume")
    expected = talib.SMA(volumes, 5)[-1] / talib.SMA(volumes, 20)[-1] - 1.0
    assert indicators.volume_trend(bars) == pytest.approx(expected, rel=1.0e-9)
