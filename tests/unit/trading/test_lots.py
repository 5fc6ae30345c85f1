from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from bellwether.messages.trading import Side
from bellwether.trading.events import LedgerEvent, OrderFilled, PositionSplit
from bellwether.trading.lots import LOT_COLUMNS, TRADE_COLUMNS, Lot, anniversary, lot_rows, lots_of, trade_rows

AT = datetime(2024, 2, 1, tzinfo=UTC)


def fill(
    side: Side, quantity: int, price: str, session: date, order_id: str = "o", *, commission: str = "0"
) -> OrderFilled:
    shares = Decimal(quantity)
    return OrderFilled(AT, order_id, "AAA", side, shares, Decimal(price), Decimal(commission), Decimal(0), session)


def seen(lot: Lot) -> tuple[str, str, str, str]:
    return lot.bought_by, f"{lot.quantity:f}", f"{lot.cost:f}", f"{lot.proceeds:f}"


def test_shares_leave_first_in_first_out_and_a_sale_takes_parts_of_several_lots() -> None:
    events: list[LedgerEvent] = [
        fill("BUY", 10, "10", date(2023, 1, 3), "a", commission="5"),
        fill("BUY", 10, "20", date(2023, 6, 1), "b", commission="5"),
        fill("SELL", 15, "30", date(2024, 2, 1), "c", commission="6"),
    ]
    first, second, rest = lots_of(events)
    assert seen(first) == ("a", "10", "105", "296.00")
    assert first.gain == 191
    assert seen(second) == ("b", "5", "102.50", "148.00")
    assert (seen(rest), rest.disposed) == (("b", "5", "102.50", "0"), None)
    assert first.proceeds + second.proceeds == 15 * 30 - 6


@pytest.mark.parametrize(
    ("sold", "held"),
    [(date(2024, 1, 3), False), (date(2024, 1, 4), True), (date(2023, 12, 29), False)],
)
def test_twelve_months_leave_out_the_days_of_purchase_and_sale(sold: date, held: bool) -> None:
    (lot,) = lots_of([fill("BUY", 1, "10", date(2023, 1, 3)), fill("SELL", 1, "11", sold)])
    assert lot.held_12_months() is held


def test_a_leap_day_has_its_anniversary_on_the_28th() -> None:
    assert anniversary(date(2024, 2, 29)) == date(2025, 2, 28)


def test_a_split_keeps_cost_and_date_and_a_fraction_is_taken_from_the_oldest_lot() -> None:
    split = PositionSplit(
        AT, "AAA", date(2023, 3, 1), Decimal("1.5"), Decimal(22), Decimal(0), Decimal(7), Decimal("3.50"), Decimal(0)
    )
    events: list[LedgerEvent] = [
        fill("BUY", 5, "10", date(2023, 1, 3), "a"),
        fill("BUY", 10, "10", date(2023, 2, 1), "b"),
        split,
    ]
    paid, oldest, newest = lots_of(events)
    assert (paid.quantity, paid.proceeds, paid.bought_by) == (Decimal("0.5"), Decimal("3.50"), "a")
    assert (oldest.quantity, oldest.acquired) == (Decimal(7), date(2023, 1, 3))
    assert oldest.cost + paid.cost == 50
    assert (newest.quantity, newest.cost) == (Decimal(15), Decimal(100))


def test_more_sold_than_bought_is_refused() -> None:
    with pytest.raises(ValueError, match="c disposes of 3 shares, 1 more than were bought"):
        lots_of([fill("BUY", 2, "10", date(2023, 1, 3)), fill("SELL", 3, "11", date(2023, 2, 1), "c")])


def test_rows_fit_their_columns() -> None:
    events: list[LedgerEvent] = [fill("BUY", 2, "10.5", date(2023, 1, 3), "a", commission="5")]
    (trade,) = trade_rows(events)
    assert dict(zip(TRADE_COLUMNS, trade, strict=True))["value"] == "21.00"
    (lot,) = lot_rows(lots_of(events), date(2024, 1, 4))
    row = dict(zip(LOT_COLUMNS, lot, strict=True))
    assert (row["disposed"], row["gain"], row["held_12_months"], row["cost"]) == ("", "", "yes", "26.00")
