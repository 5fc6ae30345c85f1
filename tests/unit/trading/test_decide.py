from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from bellwether.trading.book import Book, fold
from bellwether.trading.decide import decide, order_id_of
from bellwether.trading.events import OrderFilled, OrderQueued, Refused, SessionOpenDone
from unit.trading.making import BEFORE_OPEN, FREE, OPEN, SESSION, account, conditions, prediction


def holding(quantity: str = "20", symbol: str = "AAA") -> Book:
    bought = OrderFilled(
        BEFORE_OPEN, "earlier", symbol, "BUY", Decimal(quantity), Decimal(50), Decimal(0), Decimal(0), date(2009, 1, 2)
    )
    return account("100000", bought)


def test_a_buy_becomes_one_queued_order_for_its_target_session() -> None:
    outcome = decide(prediction(), "00-trace", account(), conditions(FREE))
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
    first = decide(prediction(), "a", account(), conditions(FREE)).order_id
    assert first == decide(prediction(), "b", account("50000"), conditions()).order_id
    assert first != decide(prediction(prediction_id="another"), "", account(), conditions(FREE)).order_id
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,30}", str(first))
    assert order_id_of("prediction", "x") != order_id_of("manual", "x")


def test_a_sell_closes_the_whole_position() -> None:
    outcome = decide(prediction(action="SELL"), "", holding("33"), conditions(FREE))
    (order,) = outcome.events
    assert isinstance(order, OrderQueued)
    assert (order.side, order.quantity, order.reason) == ("SELL", Decimal(33), "sell_signal")


@pytest.mark.parametrize(
    "changes",
    [{"action": "HOLD"}, {"may_trade": False}, {"may_trade": False, "action": "STRONG_SELL"}],
    ids=["HOLD", "for looking at", "a SELL for looking at"],
)
def test_what_asks_for_nothing_is_ignored_without_an_event(changes: dict[str, Any]) -> None:
    outcome = decide(prediction(**changes), "", account(), conditions(FREE))
    assert (outcome.outcome, outcome.events, outcome.order_id) == ("ignored", (), None)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"current_price": 0.0}, "NO_REAL_PRICE"),
        ({"market_data_available": False}, "NO_REAL_PRICE"),
        ({"market_data_available": False, "may_trade": False}, "NO_REAL_PRICE"),
        ({"action": "SELL"}, "NOTHING_TO_SELL"),
        ({"symbol": "ZZZ"}, "UNKNOWN_SYMBOL"),
        ({"valid_until": BEFORE_OPEN.replace(hour=1)}, "PREDICTION_EXPIRED"),
        ({"current_price": 1001.0}, "QUANTITY_TOO_SMALL"),
    ],
)
def test_a_guard_s_objection_is_a_recorded_refusal_and_no_order(changes: dict[str, Any], code: str) -> None:
    outcome = decide(prediction(**changes), "", account(), conditions(FREE))
    (refused,) = outcome.events
    assert isinstance(refused, Refused)
    assert (refused.code, refused.stage, refused.order_id) == (code, "signal", None)
    assert code not in outcome.guards


def test_a_second_buy_of_what_is_held_or_queued_is_refused() -> None:
    (refused,) = decide(prediction(), "", holding(), conditions(FREE)).events
    assert isinstance(refused, Refused)
    assert refused.code == "ALREADY_HELD"
    queued = fold(decide(prediction(), "", account(), conditions(FREE)).events, account())
    (refused,) = decide(prediction(prediction_id="again"), "", queued, conditions(FREE)).events
    assert isinstance(refused, Refused)
    assert refused.code == "ALREADY_QUEUED"


def test_a_prediction_that_comes_after_its_session_opened_is_never_filled_late() -> None:
    opened = fold([SessionOpenDone(OPEN, SESSION, [], [], 0)], account())
    (refused,) = decide(prediction(), "", opened, conditions(FREE)).events
    assert isinstance(refused, Refused)
    assert (refused.code, refused.value, refused.limit) == ("ORDER_EXPIRED", "2009-01-05", "a session after 2009-01-05")


def test_a_prediction_that_comes_while_its_open_still_waits_for_a_price_is_never_filled_late() -> None:
    after_the_open = replace(conditions(FREE), now=OPEN, begun=SESSION)
    (refused,) = decide(prediction(valid_until=OPEN.replace(hour=23)), "", account(), after_the_open).events
    assert isinstance(refused, Refused)
    assert (refused.code, refused.limit) == ("ORDER_EXPIRED", "a session after 2009-01-05")


def test_queued_orders_of_the_session_count_towards_its_limit() -> None:
    rules = replace(FREE, max_orders_per_session=1)
    one = fold(decide(prediction(), "", account(), conditions(rules)).events, account())
    other = prediction(symbol="BBB", prediction_id="other")
    (refused,) = decide(other, "", one, conditions(rules)).events
    assert isinstance(refused, Refused)
    assert (refused.code, refused.value, refused.limit) == ("ORDERS_PER_SESSION_EXCEEDED", "2", "1")
