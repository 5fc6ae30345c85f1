from __future__ import annotations

import re
import xml.etree.ElementTree as Tree
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bellwether.messages.canonical import canonical_bytes
from bellwether.messages.trading import EquityPoint
from bellwether.reporting.page import lines, replay_page, ticks
from bellwether.reporting.replay import ReplayReport, ReplayRows, compose_replay, hold_curve, plain
from unit.reporting.rows import DAY, order, outcome_day

DAYS = [DAY + timedelta(days=number) for number in range(60)]


def replay_rows(**changes: Any) -> ReplayRows:
    equity = [
        EquityPoint(day, Decimal(80000), Decimal(20000 + 100 * (number % 7)), Decimal(100000 + 100 * (number % 7)))
        for number, day in enumerate(DAYS)
    ]
    made = ReplayRows(
        system="<banks>",
        calendar="XNYS",
        currency="USD",
        initial_cash=Decimal(100000),
        symbols=["AAPL", "MSFT"],
        equity=equity,
        hold=[(day, 100000.0 + number) for number, day in enumerate(DAYS)],
        orders=[
            order(),
            order(order_id="o-2", side="SELL", reason="horizon", fill_price=Decimal("95.00")),
            order(order_id="o-3", status="cancelled", fill_price=None, commission=None),
        ],
        dividends={"AAPL": Decimal("12.50")},
        held={},
        refusals={"ALREADY_HELD": 3, "NOTHING_TO_SELL": 9},
        meanings={"ALREADY_HELD": "held already", "NOTHING_TO_SELL": "not held"},
        actions={"BUY": 3, "HOLD": 7},
        days=[outcome_day(number) for number in range(30)],
        bins=[],
        by_symbol={},
        decisions=[],
        reasons={},
        horizon=5,
        assumptions=[("fills", "at the opening price")],
    )
    return replace(made, **changes)


def test_gain_costs_exposure_and_turnover_follow_from_the_fills() -> None:
    report = compose_replay(replay_rows())
    apple = report.symbols[0]
    assert apple.gain == Decimal(100) * (Decimal("95.00") - Decimal("93.17")) + Decimal("12.50") - 10
    assert (apple.trades, report.commission) == (2, Decimal("10.00"))
    assert report.orders == {"cancelled": 1, "filled": 2}
    assert report.exposure.value == pytest.approx(0.202, abs=0.001)
    assert report.turnover.value == pytest.approx((9317 + 9500) / 2 / 100290 * 252 / 60, rel=0.001)
    assert [(one.code, one.count) for one in report.refusals] == [("NOTHING_TO_SELL", 9), ("ALREADY_HELD", 3)]
    assert ("HOLD", 7, 0.7) in report.actions
    assert [one.why for one in report.trades] == [
        "signal",
        "the horizon of the decision that opened the position is over",
    ]


def test_the_report_is_read_back_from_its_json_and_is_the_same_each_time() -> None:
    report = compose_replay(replay_rows())
    assert msgspec.convert(plain(report), ReplayReport, strict=False) == report
    assert canonical_bytes(compose_replay(replay_rows())) == canonical_bytes(report)


def test_the_page_asks_nothing_of_anybody_and_every_link_leads_somewhere() -> None:
    page = replay_page(compose_replay(replay_rows()))
    assert not re.search(r"https?:|src=|url\(|<script|@import|<link rel=\"(?!icon)", page)
    assert "default-src 'none'" in page
    assert "<banks>" not in page
    assert "&lt;banks&gt;" in page
    links, names = set(re.findall(r'href="#([^"]+)"', page)), set(re.findall(r' id="([^"]+)"', page))
    assert links <= names
    for drawn in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        Tree.fromstring(drawn)  # noqa: S314


def test_what_is_undefined_is_written_in_words() -> None:
    page = replay_page(compose_replay(replay_rows()))
    assert "not defined: the returns do not vary" in page, "cash has no Sharpe ratio"
    empty = replay_page(compose_replay(replay_rows(equity=[], hold=[], orders=[], actions={}, refusals={}, days=[])))
    for words in (
        "not defined: there is no session",
        "Equity at each close: not defined, it takes two sessions.",
        "No guard refused anything.",
        "Nothing was traded.",
        "Not defined: no decision has come to its horizon yet.",
    ):
        assert words in empty


def test_buy_and_hold_keeps_the_last_price_where_a_bar_is_missing() -> None:
    closes = {"A": {DAYS[0]: 11.0, DAYS[2]: 12.0}, "B": {DAYS[1]: 40.0}}
    found = hold_curve({"A": 10.0, "B": 20.0}, closes, DAYS[:3], 1000.0)
    assert [value for _, value in found] == pytest.approx([1050.0, 1550.0, 1600.0])


def test_marks_of_an_axis_are_round_and_inside() -> None:
    assert ticks(97_312.0, 108_900.0) == [100_000.0, 105_000.0]
    assert ticks(-0.19, 0.0) == [-0.15, -0.1, -0.05, 0.0]
    assert "not defined" in lines(DAYS[:1], [("a", [1.0])], str, "Equity")
    assert "<svg" in lines(DAYS[:2], [("flat", [5.0, 5.0])], str, "a curve that does not move")
