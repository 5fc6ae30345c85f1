from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from bellwether.trading.book import Book
from bellwether.trading.events import OrderFilled, OrderQueued, SessionMarked
from bellwether.trading.guards import GUARDS
from bellwether.trading.safety import Newest, safety_of
from bellwether.trading.situation import Circumstances, Quality
from unit.trading.making import BEFORE_OPEN, OPEN, RULES, SESSION, account, circumstances

BAR = date(2009, 1, 2)
GOOD = Quality(Decimal(100))
NEWEST = {symbol: Newest(Decimal(50), BAR, GOOD) for symbol in RULES.symbols}


def under(halts: tuple[str, ...] = (), **rules: Any) -> Circumstances:
    return replace(circumstances(replace(RULES, **rules), halts=halts), expected=BAR)


def lost(amount: int) -> Book:
    """Return an account whose equity fell by so much since the previous close."""
    queued = OrderQueued(
        at=BEFORE_OPEN,
        order_id="o-1",
        prediction_id=None,
        reason="manual",
        symbol="AAA",
        side="BUY",
        quantity=Decimal(1000),
        session=SESSION,
        price=Decimal(50),
        valid_until=None,
        model_name="",
        model_version="",
        trace_id="",
        traceparent="",
    )
    filled = OrderFilled(
        at=OPEN,
        order_id="o-1",
        symbol="AAA",
        side="BUY",
        quantity=Decimal(1000),
        price=Decimal(50),
        commission=Decimal(amount),
        realised=Decimal(0),
        session=SESSION,
    )
    return account("100000", queued, filled)


def test_it_is_safe_when_nothing_stands_against_an_order() -> None:
    found = safety_of(account(), under(), NEWEST)
    assert (found.safe, found.refusals) == (True, [])
    assert safety_of(Book(), under(), NEWEST).safe is True


@pytest.mark.parametrize(
    ("book", "held", "code", "words"),
    [
        (account(), under(mode="off"), "TRADING_OFF", "trading.mode is off (found off; limit: trading.mode simulated)"),
        (account(), under(halts=("cli: lunch",)), "HALTED", "(found cli: lunch; limit: no halt)"),
        (lost(5000), under(), "DAILY_LOSS_EXCEEDED", "(found 5000; limit: 5000)"),
    ],
    ids=["off", "halted", "loss"],
)
def test_what_stands_against_every_order_is_reported_once_with_value_limit_and_a_sentence(
    book: Book, held: Circumstances, code: str, words: str
) -> None:
    found = safety_of(book, held, NEWEST)
    assert found.safe is False
    (refusal,) = found.refusals
    assert (refusal.code, refusal.symbol) == (code, "")
    assert words in refusal.message
    # What nobody reported of the prices makes it no safer.
    assert safety_of(book, held, None) == found


def test_it_is_not_safe_after_a_session_that_lost_too_much() -> None:
    closed = SessionMarked(OPEN, SESSION, {}, Decimal(94000), Decimal(0))
    found = safety_of(account("100000", closed), under(), NEWEST)
    assert found.safe is False
    assert [(one.code, one.value) for one in found.refusals] == [("DAILY_LOSS_EXCEEDED", "6000")]


def test_everything_is_reported_and_what_concerns_every_order_first() -> None:
    old = {**NEWEST, "BBB": Newest(Decimal(50), date(2008, 12, 31), GOOD), "CCC": Newest(quality=GOOD)}
    found = safety_of(lost(6000), under(("cli: lunch",), mode="off"), old)
    assert [(one.code, one.symbol) for one in found.refusals] == [
        ("TRADING_OFF", ""),
        ("HALTED", ""),
        ("DAILY_LOSS_EXCEEDED", ""),
        ("DATA_STALE", "BBB"),
        ("NO_REAL_PRICE", "CCC"),
    ]
    assert found.refusals[3].message.startswith("BBB: the symbol's newest bar is older than the one")
    assert (found.refusals[3].value, found.refusals[3].limit) == ("bar of 2008-12-31", "bar of 2009-01-02")


def test_a_refused_symbol_makes_it_unsafe_only_where_no_other_could_be_traded() -> None:
    old = Newest(Decimal(50), date(2008, 12, 31), GOOD)
    some = safety_of(account(), under(), {**NEWEST, "BBB": old, "CCC": Newest(quality=GOOD)})
    assert some.safe is True
    assert [(one.code, one.symbol) for one in some.refusals] == [("DATA_STALE", "BBB"), ("NO_REAL_PRICE", "CCC")]
    every = safety_of(account(), under(), {"AAA": old, "BBB": old})
    assert every.safe is False
    assert [(one.code, one.symbol) for one in every.refusals] == [
        ("DATA_STALE", "AAA"),
        ("DATA_STALE", "BBB"),
        ("NO_REAL_PRICE", "CCC"),
    ]
    # Another share has fresh bars; it is not declared.
    assert safety_of(account(), under(symbols=frozenset({"BBB"})), {**NEWEST, "BBB": old}).safe is False


def test_without_prices_it_is_unknown_whether_it_is_safe() -> None:
    found = safety_of(account(), under(), None)
    assert (found.safe, found.refusals) == (None, [])


def test_while_data_quality_does_not_answer_it_is_unknown_unless_something_else_stands_against_it() -> None:
    unjudged = {symbol: one._replace(quality=Quality(), judged=False) for symbol, one in NEWEST.items()}
    found = safety_of(account(), under(), unjudged)
    assert (found.safe, found.refusals) == (None, [])
    assert safety_of(account(), under(("cli: lunch",)), unjudged).safe is False
    assert safety_of(account(), under(), NEWEST | {"AAA": unjudged["AAA"]}).safe is True
    missing = {symbol: one._replace(judged=True) for symbol, one in unjudged.items()}
    assert safety_of(account(), under(), missing).safe is False


def test_a_full_session_and_a_small_purse_judge_an_order_and_not_the_system() -> None:
    poor = safety_of(account("1"), under(max_orders_per_session=0, sizing_value=Decimal(0)), NEWEST)
    assert poor.safe is True
    assert {listed.code.name for listed in GUARDS if listed.about != "order"} == {
        "TRADING_OFF",
        "HALTED",
        "DAILY_LOSS_EXCEEDED",
        "VOLUME_FULL",
        "QUALITY_UNKNOWN",
        "QUALITY_TOO_LOW",
        "NO_REAL_PRICE",
        "DATA_STALE",
        "BROKER_UNRECONCILED",
        "DRAWDOWN_EXCEEDED",
    }
