from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from bellwether.trading.book import Book, fold
from bellwether.trading.events import OrderFilled, OrderQueued, Refused, SessionMarked, SessionOpenDone
from bellwether.trading.placing import order_id_of, place
from unit.trading.making import BEFORE_OPEN, FREE, OPEN, SESSION, account, circumstances, prediction


def holding(quantity: str = "20", symbol: str = "AAA") -> Book:
    bought = OrderFilled(
        BEFORE_OPEN, "earlier", symbol, "BUY", Decimal(quantity), Decimal(50), Decimal(0), Decimal(0), date(2009, 1, 2)
    )
    return account("100000", bought)


def test_a_buy_becomes_one_queued_order_for_its_target_session() -> None:
    outcome = place(prediction(), "00-trace", account(), circumstances(FREE))
    assert outcome.outcome == "order"
    (order,) = outcome.events
    assert isinstance(order, OrderQueued)
    assert (order.side, order.quantity, order.session, order.reason) == ("BUY", Decimal(20), SESSION, "signal")
    assert (order.prediction_id, order.model_version, order.traceparent) == (
        prediction().prediction_id,
        "1",
        "00-trace",
    )
    assert outcome.order_id == order.order_id
    assert "INSUFFICIENT_CASH" in outcome.guards


def test_the_order_id_follows_from_the_decision_and_is_a_reference_any_broker_takes() -> None:
    first = place(prediction(), "a", account(), circumstances(FREE)).order_id
    assert first == place(prediction(), "b", account("50000"), circumstances()).order_id
    assert first != place(prediction(prediction_id="another"), "", account(), circumstances(FREE)).order_id
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,30}", str(first))
    assert order_id_of("prediction", "x") != order_id_of("manual", "x")


def test_a_sell_closes_the_whole_position() -> None:
    outcome = place(prediction(action="SELL"), "", holding("33"), circumstances(FREE))
    (order,) = outcome.events
    assert isinstance(order, OrderQueued)
    assert (order.side, order.quantity, order.reason) == ("SELL", Decimal(33), "sell_signal")


@pytest.mark.parametrize(
    "changes",
    [{"action": "HOLD"}, {"may_trade": False}, {"may_trade": False, "action": "STRONG_SELL"}],
    ids=["HOLD", "for looking at", "a SELL for looking at"],
)
def test_what_asks_for_nothing_is_ignored_without_an_event(changes: dict[str, Any]) -> None:
    outcome = place(prediction(**changes), "", account(), circumstances(FREE))
    assert (outcome.outcome, outcome.events, outcome.order_id) == ("ignored", (), None)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"current_price": 0.0}, "NO_REAL_PRICE"),
        ({"market_data_available": False}, "NO_REAL_PRICE"),
        ({"market_data_available": False, "may_trade": False}, "NO_REAL_PRICE"),
        ({"symbol": "ZZZ"}, "UNKNOWN_SYMBOL"),
        ({"valid_until": BEFORE_OPEN.replace(hour=1)}, "PREDICTION_EXPIRED"),
        ({"current_price": 1001.0}, "QUANTITY_TOO_SMALL"),
    ],
)
def test_a_guard_s_objection_is_a_recorded_refusal_and_no_order(changes: dict[str, Any], code: str) -> None:
    outcome = place(prediction(**changes), "", account(), circumstances(FREE))
    (refused,) = outcome.events
    assert isinstance(refused, Refused)
    assert (refused.code, refused.stage, refused.order_id) == (code, "signal", None)
    assert code not in outcome.guards


def test_a_signal_that_leaves_nothing_to_do_is_reported_with_the_decision_and_is_no_event_of_the_ledger() -> None:
    queued = fold(place(prediction(), "", account(), circumstances(FREE)).events, account())
    kept = replace(FREE, exit_on_sell=False)
    for code, made, book, rules in (
        ("NOTHING_TO_SELL", prediction(action="SELL"), account(), FREE),
        ("ALREADY_HELD", prediction(), holding(), FREE),
        ("ALREADY_QUEUED", prediction(prediction_id="again"), queued, FREE),
        ("EXIT_RULE_OFF", prediction(action="STRONG_SELL"), holding(), kept),
    ):
        outcome = place(made, "", book, circumstances(rules))
        assert (outcome.outcome, outcome.events, outcome.order_id) == ("refused", (), None)
        assert outcome.refused is not None
        assert outcome.refused.code is not None
        assert outcome.refused.code.name == code


def test_a_purchase_waits_for_its_open_as_long_as_limits_and_cash_leave_room_for_one_share() -> None:
    tight = replace(FREE, max_position_value=Decimal(600))
    (order,) = place(prediction(), "", account(), circumstances(tight)).events
    assert isinstance(order, OrderQueued)
    assert order.quantity == 20
    (order,) = place(prediction(), "", account("50"), circumstances(FREE)).events
    assert isinstance(order, OrderQueued)
    (refused,) = place(prediction(), "", account("49"), circumstances(FREE)).events
    assert isinstance(refused, Refused)
    assert (refused.code, refused.value, refused.limit) == ("INSUFFICIENT_CASH", "50", "49")


def test_an_order_carries_the_strength_of_its_signal() -> None:
    (order,) = place(prediction(probability=0.5625, base_rate=0.5), "", account(), circumstances(FREE)).events
    assert isinstance(order, OrderQueued)
    assert order.strength == 0.0625


def test_a_share_is_sold_although_the_orders_of_its_session_are_used_up() -> None:
    rules = replace(FREE, max_orders_per_session=0)
    (order,) = place(prediction(action="SELL"), "", holding(), circumstances(rules)).events
    assert isinstance(order, OrderQueued)
    assert order.side == "SELL"


def test_the_session_after_one_that_lost_too_much_opens_no_position_and_the_one_after_that_does() -> None:
    def closed(day: int, cash: int) -> SessionMarked:
        return SessionMarked(BEFORE_OPEN, date(2009, 1, day), {}, Decimal(cash), Decimal(0))

    lost = fold([closed(1, 100000), closed(2, 79891)], account())
    (refused,) = place(prediction(), "", lost, circumstances(FREE)).events
    assert isinstance(refused, Refused)
    assert (refused.code, refused.value, refused.limit) == ("DAILY_LOSS_EXCEEDED", "20109", "5000")
    assert place(prediction(), "", fold([closed(5, 79891)], lost), circumstances(FREE)).outcome == "order"


def test_a_prediction_that_comes_after_its_session_opened_is_never_filled_late() -> None:
    opened = fold([SessionOpenDone(OPEN, SESSION, [], [], 0)], account())
    (refused,) = place(prediction(), "", opened, circumstances(FREE)).events
    assert isinstance(refused, Refused)
    assert (refused.code, refused.value, refused.limit) == ("ORDER_EXPIRED", "2009-01-05", "a session after 2009-01-05")


def test_a_prediction_that_comes_while_its_open_still_waits_for_a_price_is_never_filled_late() -> None:
    after_the_open = replace(circumstances(FREE), now=OPEN, started_session=SESSION)
    (refused,) = place(prediction(valid_until=OPEN.replace(hour=23)), "", account(), after_the_open).events
    assert isinstance(refused, Refused)
    assert (refused.code, refused.limit) == ("ORDER_EXPIRED", "a session after 2009-01-05")


def test_queued_orders_of_the_session_count_towards_its_limit() -> None:
    rules = replace(FREE, max_orders_per_session=1)
    one = fold(place(prediction(), "", account(), circumstances(rules)).events, account())
    other = prediction(symbol="BBB", prediction_id="other")
    (refused,) = place(other, "", one, circumstances(rules)).events
    assert isinstance(refused, Refused)
    assert (refused.code, refused.value, refused.limit) == ("ORDERS_PER_SESSION_EXCEEDED", "2", "1")
