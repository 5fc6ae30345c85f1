from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from bellwether.messages.trading import EquityPoint
from bellwether.trading.answers import thinned


def test_the_equity_curve_is_thinned_evenly_and_keeps_its_ends() -> None:
    first = date(2009, 1, 2)
    points = [EquityPoint(first + timedelta(days=day), Decimal(0), Decimal(day), Decimal(day)) for day in range(100)]
    assert [int(one.equity) for one in thinned(points, 10)] == [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]
    assert thinned(points[:3], 10) == points[:3]
