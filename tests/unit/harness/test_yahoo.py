"""The stand-in for Yahoo states history as Yahoo does, and does not depend on when it is asked."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from bellwether.market.sessions import load_calendar
from harness.yahoo import Share, Switches
from harness.yahoo.answers import chart
from harness.yahoo.shares import stated

CALENDAR = load_calendar("XASX")
SPLIT, PAID, SECOND = date(2024, 3, 4), date(2024, 6, 3), date(2024, 9, 2)
SHARE = Share("AAA.AX", CALENDAR, splits={SPLIT: (2, 1), SECOND: (3, 1)}, dividends={PAID: 0.6})
NOW = datetime(2024, 12, 2, 12, tzinfo=UTC)


def test_prices_and_dividends_are_in_the_units_after_later_splits() -> None:
    traded = {row.session.day: row for row in SHARE.rows(NOW)}
    found = stated(SHARE, NOW)
    reported = {row.session.day: row for row in found.rows}
    before, between, after = date(2024, 3, 1), date(2024, 6, 4), date(2024, 9, 3)
    assert reported[before].close == pytest.approx(traded[before].close / 6)
    assert reported[between].close == pytest.approx(traded[between].close / 3)
    assert reported[after].close == traded[after].close
    assert reported[between].volume == pytest.approx(traded[between].volume * 3, abs=3)
    assert found.dividends == {PAID: pytest.approx(0.2)}
    adjusted = {row.session.day: value for row, value in zip(found.rows, found.adjusted, strict=True)}
    cum = max(day for day in reported if day < PAID)
    assert adjusted[cum] == pytest.approx(reported[cum].close * (1 - 0.2 / reported[cum].close))


def test_a_session_under_way_has_a_row_of_its_own_instant() -> None:
    session = CALENDAR.session_on(date(2024, 12, 2))
    assert session is not None
    noon = session.open + (session.close - session.open) / 2
    query = {"period1": "1732000000", "period2": str(int(noon.timestamp()))}
    found = json.loads(chart(SHARE, SHARE.symbol, query, Switches(), noon).body)["chart"]["result"][0]
    assert found["timestamp"][-1] == int(noon.timestamp()) == found["meta"]["regularMarketTime"]
    assert found["meta"]["currentTradingPeriod"]["regular"]["end"] == int(session.close.timestamp())


def test_a_mistyped_switch_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(ValueError, match="there is no switch 'ratelimited'; there are symbols, rate_limited"):
        Switches().changed({"ratelimited": True})
    with pytest.raises(ValueError, match="switch slow: 'a lot' is not of type float"):
        Switches().changed({"slow": "a lot"})
    assert Switches().changed({"slow": 2, "symbols": ["AAA.AX"]}) == Switches(slow=2, symbols=("AAA.AX",))
