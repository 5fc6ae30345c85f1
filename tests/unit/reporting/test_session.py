from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from bellwether.messages.canonical import canonical_bytes
from bellwether.messages.reporting import Idle, SessionDecisions, SessionReport, SessionRows
from bellwether.reporting.judging import judge
from bellwether.reporting.session import compose
from bellwether.reporting.session_text import session_lines
from unit.reporting.rows import book, outcome_day, rows


def test_the_report_says_what_became_of_every_declared_symbol() -> None:
    found = {one.symbol: one.became for one in compose(rows()).predictions}
    assert found == {
        "AAPL": "BUY 100, filled",
        "MSFT": "refused, NOTHING_TO_SELL: the symbol is not held (value 0, limit 1)",
        "IBM": "not predicted: NO_BARS: there are none",
    }


def test_refusals_are_those_of_the_ledger_and_those_that_left_no_order_behind_by_time() -> None:
    found = [(one.symbol, one.code, one.meaning) for one in compose(rows()).refusals]
    assert found == [
        ("MSFT", "NOTHING_TO_SELL", "the symbol is not held"),
        ("IBM", "INSUFFICIENT_CASH", "cash does not pay"),
    ]


def test_the_account_is_that_of_the_close_and_its_change_since_the_close_before() -> None:
    account = compose(rows()).account
    assert (account.equity, account.change, account.change_rate) == (Decimal(100500), Decimal(500), 0.005)
    waiting = compose(rows(book=book(close=None))).account
    assert (waiting.closed, waiting.equity, waiting.change) == (False, Decimal(100000), None)
    first = compose(rows(book=book(before=None))).account
    assert first.change == Decimal(500), "the first session is compared with the initial cash"


def test_a_session_without_orders_names_its_reasons_the_most_frequent_first() -> None:
    report = compose(rows(book=book(idle=Idle(4, {"HOLD": 3, "NOTHING_TO_SELL": 13}))))
    assert [(one.code, one.count) for one in report.idle_reasons] == [("NOTHING_TO_SELL", 13), ("HOLD", 3)]
    lines = session_lines(report)
    start = lines.index("No orders for 4 sessions, and why")
    assert lines[start + 1] == "  13 times NOTHING_TO_SELL: the symbol is not held"
    assert lines[start + 2].startswith("  3 times HOLD: the prediction was HOLD")
    assert compose(rows(book=book(idle=Idle(2, {})))).idle_reasons[0].code == "NO_BATCH"


def test_the_text_names_slots_quality_and_news() -> None:
    text = "\n".join(session_lines(compose(rows())))
    for wanted in (
        "audit-20090105: missed",
        "Data quality, 90 of 100",
        "MSFT: 80, one bar is late",
        "IBM: unknown, NO_BARS",
        'AAPL: -0.40, confidence 0.70: "Apple recalls <everything>" (Wire, -0.60)',
        "2009-01-05 BUY 100 AAPL, signal: filled at 93.1700, commission 5.00",
        "AAPL: BUY (p 0.560, base rate 0.520), the close rose",
    ):
        assert wanted in text


def test_rows_read_from_disk_compose_to_the_same_bytes() -> None:
    made = rows()
    stored = msgspec.json.decode(canonical_bytes(made), type=SessionRows)
    assert canonical_bytes(compose(stored)) == canonical_bytes(compose(made))
    assert msgspec.json.decode(canonical_bytes(compose(made)), type=SessionReport) == compose(made)


def test_the_base_hit_rate_is_that_of_the_same_signals_at_the_share_of_rises() -> None:
    days = [outcome_day(n, decisions=10, rose=6, buys=3, buys_rose=2, sells=1, sells_rose=0) for n in range(40)]
    found = judge(days, [], 5)
    assert (found.signals, found.hits) == (160, 120)
    assert found.hit_rate.value == 0.75
    assert found.base_hit_rate == pytest.approx((3 * 0.6 + 1 * 0.4) / 4)
    assert found.difference.value == pytest.approx(0.2)
    assert found.hit_rate.method == "bootstrap over blocks of 5 sessions"


def test_what_cannot_be_judged_says_so() -> None:
    nothing = compose(rows(decided=SessionDecisions([], [], [], []))).judgement
    assert (nothing.hit_rate.value, nothing.brier) == (None, None)
    assert nothing.hit_rate.undefined == "no decision has come to its horizon yet"
    still = judge([outcome_day(1, buys=0, buys_rose=0, sells=0)], [], 5)
    assert still.hit_rate.undefined == "no decision was a BUY or a SELL"
    few = judge([outcome_day(1)], [], 5)
    assert few.hit_rate.method == "Wilson, as if all were independent"
    assert few.difference.low is None
    assert "not defined" in few.difference.undefined
