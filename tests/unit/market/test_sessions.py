"""Sessions: overrides, questions about instants, and the edges of the tables."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from bellwether.market.sessions import (
    CalendarError,
    OutsideCalendar,
    Override,
    load_calendar,
    read_table,
)
from bellwether.spec.exchanges import CALENDARS

SYDNEY = ZoneInfo("Australia/Sydney")
CHRISTMAS = date(2026, 12, 25)
CHRISTMAS_EVE = date(2026, 12, 24)
PLAIN_DAY = date(2026, 11, 24)
FORWARD, BACK = date(2026, 10, 4), date(2026, 4, 5)
"""Sundays on which Sydney's clocks change: from 02:00 to 03:00, and from 03:00 to 02:00."""


def sydney(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=SYDNEY)


def test_a_usual_session_has_the_usual_hours_in_utc() -> None:
    session = load_calendar("XASX").session_on(PLAIN_DAY)
    assert session is not None
    assert session.open == datetime(2026, 11, 23, 23, 0, tzinfo=UTC)
    assert session.close == datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
    assert session.open.tzinfo is UTC
    assert not session.irregular


def test_a_half_day_is_irregular() -> None:
    session = load_calendar("XASX").session_on(CHRISTMAS_EVE)
    assert session is not None
    assert session.irregular
    assert session.close.astimezone(SYDNEY).time() == time(14, 10)


def test_a_holiday_and_a_weekend_have_no_session() -> None:
    calendar = load_calendar("XASX")
    assert calendar.session_on(CHRISTMAS) is None
    assert calendar.session_on(date(2026, 11, 22)) is None


def test_a_session_is_under_way_from_its_open_until_just_before_its_close() -> None:
    calendar = load_calendar("XASX")
    session = calendar.session_on(PLAIN_DAY)
    assert session is not None
    assert calendar.session_at(session.open) == session
    assert calendar.session_at(session.close - timedelta(microseconds=1)) == session
    assert calendar.session_at(session.open - timedelta(microseconds=1)) is None
    assert calendar.session_at(session.close) is None


def test_the_next_session_opens_after_the_instant_and_the_previous_has_closed() -> None:
    calendar = load_calendar("XASX")
    session = calendar.session_on(PLAIN_DAY)
    assert session is not None
    before, after = session.open - timedelta(seconds=1), session.close
    assert calendar.next_session(before) == session
    assert calendar.next_session(session.open).day == date(2026, 11, 25)
    assert calendar.previous_session(after) == session
    assert calendar.previous_session(after - timedelta(seconds=1)).day == date(2026, 11, 23)
    assert calendar.next_session(sydney(CHRISTMAS, 12)).day == date(2026, 12, 29)
    assert calendar.previous_session(sydney(CHRISTMAS, 12)).day == CHRISTMAS_EVE


def test_distances_are_counted_in_sessions() -> None:
    calendar = load_calendar("XASX")
    assert calendar.sessions_between(CHRISTMAS_EVE, CHRISTMAS_EVE) == 0
    assert calendar.sessions_between(CHRISTMAS_EVE, date(2026, 12, 29)) == 1
    assert calendar.sessions_between(date(2026, 12, 29), CHRISTMAS_EVE) == -1
    assert calendar.after(CHRISTMAS_EVE, 1).day == date(2026, 12, 29)
    assert calendar.after(CHRISTMAS, 2).day == date(2026, 12, 30)
    with pytest.raises(ValueError, match="count is 0"):
        calendar.after(CHRISTMAS, 0)


def test_an_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        load_calendar("XASX").session_at(datetime(2026, 11, 24, 12))  # noqa: DTZ001 - the point of the test


@pytest.mark.parametrize(
    ("override", "opens", "closes"),
    [
        (Override(PLAIN_DAY, close=time(12, 30)), time(10), time(12, 30)),
        (Override(PLAIN_DAY, open=time(13)), time(13), time(16)),
        (Override(CHRISTMAS_EVE, open=time(11)), time(11), time(14, 10)),
        (Override(CHRISTMAS, open=time(10), close=time(16)), time(10), time(16)),
        (Override(date(2026, 11, 22), open=time(9), close=time(11)), time(9), time(11)),
    ],
    ids=["early close", "late open", "half day opens late too", "extra on a holiday", "extra on a Sunday"],
)
def test_an_override_changes_that_day_and_no_other(override: Override, opens: time, closes: time) -> None:
    plain, calendar = load_calendar("XASX"), load_calendar("XASX", [override])
    session = calendar.session_on(override.day)
    assert session is not None
    assert session.irregular
    assert (session.open.astimezone(SYDNEY).time(), session.close.astimezone(SYDNEY).time()) == (opens, closes)
    year = date(2026, 1, 1), date(2026, 12, 31)
    others = [found for found in calendar.sessions(*year) if found.day != override.day]
    assert others == [found for found in plain.sessions(*year) if found.day != override.day]


def test_a_closed_day_has_no_session_and_is_stepped_over() -> None:
    calendar = load_calendar("XASX", [Override(PLAIN_DAY, closed=True)])
    assert calendar.session_on(PLAIN_DAY) is None
    assert calendar.next_session(sydney(date(2026, 11, 23), 12)).day == date(2026, 11, 25)
    assert calendar.previous_session(sydney(PLAIN_DAY, 23)).day == date(2026, 11, 23)


def test_a_session_on_a_change_of_the_clock_begins_and_ends_where_the_clock_first_shows_it() -> None:
    forward = load_calendar("XASX", [Override(FORWARD, open=time(2, 30), close=time(3, 10))]).session_on(FORWARD)
    assert forward is not None
    assert forward.open == datetime(2026, 10, 3, 16, tzinfo=UTC)
    assert forward.close - forward.open == timedelta(minutes=10)
    back = load_calendar("XASX", [Override(BACK, open=time(2, 30), close=time(3))]).session_on(BACK)
    assert back is not None
    assert back.open == datetime(2026, 4, 4, 15, 30, tzinfo=UTC)
    assert back.close - back.open == timedelta(minutes=90)


def test_closing_a_closed_day_changes_nothing() -> None:
    calendar = load_calendar("XASX", [Override(CHRISTMAS, closed=True)])
    assert calendar.session_on(CHRISTMAS) is None


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([Override(PLAIN_DAY)], "say closed, or give an open or a close time"),
        ([Override(PLAIN_DAY, closed=True, open=time(10))], "a closed day has no open or close"),
        ([Override(CHRISTMAS, close=time(12))], "an extra session needs open and close"),
        ([Override(PLAIN_DAY, open=time(16))], "the open 16:00 is not before the close 16:00"),
        ([Override(PLAIN_DAY, closed=True), Override(PLAIN_DAY, open=time(11))], "given twice"),
        ([Override(FORWARD, open=time(2), close=time(2, 45))], "leave out all from the open 02:00 to the close 02:45"),
        ([Override(date(2041, 1, 2), closed=True)], "covers 1990-01-01 to 2040-12-31"),
    ],
)
def test_an_override_that_does_not_fit_is_refused_with_its_day(overrides: list[Override], words: str) -> None:
    with pytest.raises(CalendarError, match=words) as caught:
        load_calendar("XASX", overrides)
    assert str(overrides[0].day) in str(caught.value)


def test_an_unknown_exchange_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CalendarError, match="calendar 'ASX' is not known: use one of XASX, XHKG, XLON, XNYS, XTKS"):
        load_calendar("ASX")


@pytest.mark.parametrize("name", CALENDARS)
def test_nothing_is_answered_outside_of_the_table(name: str) -> None:
    calendar = load_calendar(name)
    before, behind = calendar.first_day - timedelta(days=1), calendar.last_day + timedelta(days=1)
    for day in (before, behind):
        with pytest.raises(OutsideCalendar, match=f"calendar {name} covers"):
            calendar.session_on(day)
    last = calendar.sessions(calendar.last_day - timedelta(days=10), calendar.last_day)[-1]
    first = calendar.sessions(calendar.first_day, calendar.first_day + timedelta(days=10))[0]
    with pytest.raises(OutsideCalendar, match="no session after"):
        calendar.next_session(last.open)
    with pytest.raises(OutsideCalendar, match="no session before"):
        calendar.previous_session(first.close - timedelta(seconds=1))
    assert calendar.next_session(last.open - timedelta(seconds=1)) == last
    assert calendar.previous_session(first.close) == first


@pytest.mark.parametrize("name", CALENDARS)
def test_an_instant_that_has_no_date_at_the_exchange_is_outside_of_the_table(name: str) -> None:
    calendar = load_calendar(name)
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    for instant in (first, last):
        with pytest.raises(OutsideCalendar, match=f"calendar {name} covers"):
            calendar.session_at(instant)
    if name != "XLON":
        with pytest.raises(OutsideCalendar, match=r"T.* is outside of it"):
            calendar.local_day(first if name == "XNYS" else last)


@pytest.mark.parametrize("name", CALENDARS)
def test_a_table_is_trusted_to_a_day_that_it_covers(name: str) -> None:
    table = read_table(name)
    assert table.first_day < table.known_through < table.last_day


def test_no_sessions_in_a_backward_interval() -> None:
    assert load_calendar("XASX").sessions(date(2026, 2, 1), date(2026, 1, 1)) == []
