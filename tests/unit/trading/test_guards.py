from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bellwether.messages.sentiment import Headline
from bellwether.trading.codes import Code, code_table
from bellwether.trading.guards import GUARDS, judge
from bellwether.trading.pricing import quote
from bellwether.trading.rules import Rules, Veto
from bellwether.trading.situation import Candidate, Circumstances, News, Novelty, Quality, Situation
from unit.trading.making import BEFORE_OPEN, CLOSE, RULES, SESSION, circumstances

AT_OPEN_ONLY = {
    Code.NO_OPENING_PRICE,
    Code.ORDER_EXPIRED,
    Code.NOT_APPROVED,
    Code.BROKER_CANCELLED,
    Code.CANCELLED_BY_HAND,
}
"""Cancellations: what happened, not what a guard judges."""


def situation(**changes: Any) -> Situation:
    made = Situation(
        circumstances=circumstances(),
        reason="signal",
        symbol="AAA",
        side="BUY",
        price=Decimal(50),
        may_trade=True,
        valid_until=CLOSE,
        held=Decimal(0),
        held_value=Decimal(0),
        queued_sides=frozenset(),
        cash=Decimal(100000),
        session_orders=0,
        loss=Decimal(0),
    )
    return msgspec.structs.replace(made, **changes)


def under(**changes: Any) -> Circumstances:
    rules: Rules = replace(RULES, **changes)
    return circumstances(rules)


def order(quantity: int, found: Situation) -> Candidate:
    shares = Decimal(quantity)
    return Candidate(found.side, shares, quote(found.side, shares, found.price, found.rules))


POOR = Quality(Decimal("62.5"), ("missing_sessions", "stale"))
UNMEASURED = Quality()
VETO = Veto(Decimal("0.4"), Decimal("0.5"), timedelta(hours=48))


def headline(hours: float, score: float = -0.8, title: str = "AAA sued for fraud") -> Headline:
    at = BEFORE_OPEN - timedelta(hours=hours)
    return Headline("ab", title, "Wire", at, at, score)


def news(score: str = "-0.6", confidence: str = "0.7", *bad: Headline) -> News:
    return News(Decimal(score), Decimal(confidence), bad or (headline(1),))


FULL = replace(circumstances(), volume_percent=93.5)
CASES: list[tuple[Code, dict[str, Any], int, str, str]] = [
    (Code.NO_REAL_PRICE, {"price": Decimal(0)}, 1, "0", "more than 0"),
    (Code.NOT_FOR_TRADING, {"may_trade": False}, 1, "may_trade=false", "may_trade=true"),
    (Code.TRADING_OFF, {"circumstances": under(mode="off")}, 1, "off", "trading.mode simulated"),
    (Code.HALTED, {"circumstances": circumstances(halts=("cli: lunch",))}, 1, "cli: lunch", "no halt"),
    (Code.UNKNOWN_SYMBOL, {"symbol": "ZZZ"}, 1, "ZZZ", "one of AAA, BBB, CCC"),
    (
        Code.QUALITY_TOO_LOW,
        {"circumstances": under(min_quality=Decimal(70)), "quality": POOR},
        1,
        "62.5 (missing_sessions, stale)",
        "70",
    ),
    (
        Code.QUALITY_UNKNOWN,
        {"circumstances": under(min_quality=Decimal(70)), "quality": UNMEASURED},
        1,
        "unknown",
        "a score of at least 70",
    ),
    (
        Code.NEWS_VETO,
        {"circumstances": under(veto=VETO), "news": news()},
        1,
        '"AAA sued for fraud" (Wire, 2009-01-05 13:15Z); news -0.6, confidence 0.7',
        "news above -0.4, or confidence below 0.5",
    ),
    (
        Code.DATA_STALE,
        {"circumstances": replace(circumstances(), expected=SESSION), "bar_session": date(2009, 1, 2)},
        1,
        "bar of 2009-01-02",
        "bar of 2009-01-05",
    ),
    (
        Code.BROKER_UNRECONCILED,
        {"circumstances": replace(circumstances(), unreconciled={"AAA": "AAA: ledger 3, broker 4"})},
        1,
        "AAA: ledger 3, broker 4",
        "the broker confirms the ledger's position",
    ),
    (
        Code.PREDICTION_EXPIRED,
        {"circumstances": circumstances(now=CLOSE + timedelta(seconds=1))},
        1,
        "2009-01-05T21:00:01+00:00",
        "2009-01-05T21:00:00+00:00",
    ),
    (
        Code.MODEL_EXPIRED,
        {"session": SESSION, "model_expires_on": SESSION},
        1,
        "session 2009-01-05",
        "a session before 2009-01-05",
    ),
    (
        Code.INPUTS_UNLIKE_TRAINING,
        {"circumstances": under(max_novelty=Decimal("1.5")), "novelty": Novelty(1.52)},
        1,
        "1.52",
        "at most 1.5",
    ),
    (
        Code.INPUTS_UNLIKE_TRAINING,
        {"circumstances": under(max_novelty=Decimal("1.5")), "novelty": Novelty()},
        1,
        "unknown",
        "at most 1.5",
    ),
    (
        Code.EXIT_RULE_OFF,
        {"reason": "sell_signal", "side": "SELL", "held": Decimal(3), "circumstances": under(exit_on_sell=False)},
        3,
        "SELL",
        "trading.exit.onSell true",
    ),
    (Code.NOTHING_TO_SELL, {"reason": "sell_signal", "side": "SELL"}, 1, "0", "at least 1 share held"),
    (Code.MORE_THAN_HELD, {"reason": "manual", "side": "SELL", "held": Decimal(3)}, 4, "4", "3"),
    (Code.ALREADY_HELD, {"held": Decimal(7)}, 1, "7", "0 shares held"),
    (Code.ALREADY_QUEUED, {"queued_sides": frozenset({"BUY"})}, 1, "BUY queued", "no queued order of this side"),
    (Code.QUANTITY_TOO_SMALL, {}, 0, "0", "1"),
    (Code.ORDERS_PER_SESSION_EXCEEDED, {"session_orders": 10}, 1, "11", "10"),
    (Code.DAILY_LOSS_EXCEEDED, {"loss": Decimal("5000.5")}, 1, "5000.5", "5000"),
    (Code.VOLUME_FULL, {"circumstances": FULL}, 1, "93.5 % full", "below 92 %"),
    (
        Code.DRAWDOWN_EXCEEDED,
        {"drawdown": Decimal("0.21"), "circumstances": under(max_drawdown=Decimal("0.2"))},
        1,
        "0.21",
        "0.2",
    ),
    (
        Code.PRICE_OUT_OF_BAND,
        {"sized_by": Decimal(100), "circumstances": under(price_band=Decimal("0.2"))},
        1,
        "50, 0.5 from 100",
        "0.2",
    ),
    (
        Code.TURNOVER_EXCEEDED,
        {"turnover": Decimal(960), "circumstances": under(max_turnover=Decimal(1000))},
        1,
        "1010.025",
        "1000",
    ),
    (
        Code.GROSS_EXPOSURE_EXCEEDED,
        {"exposure": Decimal(960), "circumstances": under(max_gross_exposure=Decimal(1000))},
        1,
        "1010.025",
        "1000",
    ),
    (Code.POSITION_VALUE_EXCEEDED, {"reason": "manual", "held_value": Decimal(24990)}, 1, "25040.025", "25000"),
    (Code.INSUFFICIENT_CASH, {"cash": Decimal(55)}, 1, "55.075", "55"),
]


@pytest.mark.parametrize(("code", "changes", "quantity", "value", "limit"), CASES, ids=[one[0].name for one in CASES])
def test_each_guard_refuses_with_code_value_and_limit(
    code: Code, changes: dict[str, Any], quantity: int, value: str, limit: str
) -> None:
    found = situation(**changes)
    verdict = judge(found, order(quantity, found))
    assert (verdict.code, verdict.objection.value, verdict.objection.limit) == (code, value, limit)
    codes = [listed.code for listed in GUARDS]
    assert list(verdict.passed) == [one.name for one in codes[: codes.index(code)]]


def test_every_code_of_a_guard_has_a_case_and_every_code_a_guard_or_a_cancellation() -> None:
    assert {one[0] for one in CASES} == {listed.code for listed in GUARDS} == set(Code) - AT_OPEN_ONLY


def test_an_order_within_all_limits_passes_every_guard() -> None:
    found = situation()
    assert judge(found, order(10, found)).code is None
    assert judge(found, None).passed == tuple(listed.code.name for listed in GUARDS)


@pytest.mark.parametrize(
    ("changes", "quantity"),
    [
        ({"loss": Decimal("4999.99")}, 1),
        ({"session_orders": 9}, 1),
        ({"cash": Decimal("55.075")}, 1),
        ({"circumstances": circumstances(now=CLOSE)}, 1),
        ({"reason": "manual", "held": Decimal(7), "queued_sides": frozenset({"BUY"})}, 1),
        ({"symbol": "ZZZ", "side": "SELL", "reason": "horizon", "held": Decimal(7), "valid_until": None}, 7),
        ({"side": "SELL", "reason": "sell_signal", "held": Decimal(7), "loss": Decimal(9999), "cash": Decimal(0)}, 7),
        ({"circumstances": replace(circumstances(), expected=SESSION), "bar_session": SESSION}, 1),
        ({"circumstances": replace(circumstances(), expected=SESSION)}, 1),
        ({"session": SESSION, "model_expires_on": SESSION + timedelta(days=1)}, 1),
        ({"novelty": Novelty(99.0)}, 1),
        ({"novelty": Novelty(1.5), "circumstances": under(max_novelty=Decimal("1.5"))}, 1),
        ({"circumstances": under(max_novelty=Decimal("1.5"))}, 1),
        (
            {
                "novelty": Novelty(9.0),
                "circumstances": under(max_novelty=Decimal("1.5")),
                "side": "SELL",
                "reason": "manual",
                "held": Decimal(7),
            },
            7,
        ),
        (
            {"session": SESSION, "model_expires_on": SESSION, "side": "SELL", "reason": "manual", "held": Decimal(7)},
            7,
        ),
        (
            {
                "circumstances": replace(circumstances(), expected=SESSION),
                "bar_session": date(2009, 1, 2),
                "side": "SELL",
                "reason": "manual",
                "held": Decimal(7),
            },
            7,
        ),
    ],
    ids=[
        "just below the loss",
        "last order",
        "exact cash",
        "last instant",
        "by hand",
        "removed symbol",
        "sell at loss",
        "newest bar",
        "opening price",
        "the model's last day",
        "unlike without a limit",
        "unlike by just the limit",
        "no prediction asks",
        "sell on unlike inputs",
        "sell after the model's end",
        "sell on old bars",
    ],
)
def test_what_lies_just_inside_a_limit_passes(changes: dict[str, Any], quantity: int) -> None:
    found = situation(**changes)
    assert judge(found, order(quantity, found)).code is None


def test_a_loss_limit_of_zero_stops_openings_at_any_loss_and_not_without_one() -> None:
    nothing_lost = situation(circumstances=under(max_daily_loss=Decimal(0)))
    assert judge(nothing_lost, None).code is None
    assert judge(msgspec.structs.replace(nothing_lost, loss=Decimal("0.01")), None).code is Code.DAILY_LOSS_EXCEEDED


def test_a_volume_that_is_nearly_full_stops_openings_and_no_sale() -> None:
    sale = situation(circumstances=FULL, side="SELL", reason="manual", held=Decimal(5))
    assert judge(sale, order(5, sale)).code is None
    room = situation(circumstances=replace(FULL, volume_percent=91.9))
    assert judge(room, order(1, room)).code is None


def test_the_table_of_codes_is_the_enum() -> None:
    lines = code_table().splitlines()
    assert [line.split("`")[1] for line in lines[2:]] == [code.name for code in Code]


@pytest.mark.parametrize(
    "found",
    [
        None,
        news("-0.39"),
        news("0.6"),
        news("-0.6", "0.49"),
        news("-0.6", "0.7", headline(49)),
    ],
    ids=["no news", "not bad enough", "good", "not sure enough", "not fresh"],
)
def test_news_that_is_not_negative_confident_and_fresh_refuses_nothing(found: News | None) -> None:
    before = situation(circumstances=under(veto=VETO), news=found)
    assert judge(before, order(1, before)).code is None


def test_bad_news_refuses_no_sale_and_nothing_without_a_declared_veto() -> None:
    sale = situation(circumstances=under(veto=VETO), news=news(), side="SELL", reason="sell_signal", held=Decimal(5))
    assert judge(sale, order(1, sale)).code is None
    off = situation(news=news())
    assert judge(off, order(1, off)).code is None


def test_the_worst_headline_that_is_fresh_is_named() -> None:
    found = news("-0.6", "0.7", headline(60, -0.9, "old"), headline(3, -0.5, "bad"), headline(2, -0.7, "worse"))
    before = situation(circumstances=under(veto=VETO), news=found)
    assert judge(before, None).objection.value.startswith('"worse" (Wire')
