from __future__ import annotations

from collections.abc import Sequence
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
from bellwether.trading.book import Book, fold
from bellwether.trading.events import (
    DividendPaid,
    OrderCancelled,
    OrderFilled,
    OrderQueued,
    OrderReduced,
    OrderSplit,
    PositionSplit,
    Refused,
    SessionMarked,
    SessionOpenDone,
    decode,
    encode,
)
from bellwether.trading.placing import order_id_of, place
from bellwether.trading.pricing import exact_price
from bellwether.trading.release import Opening
from bellwether.trading.rules import Rules
from bellwether.trading.sessions import (
    MISSED_SESSIONS,
    Closing,
    actions_to_ask_for,
    close_session,
)
from unit.trading.making import (
    BEFORE_OPEN,
    CLOSE,
    FOLLOWING,
    FREE,
    OPEN,
    RULES,
    SESSION,
    account,
    conditions,
    open_session,
    prediction,
)

EARLIER = date(2009, 1, 2)
CALENDAR = load_calendar("XNYS")


def bought(symbol: str, quantity: int, price: int = 50, session: date = EARLIER) -> OrderFilled:
    return OrderFilled(
        BEFORE_OPEN,
        f"bought-{symbol}",
        symbol,
        "BUY",
        Decimal(quantity),
        Decimal(price),
        Decimal(0),
        Decimal(0),
        session,
    )


def queued(book: Book, *signals: tuple[str, str], rules: Rules = FREE, session: date = SESSION) -> Book:
    for symbol, action in signals:
        signal = prediction(symbol=symbol, action=action, prediction_id=f"p-{symbol}", target_session=session)
        outcome = place(signal, "", book, conditions(rules))
        assert outcome.outcome == "order", outcome.events
        book = fold(outcome.events, book)
    return book


def opening(actions: Sequence[CorporateAction] = (), *, final: bool = True, **prices: str) -> Opening:
    return Opening(SESSION, {symbol: Decimal(price) for symbol, price in prices.items()}, actions, final)


def test_queued_orders_fill_at_the_opening_price_with_slippage_and_commission() -> None:
    book = queued(account(), ("AAA", "BUY"), rules=RULES)
    opened = open_session(book, conditions(RULES, OPEN), opening(AAA="40"))
    fill, done = opened.events
    assert isinstance(fill, OrderFilled)
    assert (fill.price, fill.quantity, fill.commission) == (Decimal("40.0200"), Decimal(19), Decimal("5.61"))
    after = fold(opened.events, book)
    assert after.cash == Decimal(100000) - Decimal("40.02") * 19 - Decimal("5.61")
    assert after.holdings["AAA"].cost == Decimal("760.38")
    assert after.queued == {}
    assert isinstance(done, SessionOpenDone)
    assert done.filled == [fill.order_id]


def test_sales_come_first_and_pay_for_purchases() -> None:
    book = account("1000", bought("CCC", 20))
    assert book.cash == 0
    book = queued(book, ("CCC", "SELL"))
    order = OrderQueued(
        BEFORE_OPEN, "buy", None, "signal", "AAA", "BUY", Decimal(18), SESSION, Decimal(50), None, "", "", "", ""
    )
    opened = open_session(fold([order], book), conditions(FREE, OPEN), opening(AAA="50", CCC="50"))
    fills = [(event.symbol, event.side) for event in opened.events if isinstance(event, OrderFilled)]
    assert fills == [("CCC", "SELL"), ("AAA", "BUY")]
    assert fold(opened.events, fold([order], book)).cash == 100


def test_a_signal_s_order_that_opens_above_what_cash_pays_for_buys_fewer_shares() -> None:
    book = queued(account("1100"), ("AAA", "BUY"))
    opened = open_session(book, conditions(FREE, OPEN), opening(AAA="56"))
    reduced, fill, _ = opened.events
    assert isinstance(reduced, OrderReduced)
    assert (reduced.code, reduced.value, reduced.limit) == ("INSUFFICIENT_CASH", "1120", "1100")
    assert (reduced.asked, reduced.quantity) == (Decimal(20), Decimal(19))
    assert isinstance(fill, OrderFilled)
    assert fill.quantity == 19
    assert fold(opened.events, book).cash == 1100 - 19 * 56


def test_a_signal_s_order_that_opens_above_the_limit_of_a_position_buys_what_the_limit_leaves() -> None:
    rules = replace(RULES, max_position_value=Decimal(1000))
    book = queued(account(), ("AAA", "BUY"), rules=rules)
    reduced, fill, _ = open_session(book, conditions(rules, OPEN), opening(AAA="55")).events
    assert isinstance(reduced, OrderReduced)
    assert (reduced.code, reduced.limit) == ("POSITION_VALUE_EXCEEDED", "1000")
    assert isinstance(fill, OrderFilled)
    assert fill.quantity == 18
    assert fill.price * 18 <= 1000 < fill.price * 19


def test_the_smaller_of_two_limits_sizes_an_order_and_commission_is_paid_from_the_cash() -> None:
    rules = replace(RULES, max_position_value=Decimal(1000))
    book = queued(account("520"), ("AAA", "BUY"), rules=rules)
    reduced, fill, _ = open_session(book, conditions(rules, OPEN), opening(AAA="55")).events
    assert isinstance(reduced, OrderReduced)
    assert isinstance(fill, OrderFilled)
    assert (reduced.code, reduced.asked, fill.quantity) == ("INSUFFICIENT_CASH", Decimal(19), Decimal(9))
    assert 0 <= Decimal(520) - fill.price * 9 - fill.commission < fill.price


def test_an_order_without_room_for_one_share_is_refused_at_the_open() -> None:
    book = queued(account("60"), ("AAA", "BUY"))
    refused = open_session(book, conditions(FREE, OPEN), opening(AAA="61")).events[0]
    assert isinstance(refused, Refused)
    assert (refused.code, refused.stage, refused.value, refused.limit) == ("INSUFFICIENT_CASH", "open", "1220", "60")


def test_an_order_by_hand_is_filled_as_asked_or_not_at_all() -> None:
    by_hand = OrderQueued(
        BEFORE_OPEN, "hand", None, "manual", "AAA", "BUY", Decimal(20), SESSION, Decimal(50), None, "", "", "", ""
    )
    refused = open_session(fold([by_hand], account("1100")), conditions(FREE, OPEN), opening(AAA="56")).events[0]
    assert isinstance(refused, Refused)
    assert refused.code == "INSUFFICIENT_CASH"


def test_scarce_cash_goes_to_the_strongest_signal_and_among_equals_to_the_first_by_name() -> None:
    book = account("1500")
    for symbol, probability in (("AAA", 0.53), ("BBB", 0.58), ("CCC", 0.53)):
        signal = prediction(symbol=symbol, prediction_id=f"p-{symbol}", probability=probability)
        book = fold(place(signal, "", book, conditions(FREE)).events, book)
    opened = open_session(book, conditions(FREE, OPEN), opening(AAA="50", BBB="50", CCC="50"))
    filled = [(one.symbol, one.quantity) for one in opened.events if isinstance(one, OrderFilled)]
    assert filled == [("BBB", Decimal(20)), ("AAA", Decimal(10))]
    refused = [one.symbol for one in opened.events if isinstance(one, Refused)]
    assert refused == ["CCC"]


def test_a_sale_that_is_worth_less_than_its_commission_leaves_no_debt() -> None:
    book = queued(account("1000", bought("AAA", 20)), ("AAA", "SELL"), rules=RULES)
    opened = open_session(book, conditions(RULES, OPEN), opening(AAA="0.05"))
    fill = opened.events[0]
    assert isinstance(fill, OrderFilled)
    assert fill.commission == fill.price * 20 < RULES.commission_per_order
    assert fold(opened.events, book).cash == 0


def test_a_queued_sale_is_filled_although_the_orders_of_its_session_are_used_up() -> None:
    book = queued(account("1000", bought("AAA", 20)), ("AAA", "SELL"))
    rules = replace(FREE, max_orders_per_session=0)
    fill = open_session(book, conditions(rules, OPEN), opening(AAA="50")).events[0]
    assert isinstance(fill, OrderFilled)


def test_what_an_open_lost_is_seen_until_the_close() -> None:
    book = account("3000", bought("AAA", 20), bought("BBB", 20))
    marked = SessionMarked(CLOSE, EARLIER, {"AAA": Decimal(50), "BBB": Decimal(50)}, book.cash, Decimal(2000))
    book = fold([marked], book)
    after = fold(open_session(book, conditions(FREE, OPEN), opening(AAA="40", BBB="50")).events, book)
    assert after.equity == Decimal(2800)
    assert after.loss_at(after.equity) == 200


def test_a_halt_stops_orders_that_were_queued_before_it() -> None:
    book = queued(account(), ("AAA", "BUY"))
    opened = open_session(book, conditions(FREE, OPEN, ("cli: stop",)), opening(AAA="50"))
    refused = opened.events[0]
    assert isinstance(refused, Refused)
    assert (refused.code, refused.value) == ("HALTED", "cli: stop")


def test_a_loss_at_the_open_stops_openings_but_not_exits() -> None:
    rules = replace(FREE, max_daily_loss=Decimal(100))
    book = account("3000", bought("AAA", 20), bought("BBB", 20))
    marked = SessionMarked(CLOSE, EARLIER, {"AAA": Decimal(50), "BBB": Decimal(50)}, book.cash, Decimal(2000))
    book = queued(fold([marked], book), ("BBB", "SELL"), ("CCC", "BUY"), rules=rules)
    opened = open_session(book, conditions(rules, OPEN), opening(AAA="40", BBB="50", CCC="50"))
    sold, refused, _ = opened.events
    assert isinstance(sold, OrderFilled)
    assert isinstance(refused, Refused)
    assert (refused.symbol, refused.code, refused.value) == ("CCC", "DAILY_LOSS_EXCEEDED", "200")


def test_without_an_opening_price_an_order_is_cancelled() -> None:
    book = queued(account(), ("AAA", "BUY"))
    opened = open_session(book, conditions(FREE, OPEN), opening())
    cancelled = opened.events[0]
    assert isinstance(cancelled, OrderCancelled)
    assert cancelled.code == "NO_OPENING_PRICE"


def test_while_prices_may_still_come_an_order_waits_and_the_rest_is_done_once() -> None:
    book = queued(account(), ("AAA", "BUY"), ("BBB", "BUY"))
    first = open_session(book, conditions(FREE, OPEN), opening(final=False, AAA="50"))
    assert [type(event) for event in first.events] == [OrderFilled]
    second = open_session(fold(first.events, book), conditions(FREE, OPEN), opening(AAA="50", BBB="50"))
    fill, done = second.events
    assert isinstance(fill, OrderFilled)
    assert fill.symbol == "BBB"
    assert isinstance(done, SessionOpenDone)


def test_the_open_is_not_done_while_the_bar_of_a_held_share_may_still_tell_a_dividend() -> None:
    book = account("2000", bought("AAA", 10))
    assert open_session(book, conditions(FREE, OPEN), opening(final=False)).events == ()
    dividend = CorporateAction("AAA", SESSION, "dividend", amount=0.5)
    reported = open_session(book, conditions(FREE, CLOSE), opening([dividend], final=False, AAA="50"))
    assert [type(event) for event in reported.events] == [DividendPaid, SessionOpenDone]
    never = open_session(book, conditions(FREE, CLOSE), opening())
    assert [type(event) for event in never.events] == [SessionOpenDone]


def test_corporate_actions_seen_twice_before_the_open_is_done_happen_once() -> None:
    book = queued(account("2000", bought("AAA", 10)), ("BBB", "BUY"))
    actions = [
        CorporateAction("AAA", SESSION, "split", ratio=2.0),
        CorporateAction("AAA", SESSION, "dividend", amount=0.5),
    ]
    first = open_session(book, conditions(FREE, OPEN), opening(actions, final=False, AAA="25"))
    assert [type(event) for event in first.events] == [PositionSplit, DividendPaid]
    second = open_session(fold(first.events, book), conditions(FREE, OPEN), opening(actions, AAA="25", BBB="50"))
    assert [type(event) for event in second.events] == [OrderFilled, SessionOpenDone]


def test_an_order_of_a_past_session_is_cancelled_never_filled_late() -> None:
    book = queued(account(), ("AAA", "BUY"), session=EARLIER)
    opened = open_session(book, conditions(FREE, OPEN), opening(AAA="50"))
    cancelled = opened.events[0]
    assert isinstance(cancelled, OrderCancelled)
    assert (cancelled.code, cancelled.value, cancelled.limit) == ("ORDER_EXPIRED", "2009-01-05", "2009-01-02")


def test_an_order_for_a_later_session_stays_queued() -> None:
    book = queued(account(), ("AAA", "BUY"), session=FOLLOWING)
    opened = open_session(book, conditions(FREE, OPEN), opening(AAA="50"))
    assert [type(event) for event in opened.events] == [SessionOpenDone]
    assert len(fold(opened.events, book).queued) == 1


def test_a_split_keeps_value_and_cost_and_adjusts_the_queued_sale() -> None:
    book = queued(account("1000", bought("AAA", 20)), ("AAA", "SELL"))
    split = CorporateAction("AAA", SESSION, "split", ratio=2.0)
    opened = open_session(book, conditions(FREE, OPEN), opening([split], AAA="25"))
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
    opened = open_session(book, conditions(FREE, OPEN), opening(actions, AAA="25"))
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
    opened = open_session(book, conditions(FREE, CLOSE), opening(BBB="50"))
    (done,) = opened.events
    assert isinstance(done, SessionOpenDone)
    assert done.missed == ["AAA"]
    book = fold(opened.events, book)
    closed = fold(close_session(book, conditions(FREE, CLOSE), closing(AAA="25", BBB="60")), book)
    assert closed.equity == Decimal(500) + 20 * 50 + 10 * 60


def test_a_split_that_was_reported_though_its_bar_was_missed_is_not_applied_again_at_the_next_opens() -> None:
    book = account("1000", bought("AAA", 20))
    split = CorporateAction("AAA", SESSION, "split", ratio=2.0)
    book = fold(open_session(book, conditions(FREE, CLOSE), opening([split])).events, book)
    assert (book.held("AAA"), book.missed) == (Decimal(40), {"AAA": SESSION})
    for days in (1, 2):
        prices = {"AAA": Decimal(25)} if days == 2 else {}
        later = Opening(SESSION + timedelta(days=days), prices, [split])
        book = fold(open_session(book, conditions(FREE, CLOSE + timedelta(days=days)), later).events, book)
        assert (book.held("AAA"), book.missed) == (Decimal(40), {} if prices else {"AAA": SESSION})
    assert book.actions_done == {f"split:AAA:{SESSION}"}
    much_later = Opening(SESSION + timedelta(days=50), {"AAA": Decimal(25)}, [])
    book = fold(open_session(book, conditions(FREE, CLOSE + timedelta(days=50)), much_later).events, book)
    assert book.actions_done == frozenset()


def sale(at: datetime, quantity: int) -> OrderQueued:
    return OrderQueued(
        at, "sale", None, "manual", "AAA", "SELL", Decimal(quantity), FOLLOWING, Decimal(25), None, "", "", "", ""
    )


def test_a_sale_that_was_queued_after_its_shares_were_split_is_not_split_again() -> None:
    split = CorporateAction("AAA", SESSION, "split", ratio=2.0)
    holding = account("1500", bought("AAA", 20), bought("BBB", 10))
    waits = opening([split], final=False, AAA="25")
    split_already = fold(open_session(holding, conditions(FREE, OPEN), waits).events, holding)
    assert split_already.held("AAA") == 40
    book = fold([sale(OPEN + timedelta(hours=1), 40)], split_already)
    same = open_session(book, conditions(FREE, CLOSE), opening([split], AAA="25", BBB="50"))
    assert fold(same.events, book).queued["sale"].quantity == 40
    # The same where the bar was missed, and tells the split once more at the next open.
    missed = fold(open_session(holding, conditions(FREE, CLOSE), opening([split])).events, holding)
    book = fold([sale(CLOSE, 40)], missed)
    following = Opening(FOLLOWING, {"AAA": Decimal(25), "BBB": Decimal(50)}, [split])
    after = fold(open_session(book, conditions(FREE, OPEN + timedelta(days=1)), following).events, book)
    assert "AAA" not in after.holdings


def purchase(at: datetime, bar: date | None, session: date = FOLLOWING) -> OrderQueued:
    return OrderQueued(
        at, "buy", None, "signal", "AAA", "BUY", Decimal(20), session, Decimal(25), None, "", "", "", "", bar
    )


def test_a_purchase_that_was_sized_after_a_split_is_not_split_while_the_open_waits_for_another_share() -> None:
    split = CorporateAction("AAA", SESSION, "split", ratio=2.0)
    book = fold([purchase(CLOSE + timedelta(minutes=10), SESSION)], account("1500", bought("BBB", 10)))
    later = conditions(FREE, CLOSE + timedelta(minutes=15))
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
            later = conditions(FREE, CLOSE + timedelta(minutes=minutes))
            book = fold(open_session(book, later, opening([split], final=False, AAA="25")).events, book)
            assert (book.queued["buy"].quantity, book.queued["buy"].price) == (Decimal(40), Decimal("12.5"))
            assert book.held("AAA") == (8 if held else 0)


def test_a_sale_of_what_was_bought_after_a_split_is_not_split_while_the_open_waits_for_another_share() -> None:
    split = CorporateAction("AAA", SESSION, "split", ratio=2.0)
    holding = account("2000", bought("AAA", 20, 25, session=SESSION), bought("BBB", 10))
    book = fold([sale(CLOSE + timedelta(minutes=10), 20)], holding)
    later = conditions(FREE, CLOSE + timedelta(minutes=15))
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
    book = fold(place(signal, "", account(), conditions(rules, morning)).events, account())
    prices = {symbol: exact_price(price) for symbol, price in market.opening_prices(day, ["AAPL"], at_open).items()}
    actions = market.corporate_actions(day, ["AAPL"], at_open)
    assert [one.kind for one in actions] == ["split"]
    after = fold(open_session(book, conditions(rules, at_open), Opening(day, prices, actions)).events, book)
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
    missed = fold(open_session(holding, conditions(FREE, CLOSE), opening(BBB="50")).events, holding)
    assert missed.missed == {"AAA": SESSION}
    now = CLOSE + timedelta(days=1)

    def reported(day: date, *more: CorporateAction, **prices: str) -> Opening:
        split, paid = (
            CorporateAction("AAA", day, "split", ratio=2.0),
            CorporateAction("AAA", day, "dividend", amount=0.5),
        )
        known = {symbol: Decimal(price) for symbol, price in prices.items()}
        return Opening(FOLLOWING, known, [split, paid, *more], final=False)

    waits = open_session(missed, conditions(FREE, now), reported(FOLLOWING, AAA="25"))
    assert [type(event) for event in waits.events] == [PositionSplit, DividendPaid]
    book = fold([replace_fact(sale(now, 40), session=date(2009, 1, 7))], fold(waits.events, missed))
    filled = open_session(book, conditions(FREE, now), reported(SESSION, AAA="25", BBB="50"))
    assert [type(event) for event in filled.events] == [SessionOpenDone]
    # One that is reported beside it is another.
    second = CorporateAction("AAA", FOLLOWING, "split", ratio=2.0)
    both = open_session(book, conditions(FREE, now), reported(SESSION, second, AAA="25"))
    assert [type(event) for event in both.events] == [PositionSplit, OrderSplit]


def test_a_purchase_that_waits_follows_a_split_that_a_filled_gap_dates_earlier_once() -> None:
    book = fold([purchase(BEFORE_OPEN, EARLIER)], account("1500", bought("BBB", 10)))
    for day in (FOLLOWING, SESSION):
        split = CorporateAction("AAA", day, "split", ratio=2.0)
        waits = Opening(FOLLOWING, {}, [split], final=False)
        book = fold(open_session(book, conditions(FREE, CLOSE + timedelta(days=1)), waits).events, book)
        assert book.queued["buy"].quantity == 40


def test_an_open_that_missed_no_bar_is_stored_as_before() -> None:
    (done,) = open_session(account(), conditions(FREE, OPEN), opening()).events
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
    first = open_session(book, conditions(FREE, OPEN), opening(actions, final=False, AAA="25"))
    bought_at_the_open = fold(first.events, book)
    second = open_session(bought_at_the_open, conditions(FREE, OPEN), opening(actions, AAA="25", BBB="50"))
    assert [type(event) for event in second.events] == [OrderFilled, SessionOpenDone]
    assert fold(second.events, bought_at_the_open).held("AAA") == bought_at_the_open.held("AAA") > 0


def test_a_fraction_of_a_share_is_paid_out_and_its_cost_leaves() -> None:
    book = account("750", bought("AAA", 15))
    split = CorporateAction("AAA", SESSION, "split", ratio=1.5)
    opened = open_session(book, conditions(FREE, OPEN), opening([split], AAA="40"))
    after = fold(opened.events, book)
    assert after.holdings["AAA"].quantity == 22
    assert after.cash == 20
    assert after.holdings["AAA"].cost == Decimal("733.3333")
    assert after.realised == Decimal(20) - (Decimal(750) - Decimal("733.3333"))
    assert after.imbalance() == 0


def test_a_reverse_split_that_leaves_less_than_a_share_pays_it_all_out() -> None:
    book = account("250", bought("AAA", 5))
    split = CorporateAction("AAA", SESSION, "split", ratio=0.1)
    opened = open_session(book, conditions(FREE, OPEN), opening([split], AAA="480"))
    after = fold(opened.events, book)
    assert after.holdings == {}
    assert after.cash == 240
    assert after.imbalance() == 0


def test_a_dividend_pays_for_shares_held_before_the_open_only() -> None:
    book = queued(account("2000", bought("AAA", 20)), ("BBB", "BUY"))
    actions = [CorporateAction(symbol, SESSION, "dividend", amount=0.25) for symbol in ("AAA", "BBB")]
    opened = open_session(book, conditions(FREE, OPEN), opening(actions, AAA="50", BBB="50"))
    paid = [event for event in opened.events if isinstance(event, DividendPaid)]
    assert [(event.symbol, event.cash) for event in paid] == [("AAA", Decimal(5))]


def closing(**prices: str) -> Closing:
    return Closing(SESSION, FOLLOWING, {symbol: Decimal(price) for symbol, price in prices.items()})


def test_the_close_marks_positions_and_keeps_the_last_price_of_what_did_not_trade() -> None:
    book = account("2000", bought("AAA", 20), bought("BBB", 10))
    after = fold(close_session(book, conditions(FREE, CLOSE), closing(AAA="60")), book)
    assert after.equity == Decimal(500) + 20 * 60 + 10 * 50
    assert after.closing_equity == after.equity
    assert after.holdings["AAA"].closes == 1


def test_a_position_is_queued_for_sale_when_its_horizon_is_over_and_only_once() -> None:
    rules = replace(FREE, horizon_sessions=2)
    book = account("2000", bought("AAA", 20))
    book = fold(close_session(book, conditions(rules, CLOSE), closing(AAA="60")), book)
    assert book.queued == {}
    second = Closing(FOLLOWING, date(2009, 1, 7), {"AAA": Decimal(61)})
    closed = close_session(book, conditions(rules, datetime(2009, 1, 6, 21, tzinfo=UTC)), second)
    (order,) = [event for event in closed if isinstance(event, OrderQueued)]
    assert (order.reason, order.side, order.quantity, order.session) == (
        "horizon",
        "SELL",
        Decimal(20),
        date(2009, 1, 7),
    )
    assert order.order_id == order_id_of("horizon", "AAA\n2009-01-06")


def test_an_exit_belongs_to_the_decision_that_opened_the_position() -> None:
    rules = replace(FREE, horizon_sessions=1)
    book = queued(account(), ("AAA", "BUY"))
    book = fold(open_session(book, conditions(rules, OPEN), opening(AAA="50")).events, book)
    closed = close_session(book, conditions(rules, CLOSE), closing(AAA="60"))
    (order,) = [event for event in closed if isinstance(event, OrderQueued)]
    assert (order.prediction_id, order.model_version, order.trace_id) == ("p-AAA", "1", prediction().trace_id)
    assert order.valid_until is None


def test_no_horizon_keeps_a_position() -> None:
    rules = replace(FREE, horizon_sessions=0)
    book = account("2000", bought("AAA", 20))
    closed = close_session(book, conditions(rules, CLOSE), closing(AAA="60"))
    assert [type(event) for event in closed] == [SessionMarked]


def test_halted_exits_of_two_positions_are_two_refusals() -> None:
    rules = replace(FREE, horizon_sessions=1)
    book = account("2000", bought("AAA", 10), bought("BBB", 10))
    closed = close_session(book, conditions(rules, CLOSE, ("cli: stop",)), closing(AAA="60", BBB="60"))
    refused = [event for event in closed if isinstance(event, Refused)]
    assert [event.symbol for event in refused] == ["AAA", "BBB"]
    assert len({event.key for event in refused}) == 2


def test_what_is_still_queued_for_the_session_is_cancelled_at_its_close() -> None:
    book = queued(account(), ("AAA", "BUY"))
    closed = close_session(book, conditions(FREE, CLOSE), closing())
    cancelled, _ = closed
    assert isinstance(cancelled, OrderCancelled)
    assert cancelled.code == "ORDER_EXPIRED"


def test_a_prediction_has_to_hold_at_the_open_however_late_its_price_is_known() -> None:
    late = conditions(FREE, CLOSE + timedelta(minutes=40))
    book = queued(account(), ("AAA", "BUY"))
    fill, done = open_session(book, late, replace(opening(AAA="50"), at=OPEN)).events
    assert isinstance(fill, OrderFilled)
    assert (fill.at, fill.session, done.at) == (late.now, SESSION, late.now)
    after_its_end = replace(opening(AAA="50"), at=CLOSE + timedelta(seconds=1))
    refused = open_session(book, late, after_its_end).events[0]
    assert isinstance(refused, Refused)
    assert refused.code == "PREDICTION_EXPIRED"
