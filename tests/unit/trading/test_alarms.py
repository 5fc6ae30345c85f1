"""When people are notified of a broker that does not answer, and of orders that wait for them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec

from bellwether.market.sessions import load_calendar
from bellwether.trading.events import OrderQueued
from bellwether.trading.upkeep import approval_alarm, broker_alarm

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


def test_orders_that_wait_for_approval_are_reported_until_it_is_given() -> None:
    session, price = date(2026, 12, 1), Decimal(50)
    waits = OrderQueued(
        OPEN, "a", None, "signal", "CBA.AX", "BUY", Decimal(9), session, price, None, "", "", "", "", approval=True
    )
    other = msgspec.structs.replace(waits, order_id="b", symbol="ANZ.AX", session=date(2026, 12, 2))
    reported = approval_alarm([waits, other])
    assert reported is not None
    assert (reported.type, reported.severity) == ("orders_await_approval", "warning")
    assert reported.message == (
        "orders of ANZ.AX, CBA.AX wait for approval; the first expires when session 2026-12-01 opens"
    )
    assert approval_alarm([msgspec.structs.replace(waits, approval=False)]) is None
