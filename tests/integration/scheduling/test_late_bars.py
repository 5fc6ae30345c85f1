"""Bars that arrive after the close of their session."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from bellwether.messages.market_data import PublishBars, PublishedBars
from bellwether.messages.scheduling import Job
from bellwether.messages.trading import Account
from bellwether.runtime.call import Call
from harness import csv_bars
from integration.scheduling.floor import AFTER_IT, CLOSE, DAY, HOUR, MINUTE, OPEN, Floor, floor, present
from integration.trading.peers import CALENDAR

pytestmark = pytest.mark.integration


async def test_an_order_waits_beyond_the_close_and_is_filled_at_its_opening_price_when_the_bar_is_there(
    tmp_path: Path,
) -> None:
    async with floor(tmp_path, present()) as one:
        await one.signal("AAA", "BBB")
        await one.at(OPEN)
        one.arrive("AAA", 51, 52)
        assert await one.at(CLOSE) == 5
        found = await one.orders()
        assert (found["AAA"].status, found["BBB"].status) == ("filled", "queued")
        assert (await one.jobs())["session_close-20260105"] == "running"
        one.arrive("BBB", 40, 44)
        late = CLOSE + 40 * MINUTE
        await one.at(late)
        filled = (await one.orders())["BBB"]
        assert (filled.status, filled.fill_price, filled.session, filled.filled_at) == (
            "filled",
            Decimal(40),
            DAY,
            late,
        )
        assert (await one.jobs())["session_close-20260105"] == "completed"
        assert [(row.symbol, row.market_price, row.sessions_held) for row in await one.positions()] == [
            ("AAA", Decimal(52), 1),
            ("BBB", Decimal(44), 1),
        ]


async def test_an_hour_after_the_close_an_order_without_a_bar_is_cancelled_and_one_whose_bar_just_came_is_filled(
    tmp_path: Path,
) -> None:
    async with floor(tmp_path, present()) as one:
        await one.signal("AAA", "BBB")
        await one.at(OPEN)
        # The next look is at the last instant, though another five minutes would go beyond it.
        assert await one.at(CLOSE + 58 * MINUTE) == 120
        assert {order.status for order in (await one.orders()).values()} == {"queued"}
        one.arrive("AAA", 51, 52)
        await one.at(CLOSE + HOUR)
        found = await one.orders()
        assert (found["AAA"].status, found["AAA"].fill_price) == ("filled", Decimal(51))
        assert found["BBB"].status == "cancelled"
        assert found["BBB"].refusal == "NO_OPENING_PRICE: value=none limit=an opening price on 2026-01-05"
        assert (await one.jobs())["session_close-20260105"] == "completed"
        one.arrive("BBB", 40, 44)
        await one.at(CLOSE + 2 * HOUR)
        assert (await one.orders())["BBB"].status == "cancelled"


@pytest.mark.parametrize("back", [CLOSE + 30 * MINUTE, CLOSE + 12 * HOUR], ids=["the same evening", "in the morning"])
async def test_what_waits_for_its_bar_outlives_a_restart(tmp_path: Path, back: datetime) -> None:
    clock = present()
    async with floor(tmp_path, clock) as one:
        await one.signal("AAA")
        await one.at(OPEN)
        await one.at(CLOSE + MINUTE)
        one.arrive("AAA", 51, 52)
    clock.instant = back
    async with floor(tmp_path, clock) as one:
        filled = (await one.orders())["AAA"]
        assert (filled.status, filled.fill_price, filled.filled_at) == ("filled", Decimal(51), back)
        position = await one.position()
        assert (position.opened, position.market_price) == (DAY, Decimal(52))


async def test_a_position_waits_for_its_closing_price_and_its_exit_comes_in_time_for_the_next_open(
    tmp_path: Path,
) -> None:
    async with floor(tmp_path, present(), trading={"exit": {"horizonSessions": 2}}) as one:
        await one.signal("AAA")
        one.arrive("AAA", 51, 52)
        await one.at(CLOSE)
        assert (await one.position()).sessions_held == 1
        close = CLOSE + timedelta(days=1)
        assert await one.at(close) == 5
        assert (await one.position()).sessions_held == 1
        one.arrive("AAA", 53, 55, AFTER_IT)
        await one.at(close + 5 * MINUTE)
        position = await one.position()
        assert (position.sessions_held, position.market_price) == (2, Decimal(55))
        leaving = (await one.orders())["-AAA"]
        assert (leaving.status, leaving.session, leaving.reason) == ("queued", date(2026, 1, 7), "horizon")


async def test_a_dividend_that_the_late_bar_tells_is_paid(tmp_path: Path) -> None:
    async with floor(tmp_path, present()) as one:
        quantity = await one.hold()
        await one.at(OPEN + timedelta(days=1))
        await one.at(CLOSE + timedelta(days=1))
        # A dividend of 1 on a close of 50: the file comes again, with earlier closes adjusted for it.
        csv_bars.write(one.bars, "AAA", CALENDAR, DAY, factor=0.98)
        one.arrive("AAA", 49, 49, AFTER_IT)
        await one.at(CLOSE + timedelta(days=1, minutes=5))
        account: Account = await one.system.call("paper-trading", "get_account", None, Account)
        assert account.realised == quantity
        assert account.equity == account.initial_cash


async def land_after(one: Floor, asked: str, close: datetime, then: datetime | None = None) -> None:
    """Do what is due at the second day's close, while the bar that tells a split of AAA lands after a question.

    Where it says what time it is `then`, it is that for the questions that follow.
    """
    request, landed = Call.request, False

    async def lands(call: Call, peer: str, method: str, *args: Any, **options: Any) -> Any:
        nonlocal landed
        reported = await request(call, peer, method, *args, **options)
        if method == asked and not landed:
            landed = True
            csv_bars.write(one.bars, "AAA", CALENDAR, DAY, factor=0.5)
            one.arrive("AAA", 25, 26, AFTER_IT)
            # As market-data's own look at its source does.
            await one.system.call("market-data", "publish_bars", PublishBars(AFTER_IT), PublishedBars, as_of=close)
            one.clock.instant = then or close
        return reported

    with mock.patch.object(Call, "request", lands):
        await one.at(close)
    assert landed


@pytest.mark.parametrize("asked", ["get_corporate_actions", "get_opening_prices", "session_open"])
async def test_a_split_whose_bar_lands_between_two_questions_is_applied_once(tmp_path: Path, asked: str) -> None:
    close = CLOSE + timedelta(days=1)
    async with floor(tmp_path, present()) as one:
        quantity = await one.hold()
        await one.at(OPEN + timedelta(days=1))
        await land_after(one, asked, close)
        await one.at(close + 5 * MINUTE)
        position = await one.position()
        assert (position.quantity, position.market_price, position.sessions_held) == (2 * quantity, Decimal(26), 2)
        assert (await one.jobs())["session_close-20260106"] == "completed"


@pytest.mark.parametrize("asked", ["get_corporate_actions", "get_opening_prices", "session_open"])
async def test_a_split_whose_bar_lands_between_the_last_open_and_close_is_applied_once_and_not_later_than_the_next_open(
    tmp_path: Path, asked: str
) -> None:
    close, third = CLOSE + timedelta(days=1, hours=1), date(2026, 1, 7)
    async with floor(tmp_path, present()) as one:
        await one.signal("AAA")
        one.arrive("AAA", 50, 50)
        await one.at(CLOSE)
        value = (await one.position()).market_value
        await one.at(OPEN + timedelta(days=1))
        await land_after(one, asked, close)
        assert (await one.jobs())["session_close-20260106"] == "completed"
        # Never the price after the split for the shares before it.
        assert (await one.position()).market_value == value
        one.arrive("AAA", 27, 28, third)
        await one.at(CLOSE + timedelta(days=2))
        position = await one.position()
        assert (position.market_price, position.sessions_held) == (Decimal(28), 3)
        assert position.market_value == value / 50 * 2 * 28
        assert (await one.orders()).keys() == {"AAA"}


async def test_a_close_that_meets_an_open_which_is_not_done_has_that_done_first(tmp_path: Path) -> None:
    close = CLOSE + timedelta(days=1)
    async with floor(tmp_path, present()) as one:
        await one.signal("AAA")
        one.arrive("AAA", 50, 50)
        await one.at(CLOSE)
        quantity = (await one.position()).quantity
        await one.at(OPEN + timedelta(days=1))
        # The open waits for its bars, the close shortly after for none.
        await land_after(one, "session_open", close + HOUR - timedelta(milliseconds=1), close + HOUR)
        await one.at(close + HOUR)
        position = await one.position()
        assert (position.quantity, position.market_price, position.sessions_held) == (2 * quantity, Decimal(26), 2)


@pytest.mark.parametrize("late", [1, 2], ids=["a day", "two days"])
async def test_a_split_whose_bar_comes_after_its_session_was_settled_is_applied_at_the_next_open(
    tmp_path: Path, late: int
) -> None:
    async with floor(tmp_path, present(), trading={"exit": {"horizonSessions": late + 1}}) as one:
        await one.signal("AAA")
        one.arrive("AAA", 50, 50)
        await one.at(CLOSE)
        quantity = (await one.position()).quantity
        for day in range(1, late + 1):
            await one.at(CLOSE + timedelta(days=day, hours=1))
        waiting = (await one.orders())["-AAA"]
        assert (waiting.status, waiting.quantity) == ("queued", quantity)
        csv_bars.write(one.bars, "AAA", CALENDAR, DAY, factor=0.5)
        for day in range(1, late + 2):
            one.arrive("AAA", 25, 26, DAY + timedelta(days=day))
        await one.at(CLOSE + timedelta(days=late + 1))
        sold = (await one.orders())["-AAA"]
        assert (sold.status, sold.quantity, sold.fill_price) == ("filled", 2 * quantity, Decimal(25))
        assert await one.positions() == []


async def test_a_session_is_settled_half_way_to_an_open_that_comes_sooner(tmp_path: Path) -> None:
    overrides = [
        {"date": "2026-01-05", "close": "23:40"},
        {"date": "2026-01-06", "open": "00:10"},
    ]
    close = datetime(2026, 1, 6, 4, 40, tzinfo=UTC)
    market = {"calendar": "XNYS", "overrides": overrides}
    async with floor(tmp_path, present(), market=market, trading={"exit": {"horizonSessions": 1}}) as one:
        await one.signal("AAA", "BBB")
        one.arrive("AAA", 51, 51)
        await one.at(OPEN)
        assert await one.at(close + 14 * MINUTE) == 60
        assert (await one.orders())["BBB"].status == "queued"
        await one.at(close + 15 * MINUTE)
        found = await one.orders()
        assert (found["BBB"].status, found["-AAA"].status, found["-AAA"].session) == ("cancelled", "queued", AFTER_IT)
        one.arrive("AAA", 60, 61, AFTER_IT)
        await one.at(CLOSE + timedelta(days=1))
        sold = (await one.orders())["-AAA"]
        assert (sold.status, sold.fill_price) == ("filled", Decimal(60))


async def test_an_evening_that_a_cluster_fires_finds_its_session_settled(tmp_path: Path) -> None:
    async with floor(tmp_path, present()) as one:
        await one.signal("AAA")
        await one.at(OPEN)
        await one.at(CLOSE)
        one.arrive("AAA", 51, 52)
        # The Job comes before the scheduler's own look at this time.
        one.clock.instant = CLOSE + HOUR
        evening: Job = await one.system.call("scheduler", "execute_job", {"job_id": "evening_analysis-20260105"}, Job)
        assert evening.status == "completed"
        assert (await one.orders())["AAA"].status == "filled"
        reported = [method for method, _ in one.peers.calls]
        assert reported.index("market_data_updated") < reported.index("record_outcomes")
        assert (await one.jobs())["session_close-20260105"] == "completed"


async def test_an_evening_before_that_goes_on_without_what_is_awaited(tmp_path: Path) -> None:
    tasks = [{"name": "evening_analysis", "anchor": "close", "offset": "10m"}]
    async with floor(tmp_path, present(), tasks=tasks, own_schedule=True) as one:
        await one.signal("AAA")
        await one.at(OPEN)
        await one.at(CLOSE + 10 * MINUTE)
        assert (await one.jobs())["evening_analysis-20260105"] == "completed"
        assert (await one.orders())["AAA"].status == "queued"
