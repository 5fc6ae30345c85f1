"""The built-in tables against two libraries, session by session, and every slot of forty years."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import exchange_calendars
import pandas_market_calendars
import pytest

from bellwether.market.sessions import load_calendar
from bellwether.market.slots import TaskRule, slots
from bellwether.spec.exchanges import CALENDARS
from generate import corrections

# exchange_calendars calls what the next major version of pandas renames.
pytestmark = pytest.mark.filterwarnings("ignore:DatetimeIndex", "ignore:Series.values")

FIRST, LAST = date(2000, 1, 1), date(2040, 12, 31)
TASKS = [
    TaskRule("morning_analysis", "open", timedelta(minutes=-30)),
    TaskRule("evening_analysis", "close", timedelta(hours=1)),
    TaskRule("small_hours", "time", at=time(2, 30)),
]


@cache
def oracle(name: str) -> dict[date, tuple[datetime, datetime]]:
    schedule = exchange_calendars.get_calendar(name, start=FIRST.isoformat(), end=LAST.isoformat()).schedule
    opens, closes = (schedule[column].dt.to_pydatetime() for column in ("open", "close"))
    return dict(zip(schedule.index.date, zip(opens, closes, strict=True), strict=True))


@cache
def second_oracle(name: str, first: date, last: date) -> dict[date, tuple[str, str]]:
    """Return what pandas_market_calendars says, which is kept by other people, as times at the exchange."""
    calendar = pandas_market_calendars.get_calendar(SECOND[name])
    schedule = calendar.schedule(first.isoformat(), last.isoformat())
    zone = load_calendar(name).timezone
    opens, closes = (schedule[column].dt.tz_convert(zone).dt.strftime("%H:%M") for column in SECOND_COLUMNS)
    return dict(zip(schedule.index.date, zip(opens, closes, strict=True), strict=True))


SECOND = {"XASX": "ASX", "XHKG": "HKEX", "XLON": "LSE", "XNYS": "NYSE", "XTKS": "JPX"}
SECOND_COLUMNS = ("market_open", "market_close")
SECOND_SINCE = {"XASX": date(2011, 5, 1), "XHKG": date(2011, 3, 7)}
"""Earlier the second library has no holidays of Australia, and other hours of Hong Kong."""
HALF_DAYS = {"XHKG": {("09:30", "12:00")}}
"""What the second library does not have at all."""
AUCTION = {"XASX": {"16:10": "16:00"}}
"""It counts the closing auction of Sydney; a session here ends before it."""
ONLY_HERE: dict[str, dict[date, tuple[str, str] | None]] = {
    "XHKG": dict.fromkeys((date(2020, 10, 13), date(2021, 4, 6), date(2021, 10, 13), date(2024, 9, 6))),
    "XNYS": {date(1999, 12, 31): ("09:30", "13:00")},
    "XASX": {date(2022, 12, 23): ("10:00", "16:00"), date(2022, 12, 30): ("10:00", "16:00")},
}
"""Days on which the second library is wrong: HKEX's notices of Nangka, Kompasu and Yagi, and Ching Ming of 2021 a day
later beside Easter; the NYSE's list of special closings; ASX's trading calendar of 2022."""


def shown(name: str, first: date, last: date) -> dict[date, tuple[str, str]]:
    calendar = load_calendar(name)
    return {
        one.day: (f"{one.open.astimezone(calendar.timezone):%H:%M}", f"{one.close.astimezone(calendar.timezone):%H:%M}")
        for one in calendar.sessions(first, last)
    }


@pytest.mark.parametrize("name", CALENDARS)
def test_every_session_of_forty_years_is_the_oracles_but_for_the_corrections_that_it_lacks(name: str) -> None:
    calendar = load_calendar(name)
    found = {session.day: (session.open, session.close) for session in calendar.sessions(FIRST, LAST)}
    assert calendar.days(FIRST, LAST) == list(found)
    expected = oracle(name)
    differing = {day for day in found.keys() | expected.keys() if found.get(day) != expected.get(day)}
    corrected = corrections.of(name)
    assert differing == {one.day for one in corrected if one.day >= FIRST}
    times = shown(name, min((one.day for one in corrected), default=LAST), LAST)
    for one in corrected:
        assert times.get(one.day) == (one.hours and tuple(f"{at:%H:%M}" for at in one.hours)), one


@pytest.mark.parametrize("name", CALENDARS)
def test_a_second_library_knows_the_same_sessions(name: str) -> None:
    first, last = SECOND_SINCE.get(name, date(2000, 1, 1)), load_calendar(name).known_through
    first = date(1992, 1, 1) if name == "XNYS" else first
    ours, theirs = shown(name, first, last), second_oracle(name, first, last)
    only_here = ONLY_HERE.get(name, {})
    assert ours.keys() ^ theirs.keys() == {day for day, hours in only_here.items() if hours is None}
    exceptions = only_here | {one.day: one.hours for one in corrections.of(name) if name != "XNYS"}
    for day, (opens, closes) in ours.items():
        if day in exceptions or (opens, closes) in HALF_DAYS.get(name, ()):
            continue
        said_open, said_close = theirs[day]
        assert (opens, closes) == (said_open, AUCTION.get(name, {}).get(said_close, said_close)), day
    for day, hours in only_here.items():
        assert ours.get(day) == hours != theirs[day]


@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [
        ("XHKG", date(2023, 9, 1), None),
        ("XHKG", date(2023, 9, 8), None),
        ("XHKG", date(2020, 8, 19), ("13:30", "16:00")),
        ("XHKG", date(2021, 6, 28), ("13:30", "16:00")),
        ("XASX", date(2020, 11, 16), ("10:00", "10:24")),
        ("XTKS", date(2020, 10, 1), None),
        ("XLON", date(2018, 6, 7), ("09:00", "16:30")),
        ("XNYS", date(2002, 9, 11), ("12:00", "16:00")),
    ],
)
def test_a_day_that_went_otherwise_is_known(name: str, day: date, hours: tuple[str, str] | None) -> None:
    assert shown(name, day, day).get(day) == hours


@pytest.mark.parametrize("name", ["XASX", "XNYS", "XHKG"])
def test_every_slot_of_forty_years_is_there_once_and_on_a_trading_day(name: str) -> None:
    calendar = load_calendar(name)
    zone = ZoneInfo(str(calendar.timezone))
    start = datetime(2000, 1, 1, tzinfo=UTC) - timedelta(days=1)
    found = slots(TASKS, calendar, start, datetime(2040, 12, 31, tzinfo=UTC))
    assert max(Counter(slot.name for slot in found).values()) == 1
    due = {(slot.task, slot.session): slot.due for slot in found}
    corrected = {one.day for one in corrections.of(name)}
    for day, (opens, closes) in oracle(name).items():
        if day in corrected:
            continue
        if day >= date(2040, 12, 28):
            continue
        assert due.pop(("morning_analysis", day)) == opens - timedelta(minutes=30)
        assert due.pop(("evening_analysis", day)) == closes + timedelta(hours=1)
        assert due.pop(("small_hours", day)).astimezone(zone).time() == time(2, 30)
    assert all(day >= date(2040, 12, 28) or day < FIRST or day in corrected for _, day in due)
