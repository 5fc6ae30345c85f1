"""What a broker's positions and money prove."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from bellwether.broker.values import Adjustment, BrokerAccount, BrokerPosition
from bellwether.messages.trading import Side
from bellwether.trading.book import fold
from bellwether.trading.events import AccountOpened, Adjusted, LedgerEvent, Transferred
from bellwether.trading.recording import adjusted, blocked_by, cash_words, proof, stated, unexplained

NOW = datetime(2026, 11, 30, 23, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("side", "leaves", "ledger", "broker", "found"),
    [
        ("BUY", 10, 5, 15, ("filled", 10)),
        ("BUY", 10, 5, 5, ("nothing", 0)),
        ("BUY", 10, 5, 8, ("filled", 3)),
        ("BUY", 10, 5, 16, ("unproven", 0)),
        ("BUY", 10, 5, 4, ("unproven", 0)),
        ("SELL", 10, 10, 0, ("filled", 10)),
        ("SELL", 10, 10, 10, ("nothing", 0)),
        ("SELL", 10, 10, -2, ("unproven", 0)),
    ],
)
def test_positions_prove_an_order_filled_or_not_or_nothing(
    side: Side, leaves: int, ledger: int, broker: int, found: tuple[str, int]
) -> None:
    reported = proof(side, Decimal(leaves), Decimal(ledger), Decimal(broker), partial=True)
    assert (reported[0], int(reported[1])) == found


def test_a_part_proves_nothing_of_an_order_for_all_or_nothing() -> None:
    assert proof("BUY", Decimal(10), Decimal(0), Decimal(3), partial=False)[0] == "unproven"


def test_money_that_moved_becomes_events_and_realised_profit_does_not() -> None:
    reported = [
        Adjustment("1", NOW, "funding", Decimal("-1.20"), "CBA.AX", "CBA Ltd Interest"),
        Adjustment("2", NOW, "realised", Decimal(50), "CBA.AX"),
        Adjustment("3", NOW, "transfer", Decimal(1000)),
    ]
    events = adjusted(reported)
    assert [type(one) for one in events] == [Adjusted, Transferred]
    assert [one.key for one in events] == ["adjustment:1", "transfer:3"]


def test_money_is_compared_from_where_both_began_whatever_a_position_cost() -> None:
    opened: list[LedgerEvent] = [AccountOpened(NOW, Decimal(10000), "AUD")]
    first = stated(BrokerAccount("AUD", Decimal(50000), Decimal(50000)), [], NOW)
    book = fold([*opened, first])
    assert unexplained(book, first) == 0
    funding = Adjusted(NOW, "1", "funding", Decimal(-2), "CBA.AX", "Interest")
    later = NOW + timedelta(minutes=15)
    reported = stated(BrokerAccount("AUD", Decimal(49998), Decimal(49000), Decimal(200)), [], later)
    assert unexplained(fold([funding], book), reported) == 0
    missing = stated(BrokerAccount("AUD", Decimal(49990), Decimal(49000)), [BrokerPosition("X", Decimal(0))], later)
    assert unexplained(fold([funding], book), missing) == -8
    assert "differs from the ledger's by -8" in cash_words(Decimal(-8))
    assert cash_words(Decimal("0.99")) == ""


def test_money_blocks_every_symbol_and_positions_say_more() -> None:
    found = blocked_by({"A": "A: ledger 0, broker 3"}, {"B": "order x is unknown"}, "money", ["A", "B", "C"])
    assert found == {"A": "A: ledger 0, broker 3", "B": "order x is unknown", "C": "money"}
