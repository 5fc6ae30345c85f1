"""What becomes of a held share, and of the others, when a source restates, halts or says what cannot be."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from bellwether.messages.market_data import Freshness
from harness import csv_bars
from integration.scheduling.floor import AFTER_IT, BEFORE_IT, CLOSE, DAY, HOUR, Floor, floor, present
from integration.trading.peers import CALENDAR

pytestmark = pytest.mark.integration

THIRD = date(2026, 1, 7)
ONE_DAY = timedelta(days=1)


def restate(one: Floor, price: float, *rows: tuple[date, float, float]) -> None:
    """Write the file of AAA with all rows through the first day at one price, and rows after it."""
    csv_bars.write(one.bars, "AAA", CALENDAR, DAY, price=price)
    for day, opening, closing in rows:
        one.arrive("AAA", opening, closing, day)


async def test_shares_are_doubled_once_when_all_earlier_rows_read_half(tmp_path: Path) -> None:
    async with floor(tmp_path, present()) as one:
        quantity = await one.hold()
        restate(one, 25, (AFTER_IT, 25, 26))
        await one.at(CLOSE + ONE_DAY)
        position = await one.position()
        assert (position.quantity, position.market_price) == (2 * quantity, Decimal(26))
        restate(one, 25, (AFTER_IT, 25, 26), (THIRD, 26, 27))
        await one.at(CLOSE + 2 * ONE_DAY)
        position = await one.position()
        assert (position.quantity, position.market_price) == (2 * quantity, Decimal(27))


async def test_shares_are_doubled_when_history_is_restated_after_the_open_of_the_split(tmp_path: Path) -> None:
    async with floor(tmp_path, present()) as one:
        quantity = await one.hold()
        one.arrive("AAA", 25, 26, AFTER_IT)
        await one.at(CLOSE + ONE_DAY)
        assert (await one.position()).quantity == quantity
        restate(one, 25, (AFTER_IT, 25, 26), (THIRD, 26, 27))
        await one.at(CLOSE + 2 * ONE_DAY)
        position = await one.position()
        assert (position.quantity, position.market_price) == (2 * quantity, Decimal(27))


async def test_a_day_of_volume_0_with_four_equal_prices_fills_nothing(tmp_path: Path) -> None:
    async with floor(tmp_path, present()) as one:
        await one.signal("AAA", "BBB")
        with (one.bars / "AAA.csv").open("a") as file:
            file.write(f"{DAY},50,50,50,50,50,0\n")
        one.arrive("BBB", 50, 51)
        await one.at(CLOSE + 2 * HOUR)
        orders = await one.orders()
        assert [orders[symbol].status for symbol in ("AAA", "BBB")] == ["cancelled", "filled"]
        assert "NO_OPENING_PRICE" in (orders["AAA"].refusal or "")


async def test_a_price_of_a_hundredth_is_not_traded_on_and_the_other_share_goes_on(tmp_path: Path) -> None:
    async with floor(tmp_path, present()) as one:
        quantity = await one.hold()
        one.arrive("AAA", 0.5, 0.5, AFTER_IT)
        one.arrive("BBB", 50, 51)
        one.arrive("BBB", 51, 52, AFTER_IT)
        await one.at(CLOSE + ONE_DAY + 2 * HOUR)
        position = await one.position()
        assert (position.quantity, position.market_price) == (quantity, Decimal(50))
        fresh = await one.system.call("market-data", "get_freshness", None, Freshness, as_of=CLOSE + ONE_DAY + 2 * HOUR)
        reported = {row.symbol: row for row in fresh.symbols}
        assert reported["BBB"].fresh
        assert not reported["AAA"].fresh
        assert "AAA.csv, line" in reported["AAA"].problem


async def test_dates_of_another_exchange_hold_one_share_back_with_words(tmp_path: Path) -> None:
    async with floor(tmp_path, present()) as one:
        file = one.bars / "AAA.csv"
        header, *rows = file.read_text().splitlines()
        moved = [f"{date.fromisoformat(row[:10]) - ONE_DAY}{row[10:]}" for row in rows]
        file.write_text("\n".join([header, *moved]) + "\n")
        one.arrive("BBB", 50, 51)
        await one.signal("BBB")
        await one.at(CLOSE)
        assert (await one.orders())["BBB"].status == "filled"
        health = await one.system.call("market-data", "health")
        assert health["status"] == "degraded"
        assert "days are no sessions of XNYS" in health["held_back"]["AAA"]
        assert BEFORE_IT < DAY
