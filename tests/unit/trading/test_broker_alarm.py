"""When people are notified of a broker that does not answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bellwether.market.sessions import load_calendar
from bellwether.trading.upkeep import broker_alarm

CALENDAR = load_calendar("XASX")
OPEN = datetime(2026, 11, 29, 23, 0, tzinfo=UTC)  # Monday in Sydney


def test_only_a_silence_of_some_minutes_around_a_session_is_reported() -> None:
    now = OPEN + timedelta(hours=1)
    assert broker_alarm("", None, now, CALENDAR) is None
    assert broker_alarm("timed out", now - timedelta(minutes=4), now, CALENDAR) is None
    reported = broker_alarm("timed out", now - timedelta(minutes=6), now, CALENDAR)
    assert reported is not None
    assert (reported.type, reported.severity, reported.unknown) == ("broker_unreachable", "critical", False)
    assert reported.message == "the broker has not answered for 6 minutes: timed out"


def test_a_weekend_raises_nothing_and_the_hour_before_the_open_does() -> None:
    since = datetime(2026, 11, 28, 0, 0, tzinfo=UTC)
    saturday = broker_alarm("closed", since, since + timedelta(hours=8), CALENDAR)
    assert saturday is not None
    assert saturday.unknown
    early = broker_alarm("closed", since, OPEN - timedelta(minutes=50), CALENDAR)
    assert early is not None
    assert not early.unknown
