"""Sessions whose close could not be done before the next one opened."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from unittest import mock

import pytest

from bellwether.messages.scheduling import Job, Jobs
from bellwether.messages.trading import SessionOpen, SessionOpened
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.scheduling import claims, effects
from harness import csv_bars
from harness.clock import Present
from integration.scheduling.floor import AFTER_IT, CLOSE, DAY, HOUR, OPEN, Floor, floor, present
from integration.trading.peers import CALENDAR

pytestmark = pytest.mark.integration

ONE_DAY = timedelta(days=1)


class Killed(BaseException):
    """Stands for a process that is gone in the middle of its work."""


async def closes(one: Floor) -> dict[str, Job]:
    found: Jobs = await one.system.call("scheduler", "list_jobs", {}, Jobs)
    return {job.id.removeprefix("session_close-"): job for job in found.jobs if job.type == "session_close"}


async def waiting(folder: Path, clock: Present) -> None:
    """Have orders for AAA and BBB wait at the open of the first day when the system goes away."""
    async with floor(folder, clock) as one:
        await one.signal("AAA", "BBB")
        await one.at(OPEN)


async def holding(folder: Path, clock: Present, horizon: int) -> Decimal:
    """Hold AAA over the first day's close when the system goes away; return how many."""
    async with floor(folder, clock, trading={"exit": {"horizonSessions": horizon}}) as one:
        return await one.hold()


@pytest.mark.parametrize(
    "back", [OPEN + ONE_DAY, CLOSE + ONE_DAY - HOUR], ids=["at the open", "an hour before the close"]
)
async def test_a_close_is_caught_up_before_the_open_and_gives_up_the_bar_that_never_came(
    tmp_path: Path, back: datetime
) -> None:
    clock = present()
    await waiting(tmp_path, clock)
    clock.instant = back
    csv_bars.arrive(tmp_path / "bars", "AAA", DAY, 51, 52)
    async with floor(tmp_path, clock) as one:
        found = await one.orders()
        filled = found["AAA"]
        assert (filled.status, filled.fill_price, filled.session, filled.filled_at) == (
            "filled",
            Decimal(51),
            DAY,
            back,
        )
        assert found["BBB"].refusal == "NO_OPENING_PRICE: value=none limit=an opening price on 2026-01-05"
        position = await one.position()
        assert (position.sessions_held, position.market_price) == (1, Decimal(52))
        assert "market_data_updated" in [method for method, _ in one.peers.calls]
        one.arrive("AAA", 53, 54, AFTER_IT)
        await one.at(CLOSE + ONE_DAY)
        position = await one.position()
        assert (position.sessions_held, position.market_price) == (2, Decimal(54))
        assert {day: job.status for day, job in (await closes(one)).items()} == {
            "20260105": "completed",
            "20260106": "completed",
        }


async def test_two_sessions_are_caught_up_in_order_with_the_split_of_one_and_the_prices_of_each(tmp_path: Path) -> None:
    clock = present()
    quantity = await holding(tmp_path, clock, 3)
    csv_bars.write(tmp_path / "bars", "AAA", CALENDAR, DAY, factor=0.5)
    csv_bars.arrive(tmp_path / "bars", "AAA", AFTER_IT, 25, 26)
    csv_bars.arrive(tmp_path / "bars", "AAA", date(2026, 1, 7), 27, 28)
    clock.instant = OPEN + 3 * ONE_DAY - 2 * HOUR
    async with floor(tmp_path, clock, trading={"exit": {"horizonSessions": 3}}) as one:
        position = await one.position()
        assert (position.quantity, position.market_price, position.sessions_held) == (2 * quantity, Decimal(28), 3)
        done = await closes(one)
        equity = {day: Decimal(str((job.last_result or {})["equity"])) for day, job in done.items()}
        assert equity["20260107"] - equity["20260106"] == 2 * (2 * quantity)
        leaving = (await one.orders())["-AAA"]
        assert (leaving.status, leaving.session) == ("queued", date(2026, 1, 8))


async def test_over_a_weekend_a_half_day_counts_and_an_exit_comes_at_no_open_that_has_passed(tmp_path: Path) -> None:
    clock = present()
    await holding(tmp_path, clock, 5)
    days = [AFTER_IT + number * ONE_DAY for number in range(4)]
    for day in days:
        csv_bars.arrive(tmp_path / "bars", "AAA", day, 50, 51)
    clock.instant = OPEN + 7 * ONE_DAY
    market = {"calendar": "XNYS", "overrides": [{"date": "2026-01-09", "close": "13:00"}]}
    async with floor(tmp_path, clock, market=market, trading={"exit": {"horizonSessions": 5}}) as one:
        assert (await one.position()).sessions_held == 5
        done = await closes(one)
        assert {day: job.status for day, job in done.items()} == {f"{day:%Y%m%d}": "completed" for day in [DAY, *days]}
        assert done["20260109"].schedule_time == "2026-01-09T18:00:00+00:00"
        assert "-AAA" not in {name for name, order in (await one.orders()).items() if order.status == "queued"}
        one.arrive("AAA", 52, 53, date(2026, 1, 12))
        await one.at(CLOSE + 7 * ONE_DAY)
        orders = (await one.orders()).values()
        leaving = [(order.session, order.side) for order in orders if order.status == "queued"]
        assert leaving == [(date(2026, 1, 13), "SELL")]


async def test_killed_midway_each_session_is_settled_once(tmp_path: Path) -> None:
    clock = present()
    await waiting(tmp_path, clock)
    csv_bars.arrive(tmp_path / "bars", "AAA", DAY, 51, 52)
    csv_bars.arrive(tmp_path / "bars", "AAA", AFTER_IT, 53, 54)
    clock.instant = back = OPEN + 2 * ONE_DAY
    # The book is closed, and nobody records that.
    with (
        mock.patch.object(claims, "complete", side_effect=Killed),
        pytest.raises(Killed),
    ):
        async with floor(tmp_path, clock):
            pass
    clock.instant = back + HOUR
    async with floor(tmp_path, clock) as one:
        filled = (await one.orders())["AAA"]
        assert (filled.fill_price, filled.session, filled.filled_at) == (Decimal(51), DAY, back)
        position = await one.position()
        assert (position.sessions_held, position.market_price) == (2, Decimal(54))
        done = await closes(one)
        assert {day: (job.status, job.params["attempts"]) for day, job in done.items()} == {
            "20260105": ("completed", 2),
            "20260106": ("completed", 1),
        }


async def test_a_close_that_the_ledger_has_gone_beyond_is_missed_and_sessions_go_on(tmp_path: Path) -> None:
    async with floor(tmp_path, present()) as one:
        await one.signal("AAA")
        await one.at(OPEN)
        one.clock.instant = later = OPEN + ONE_DAY
        await one.system.call("paper-trading", "session_open", SessionOpen(AFTER_IT), SessionOpened, as_of=later)
        await one.at(OPEN + ONE_DAY)
        assert {day: job.status for day, job in (await closes(one)).items()} == {"20260105": "missed"}
        await one.at(CLOSE + ONE_DAY)
        assert {day: job.status for day, job in (await closes(one)).items()} == {
            "20260105": "missed",
            "20260106": "completed",
        }


async def test_an_evening_finds_the_sessions_before_its_own_settled_too(tmp_path: Path) -> None:
    async with floor(tmp_path, present()) as one:
        await one.signal("AAA")
        await one.at(OPEN)
        one.arrive("AAA", 51, 52)
        one.arrive("AAA", 53, 54, AFTER_IT)
        one.clock.instant = CLOSE + ONE_DAY + HOUR
        await one.system.call("scheduler", "execute_job", {"job_id": "evening_analysis-20260106"}, Job)
        position = await one.position()
        assert (position.sessions_held, position.market_price) == (2, Decimal(54))


async def test_no_close_waits_for_a_predictor_that_is_unreachable_so_the_next_open_sells(tmp_path: Path) -> None:
    settle = effects.settle

    async def away(service: str, event_ids: list[str], call: Call) -> None:
        if service == "prediction":
            raise RpcError("UNAVAILABLE", "prediction is unreachable on purpose")
        await settle(service, event_ids, call)

    async with floor(tmp_path, present(), trading={"exit": {"horizonSessions": 1}}) as one:
        await one.signal("AAA")
        one.arrive("AAA", 50, 50)
        with mock.patch.object(effects, "settle", away):
            await one.at(CLOSE)
            assert (await one.orders())["-AAA"].session == AFTER_IT
            one.arrive("AAA", 51, 52, AFTER_IT)
            await one.at(OPEN + ONE_DAY)
            await one.at(CLOSE + ONE_DAY)
        sold = (await one.orders())["-AAA"]
        assert (sold.status, sold.fill_price) == ("filled", Decimal(51))
        assert {day: job.status for day, job in (await closes(one)).items()} == {
            "20260105": "completed",
            "20260106": "completed",
        }


async def test_a_share_whose_bars_are_lost_is_valued_at_its_last_price_and_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = present()
    keep = {"exit": {"horizonSessions": 1}}
    async with floor(tmp_path, clock, trading=keep) as one:
        await one.signal("AAA", "BBB")
        one.arrive("AAA", 50, 50)
        one.arrive("BBB", 50, 50)
        await one.at(CLOSE)
    for path in (tmp_path / "data").glob("bars.db*"):
        path.unlink()
    (tmp_path / "bars" / "AAA.csv").unlink()
    clock.instant = OPEN + ONE_DAY - HOUR
    async with floor(tmp_path, clock, trading=keep) as one:
        one.arrive("BBB", 51, 52, AFTER_IT)
        # Its bars may still come as long as the session waits for them; at first it is asked again within seconds.
        assert await one.at(CLOSE + ONE_DAY) == 5
        found = await one.orders()
        assert (found["-BBB"].status, found["-BBB"].fill_price) == ("filled", Decimal(51))
        assert found["-AAA"].status == "queued"
        await one.at(CLOSE + ONE_DAY + HOUR)
        position = await one.position()
        assert (position.symbol, position.market_price, position.sessions_held) == ("AAA", Decimal(50), 2)
        assert "AAA is held, and nobody tells its price" in caplog.text
        assert (await closes(one))["20260106"].status == "completed"
        csv_bars.write(one.bars, "AAA", CALENDAR, AFTER_IT)
        one.arrive("AAA", 53, 54, date(2026, 1, 7))
        await one.at(CLOSE + 2 * ONE_DAY)
        assert await one.positions() == []
