from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from bellwether.market.sessions import Override, load_calendar
from bellwether.market.slots import closes_by, expected_bar

FRIDAY = date(2026, 1, 2)
MONDAY = date(2026, 1, 5)


def test_a_session_waits_for_its_bars_until_its_bar_is_the_one_that_is_due() -> None:
    calendar = load_calendar("XNYS")
    session = calendar.sessions(MONDAY, MONDAY)[0]
    until = closes_by(calendar, session)
    assert until == datetime(2026, 1, 5, 22, 0, tzinfo=UTC)
    assert expected_bar(calendar, until) == MONDAY
    assert expected_bar(calendar, until - timedelta(seconds=1)) == FRIDAY


@pytest.mark.parametrize(
    ("close", "opening", "minutes"),
    [(time(23, 0), time(1, 0), 60), (time(23, 0), time(0, 59), 59.5), (time(23, 50), time(0, 10), 10)],
)
def test_a_session_is_settled_before_the_next_one_opens(close: time, opening: time, minutes: float) -> None:
    overrides = [Override(MONDAY, close=close), Override(date(2026, 1, 6), open=opening)]
    calendar = load_calendar("XNYS", overrides)
    session = calendar.sessions(MONDAY, MONDAY)[0]
    until = closes_by(calendar, session)
    assert until - session.close == timedelta(minutes=minutes)
    assert until < calendar.next_session(session.close).open
