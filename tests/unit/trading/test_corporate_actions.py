"""Splits and dividends at an open: each happens once, to what is held and to what waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from msgspec.structs import replace as replace_fact

from bellwether.market.sessions import load_calendar
from bellwether.market_data.actions import infer_actions
from bellwether.market_data.loaded import LoadedBars as Market
from bellwether.market_data.loaded import Recorded
from bellwether.market_data.sources import RecordedBars
from bellwether.messages.market_data import CorporateAction
from bellwether.trading.book import fold
from bellwether.trading.events import (
    DividendPaid,
    OrderFilled,
    OrderQueued,
    OrderSplit,
    PositionSplit,
    SessionOpenDone,
    decode,
    encode,
)
from bellwether.trading.placing import place
from bellwether.trading.pricing import exact_price
from bellwether.trading.release import Opening
from bellwether.trading.sessions import MISSED_SESSIONS, actions_to_ask_for, close_session
from unit.trading.making import (
    BEFORE_OPEN,
    CLOSE,
    FOLLOWING,
    FREE,
    OPEN,
    SESSION,
    account,
    circumstances,
    open_session,
    prediction,
)
from unit.trading.opening import EARLIER, bought, closing, opening, queued

CALENDAR = load_calendar("XNYS")


def test_corporate_actions_seen_twice_before_the_open_is_done_happen_once() -> None:
    book = queued(account("2000", bought("AAA", 10)), ("BBB", "BUY"))
    actions = [
        CorporateAction("AAA", SESSION, "split", ratio=2.0),
        CorporateAction("AAA", SESSION, "dividend", amount=0.5),
    ]
    first = open_session(book, circumstances(FREE, OPEN), opening(actions, final=False, AAA="25"))
    assert [type(event) for event in first.events] == [PositionSplit, DividendPaid]
    second = open_session(fold(first.events, book), circumstances(FREE, OPEN), opening(actions, AAA="25", BBB="50"))
    assert [type(event) for event in second.events] == [OrderFilled, SessionOpenDone]


def test_a_split_keeps_value_and_cost_and_adjusts_the_queued_sale() -> None:
    book = queued(account("1000", bought("AAA", 20)), ("AAA", "SELL"))
    split = CorporateAction("AAA", SESSION, "split", ratio=2.0)
    opened = open_session(book, circumstances(FREE, OPEN), opening([split], AAA="25"))
    position, order, fill, _ = opened.events
    assert isinstance(position, PositionSplit)
    assert (position.quantity, position.cost, position.cash_in_lieu) == (Decimal(40), Decimal(1000), Decimal(0))
    assert isinstance(order, OrderSplit)
    assert order.quantity == 40
    assert isinstance(fill, OrderFilled)
    assert (fill.quantity, fill.realised) == (Decimal(40), Decimal(0))
    assert fold(opened.events, book).cash == 1000


def test_actions_of_missed_sessions_come_in_their_order_and_reach_a_sale_but_no_purchase_of_this_one() -> None:
    book = queued(account("1250", bought("AAA", 20, session=date(2008, 12, 31))), ("AAA", "SELL"))
    more = OrderQueued(
        BEFORE_OPEN, "more", None, "manual", "AAA", "BUY", Decimal(3), SESSION, Decimal(25), None, "", "", "", ""
    )
    book = fold([more], book)
    actions = [
        CorporateAction("AAA", EARLIER, "dividend", amount=0.25),
        CorporateAction("AAA", SESSION, "dividend", amount=0.1),
        CorporateAction("AAA", EARLIER, "split", ratio=2.0),
    ]
    opened = open_session(book, circumstances(FREE, OPEN), opening(actions, AAA="25"))
    split, sale, missed, present, fill, purchase, _ = opened.events
    assert isinstance(split, PositionSplit)
    assert (split.session, split.quantity) == (EARLIER, Decimal(40))
    assert isinstance(sale, OrderSplit)
    assert (sale.session, sale.quantity) == (EARLIER, Decimal(40))
    assert isinstance(missed, DividendPaid)
    assert isinstance(present, DividendPaid)
    assert [(one.session, one.cash) for one in (missed, present)] == [(EARLIER, Decimal(10)), (SESSION, Decimal(4))]
    assert isinstance(fill, OrderFilled)
    assert (fill.side, fill.quantity) == ("SELL", Decimal(40))
    assert isinstance(purchase, OrderFilled)
    assert (purchase.side, purchase.quantity) == ("BUY", Decimal(3))


def test_an_open_hears_of_what_earlier_ones_missed_and_of_no_more_than_that() -> None:
    day, both = date(2009, 1, 8), frozenset({"AAA", "BBB"})

    def asked(opened: date | None, again: int = 0, **missed: date) -> list[tuple[int, int, str]]:
        found = actions_to_ask_for(CALENDAR, day, both, opened, missed, again=again)
        return [(first.day, last.day, "".join(sorted(symbols))) for first, last, symbols in found]

    assert asked(None) == [(8, 8, "AAABBB")]
    assert asked(date(2009, 1, 7)) == [(8, 8, "AAABBB")]
    assert asked(date(2009, 1, 5)) == [(6, 8, "AAABBB")]
    assert asked(date(2009, 1, 7), AAA=date(2009, 1, 6)) == [(8, 8, "AAABBB"), (6, 7, "AAA")]
    # Over New Year and a weekend.
    assert asked(date(2009, 1, 7), AAA=date(2008, 12, 31), BBB=date(2009, 1, 7)) == [
        (8, 8, "AAABBB"),
        (31, 7, "AAA"),
        (7, 7, "BBB"),
    ]
    (_, (first, _, _)) = actions_to_ask_for(CALENDAR, day, both, date(2009, 1, 7), {"AAA": date(2008, 1, 2)})
    assert CALENDAR.sessions_between(first, day) == MISSED_SESSIONS
    # What was opened is asked for once more.
    assert asked(date(2009, 1, 7), 3) == [(5, 8, "AAABBB")]
    assert asked(None, 3) == [(8, 8, "AAABBB")]
    assert asked(date(2009, 1, 7), 3, AAA=date(2009, 1, 6)) == [(5, 8, "AAABBB")]


def test_a_share_whose_bar_the_open_missed_keeps_its_last_price_at_the_close() -> None:
    book = account("2000", bought("AAA", 20), bought("BBB", 10))
    opened = open_session(book, circumstances(FREE, CLOSE), opening(BBB="50"))
    (done,) = opened.events
    assert isinstance(done, SessionOpenDone)
    assert done.missed == ["AAA"]
    book = fold(opened.events, book)
    closed = fold(close_session(book, circumstances(FREE, CLOSE), closing(AAA="25", BBB="60")), book)
    assert closed.equity == Decimal(500) + 20 * 50 + 10 * 60


def test_a_split_that_was_reported_though_its_bar_was_missed_is_not_applied_again_at_the_next_opens() -> None:
    book = account("1000", bought("AAA", 20))
    split = CorporateAction("AAA", SESSION, "split", ratio=2.0)
    book = fold(open_session(book, circumstances(FREE, CLOSE), opening([split])).events, book)
    assert (book.held("AAA"), book.missed) == (Decimal(40), {"AAA": SESSION})
    for days in (1, 2):
        prices = {"AAA": Decimal(25)} if days == 2 else {}
        later = Opening(SESSION + timedelta(days=days), prices, [split])
        book = fold(open_session(book, circumstances(FREE, CLOSE + timedelta(days=days)), later).events, book)
        assert (book.held("AAA"), book.missed) == (Decimal(40), {} if prices else {"AAA": SESSION})
    assert book.actions_done == {f"split:AAA:{SESSION}"}
    much_later = Opening(SESSION + timedelta(days=50), {"AAA": Decimal(25)}, [])
    book = fold(open_session(book, circumstances(FREE, CLOSE + timedelta(days=50)), much_later).events, book)
    assert book.actions_done == frozenset()


def sale(at: datetime, quantity: int) -> OrderQueued:
    return OrderQueued(
        at, "sale", None, "manual", "AAA", "SELL", Decimal(quantity), FOLLOWING, Decimal(25), None, "", "", "", ""
    )


def test_a_sale_that_was_queued_after_its_shares_were_split_is_not_split_again() -> None:
    split = CorporateAction("AAA", SESSION, "split", ratio=2.0)
    holding = account("1500", bought("AAA", 20), bought("BBB", 10))
    waits = opening([split], final=False, AAA="25")
    split_already = fold(open_session(holding, circumstances(FREE, OPEN), waits).events, holding)
    assert split_already.held("AAA") == 40
    book = fold([sale(OPEN + timedelta(hours=1), 40)], split_already)
    same = open_session(book, circumstances(FREE, CLOSE), opening([split], AAA="25", BBB="50"))
    assert fold(same.events, book).queued["sale"].quantity == 40
    # The same where the bar was missed, and tells the split once more at the next open.
    missed = fold(open_session(holding, circumstances(FREE, CLOSE), opening([split])).events, holding)
    book = fold([sale(CLOSE, 40)], missed)
    following = Opening(FOLLOWING, {"AAA": Decimal(25), "BBB": Decimal(50)}, [split])
    after = fold(open_session(book, circumstances(FREE, OPEN + timedelta(days=1)), following).events, book)
    assert "AAA" not in after.holdings


def purchase(at: datetime, bar: date | None, session: date = FOLLOWING) -> OrderQueued:
    return OrderQueued(
        at, "buy", None, "signal", "AAA", "BUY", Decimal(20), session, Decimal(25), None, "", "", "", "", bar
    )


def test_a_purchase_that_was_sized_after_a_split_is_not_split_while_the_open_waits_for_another_share() -> None:
    split = CorporateAction("AAA", SESSION, "split", ratio=2.0)
    book = fold([purchase(CLOSE + timedelta(minutes=10), SESSION)], account("1500", bought("BBB", 10)))
    later = circumstances(FREE, CLOSE + timedelta(minutes=15))
    opened = open_session(book, later, opening([split], final=False, AAA="25"))
    assert opened.events == ()
    # Neither is one that was stored without the session of its bar, for a session after that of the split.
    unsaid = fold([purchase(CLOSE + timedelta(minutes=10), None)], account("1500", bought("BBB", 10)))
    assert open_session(unsaid, later, opening([split], final=False, AAA="25")).events == ()


def test_a_purchase_for_the_next_session_that_was_sized_by_a_bar_before_the_split_follows_it_once() -> None:
    split = CorporateAction("AAA", SESSION, "split", ratio=2.0)
    for held in ((), (bought("AAA", 4),)):
        book = fold([purchase(CLOSE + timedelta(minutes=5), EARLIER)], account("1500", bought("BBB", 10), *held))
        for minutes in (10, 15):
            later = circumstances(FREE, CLOSE + timedelta(minutes=minutes))
            book = fold(open_session(book, later, opening([split], final=False, AAA="25")).events, book)
            assert (book.queued["buy"].quantity, book.queued["buy"].price) == (Decimal(40), Decimal("12.5"))
            assert book.held("AAA") == (8 if held else 0)


def test_a_sale_of_what_was_bought_after_a_split_is_not_split_while_the_open_waits_for_another_share() -> None:
    split = CorporateAction("AAA", SESSION, "split", ratio=2.0)
    holding = account("2000", bought("AAA", 20, 25, session=SESSION), bought("BBB", 10))
    book = fold([sale(CLOSE + timedelta(minutes=10), 20)], holding)
    later = circumstances(FREE, CLOSE + timedelta(minutes=15))
    assert open_session(book, later, opening([split], final=False, AAA="25")).events == ()


def test_a_purchase_decided_on_the_morning_of_a_known_split_has_the_declared_size_at_its_open() -> None:
    day, morning = date(2005, 2, 28), datetime(2005, 2, 28, 14, 15, tzinfo=UTC)
    at_open = morning + timedelta(minutes=15)
    rows = RecordedBars("us-2000-2013").load("AAPL").rows
    market = Market(CALENDAR, ["AAPL"], "0.01", 5)
    market.put("AAPL", Recorded([row.bar for row in rows], infer_actions(rows).actions))
    seen = market.market_data("AAPL", morning)
    signal = prediction(
        symbol="AAPL",
        current_price=seen.technical.current_price,
        bar_session=seen.last_session,
        target_session=day,
        valid_until=at_open + timedelta(hours=6),
    )
    rules = replace(FREE, symbols=frozenset({"AAPL"}))
    book = fold(place(signal, "", account(), circumstances(rules, morning)).events, account())
    prices = {symbol: exact_price(price) for symbol, price in market.opening_prices(day, ["AAPL"], at_open).items()}
    actions = market.corporate_actions(day, ["AAPL"], at_open)
    assert [one.kind for one in actions] == ["split"]
    after = fold(open_session(book, circumstances(rules, at_open), Opening(day, prices, actions)).events, book)
    assert after.held("AAPL") == 2 * (1000 // Decimal("88.99"))


def test_an_order_keeps_the_session_of_the_bar_it_was_sized_by() -> None:
    (order,) = queued(account(), ("AAA", "BUY")).queued.values()
    assert order.bar_session == prediction().bar_session
    assert decode(encode(order)) == order
    unsaid = replace_fact(order, bar_session=None)
    assert '"bar_session"' not in encode(unsaid)
    assert decode(encode(unsaid)) == unsaid


def test_an_action_that_a_filled_gap_dates_earlier_is_not_applied_again() -> None:
    # The bar of the first session is missing, so what it tells is dated on the second, until the gap is filled.
    holding = account("2000", bought("AAA", 20), bought("BBB", 10))
    missed = fold(open_session(holding, circumstances(FREE, CLOSE), opening(BBB="50")).events, holding)
    assert missed.missed == {"AAA": SESSION}
    now = CLOSE + timedelta(days=1)

    def reported(day: date, *more: CorporateAction, **prices: str) -> Opening:
        split, paid = (
            CorporateAction("AAA", day, "split", ratio=2.0),
            CorporateAction("AAA", day, "dividend", amount=0.5),
        )
        known = {symbol: Decimal(price) for symbol, price in prices.items()}
        return Opening(FOLLOWING, known, [split, paid, *more], final=False)

    waits = open_session(missed, circumstances(FREE, now), reported(FOLLOWING, AAA="25"))
    assert [type(event) for event in waits.events] == [PositionSplit, DividendPaid]
    book = fold([replace_fact(sale(now, 40), session=date(2009, 1, 7))], fold(waits.events, missed))
    filled = open_session(book, circumstances(FREE, now), reported(SESSION, AAA="25", BBB="50"))
    assert [type(event) for event in filled.events] == [SessionOpenDone]
    # One that is reported beside it is another.
    second = CorporateAction("AAA", FOLLOWING, "split", ratio=2.0)
    both = open_session(book, circumstances(FREE, now), reported(SESSION, second, AAA="25"))
    assert [type(event) for event in both.events] == [PositionSplit, OrderSplit]


def test_a_purchase_that_waits_follows_a_split_that_a_filled_gap_dates_earlier_once() -> None:
    book = fold([purchase(BEFORE_OPEN, EARLIER)], account("1500", bought("BBB", 10)))
    for day in (FOLLOWING, SESSION):
        split = CorporateAction("AAA", day, "split", ratio=2.0)
        waits = Opening(FOLLOWING, {}, [split], final=False)
        book = fold(open_session(book, circumstances(FREE, CLOSE + timedelta(days=1)), waits).events, book)
        assert book.queued["buy"].quantity == 40


def test_an_open_that_missed_no_bar_is_stored_as_before() -> None:
    (done,) = open_session(account(), circumstances(FREE, OPEN), opening()).events
    assert '"missed"' not in encode(done)
    assert isinstance(done, SessionOpenDone)
    missed = replace_fact(done, missed=["AAA"])
    assert decode(encode(missed)) == missed


def test_an_open_that_waits_for_a_price_does_not_split_what_it_bought_meanwhile() -> None:
    book = queued(account("5000"), ("AAA", "BUY"), ("BBB", "BUY"))
    actions = [
        CorporateAction("AAA", SESSION, "split", ratio=2.0),
        CorporateAction("AAA", SESSION, "dividend", amount=0.25),
    ]
    first = open_session(book, circumstances(FREE, OPEN), opening(actions, final=False, AAA="25"))
    bought_at_the_open = fold(first.events, book)
    second = open_session(bought_at_the_open, circumstances(FREE, OPEN), opening(actions, AAA="25", BBB="50"))
    assert [type(event) for event in second.events] == [OrderFilled, SessionOpenDone]
    assert fold(second.events, bought_at_the_open).held("AAA") == bought_at_the_open.held("AAA") > 0


def test_a_fraction_of_a_share_is_paid_out_and_its_cost_leaves() -> None:
    book = account("750", bought("AAA", 15))
    split = CorporateAction("AAA", SESSION, "split", ratio=1.5)
    opened = open_session(book, circumstances(FREE, OPEN), opening([split], AAA="40"))
    after = fold(opened.events, book)
    assert after.holdings["AAA"].quantity == 22
    assert after.cash == 20
    assert after.holdings["AAA"].cost == Decimal("733.3333")
    assert after.realised == Decimal(20) - (Decimal(750) - Decimal("733.3333"))
    assert after.imbalance() == 0


def test_a_reverse_split_that_leaves_less_than_a_share_pays_it_all_out() -> None:
    book = account("250", bought("AAA", 5))
    split = CorporateAction("AAA", SESSION, "split", ratio=0.1)
    opened = open_session(book, circumstances(FREE, OPEN), opening([split], AAA="480"))
    after = fold(opened.events, book)
    assert after.holdings == {}
    assert after.cash == 240
    assert after.imbalance() == 0


def test_a_dividend_pays_for_shares_held_before_the_open_only() -> None:
    book = queued(account("2000", bought("AAA", 20)), ("BBB", "BUY"))
    actions = [CorporateAction(symbol, SESSION, "dividend", amount=0.25) for symbol in ("AAA", "BBB")]
    opened = open_session(book, circumstances(FREE, OPEN), opening(actions, AAA="50", BBB="50"))
    paid = [event for event in opened.events if isinstance(event, DividendPaid)]
    assert [(event.symbol, event.cash) for event in paid] == [("AAA", Decimal(5))]
