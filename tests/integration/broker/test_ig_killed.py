"""The trader's process on the stand-in's account, killed; judged by the stand-in's books."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from harness.ig.account import Ticket
from harness.ig.killed import Killed, Trader
from harness.ig.lab import write_credentials
from harness.ig.markets import epic_of
from harness.ig.standin import API_KEY, PASSWORD, USERNAME, StandIn, standing_in
from harness.ig.trials import made_up_markets, trial, usd
from harness.until import DEADLINE
from harness.until import until as until_true

pytestmark = pytest.mark.integration

DAY = "2009-01-05"
OPEN = datetime(2009, 1, 5, 14, 30, 5, tzinfo=UTC)


@pytest.fixture
async def ig(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with standing_in(tmp_path, made_up_markets()) as found:
        usd(found)
        yield found


@pytest.fixture
async def trader(ig: StandIn, tmp_path: Path) -> AsyncIterator[Trader]:
    found = Trader(ig, tmp_path, write_credentials(tmp_path))
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


async def until(trader: Trader, wanted: str) -> dict[str, Any]:
    """Ask for the open until the one order has a state."""
    async with asyncio.timeout(DEADLINE):
        while True:
            await trader.call("session_open", session=DAY)
            (order,) = (await trader.orders()).values()
            if order["status"] == wanted:
                return order
            await asyncio.sleep(0.1)


async def executed(ig: StandIn, count: int) -> None:
    await until_true(lambda: len([deal for deal in ig.account.deals if deal.filled]) >= count, DEADLINE)


async def test_an_order_waits_for_the_market_and_is_filled_and_reconciled(ig: StandIn, trader: Trader) -> None:
    assert (await trader.call("initialize_ig_markets"))["status"] == "ig_markets_initialized"
    await trader.do({"signal": ["AAA", "BUY"]})
    ig.set(status="ON_AUCTION")
    await trader.at(OPEN)
    await trader.call("session_open", session=DAY)
    (waiting,) = (await trader.orders()).values()
    assert (waiting["status"], ig.account.deals) == ("queued", [])
    ig.reset()
    order = await until(trader, "filled")
    (deal,) = ig.account.deals
    assert (deal.ticket.reference, deal.ticket.time_in_force) == (order["order_id"], "FILL_OR_KILL")
    synced = await trader.call("sync_positions")
    assert (synced["synced_positions"], synced["differences"]) == (1, [])
    account = await trader.call("get_account")
    # The commission is IG's own, from its transactions.
    assert float(account["cash"]) == pytest.approx(
        100000 - float(deal.filled * (deal.level or 0)) + float(ig.account.movements[0].amount)
    )


async def test_killed_between_sending_and_confirming_it_finds_the_fill_and_sends_nothing_again(
    ig: StandIn, trader: Trader
) -> None:
    await trader.do({"signal": ["AAA", "BUY"]})
    await trader.at(OPEN)
    ig.set(hold=["open"])
    asked = asyncio.ensure_future(trader.ask({"method": "session_open", "params": {"session": DAY}}))
    await executed(ig, 1)
    trader.kill()
    with pytest.raises(Killed):
        await asked
    ig.reset()
    await trader.start()
    await until(trader, "filled")
    assert len(ig.account.deals) == 1
    assert (await trader.call("sync_positions"))["differences"] == []


async def test_a_halt_between_sending_and_confirming_stops_the_next_order_and_keeps_the_fill(
    ig: StandIn, trader: Trader
) -> None:
    for symbol in ("AAA", "BBB"):
        await trader.do({"signal": [symbol, "BUY"]})
    ticket = Ticket("somebody", epic_of("CCC"), "BUY", Decimal(1), "USD", level=Decimal(1))
    ig.account.rest(ticket, "LIMIT", None, ig.now())
    await trader.at(OPEN)
    ig.set(hold=["open"])
    await trader.do({"apart": {"method": "session_open", "params": {"session": DAY}}})
    await executed(ig, 1)
    asked = ig.requests("confirm")
    await trader.call("halt", reason="enough", source="test")
    # What rests on the account is taken back, whoever made it, while the order's answer is still waited for.
    await until_true(lambda: not ig.account.working, DEADLINE)
    assert ig.requests("confirm") == asked
    ig.reset()
    async with asyncio.timeout(DEADLINE):
        while sorted(one["status"] for one in (await trader.orders()).values()) != ["cancelled", "filled"]:
            await trader.call("session_open", session=DAY)
    (sent,) = [deal for deal in ig.account.deals if not deal.working]
    orders = await trader.orders()
    assert orders[sent.ticket.reference]["status"] == "filled"
    # The halt itself cancels what waits here.
    (waited,) = [one for one in orders.values() if one["status"] == "cancelled"]
    assert "HALTED" in waited["refusal"]


async def test_a_halt_just_before_an_order_leaves_holds_it_back(ig: StandIn, trader: Trader) -> None:
    await trader.call("sync_positions")
    await trader.do({"signal": ["AAA", "BUY"]})
    await trader.at(OPEN)
    ig.set(hold=["activity"])
    await trader.do({"apart": {"method": "session_open", "params": {"session": DAY}}})
    # The order has met the guards; before the first one is sent it is looked for at IG, whose answer is held.
    states: list[str] = []
    async with asyncio.timeout(DEADLINE):
        while states != ["sending"]:
            states = [one["status"] for one in (await trader.orders()).values()]
    await trader.call("halt", reason="enough", source="test")
    ig.reset()
    ended = await until(trader, "cancelled")
    assert "HALTED" in ended["refusal"]
    assert (ig.account.deals, ig.requests("open")) == ([], 0)


async def test_a_process_that_was_killed_after_a_halt_takes_back_what_rests(ig: StandIn, trader: Trader) -> None:
    ig.set(maintenance=True, kinds=["workingorders"])
    asked = ig.requests("workingorders")
    await trader.call("halt", reason="enough", source="test")
    ticket = Ticket("somebody", epic_of("CCC"), "BUY", Decimal(1), "USD", level=Decimal(1))
    ig.account.rest(ticket, "LIMIT", None, ig.now())
    await until_true(lambda: ig.requests("workingorders") > asked, DEADLINE)
    trader.kill()
    ig.reset()
    await trader.start()
    await until_true(lambda: not ig.account.working, DEADLINE)


async def test_a_position_that_is_not_ours_blocks_its_symbol_until_it_is_gone(ig: StandIn, trader: Trader) -> None:
    epic = epic_of("AAA")
    ig.account.execute(Ticket("somebody", epic, "BUY", Decimal(3), "USD"), ig.now(), status="TRADEABLE")
    synced = await trader.call("sync_positions")
    assert synced["differences"] == ["AAA: ledger 0, broker 3"]
    await trader.do({"signal": ["AAA", "BUY"]})
    assert [one["status"] for one in (await trader.orders()).values()] in ([], ["refused"])
    ig.account.execute(Ticket("somebody", epic, "SELL", Decimal(3), "USD"), ig.now(), status="TRADEABLE")
    assert [line for line in (await trader.call("sync_positions"))["differences"] if "AAA" in line] == []


async def test_a_stop_that_ig_executes_is_a_sale_in_the_ledger_once_whatever_is_killed(
    ig: StandIn, tmp_path: Path
) -> None:
    trader = Trader(ig, tmp_path, write_credentials(tmp_path), settings={"exits": {"stopLoss": "0.1"}})
    try:
        await trader.start()
        await trader.do({"signal": ["AAA", "BUY"]})
        await trader.at(OPEN)
        bought = await until(trader, "filled")
        epic = epic_of("AAA")
        (position,) = ig.account.positions.values()
        assert position.stop_level is not None
        assert float(position.stop_level) == pytest.approx(float(position.level) * 0.9, rel=0.01)
        # Before and after the sale is written down, by whichever look at the account finds it.
        await trader.aim("1 before the fill is written", "1 after the fill is written")
        ig.quote(epic, position.level * Decimal("0.8"))
        assert ig.account.net() == {}
        for _ in range(3):
            assert (await trader.call("sync_positions"))["differences"] == []
        assert len(trader.strikes) == 2
        (sold,) = [one for one in (await trader.orders()).values() if one["side"] == "SELL"]
        assert (sold["reason"], sold["status"], sold["quantity"]) == ("stop_loss", "filled", bought["quantity"])
        assert Decimal(sold["fill_price"]) == ig.account.deals[-1].level
        assert (await trader.call("check_ledger"))["violations"] == []
    finally:
        await trader.stop()


async def test_no_secret_stands_in_the_ledger_the_log_or_an_answer(ig: StandIn, trader: Trader) -> None:
    await trader.do({"signal": ["AAA", "BUY"]})
    await trader.at(OPEN)
    await until(trader, "filled")
    ig.set(login="invalid-details")
    ig.expire()
    said = [await trader.call("sync_positions"), await trader.call("initialize_ig_markets")]
    said.append(await trader.call("health"))
    await trader.stop()
    assert trader.log is not None
    everything = trader.log.read_text() + str(said)
    tokens = {one.token for one in ig.sessions.values()} | {"cst-1-", "cst-2-"}
    for file in (trader.folder / "data").rglob("*"):
        if file.is_file():
            everything += file.read_bytes().decode("latin-1")
    for secret in (API_KEY, USERNAME, PASSWORD, *tokens):
        assert secret not in everything


AIMS = (
    ("1 after the intent is written", "2 after POST positions", "1 before the fill is written"),
    ("1 before POST positions", "1 after the order is written", "2 after GET confirms"),
)
"""Between intent and sending, between sending and confirming, between confirming and recording, and around those."""


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_the_kills_no_order_is_sent_twice_and_none_is_lost(
    ig: StandIn, tmp_path: Path, seed: int
) -> None:
    found = await trial(ig, tmp_path, write_credentials(tmp_path), seed, aims=AIMS[seed - 1], sessions=1)
    assert found.violations == []
    assert found.kills
    assert found.unknown <= found.orders // 2


async def test_killed_at_the_simulator_no_order_is_filled_twice_and_none_is_lost(tmp_path: Path) -> None:
    aims = ("1 after the intent is written", "2 before the simulator's deal is written", "2 before the fill is written")
    found = await trial(None, tmp_path, None, 1, aims=aims, sessions=1)
    assert (found.violations, found.unknown) == ([], 0)
    assert len(found.kills) == len(aims)
