"""A share that is taken out of the declaration while it is held, or while an order for it waits."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from bellwether.messages.trading import Order, Side, Trade
from bellwether.naming import DECLARATION_BUCKET, DECLARATION_KEY
from bellwether.runtime.declaration import encode_declaration
from bellwether.runtime.errors import RpcError
from harness import csv_bars
from harness.replayed import until
from harness.until import DEADLINE
from integration.scheduling.floor import AFTER_IT, BEFORE_IT, CLOSE, DAY, MINUTE, OPEN, Floor, floor, present
from integration.trading.peers import CALENDAR

pytestmark = pytest.mark.integration

THIRD = date(2026, 1, 7)
ONE_DAY = timedelta(days=1)


async def declare(one: Floor, *symbols: str) -> None:
    """Declare these symbols, and wait until every service has them."""
    before = one.system.declaration
    assert before is not None
    spec = before.spec.model_copy(update={"symbols": list(symbols)})
    metadata = before.metadata.model_copy(update={"generation": 2})
    after = before.model_copy(update={"spec": spec, "metadata": metadata})
    await one.system.context.bus.kv_put(DECLARATION_BUCKET, DECLARATION_KEY, encode_declaration(after))

    async def acknowledged() -> bool:
        bars = await one.system.call("market-data", "health")
        others = [await one.system.call(peer, "health") for peer in ("paper-trading", "scheduler")]
        return bars["symbols"] == len(symbols) and all(other["generation"] == 2 for other in others)

    await until(acknowledged, DEADLINE)


async def by_hand(one: Floor, side: Side, quantity: Decimal) -> Order:
    wish = {"symbol": "AAA", "action": side, "quantity": str(quantity), "client_id": f"by hand {side}"}
    found: Order = (await one.system.call("paper-trading", "execute_trade", wish, Trade, as_of=one.clock.now())).order
    return found


async def holding(one: Floor) -> None:
    """Buy AAA at 50 on the first day, and close that day."""
    await one.signal("AAA")
    one.arrive("AAA", 50, 51)
    await one.at(CLOSE)
    assert (await one.position()).market_price == 51


async def test_its_price_is_followed_and_the_exit_rule_sells_it(tmp_path: Path) -> None:
    async with floor(tmp_path, present(), trading={"exit": {"horizonSessions": 2}}) as one:
        await holding(one)
        await declare(one, "BBB")
        one.arrive("AAA", 52, 55, AFTER_IT)
        await one.at(CLOSE + ONE_DAY)
        assert (await one.position()).market_price == 55
        leaving = (await one.orders())["-AAA"]
        assert (leaving.status, leaving.session) == ("queued", THIRD)
        await one.at(CLOSE + 2 * ONE_DAY)
        assert (await one.orders())["-AAA"].status == "queued"
        one.arrive("AAA", 56, 57, THIRD)
        await one.at(CLOSE + 2 * ONE_DAY + 5 * MINUTE)
        sold = (await one.orders())["-AAA"]
        assert (sold.status, sold.fill_price) == ("filled", Decimal(56))
        assert await one.positions() == []


async def test_it_is_sold_by_hand_and_not_bought_again_also_after_a_restart(tmp_path: Path) -> None:
    clock = present()
    async with floor(tmp_path, clock) as one:
        await holding(one)
    async with floor(tmp_path, clock, symbols=["BBB"]) as one:
        quantity = (await one.position()).quantity
        more = await by_hand(one, "BUY", Decimal(1))
        assert more.refusal == "UNKNOWN_SYMBOL: value=AAA limit=one of BBB"
        assert (await by_hand(one, "SELL", quantity)).status == "queued"
        one.arrive("AAA", 53, 54, AFTER_IT)
        await one.at(CLOSE + ONE_DAY)
        sold = (await one.orders())["-AAA"]
        assert (sold.status, sold.fill_price) == ("filled", Decimal(53))


async def test_an_order_to_buy_it_that_waits_is_refused_for_what_it_is(tmp_path: Path) -> None:
    async with floor(tmp_path, present()) as one:
        await one.signal("AAA")
        await one.at(OPEN)
        await declare(one, "BBB")
        one.arrive("AAA", 50, 51)
        await one.at(CLOSE)
        waiting = (await one.orders())["AAA"]
        assert (waiting.status, waiting.refusal) == ("refused", "UNKNOWN_SYMBOL: value=AAA limit=one of BBB")


async def test_a_split_of_it_reaches_the_position(tmp_path: Path) -> None:
    async with floor(tmp_path, present()) as one:
        await holding(one)
        quantity = (await one.position()).quantity
        await declare(one, "BBB")
        csv_bars.write(one.bars, "AAA", CALENDAR, DAY, factor=0.5)
        one.arrive("AAA", 25, 26, AFTER_IT)
        await one.at(CLOSE + ONE_DAY)
        position = await one.position()
        assert (position.quantity, position.market_price) == (2 * quantity, Decimal(26))


async def test_its_missing_file_is_no_illness_and_what_was_never_declared_stays_unknown(tmp_path: Path) -> None:
    async with floor(tmp_path, present()) as one:
        await holding(one)
        await declare(one, "BBB")
        (one.bars / "AAA.csv").unlink()
        csv_bars.write(one.bars, "CCC", CALENDAR, BEFORE_IT)
        sale = await by_hand(one, "SELL", Decimal(1))
        assert sale.status == "queued"
        health = await one.system.call("market-data", "health")
        assert (health["status"], health["source_errors"]) == ("healthy", {})
        with pytest.raises(RpcError, match="UNKNOWN_SYMBOL: CCC is not declared; declared are BBB"):
            await one.system.call("market-data", "get_bars", {"symbol": "CCC"}, dict, as_of=CLOSE)
