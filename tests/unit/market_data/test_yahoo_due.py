"""When Yahoo is asked, by the exchange's clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec

from bellwether.market.sessions import load_calendar
from bellwether.market_data.yahoo.due import Ask, Record, answered, doubted, due, refused

CALENDAR = load_calendar("XASX")
DELAY = timedelta(minutes=30)
CLOSE = datetime(2026, 11, 26, 5, tzinfo=UTC)
"""Thursday, 16:00 in Sydney."""
THURSDAY, FRIDAY = date(2026, 11, 26), date(2026, 11, 27)
NEXT_SLOT = datetime(2026, 11, 26, 22, 30, tzinfo=UTC)
"""Friday, 9:30 in Sydney."""
MINUTE = timedelta(minutes=1)
KNOWN = Record("x", full_at=CLOSE - timedelta(days=1), asked_at=CLOSE - timedelta(hours=20), final=date(2026, 11, 25))


def ask(record: Record | None, now: datetime) -> list[Ask]:
    records = {} if record is None else {"AAA.AX": record}
    return due(["AAA.AX"], records, CALENDAR, delay=DELAY, years=10, slots=[NEXT_SLOT], now=now)


def after(record: Record, now: datetime, final: date | None) -> Record:
    (asked,) = ask(record, now)
    newest = CALENDAR.previous_session(now - DELAY).day
    return answered(record, asked, fingerprint="y", final=final, now=now, newest=newest)


def test_at_first_the_whole_history_is_asked_for() -> None:
    assert ask(None, CLOSE) == [Ask("AAA.AX", date(2016, 11, 1), True, "its history was never fetched")]


def test_the_last_ten_sessions_are_asked_for_once_the_session_of_the_day_is_final() -> None:
    assert ask(KNOWN, CLOSE + DELAY - MINUTE) == []
    (found,) = ask(KNOWN, CLOSE + DELAY)
    assert (found.start, found.whole, found.reason) == (date(2026, 11, 13), False, "the bar of 2026-11-26 is not there")
    assert ask(after(KNOWN, CLOSE + DELAY, THURSDAY), CLOSE + DELAY + MINUTE) == []


def test_a_bar_that_is_not_there_yet_is_asked_for_again_and_ever_more_rarely() -> None:
    now, record, pauses = CLOSE + DELAY, KNOWN, []
    for _ in range(7):
        record = after(record, now, date(2026, 11, 25))
        began = now
        while not ask(record, now):
            now += MINUTE
        pauses.append((now - began) // MINUTE)
    assert pauses == [2, 4, 8, 16, 32, 60, 60]


def test_before_a_slot_a_symbol_is_asked_for_whatever_its_pause() -> None:
    asked = NEXT_SLOT - timedelta(minutes=20)
    record = msgspec.structs.replace(refused(KNOWN, error="no", now=asked), tries=9)
    assert ask(record, NEXT_SLOT - 11 * MINUTE) == []
    assert [each.symbol for each in ask(record, NEXT_SLOT - 10 * MINUTE)] == ["AAA.AX"]
    again = refused(record, error="no", now=NEXT_SLOT - 10 * MINUTE)
    assert ask(again, NEXT_SLOT - 5 * MINUTE) == []


def test_in_the_morning_the_bars_of_the_evening_are_looked_at_once_more_before_the_first_slot() -> None:
    record = after(KNOWN, CLOSE + DELAY, THURSDAY)
    assert ask(record, NEXT_SLOT - 11 * MINUTE) == []
    (found,) = ask(record, NEXT_SLOT - 10 * MINUTE)
    assert (found.whole, found.reason) == (False, "the first slot of the day comes")
    assert ask(after(record, NEXT_SLOT - 10 * MINUTE, THURSDAY), NEXT_SLOT - 9 * MINUTE) == []


def test_once_a_week_everything_is_fetched_again_while_the_exchange_is_closed() -> None:
    old = msgspec.structs.replace(KNOWN, final=THURSDAY, full_at=CLOSE - timedelta(days=8))
    assert ask(old, datetime(2026, 11, 27, 2, tzinfo=UTC)) == []
    (found,) = ask(old, CLOSE + DELAY)
    assert (found.whole, found.reason) == (True, "a week has gone since")


def test_history_in_doubt_is_fetched_whole_and_not_faster_than_with_a_pause() -> None:
    record = doubted(msgspec.structs.replace(KNOWN, final=THURSDAY, asked_at=CLOSE), "it was restated")
    assert ask(record, CLOSE + MINUTE) == []
    (found,) = ask(record, CLOSE + 2 * MINUTE)
    assert (found.whole, found.reason) == (True, "it was restated")
    assert after(record, CLOSE + 2 * MINUTE, THURSDAY).wanted == ""


def test_on_a_closed_day_nothing_is_asked_for() -> None:
    record = msgspec.structs.replace(KNOWN, final=FRIDAY, asked_at=CLOSE + timedelta(days=1, hours=1))
    saturday = datetime(2026, 11, 28, 4, tzinfo=UTC)
    assert all(ask(record, saturday + timedelta(hours=hours)) == [] for hours in range(24))


def test_without_history_comes_before_behind_and_that_before_a_weekly_look() -> None:
    records = {
        "WEEK.AX": msgspec.structs.replace(KNOWN, final=THURSDAY, full_at=CLOSE - timedelta(days=8)),
        "LATE.AX": KNOWN,
    }
    found = due(["WEEK.AX", "LATE.AX", "NEW.AX"], records, CALENDAR, delay=DELAY, years=1, slots=[], now=CLOSE + DELAY)
    assert [each.symbol for each in found] == ["NEW.AX", "LATE.AX", "WEEK.AX"]
