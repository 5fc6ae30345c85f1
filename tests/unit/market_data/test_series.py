from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta

import pytest

from bellwether.market.sessions import Calendar, load_calendar
from bellwether.market.slots import ARRIVES_WITHIN, expected_bar
from bellwether.market_data.actions import Action, infer_actions
from bellwether.market_data.known import Hold, Kept, Known, Rules, Stored
from bellwether.market_data.loaded import LoadedBars, NoData, Recorded, recorded_of
from bellwether.market_data.series import Series
from bellwether.market_data.sources import RecordedBars
from bellwether.messages.canonical import canonical_bytes
from bellwether.messages.market_data import Bar, CorporateAction
from bellwether.training.features import WINDOW, features

SYMBOLS = ["AAPL", "GOOG", "IBM", "MSFT"]


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    return load_calendar("XNYS")


@pytest.fixture(scope="module")
def recorded() -> dict[str, Recorded]:
    source = RecordedBars("us-2000-2013")
    rows = {symbol: source.load(symbol).rows for symbol in SYMBOLS}
    return {
        symbol: Recorded([row.bar for row in found], infer_actions(found).actions) for symbol, found in rows.items()
    }


def book_of(recorded: dict[str, Recorded], calendar: Calendar, through: date | None = None) -> LoadedBars:
    book = LoadedBars(calendar, SYMBOLS, "0.01", 5)
    for symbol, all_of in recorded.items():
        bars = [bar for bar in all_of.bars if through is None or bar.session <= through]
        actions = [action for action in all_of.actions if through is None or action.session <= through]
        book.put(symbol, Recorded(bars, actions))
    return book


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_bar_exists_from_its_close_on(recorded: dict[str, Recorded], calendar: Calendar) -> None:
    book = book_of(recorded, calendar)
    close = at("2009-01-05T21:00")
    before = book.view("IBM", close - timedelta(microseconds=1)).last
    after = book.view("IBM", close).last
    assert before is not None
    assert after is not None
    assert (before.session, after.session) == (date(2009, 1, 2), date(2009, 1, 5))


@pytest.mark.parametrize(
    "time", ["2005-02-25T14:15", "2005-02-28T14:15", "2005-03-01T14:15", "2009-01-05T14:15", "2012-11-07T21:30"]
)
def test_nothing_that_is_answered_changes_when_the_future_is_cut_off(
    recorded: dict[str, Recorded], calendar: Calendar, time: str
) -> None:
    instant = at(time)
    whole, cut = book_of(recorded, calendar), book_of(recorded, calendar, calendar.local_day(instant))
    for symbol in SYMBOLS:
        assert canonical_bytes(whole.market_data(symbol, instant)) == canonical_bytes(cut.market_data(symbol, instant))
        bars = whole.view(symbol, instant).bars(WINDOW)
        bars_cut = cut.view(symbol, instant).bars(WINDOW)
        assert canonical_bytes(bars) == canonical_bytes(bars_cut)
        assert canonical_bytes(features(bars)) == canonical_bytes(features(bars_cut))


def test_before_the_open_of_a_split_bars_are_in_new_units_and_the_price_is_as_traded(
    recorded: dict[str, Recorded], calendar: Calendar
) -> None:
    book = book_of(recorded, calendar)
    evening, morning, later = at("2005-02-25T22:00"), at("2005-02-28T14:15"), at("2005-02-28T22:00")
    closes = [bar.close for instant in (evening, morning) for bar in book.view("AAPL", instant).bars(1)]
    assert closes == [88.99, 88.99 / 2.0]
    # A trader's shares are split at the open and not before, and so is an order that was sized by this price.
    prices = [book.market_data("AAPL", instant).technical.current_price for instant in (evening, morning, later)]
    assert prices == [88.99, 88.99, 44.86]


def test_unadjusted_bars_are_as_traded(recorded: dict[str, Recorded], calendar: Calendar) -> None:
    series = book_of(recorded, calendar).series("AAPL")
    assert series.unadjusted(at("2012-01-03T12:00")).bars()[0].close == 130.31


def test_the_revision_of_bars_is_the_hash_of_their_canonical_bytes(
    recorded: dict[str, Recorded], calendar: Calendar
) -> None:
    view = book_of(recorded, calendar).view("IBM", at("2009-01-05T14:15"))
    for newest in (0, 1, 10, view.count, view.count + 1):
        wanted = canonical_bytes(view.bars(newest) if newest else [])
        assert view.revision_of(newest) == hashlib.sha256(wanted).hexdigest()
    digest = b""
    for bar in view.bars():
        digest = hashlib.sha256(digest + canonical_bytes(bar)).digest()
    assert view.revision == digest.hex()


def test_the_base_rate_counts_settled_sessions_only(calendar: Calendar) -> None:
    days = [session.day for session in calendar.sessions(date(2009, 1, 2), date(2009, 1, 31))]
    bars = [
        Bar(day, price, price, price, price, 1.0)
        for day, price in zip(days, [1.0, 2.0, 1.0, 2.0, 3.0, 2.0], strict=False)
    ]
    series = Series(bars, [], calendar)
    view = series.as_of(at("2009-01-31T00:00"))
    assert view.base_rate(1) == (3 / 5, 5)
    assert series.as_of(at("2009-01-05T22:00")).base_rate(1) == (1.0, 1)
    assert series.as_of(at("2009-01-02T22:00")).base_rate(1) == (0.5, 0)


def test_bars_on_days_without_a_session_are_passed_over(calendar: Calendar) -> None:
    bars = [Bar(date(2009, 1, 3), 1.0, 1.0, 1.0, 1.0, 1.0), Bar(date(2009, 1, 5), 1.0, 1.0, 1.0, 1.0, 1.0)]
    series = Series(bars, [], calendar)
    assert series.off_calendar == [date(2009, 1, 3)]
    assert series.first == date(2009, 1, 5)


def test_opening_prices_are_reported_from_the_open_on(recorded: dict[str, Recorded], calendar: Calendar) -> None:
    book = book_of(recorded, calendar)
    session = date(2009, 1, 5)
    with pytest.raises(NoData, match="opens at 2009-01-05T14:30"):
        book.opening_prices(session, SYMBOLS, at("2009-01-05T14:29"))
    assert book.opening_prices(session, ["IBM", "NONE"], at("2009-01-05T14:30")) == {"IBM": 86.42}
    with pytest.raises(NoData, match="XNYS has no session on 2009-01-04"):
        book.opening_prices(date(2009, 1, 4), SYMBOLS, at("2009-01-05T14:30"))


def test_corporate_actions_are_reported_on_their_day(recorded: dict[str, Recorded], calendar: Calendar) -> None:
    book = book_of(recorded, calendar)
    with pytest.raises(NoData, match="corporate actions of 2005-02-28 are reported on that day"):
        book.corporate_actions(date(2005, 2, 28), SYMBOLS, at("2005-02-25T22:00"))
    found = book.corporate_actions(date(2005, 2, 28), SYMBOLS, at("2005-02-28T14:30"))
    assert found == [CorporateAction("AAPL", date(2005, 2, 28), "split", ratio=2.0)]


@pytest.mark.parametrize(
    ("symbol", "time", "code"),
    [
        ("TSLA", "2009-01-05T14:15", "UNKNOWN_SYMBOL"),
        ("GOOG", "2004-08-01T14:15", "NO_BARS"),
        ("GOOG", "2004-09-01T14:15", "NOT_ENOUGH_BARS"),
    ],
)
def test_a_question_that_cannot_be_answered_has_its_code(
    recorded: dict[str, Recorded], calendar: Calendar, symbol: str, time: str, code: str
) -> None:
    with pytest.raises(NoData) as caught:
        book_of(recorded, calendar).market_data(symbol, at(time))
    assert caught.value.code == code


def test_the_threshold_is_base_rate_plus_margin(recorded: dict[str, Recorded], calendar: Calendar) -> None:
    book = book_of(recorded, calendar)
    context = book.market_data("IBM", at("2009-01-05T14:15")).market_context
    assert context.buy_threshold == context.base_rate + context.margin
    crisis = book.market_data("IBM", at("2008-10-10T12:00")).market_context
    assert (crisis.context, crisis.margin) == ("RISK_OFF", 0.015)


def test_a_bar_may_take_an_hour_to_come_in_and_is_then_expected(calendar: Calendar) -> None:
    close = at("2009-01-05T21:00")
    assert expected_bar(calendar, close) == date(2009, 1, 2)
    assert expected_bar(calendar, close + ARRIVES_WITHIN - timedelta(seconds=1)) == date(2009, 1, 2)
    assert expected_bar(calendar, close + ARRIVES_WITHIN) == date(2009, 1, 5)
    assert expected_bar(calendar, at("2009-01-11T12:00")) == date(2009, 1, 9)


def test_how_far_a_symbol_is_behind_is_counted_in_sessions(recorded: dict[str, Recorded], calendar: Calendar) -> None:
    book = book_of(recorded, calendar, through=date(2009, 1, 2))
    # A weekend ages nothing.
    assert all(one.fresh and not one.problem for one in book.freshness(at("2009-01-05T20:00")).symbols)
    found = book.freshness(at("2009-01-07T23:00"))
    assert found.expected == date(2009, 1, 7)
    late = {one.symbol: one for one in found.symbols}["IBM"]
    assert (late.fresh, late.last_session, late.close) == (False, date(2009, 1, 2), 87.37)
    assert late.problem == "the newest bar is of 2009-01-02, 3 sessions before that of 2009-01-07"


def test_a_replay_counts_from_its_own_instant_whatever_is_recorded_behind_it(
    recorded: dict[str, Recorded], calendar: Calendar
) -> None:
    found = book_of(recorded, calendar).freshness(at("2009-01-05T21:00"))
    assert {(one.fresh, one.last_session) for one in found.symbols} == {(True, date(2009, 1, 5))}


def test_a_source_that_is_unreachable_is_reported_beside_bars_that_are_new_enough_and_instead_of_none(
    recorded: dict[str, Recorded], calendar: Calendar
) -> None:
    book = book_of({"IBM": recorded["IBM"]}, calendar, through=date(2009, 1, 2))
    book.errors.update(IBM="IBM.csv does not exist", GOOG="GOOG.csv does not exist")
    found = {one.symbol: one for one in book.freshness(at("2009-01-05T14:15")).symbols}
    assert (found["IBM"].fresh, found["IBM"].problem) == (True, "SOURCE_UNAVAILABLE: IBM.csv does not exist")
    assert (found["GOOG"].fresh, found["GOOG"].last_session) == (False, None)
    assert found["GOOG"].problem == "SOURCE_UNAVAILABLE: GOOG.csv does not exist"
    assert found["MSFT"].problem == "NO_BARS: MSFT has no bars yet: they are being loaded"
    early = {one.symbol: one for one in book.freshness(at("1999-01-05T14:15")).symbols}
    assert (early["IBM"].fresh, early["IBM"].close) == (False, 0.0)


DAY = date(2009, 1, 5)
AT_OPEN, NEXT_OPEN = at("2009-01-05T14:30"), at("2009-01-06T14:30")


def flat(day: date, price: float, volume: float = 1000.0) -> Bar:
    return Bar(day, price, price, price, price, volume)


def one_symbol(calendar: Calendar, recorded: Recorded) -> LoadedBars:
    book = LoadedBars(calendar, ["AAA"], "0.01", 5)
    book.put("AAA", recorded)
    return book


def history(calendar: Calendar, price: float = 50.0) -> list[Bar]:
    return [flat(session.day, price) for session in calendar.sessions(date(2008, 6, 2), date(2009, 1, 2))]


def test_a_day_of_volume_0_with_four_equal_prices_has_no_opening_price(calendar: Calendar) -> None:
    halted = one_symbol(calendar, Recorded([*history(calendar), flat(DAY, 50.0, 0.0)], []))
    assert halted.opening_prices(DAY, ["AAA"], AT_OPEN) == {}
    assert halted.view("AAA", at("2009-01-05T22:00")).bars(1)[0].session == DAY
    index = Bar(DAY, 50.0, 51.0, 49.0, 50.5, 0.0)
    without_volume = one_symbol(calendar, Recorded([*history(calendar), index], []))
    assert without_volume.opening_prices(DAY, ["AAA"], AT_OPEN) == {"AAA": 50.0}


def test_a_row_from_before_the_close_tells_the_open_and_is_no_bar(calendar: Calendar) -> None:
    evening = at("2009-01-05T22:00")
    rules = Rules(calendar, timedelta(minutes=20))

    def book(recorded_at: datetime) -> LoadedBars:
        kept = {bar.session: Kept(bar, at("2009-01-02T23:00")) for bar in history(calendar)}
        kept[DAY] = Kept(flat(DAY, 51.0), recorded_at)
        return one_symbol(calendar, recorded_of(Stored(kept), rules))

    quoted, final = book(at("2009-01-05T15:20")), book(at("2009-01-05T21:20"))
    assert quoted.opening_prices(DAY, ["AAA"], evening) == {"AAA": 51.0}
    assert quoted.market_data("AAA", evening).last_session == date(2009, 1, 2)
    (reported,) = quoted.freshness(evening).symbols
    assert (reported.fresh, reported.last_session) == (False, date(2009, 1, 2))
    assert "the row of 2009-01-05 was recorded before its session was over" in reported.problem
    assert final.market_data("AAA", evening).last_session == DAY
    before_the_open = book(at("2009-01-05T14:00"))
    assert before_the_open.opening_prices(DAY, ["AAA"], evening) == {}


def test_a_symbol_that_is_held_back_has_no_state_no_opening_price_and_no_action(calendar: Calendar) -> None:
    hold = Hold(DAY, "UNITS", "AAA.csv, line 9: the close goes from 600 to 6")
    action = Action(DAY, "split", ratio=2.0)
    book = one_symbol(calendar, Recorded([*history(calendar), flat(DAY, 25.0)], [action], hold=hold))
    assert book.market_data("AAA", at("2009-01-02T22:00")).last_session == date(2009, 1, 2)
    with pytest.raises(NoData, match=r"AAA is held back from 2009-01-05 on: UNITS: AAA\.csv, line 9") as caught:
        book.market_data("AAA", at("2009-01-05T14:15"))
    assert caught.value.code == "HELD_BACK"
    assert book.opening_prices(DAY, ["AAA"], AT_OPEN) == {}
    assert book.corporate_actions(DAY, ["AAA"], AT_OPEN) == []
    (reported,) = book.freshness(NEXT_OPEN).symbols
    assert (reported.fresh, reported.close) == (False, 0.0)
    assert "HELD_BACK: AAA is held back" in reported.problem


def test_a_symbol_that_is_held_back_before_it_has_a_bar_says_why(calendar: Calendar) -> None:
    book = one_symbol(calendar, Recorded([], [], hold=Hold(date(2008, 1, 2), "CALENDAR", "X.csv: no sessions")))
    with pytest.raises(NoData, match=r"CALENDAR: X\.csv: no sessions"):
        book.market_data("AAA", AT_OPEN)


def test_actions_since_a_session_are_reported_together(calendar: Calendar) -> None:
    actions = [Action(date(2008, 12, 30), "dividend", amount=0.1), Action(DAY, "split", ratio=2.0)]
    book = one_symbol(calendar, Recorded(history(calendar), actions))
    assert [one.kind for one in book.corporate_actions(DAY, ["AAA"], AT_OPEN)] == ["split"]
    since = book.corporate_actions(DAY, ["AAA"], AT_OPEN, date(2008, 12, 30))
    assert [one.kind for one in since] == ["dividend", "split"]


def test_what_is_stored_knows_its_actions(calendar: Calendar) -> None:
    stored = Stored({}, [Known(Action(DAY, "split", ratio=2.0), "restated")])
    assert recorded_of(stored, Rules(calendar, timedelta(0))).actions == [Action(DAY, "split", ratio=2.0)]
