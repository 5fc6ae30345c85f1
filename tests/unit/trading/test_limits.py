"""Exits by price, halts by loss and drawdown, approval, and a model that has expired, from close to open."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace as replace_fact

from bellwether.trading.book import Book, fold
from bellwether.trading.events import (
    OrderCancelled,
    OrderFilled,
    OrderQueued,
    PositionSplit,
    Refused,
    RiskReset,
    SessionMarked,
)
from bellwether.trading.halting import breaches
from bellwether.trading.placing import place
from bellwether.trading.release import Opening
from bellwether.trading.rules import Rules
from bellwether.trading.sessions import Closing, close_session
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

BOUGHT = date(2009, 1, 2)


def under(**changes: Any) -> Rules:
    rules: Rules = replace(FREE, horizon_sessions=0, **changes)
    return rules


def holding(quantity: int = 100, price: int = 50, cash: str = "100000") -> Book:
    """Return an account that bought AAA the session before."""
    zero = Decimal(0)
    return account(
        cash, OrderFilled(BEFORE_OPEN, "o-1", "AAA", "BUY", Decimal(quantity), Decimal(price), zero, zero, BOUGHT)
    )


def closed(book: Book, rules: Rules, price: str, day: int = 0) -> tuple[Book, list[OrderQueued]]:
    """Close a session at a price of AAA; return the account after it, and the exits that were queued."""
    session = SESSION + timedelta(days=day)
    at = circumstances(rules, now=CLOSE + timedelta(days=day))
    closing = Closing(session, session + timedelta(days=1), {"AAA": Decimal(price)})
    events = close_session(book, at, closing)
    return fold(events, book), [event for event in events if isinstance(event, OrderQueued)]


@pytest.mark.parametrize(
    ("rules", "above", "at", "reason"),
    [
        ({"stop_loss": Decimal("0.1")}, "45.01", "45", "stop_loss"),
        ({"take_profit": Decimal("0.2")}, "59.99", "60", "take_profit"),
        ({"trailing_stop": Decimal("0.1")}, "45.01", "45", "trailing_stop"),
    ],
    ids=["stop-loss", "take-profit", "trailing stop"],
)
def test_a_price_exit_sells_all_at_the_next_open_once_the_close_is_at_its_price(
    rules: dict[str, Any], above: str, at: str, reason: str
) -> None:
    assert closed(holding(), under(**rules), above)[1] == []
    book, (order,) = closed(holding(), under(**rules), at)
    assert (order.reason, order.side, order.quantity, order.session) == (reason, "SELL", Decimal(100), FOLLOWING)
    opened = open_session(
        book,
        circumstances(under(**rules), now=OPEN + timedelta(days=1)),
        Opening(FOLLOWING, {"AAA": Decimal(40)}, []),
    )
    # At the opening price, however far below the stop that is.
    assert [(one.side, one.price) for one in opened.events if isinstance(one, OrderFilled)] == [("SELL", Decimal(40))]


def test_a_trailing_stop_counts_from_the_highest_close_and_not_from_the_purchase() -> None:
    rules = under(trailing_stop=Decimal("0.1"))
    book, exits = closed(holding(), rules, "80")
    assert exits == []
    book, exits = closed(book, rules, "72.01", day=1)
    assert exits == []
    _, (order,) = closed(book, rules, "72", day=2)
    assert order.reason == "trailing_stop"


def test_a_stop_follows_a_split_and_is_not_set_off_by_one() -> None:
    split = PositionSplit(
        at=OPEN,
        symbol="AAA",
        session=SESSION,
        ratio=Decimal(2),
        quantity=Decimal(200),
        cost=Decimal(5000),
        price=Decimal(25),
        cash_in_lieu=Decimal(0),
        realised=Decimal(0),
    )
    rules = under(stop_loss=Decimal("0.1"), trailing_stop=Decimal("0.1"))
    book, _ = closed(holding(), rules, "50")
    book = fold([split], book)
    assert closed(book, rules, "24.5", day=1)[1] == []
    assert closed(book, rules, "22.5", day=1)[1][0].reason == "stop_loss"


def test_a_loss_is_reported_before_a_gain_and_both_before_the_horizon() -> None:
    everything = replace(
        under(stop_loss=Decimal("0.1"), take_profit=Decimal("0.2"), trailing_stop=Decimal("0.3")), horizon_sessions=1
    )
    assert closed(holding(), everything, "30")[1][0].reason == "stop_loss"
    assert closed(holding(), everything, "60")[1][0].reason == "take_profit"
    assert closed(holding(), everything, "50")[1][0].reason == "horizon"


def test_without_a_closing_price_no_price_exit_is_judged() -> None:
    assert closed(holding(), under(stop_loss=Decimal("0.1")), "0")[1] == []


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("stop_loss", {"stop_loss": Decimal("0.1")}),
        ("trailing_stop", {"trailing_stop": Decimal("0.1")}),
        ("horizon", {"horizon_sessions": 1}),
    ],
)
def test_an_exit_by_rule_waits_for_nobody_s_approval_and_a_signal_does(reason: str, changes: dict[str, Any]) -> None:
    rules: Rules = replace(under(), approval=True, **changes)
    _, (order,) = closed(holding(), rules, "40")
    assert (order.reason, order.approval) == (reason, False)
    (sell,) = place(prediction(action="SELL"), "", holding(), circumstances(rules)).events
    (buy,) = place(prediction(symbol="BBB"), "", holding(), circumstances(rules)).events
    assert isinstance(sell, OrderQueued)
    assert isinstance(buy, OrderQueued)
    assert (sell.approval, buy.approval) == (True, True)


def marked(equity: str, day: int = 0) -> SessionMarked:
    return SessionMarked(CLOSE + timedelta(days=day), SESSION + timedelta(days=day), {}, Decimal(equity), Decimal(0))


def ended(*equities: str) -> Book:
    """Return an account of 100000 whose closes had these equities."""
    book = account("100000")
    for day, equity in enumerate(equities):
        book = fold([marked(equity, day)], book)
    return book


def test_a_daily_loss_halts_where_it_is_declared_to_and_only_for_the_newest_session() -> None:
    halts = under(halt_on_loss=True, max_daily_loss=Decimal(5000))
    assert breaches(ended("95000.01"), halts) == []
    assert breaches(ended("95000"), halts) == [("DAILY_LOSS_EXCEEDED", "5000", "5000")]
    assert breaches(ended("95000"), replace(halts, halt_on_loss=False)) == []
    assert breaches(ended("95000", "95000"), halts) == []


def test_a_drawdown_counts_from_the_highest_close_over_any_number_of_sessions() -> None:
    halts = under(max_drawdown=Decimal("0.1"))
    assert breaches(ended("120000", "114000", "108012"), halts) == []
    assert breaches(ended("120000", "114000", "108000"), halts) == [("DRAWDOWN_EXCEEDED", "0.1", "0.1")]
    assert breaches(ended("120000", "114000", "108000"), under()) == []


def test_after_somebody_resumed_the_drawdown_counts_from_then_on() -> None:
    halts = under(max_drawdown=Decimal("0.1"))
    fallen = ended("120000", "100000")
    assert breaches(fallen, halts)
    resumed = fold([RiskReset(CLOSE + timedelta(days=2), 2)], fallen)
    assert breaches(resumed, halts) == []
    assert breaches(fold([marked("90000", 3)], resumed), halts) == [("DRAWDOWN_EXCEEDED", "0.1", "0.1")]


def test_an_expired_model_opens_nothing_in_the_session_and_the_order_that_waits_is_refused_at_the_open() -> None:
    ends = SESSION
    (refused,) = place(prediction(model_expires_on=ends), "", account(), circumstances(FREE)).events
    assert isinstance(refused, Refused)
    assert (refused.code, refused.value) == ("MODEL_EXPIRED", "session 2009-01-05")
    made = place(prediction(model_expires_on=ends + timedelta(days=1)), "", account(), circumstances(FREE))
    (order,) = made.events
    assert isinstance(order, OrderQueued)
    # A model that was declared to end earlier meanwhile: what the order says decides.
    book = fold([*made.events], account())
    book.queued[order.order_id] = replace_fact(order, model_expires_on=ends)
    opened = open_session(book, circumstances(FREE, now=OPEN), Opening(SESSION, {"AAA": Decimal(50)}, []))
    (late,) = [event for event in opened.events if isinstance(event, (Refused, OrderCancelled, OrderFilled))]
    assert isinstance(late, Refused)
    assert (late.code, late.stage) == ("MODEL_EXPIRED", "open")
