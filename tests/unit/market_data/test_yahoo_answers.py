"""What becomes of Yahoo's answers: rows, odd rows, or words that say why there are none."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from bellwether.market.sessions import load_calendar
from bellwether.market_data.yahoo.answers import (
    Answer,
    Meta,
    Refused,
    disagreement,
    loaded,
    newest_final,
    read_answer,
)
from bellwether.messages.market_data import Bar

XASX, XLON = load_calendar("XASX"), load_calendar("XLON")
DAYS = [session.day for session in XASX.sessions(date(2026, 11, 9), date(2026, 11, 27))]
AFTER = datetime(2026, 11, 27, 6, tzinfo=UTC)
META = Meta("AUD", "ASX", "Australia/Sydney", "EQUITY")


def row(day: date, close: float | None = 50.0, **changes: float) -> Any:
    values = {"open": close, "high": close, "low": close, "close": close, "adjusted": close} | changes
    rest = (changes.get("volume", 1000.0), changes.get("dividend", 0.0), changes.get("split", 0.0))
    return (day.isoformat(), *(values[name] for name in ("open", "high", "low", "close", "adjusted")), *rest)


def answer(*rows: Any, meta: Meta = META, symbol: str = "CBA.AX") -> Answer:
    return Answer(symbol, 2, meta, list(rows))


def words(given: Answer, calendar: Any = XASX) -> str:
    with pytest.raises(Refused) as refused:
        loaded(given, calendar, AFTER)
    return f"{refused.value.kind}: {refused.value}"


def test_a_fault_of_yahoo_as_a_whole_is_reported_of_no_symbol_and_one_of_a_symbol_names_it() -> None:
    def refusal(kind: str) -> str:
        return words(Answer("CBA.AX", 2, error=kind, message="it is so"))

    assert [refusal(kind) for kind in ("rate-limited", "network", "down")] == [
        "rate-limited: it is so",
        "network: it is so",
        "down: it is so",
    ]
    assert refusal("unknown") == "unknown: CBA.AX: it is so"


def test_rows_are_in_order_with_splits_and_dividends_stated() -> None:
    found = loaded(answer(row(DAYS[1], split=2.0), row(DAYS[0], dividend=0.5)), XASX, AFTER)
    assert [(each.session, each.split, each.dividend) for each in found.rows] == [
        (DAYS[0], 1.0, 0.5),
        (DAYS[1], 2.0, 0.0),
    ]
    assert (found.split_adjusted, found.states_actions, found.recorded_at, found.odd) == (True, True, AFTER, ())


def test_the_same_answer_has_the_same_fingerprint_and_another_close_another() -> None:
    first, again = (loaded(answer(*map(row, DAYS)), XASX, at) for at in (AFTER, AFTER + timedelta(days=1)))
    other = loaded(answer(*map(row, DAYS[:-1]), row(DAYS[-1], 50.01)), XASX, AFTER)
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_the_row_of_a_session_that_is_not_over_by_yahoos_word_is_no_bar() -> None:
    noon = datetime(2026, 11, 27, 2, tzinfo=UTC).timestamp()
    running = Meta("AUD", "ASX", "Australia/Sydney", "EQUITY", noon, noon - 3 * 3600, noon + 3 * 3600)
    found = loaded(answer(*map(row, DAYS), meta=running), XASX, AFTER)
    assert found.rows[-1].session == DAYS[-2]
    assert [(odd.session, odd.code) for odd in found.odd] == [(DAYS[-1], "SESSION_UNDER_WAY")]


def test_on_the_next_morning_the_row_of_the_evening_is_a_bar_though_yahoos_period_is_the_coming_session() -> None:
    close, opening = (datetime(2026, 11, day, hour, tzinfo=UTC).timestamp() for day, hour in ((27, 5), (29, 23)))
    before = Meta("AUD", "ASX", "Australia/Sydney", "EQUITY", close, opening, opening + 6 * 3600)
    assert loaded(answer(*map(row, DAYS), meta=before), XASX, AFTER).rows[-1].session == DAYS[-1]


def test_a_row_without_prices_is_left_out_and_named() -> None:
    found = loaded(answer(row(DAYS[0]), row(DAYS[1], None), row(DAYS[2], None, dividend=0.5)), XASX, AFTER)
    assert [each.session for each in found.rows] == [DAYS[0]]
    assert [(odd.session, odd.code) for odd in found.odd] == [
        (DAYS[1], "NO_PRICES"),
        (DAYS[2], "ACTION_WITHOUT_PRICES"),
    ]


def test_no_price_at_all_is_a_fault_and_not_an_empty_history() -> None:
    assert words(answer()).startswith("shape: CBA.AX: Yahoo answered without any price")
    assert words(answer(row(DAYS[0], None))).startswith("shape: CBA.AX: Yahoo answered without any price")


def test_a_share_of_another_exchange_is_refused_with_what_would_be_right() -> None:
    nasdaq = Meta("USD", "NMS", "America/New_York", "EQUITY")
    assert words(answer(row(DAYS[0]), meta=nasdaq, symbol="AAPL")) == (
        "wrong: AAPL trades at NMS in the time zone America/New_York, and the declared calendar XASX is in "
        "Australia/Sydney; symbols of XASX end in .AX"
    )
    dollars = Meta("USD", "ASX", "Australia/Sydney", "EQUITY")
    assert words(answer(row(DAYS[0]), meta=dollars)) == (
        "wrong: CBA.AX is stated in USD, and shares of XASX trade in AUD"
    )


def test_prices_in_pence_become_pounds() -> None:
    pence = Meta("GBp", "LSE", "Europe/London", "EQUITY")
    day = date(2026, 11, 26)
    found = loaded(answer(row(day, 250.0, dividend=5.0), meta=pence, symbol="VOD.L"), XLON, AFTER).rows[0]
    assert (found.close, found.adjusted_close, found.dividend, found.volume) == (2.5, 2.5, 0.05, 1000.0)
    pounds = Meta("GBP", "LSE", "Europe/London", "EQUITY")
    assert loaded(answer(row(day, 2.5), meta=pounds, symbol="VOD.L"), XLON, AFTER).rows[0].close == 2.5


def test_rows_that_are_dated_a_day_early_are_refused_as_a_whole() -> None:
    early = [row(day - timedelta(days=1)) for day in DAYS]
    assert words(answer(*early)) == (
        "wrong: CBA.AX: 3 of the newest 15 rows lie on days without a session of XASX, such as Sunday 2026-11-22: the "
        "rows are dated wrongly and none is taken"
    )


def test_a_single_row_on_a_holiday_is_not_yet_a_wrong_calendar() -> None:
    saturday = date(2026, 11, 21)
    found = loaded(answer(*map(row, DAYS), row(saturday)), XASX, AFTER)
    assert saturday in [each.session for each in found.rows]


@pytest.mark.parametrize("by", [100.0, 0.01])
def test_a_row_in_another_unit_is_left_out_and_named(by: float) -> None:
    found = loaded(answer(*map(row, DAYS[:-1]), row(DAYS[-1], 50.0 * by)), XASX, AFTER)
    assert found.rows[-1].session == DAYS[-2]
    assert [odd.code for odd in found.odd] == ["HUNDREDFOLD"]


def test_a_crash_to_half_is_kept() -> None:
    found = loaded(answer(row(DAYS[0]), row(DAYS[1], 24.0)), XASX, AFTER)
    assert [each.close for each in found.rows] == [50.0, 24.0]


def test_what_is_fetched_again_agrees_with_what_was_stored_before_a_split() -> None:
    stored = [Bar(day, 50.0, 50.0, 50.0, 50.0, 1000.0) for day in DAYS[:-1]]
    restated = [row(day, 25.0) for day in DAYS[:-1]]
    found = loaded(answer(*restated, row(DAYS[-1], 25.0, split=2.0)), XASX, AFTER)
    assert disagreement(found, stored) == ""
    other = loaded(answer(*restated, row(DAYS[-1], 25.0)), XASX, AFTER)
    assert disagreement(other, stored) == f"the close of {DAYS[-2]} is 25 now and was 50"


def test_a_row_is_final_once_it_is_fetched_the_declared_delay_after_the_close() -> None:
    rows = list(map(row, DAYS))
    close = datetime(2026, 11, 27, 5, tzinfo=UTC)
    for minutes, final in ((29, DAYS[-2]), (30, DAYS[-1])):
        found = loaded(answer(*rows), XASX, close + timedelta(minutes=minutes))
        assert newest_final(found, XASX, timedelta(minutes=30)) == final


def test_a_line_that_cannot_be_read_is_a_fault_in_words() -> None:
    with pytest.raises(Refused, match="gave a line that cannot be read"):
        read_answer(b"Traceback (most recent call last):\n")
