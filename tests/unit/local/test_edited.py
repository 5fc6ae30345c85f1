"""Which orders two replays make otherwise, and the reason that is given for each."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from bellwether.local.edited import ChangedOrder, changed_orders, no_orders
from bellwether.local.spans import Left
from bellwether.messages.prediction import Prediction
from bellwether.messages.trading import Order
from unit.gateway.samples import order, prediction

DECLARED = {"AAPL", "IBM"}


def left(*orders: Order, made: Prediction | None = None, refused: str = "") -> Left:
    decision = made or prediction(prediction_id="d")
    return Left(orders, {decision.prediction_id: decision}, {decision.prediction_id: refused} if refused else {}, [])


def bought(**changed: Any) -> Order:
    return order(**({"prediction_id": "d", "reason": "signal", "fill_price": Decimal("93.22")} | changed))


def only(old: Left, new: Left, declared: set[str] = DECLARED) -> ChangedOrder:
    (found,) = changed_orders(old, new, declared)
    return found


def test_equal_orders_are_no_change() -> None:
    assert changed_orders(left(bought()), left(bought()), DECLARED) == []


def test_an_order_that_is_gone_says_what_the_edit_decides_or_refuses() -> None:
    hold = prediction(prediction_id="d", action="HOLD", probability=0.57, buy_threshold=0.65)
    found = only(left(bought()), left(made=hold))
    assert (found.kind, found.session, found.symbol, found.side) == ("gone", date(2009, 1, 5), "AAPL", "BUY")
    assert found.why == "as edited HOLD, probability 0.5700, BUY from 0.6500"
    refused = only(left(bought()), left(refused="HALTED: value True, limit False"))
    assert refused.why.endswith("; refused by HALTED: value True, limit False")
    assert only(left(bought()), left(), {"IBM"}).why == "AAPL is not declared any more"
    other = prediction(prediction_id="another")
    assert only(left(bought()), left(made=other)).why.startswith("as edited nothing is decided about AAPL")


def test_a_new_order_says_why_there_is_none_now() -> None:
    found = only(left(refused="ORDERS_PER_SESSION_EXCEEDED: value 2, limit 2"), left(bought()))
    assert (found.kind, found.before) == ("new", "")
    assert found.why.startswith("now BUY, probability 0.5700")
    assert found.why.endswith("refused by ORDERS_PER_SESSION_EXCEEDED: value 2, limit 2")


def test_a_changed_order_says_whether_status_size_or_price_differs() -> None:
    cancelled = bought(status="cancelled", refusal="PRICE_OUT_OF_BAND", fill_price=None)
    assert only(left(bought()), left(cancelled)).why == "filled now, cancelled as edited: PRICE_OUT_OF_BAND"
    smaller = bought(quantity=Decimal(5), reduction="INSUFFICIENT_CASH: value 9, limit 5")
    assert only(left(bought()), left(smaller)).why.endswith("made smaller by INSUFFICIENT_CASH: value 9, limit 5")
    assert "the sizing rule" in only(left(bought()), left(bought(quantity=Decimal(7)))).why
    assert only(left(bought()), left(bought(fill_price=Decimal(94)))).why.startswith("its price or costs differ")


def test_an_exit_in_one_of_the_two_only_names_the_rule() -> None:
    sold = bought(side="SELL", reason="horizon")
    assert only(left(sold), left()).why.startswith("it was held for exit.horizonSessions in one of the two only")


def test_without_any_order_the_share_of_holds_is_reported_and_a_model_that_says_the_base_rate() -> None:
    hold = prediction(prediction_id="d", action="HOLD", probability=0.6, base_rate=0.55)
    flat = prediction(prediction_id="d", action="HOLD", probability=0.55, base_rate=0.55)
    found = no_orders(left(made=hold), left(made=flat))
    assert "1 of 1 predictions are HOLD now, 1 of 1 predictions are HOLD as edited" in found
    assert "as edited (1 at the base rate: the model's scores do not order outcomes);" in found
