"""Opens and closes of a session: what is filled, refused, cancelled, valued and queued for sale."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from bellwether.messages.market_data import CorporateAction
from bellwether.trading.book import fold
from bellwether.trading.events import (
    DividendPaid,
    OrderCancelled,
    OrderFilled,
    OrderQueued,
    OrderReduced,
    Refused,
    SessionMarked,
    SessionOpenDone,
)
from bellwether.trading.placing import order_id_of, place
from bellwether.trading.sessions import Closing, close_session
from unit.trading.making import (
    BEFORE_OPEN,
    CLOSE,
    FOLLOWING,
    FREE,
    OPEN,
    RULES,
    SESSION,
    account,
    circumstances,
    open_session,
    prediction,
)
from unit.trading.opening import EARLIER, bought, closing, opening, queued


def test_queued_orders_fill_at_the_opening_price_with_slippage_and_commission() -> None:
    book = queued(account(), ("AAA", "BUY"), rules=RULES)
    opened = open_session(book, circumstances(RULES, OPEN), opening(AAA="40"))
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
    opened = open_session(fold([order], book), circumstances(FREE, OPEN), opening(AAA="50", CCC="50"))
    fills = [(event.symbol, event.side) for event in opened.events if isinstance(event, OrderFilled)]
    assert fills == [("CCC", "SELL"), ("AAA", "BUY")]
    assert fold(opened.events, fold([order], book)).cash == 100


def test_a_signal_s_order_that_opens_above_what_cash_pays_for_buys_fewer_shares() -> None:
    book = queued(account("1100"), ("AAA", "BUY"))
    opened = open_session(book, circumstances(FREE, OPEN), opening(AAA="56"))
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
    reduced, fill, _ = open_session(book, circumstances(rules, OPEN), opening(AAA="55")).events
    assert isinstance(reduced, OrderReduced)
    assert (reduced.code, reduced.limit) == ("POSITION_VALUE_EXCEEDED", "1000")
    assert isinstance(fill, OrderFilled)
    assert fill.quantity == 18
    assert fill.price * 18 <= 1000 < fill.price * 19


def test_the_smaller_of_two_limits_sizes_an_order_and_commission_is_paid_from_the_cash() -> None:
    rules = replace(RULES, max_position_value=Decimal(1000))
    book = queued(account("520"), ("AAA", "BUY"), rules=rules)
    reduced, fill, _ = open_session(book, circumstances(rules, OPEN), opening(AAA="55")).events
    assert isinstance(reduced, OrderReduced)
    assert isinstance(fill, OrderFilled)
    assert (reduced.code, reduced.asked, fill.quantity) == ("INSUFFICIENT_CASH", Decimal(19), Decimal(9))
    assert 0 <= Decimal(520) - fill.price * 9 - fill.commission < fill.price


def test_an_order_without_room_for_one_share_is_refused_at_the_open() -> None:
    book = queued(account("60"), ("AAA", "BUY"))
    refused = open_session(book, circumstances(FREE, OPEN), opening(AAA="61")).events[0]
    assert isinstance(refused, Refused)
    assert (refused.code, refused.stage, refused.value, refused.limit) == ("INSUFFICIENT_CASH", "open", "1220", "60")


def test_an_order_by_hand_is_filled_as_asked_or_not_at_all() -> None:
    by_hand = OrderQueued(
        BEFORE_OPEN, "hand", None, "manual", "AAA", "BUY", Decimal(20), SESSION, Decimal(50), None, "", "", "", ""
    )
    refused = open_session(fold([by_hand], account("1100")), circumstances(FREE, OPEN), opening(AAA="56")).events[0]
    assert isinstance(refused, Refused)
    assert refused.code == "INSUFFICIENT_CASH"


def test_scarce_cash_goes_to_the_strongest_signal_and_among_equals_to_the_first_by_name() -> None:
    book = account("1500")
    for symbol, probability in (("AAA", 0.53), ("BBB", 0.58), ("CCC", 0.53)):
        signal = prediction(symbol=symbol, prediction_id=f"p-{symbol}", probability=probability)
        book = fold(place(signal, "", book, circumstances(FREE)).events, book)
    opened = open_session(book, circumstances(FREE, OPEN), opening(AAA="50", BBB="50", CCC="50"))
    filled = [(one.symbol, one.quantity) for one in opened.events if isinstance(one, OrderFilled)]
    assert filled == [("BBB", Decimal(20)), ("AAA", Decimal(10))]
    refused = [one.symbol for one in opened.events if isinstance(one, Refused)]
    assert refused == ["CCC"]


def test_a_sale_that_is_worth_less_than_its_commission_leaves_no_debt() -> None:
    book = queued(account("1000", bought("AAA", 20)), ("AAA", "SELL"), rules=RULES)
    opened = open_session(book, circumstances(RULES, OPEN), opening(AAA="0.05"))
    fill = opened.events[0]
    assert isinstance(fill, OrderFilled)
    assert fill.commission == fill.price * 20 < RULES.commission_per_order
    assert fold(opened.events, book).cash == 0


def test_a_queued_sale_is_filled_although_the_orders_of_its_session_are_used_up() -> None:
    book = queued(account("1000", bought("AAA", 20)), ("AAA", "SELL"))
    rules = replace(FREE, max_orders_per_session=0)
    fill = open_session(book, circumstances(rules, OPEN), opening(AAA="50")).events[0]
    assert isinstance(fill, OrderFilled)


def test_what_an_open_lost_is_seen_until_the_close() -> None:
    book = account("3000", bought("AAA", 20), bought("BBB", 20))
    marked = SessionMarked(CLOSE, EARLIER, {"AAA": Decimal(50), "BBB": Decimal(50)}, book.cash, Decimal(2000))
    book = fold([marked], book)
    after = fold(open_session(book, circumstances(FREE, OPEN), opening(AAA="40", BBB="50")).events, book)
    assert after.equity == Decimal(2800)
    assert after.loss_at(after.equity) == 200


def test_a_halt_stops_orders_that_were_queued_before_it() -> None:
    book = queued(account(), ("AAA", "BUY"))
    opened = open_session(book, circumstances(FREE, OPEN, ("cli: stop",)), opening(AAA="50"))
    refused = opened.events[0]
    assert isinstance(refused, Refused)
    assert (refused.code, refused.value) == ("HALTED", "cli: stop")


def test_a_loss_at_the_open_stops_openings_but_not_exits() -> None:
    rules = replace(FREE, max_daily_loss=Decimal(100))
    book = account("3000", bought("AAA", 20), bought("BBB", 20))
    marked = SessionMarked(CLOSE, EARLIER, {"AAA": Decimal(50), "BBB": Decimal(50)}, book.cash, Decimal(2000))
    book = queued(fold([marked], book), ("BBB", "SELL"), ("CCC", "BUY"), rules=rules)
    opened = open_session(book, circumstances(rules, OPEN), opening(AAA="40", BBB="50", CCC="50"))
    sold, refused, _ = opened.events
    assert isinstance(sold, OrderFilled)
    assert isinstance(refused, Refused)
    assert (refused.symbol, refused.code, refused.value) == ("CCC", "DAILY_LOSS_EXCEEDED", "200")


def test_without_an_opening_price_an_order_is_cancelled() -> None:
    book = queued(account(), ("AAA", "BUY"))
    opened = open_session(book, circumstances(FREE, OPEN), opening())
    cancelled = opened.events[0]
    assert isinstance(cancelled, OrderCancelled)
    assert cancelled.code == "NO_OPENING_PRICE"


def test_while_prices_may_still_come_an_order_waits_and_the_rest_is_done_once() -> None:
    book = queued(account(), ("AAA", "BUY"), ("BBB", "BUY"))
    first = open_session(book, circumstances(FREE, OPEN), opening(final=False, AAA="50"))
    assert [type(event) for event in first.events] == [OrderFilled]
    second = open_session(fold(first.events, book), circumstances(FREE, OPEN), opening(AAA="50", BBB="50"))
    fill, done = second.events
    assert isinstance(fill, OrderFilled)
    assert fill.symbol == "BBB"
    assert isinstance(done, SessionOpenDone)


def test_the_open_is_not_done_while_the_bar_of_a_held_share_may_still_tell_a_dividend() -> None:
    book = account("2000", bought("AAA", 10))
    assert open_session(book, circumstances(FREE, OPEN), opening(final=False)).events == ()
    dividend = CorporateAction("AAA", SESSION, "dividend", amount=0.5)
    reported = open_session(book, circumstances(FREE, CLOSE), opening([dividend], final=False, AAA="50"))
    assert [type(event) for event in reported.events] == [DividendPaid, SessionOpenDone]
    never = open_session(book, circumstances(FREE, CLOSE), opening())
    assert [type(event) for event in never.events] == [SessionOpenDone]


def test_an_order_of_a_past_session_is_cancelled_never_filled_late() -> None:
    book = queued(account(), ("AAA", "BUY"), session=EARLIER)
    opened = open_session(book, circumstances(FREE, OPEN), opening(AAA="50"))
    cancelled = opened.events[0]
    assert isinstance(cancelled, OrderCancelled)
    assert (cancelled.code, cancelled.value, cancelled.limit) == ("ORDER_EXPIRED", "2009-01-05", "2009-01-02")


def test_an_order_for_a_later_session_stays_queued() -> None:
    book = queued(account(), ("AAA", "BUY"), session=FOLLOWING)
    opened = open_session(book, circumstances(FREE, OPEN), opening(AAA="50"))
    assert [type(event) for event in opened.events] == [SessionOpenDone]
    assert len(fold(opened.events, book).queued) == 1


def test_the_close_marks_positions_and_keeps_the_last_price_of_what_did_not_trade() -> None:
    book = account("2000", bought("AAA", 20), bought("BBB", 10))
    after = fold(close_session(book, circumstances(FREE, CLOSE), closing(AAA="60")), book)
    assert after.equity == Decimal(500) + 20 * 60 + 10 * 50
    assert after.closing_equity == after.equity
    assert after.holdings["AAA"].closes == 1


def test_a_position_is_queued_for_sale_when_its_horizon_is_over_and_only_once() -> None:
    rules = replace(FREE, horizon_sessions=2)
    book = account("2000", bought("AAA", 20))
    book = fold(close_session(book, circumstances(rules, CLOSE), closing(AAA="60")), book)
    assert book.queued == {}
    second = Closing(FOLLOWING, date(2009, 1, 7), {"AAA": Decimal(61)})
    closed = close_session(book, circumstances(rules, datetime(2009, 1, 6, 21, tzinfo=UTC)), second)
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
    book = fold(open_session(book, circumstances(rules, OPEN), opening(AAA="50")).events, book)
    closed = close_session(book, circumstances(rules, CLOSE), closing(AAA="60"))
    (order,) = [event for event in closed if isinstance(event, OrderQueued)]
    assert (order.prediction_id, order.model_version, order.trace_id) == ("p-AAA", "1", prediction().trace_id)
    assert order.valid_until is None


def test_no_horizon_keeps_a_position() -> None:
    rules = replace(FREE, horizon_sessions=0)
    book = account("2000", bought("AAA", 20))
    closed = close_session(book, circumstances(rules, CLOSE), closing(AAA="60"))
    assert [type(event) for event in closed] == [SessionMarked]


def test_halted_exits_of_two_positions_are_two_refusals() -> None:
    rules = replace(FREE, horizon_sessions=1)
    book = account("2000", bought("AAA", 10), bought("BBB", 10))
    closed = close_session(book, circumstances(rules, CLOSE, ("cli: stop",)), closing(AAA="60", BBB="60"))
    refused = [event for event in closed if isinstance(event, Refused)]
    assert [event.symbol for event in refused] == ["AAA", "BBB"]
    assert len({event.key for event in refused}) == 2


def test_what_is_still_queued_for_the_session_is_cancelled_at_its_close() -> None:
    book = queued(account(), ("AAA", "BUY"))
    closed = close_session(book, circumstances(FREE, CLOSE), closing())
    cancelled, _ = closed
    assert isinstance(cancelled, OrderCancelled)
    assert cancelled.code == "ORDER_EXPIRED"


def test_a_prediction_has_to_hold_at_the_open_however_late_its_price_is_known() -> None:
    late = circumstances(FREE, CLOSE + timedelta(minutes=40))
    book = queued(account(), ("AAA", "BUY"))
    fill, done = open_session(book, late, replace(opening(AAA="50"), at=OPEN)).events
    assert isinstance(fill, OrderFilled)
    assert (fill.at, fill.session, done.at) == (late.now, SESSION, late.now)
    after_its_end = replace(opening(AAA="50"), at=CLOSE + timedelta(seconds=1))
    refused = open_session(book, late, after_its_end).events[0]
    assert isinstance(refused, Refused)
    assert refused.code == "PREDICTION_EXPIRED"
