"""The built-in tables against exchange_calendars, session by session, and every slot of forty years."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import exchange_calendars
import pytest

from bellwether.market.sessions import CALENDARS, load_calendar
from bellwether.market.slots import TaskRule, slots

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


@pytest.mark.parametrize("name", CALENDARS)
def test_every_session_of_forty_years_is_the_oracles(name: str) -> None:
    found = {session.day: (session.open, session.close) for session in load_calendar(name).sessions(FIRST, LAST)}
    assert found == oracle(name)


@pytest.mark.parametrize("name", ["XASX", "XNYS", "XHKG"])
def test_every_slot_of_forty_years_is_there_once_and_on_a_trading_day(name: str) -> None:
    calendar = load_calendar(name)
    zone = ZoneInfo(str(calendar.timezone))
    start = datetime(2000, 1, 1, tzinfo=UTC) - timedelta(days=1)
    found = slots(TASKS, calendar, start, datetime(2040, 12, 31, tzinfo=UTC))
    assert max(Counter(slot.name for slot in found).values()) == 1
    due = {(slot.task, slot.session): slot.due for slot in found}
    for day, (opens, closes) in oracle(name).items():
        if day >= date(2040, 12, 28):
            continue
        assert due.pop(("morning_analysis", day)) == opens - timedelta(minutes=30)
        assert due.pop(("evening_analysis", day)) == closes + timedelta(hours=1)
        assert due.pop(("small_hours", day)).astimezone(zone).time() == time(2, 30)
    assert all(day >= date(2040, 12, 28) or day < FIRST for _, day in due)
