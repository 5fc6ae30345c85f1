from __future__ import annotations

from datetime import date

from bellwether.local.narrator import coverage_lines
from bellwether.messages.market_data import Coverage


def test_symbols_without_bars_are_reported_together_with_their_reason() -> None:
    first, last = date(2000, 3, 1), date(2013, 3, 1)
    errors = {one: f"{one}: SOURCE_UNAVAILABLE: nobody answers" for one in ("BBB", "CCC")} | {"DDD": "no file DDD.csv"}
    lines = coverage_lines(Coverage({"AAA": first}, {"AAA": last}, errors))
    assert lines == [
        "AAA: 2000-03-01 to 2013-03-01",
        "BBB CCC: none, SOURCE_UNAVAILABLE: nobody answers",
        "DDD: none, no file DDD.csv",
    ]
