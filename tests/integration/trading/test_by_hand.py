"""What people ask of the trader: orders, halts, approvals, what is safe, deposits and exports."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from bellwether.messages.trading import (
    Account,
    Exported,
    HaltState,
    Order,
    Positions,
    Refusals,
    Safety,
    SessionOpened,
    SyncedPositions,
    Trade,
)
from bellwether.runtime.declaration import encode_declaration
from bellwether.runtime.errors import RpcError
from harness.clock import Present
from harness.until import until
from integration.trading.peers import Peers, declaration
from integration.trading.trader import BEFORE, CLOSE, DAY, OPEN, Heard, Trader, signal, started

pytestmark = pytest.mark.integration


async def test_a_halt_stops_new_and_queued_orders_until_resumed_and_survives_a_restart(tmp_path: Path) -> None:
    peers = Peers()
    async with started(tmp_path, peers) as system:
        trader = Trader(system, peers)
        await trader.signalled(signal())
        state = await trader.ask("halt", {"reason": "lunch", "source": "cli"}, HaltState)
        assert state.halted
        assert state == await trader.ask("halt", {"reason": "lunch", "source": "cli"}, HaltState)
        await trader.signalled(signal("BBB"))
    async with started(tmp_path, peers) as system:
        trader = Trader(system, peers)
        opened = await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
        assert opened.filled == []
        refusals: Refusals = await trader.ask("list_refusals", {}, Refusals)
        assert [(one.symbol, one.code, one.stage) for one in refusals.refusals] == [
            ("BBB", "HALTED", "signal"),
        ]
        (order,) = await trader.orders()
        assert str(order.refusal).startswith("HALTED: value=cli: lunch")
        assert not (await trader.ask("resume", {"reason": "back", "source": "cli"}, HaltState)).halted
        await trader.signalled(signal("CCC", as_of=BEFORE + timedelta(days=1)), at=BEFORE + timedelta(days=1))
        assert [one.symbol for one in await trader.orders(status="queued")] == ["CCC"]
        assert (await trader.check()).violations == []


async def test_a_halt_waits_for_none_of_the_orders_that_were_asked_for_before_it(trader: Trader) -> None:
    _, prices = trader.peers.hold("get_bars")
    wishes = [{"symbol": "AAA", "action": "BUY", "quantity": "1", "client_id": f"o-{one}"} for one in range(100)]
    asked = [asyncio.ensure_future(trader.ask("execute_trade", wish, Trade)) for wish in wishes]
    server = trader.system.services["paper-trading"].server
    # More than are answered at a time.
    await until(lambda: server.in_flight >= len(wishes))
    state = await trader.ask("halt", {"reason": "enough", "source": "test"}, HaltState)
    assert state.halted
    assert not any(one.done() for one in asked)
    prices.set()
    answers: list[Trade] = await asyncio.gather(*asked)
    assert {one.status for one in answers} == {"failed"}
    assert {one.error and one.error.partition(":")[0] for one in answers} == {"HALTED"}
    assert await trader.orders(status="queued") == []


async def test_a_halt_and_limits_in_the_declaration_take_effect_without_a_restart(trader: Trader) -> None:
    bus = trader.system.context.bus
    reported, acks = Heard(), Heard()
    await bus.subscribe("bw.event.urgent.halt_changed", lambda message: reported.add(message.body))
    await trader.signalled(signal())
    halted = declaration(trading={"halted": True})
    halted = halted.model_copy(update={"metadata": halted.metadata.model_copy(update={"generation": 2})})
    await bus.kv_watch("acks", ["paper-trading"], lambda key, value: acks.add(value))
    await bus.kv_put("declaration", "current", encode_declaration(halted))
    assert b'"generation":2' in await acks.first()
    opened = await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
    assert opened.filled == []
    state = await trader.ask("resume", {"reason": "try", "source": "cli"}, HaltState)
    assert state.halts == ["declaration: spec.trading.halted is true"]
    assert b"spec.trading.halted is true" in await reported.first()


async def test_a_manual_order_passes_the_guards_and_its_retry_is_the_same_order(trader: Trader) -> None:
    wish = {"symbol": "AAA", "action": "BUY", "quantity": "7", "client_id": "mine"}
    first: Order = (await trader.ask("execute_trade", wish, Trade)).order
    assert (first.status, first.reason, first.quantity, first.session) == ("queued", "manual", Decimal(7), DAY)
    assert (await trader.ask("execute_trade", wish, Trade)).order == first
    with pytest.raises(RpcError, match="CLIENT_ID_TAKEN"):
        await trader.ask("execute_trade", {**wish, "symbol": "BBB"}, Trade)
    large = {**wish, "quantity": "100000", "client_id": "large"}
    refused: Order = (await trader.ask("execute_trade", large, Trade)).order
    assert refused.status == "refused"
    assert str(refused.refusal).startswith("POSITION_VALUE_EXCEEDED: value=")
    assert (await trader.ask("execute_trade", large, Trade)).order == refused
    short: Order = (await trader.ask("execute_trade", {**wish, "action": "SELL", "client_id": "short"}, Trade)).order
    assert str(short.refusal).startswith("NOTHING_TO_SELL")
    opened = await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
    assert opened.filled == [first.order_id]
    assert (await trader.check()).violations == []


@pytest.mark.parametrize(
    "code", ["OVERLOADED", "NOT_READY", "STOPPING", "UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL"]
)
async def test_an_order_by_hand_whose_price_cannot_be_asked_for_is_unavailable_and_its_id_stays_free(
    trader: Trader, code: str
) -> None:
    wish = {"symbol": "AAA", "action": "BUY", "quantity": "7", "client_id": "mine"}
    trader.peers.refused["get_bars"] = code
    with pytest.raises(RpcError) as refused:
        await trader.ask("execute_trade", wish, Trade)
    assert refused.value.code == "UNAVAILABLE"
    assert code in refused.value.message
    assert await trader.orders() == []
    del trader.peers.refused["get_bars"]
    order: Order = (await trader.ask("execute_trade", wish, Trade)).order
    assert order.status == "queued"


async def test_a_resume_opens_no_halt_that_nobody_has_seen(trader: Trader) -> None:
    first: HaltState = await trader.ask("halt", {"reason": "lunch", "source": "cli"}, HaltState)
    second: HaltState = await trader.ask("halt", {"reason": "loss", "source": "risk"}, HaltState)
    assert second.newest_halt > first.newest_halt > 0
    why = {"reason": "back", "source": "cli"}
    with pytest.raises(RpcError, match=r"NEWER_HALT: nothing was resumed: .* risk: loss"):
        await trader.ask("resume", {**why, "seen": first.newest_halt}, HaltState)
    with pytest.raises(RpcError, match=r"HALT_NOT_STATED: 2 halts are in force: cli: lunch .*; risk: loss"):
        await trader.ask("resume", why, HaltState)
    account: Account = await trader.ask("get_account", None, Account)
    assert (account.halted, account.newest_halt) == (True, second.newest_halt)
    resumed: HaltState = await trader.ask("resume", {**why, "seen": account.newest_halt}, HaltState)
    assert (resumed.halted, resumed.newest_halt) == (False, 0)


@pytest.mark.parametrize("quantity", ["0", "-1", "1.5", "NaN", "1e30", "1e999999"])
async def test_a_manual_order_needs_whole_shares(trader: Trader, quantity: str) -> None:
    wish = {"symbol": "AAA", "action": "BUY", "quantity": quantity, "client_id": "x"}
    with pytest.raises(RpcError, match=r"quantity: .* must be a whole number of shares"):
        await trader.ask("execute_trade", wish, Trade)


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        (
            "execute_trade",
            {"symbol": "AAA", "action": "buy", "quantity": 1},
            "'buy' - at `$.action`: it is BUY or SELL",
        ),
        ("list_orders", {"status": "done"}, "'done' - at `$.status`: it is queued or awaiting_approval or sending or"),
    ],
)
async def test_what_is_none_of_the_words_is_answered_with_them(
    trader: Trader, method: str, params: dict[str, object], words: str
) -> None:
    with pytest.raises(RpcError) as refused:
        await trader.ask(method, params, Trade)
    assert words in refused.value.message


async def test_there_is_no_ig_account_and_the_words_name_the_mode(trader: Trader) -> None:
    with pytest.raises(RpcError, match=r"NO_IG_ACCOUNT: trading\.mode is simulated"):
        await trader.ask("initialize_ig_markets", None, dict)


async def test_health_says_what_is_held_and_what_halts(trader: Trader) -> None:
    await trader.ask("halt", {"reason": "lunch", "source": "cli"}, HaltState)
    health = await trader.ask("health", None, dict)
    assert health["status"] == "healthy"
    assert health["halted"] is True
    assert health["mode"] == "simulated"


async def test_safety_names_what_stands_against_an_order_whether_or_not_the_session_is_open(trader: Trader) -> None:
    for instant in (BEFORE, OPEN, CLOSE):
        found: Safety = await trader.ask("get_safety", None, Safety, instant)
        assert (found.safe, found.refusals) == (True, [])
    trader.peers.newest = date(2008, 12, 31)
    trader.peers.silent = frozenset({"CCC"})
    await trader.ask("halt", {"reason": "lunch", "source": "cli"}, HaltState)
    found = await trader.ask("get_safety", None, Safety)
    assert found.safe is False
    assert [(one.code, one.symbol) for one in found.refusals] == [
        ("HALTED", ""),
        ("DATA_STALE", "AAA"),
        ("DATA_STALE", "BBB"),
        ("NO_REAL_PRICE", "CCC"),
    ]


async def test_safety_is_unknown_while_market_data_is_unreachable_and_a_halt_is_reported_all_the_same(
    trader: Trader,
) -> None:
    trader.peers.refused["get_freshness"] = "UNAVAILABLE"
    found: Safety = await trader.ask("get_safety", None, Safety)
    assert (found.safe, found.refusals) == (None, [])
    await trader.ask("halt", {"reason": "lunch", "source": "cli"}, HaltState)
    found = await trader.ask("get_safety", None, Safety)
    assert (found.safe, [one.code for one in found.refusals]) == (False, ["HALTED"])


async def test_no_position_is_opened_by_hand_on_old_bars_and_closing_one_stays_possible(tmp_path: Path) -> None:
    peers, clock = Peers(), Present(BEFORE)
    async with started(tmp_path, peers, clock=clock) as system:
        trader = Trader(system, peers, run="live")
        await trader.signalled(signal())
        clock.instant = OPEN
        await trader.ask("session_open", {"session": DAY}, SessionOpened)
        # The bars stay where they are, and sessions go by.
        clock.instant = OPEN + timedelta(days=3)
        wish = {"symbol": "BBB", "action": "BUY", "quantity": "1", "client_id": "buy"}
        bought: Order = (await system.call("paper-trading", "execute_trade", wish, Trade, as_of=OPEN)).order
        assert bought.refusal == "DATA_STALE: value=bar of 2009-01-02 limit=bar of 2009-01-07"
        (position,) = (await trader.ask("get_positions", None, Positions)).positions
        sale = {"symbol": "AAA", "action": "SELL", "quantity": str(position.quantity), "client_id": "sell"}
        sold: Order = (await system.call("paper-trading", "execute_trade", sale, Trade, as_of=OPEN)).order
        assert sold.status == "queued"


async def test_execute_trade_says_executed_only_of_what_was_filled(trader: Trader) -> None:
    wish = {"symbol": "AAA", "action": "BUY", "quantity": "7", "client_id": "mine"}
    queued: Trade = await trader.ask("execute_trade", wish, Trade)
    assert (queued.status, queued.ig_order_id, queued.error) == ("queued", None, None)
    await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
    executed: Trade = await trader.ask("execute_trade", wish, Trade)
    assert (executed.status, executed.trade_id, executed.action) == ("executed", queued.trade_id, "BUY")
    large = {**wish, "client_id": "x", "quantity": "100000"}
    failed: Trade = await trader.ask("execute_trade", large, Trade, OPEN)
    assert failed.status == "failed"
    assert str(failed.error).startswith("POSITION_VALUE_EXCEEDED")


async def test_without_an_id_of_the_caller_each_request_is_an_order(trader: Trader) -> None:
    wish = {"symbol": "AAA", "action": "BUY", "quantity": "7"}
    one: Trade = await trader.ask("execute_trade", wish, Trade)
    other: Trade = await trader.ask("execute_trade", wish, Trade)
    assert one.trade_id != other.trade_id


async def test_an_order_waits_for_approval_and_expires_without_one(tmp_path: Path) -> None:
    peers = Peers()
    async with started(tmp_path, peers, declaration=declaration(trading={"approval": "required"})) as system:
        trader = Trader(system, peers)
        await trader.signalled(signal(), signal("BBB"))
        first, second = await trader.orders(status="awaiting_approval")
        approved: Order = await trader.ask("approve_order", {"order_id": first.order_id, "by": "test"}, Order)
        assert approved.status == "queued"
        assert (await trader.ask("approve_order", {"order_id": first.order_id, "by": "test"}, Order)) == approved
        opened = await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
        assert (opened.filled, opened.refused) == ([first.order_id], [second.order_id])
        (expired,) = await trader.orders(status="expired")
        assert str(expired.refusal).startswith("NOT_APPROVED")
        with pytest.raises(RpcError, match=r"NOT_AWAITING: order .* is expired"):
            await trader.ask("approve_order", {"order_id": second.order_id, "by": "test"}, Order)
        with pytest.raises(RpcError, match="UNKNOWN_ORDER"):
            await trader.ask("approve_order", {"order_id": "bw-none", "by": "test"}, Order)
        assert (await trader.check()).violations == []


async def test_a_halt_cancels_what_waits_and_a_resume_does_not_bring_it_back(trader: Trader) -> None:
    await trader.signalled(signal())
    halted: HaltState = await trader.ask("halt", {"reason": "test", "source": "cli"}, HaltState)
    (order,) = await trader.orders(status="cancelled")
    assert str(order.refusal).startswith("HALTED: value=cli: test")
    await trader.ask("resume", {"reason": "done", "source": "cli", "seen": halted.newest_halt}, HaltState)
    opened = await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
    assert opened.filled == []
    assert (await trader.check()).violations == []


async def test_an_order_can_be_cancelled_by_hand(trader: Trader) -> None:
    await trader.signalled(signal())
    (order,) = await trader.orders()
    cancelled: Order = await trader.ask("cancel_order", {"order_id": order.order_id, "by": "me"}, Order)
    assert (cancelled.status, str(cancelled.refusal)[:17]) == ("cancelled", "CANCELLED_BY_HAND")
    again: Order = await trader.ask("cancel_order", {"order_id": order.order_id, "by": "me"}, Order)
    assert again == cancelled


async def test_deposits_and_withdrawals_are_in_the_ledger_once_and_are_no_gain(trader: Trader) -> None:
    deposit = {"amount": "2500.50", "transfer_id": "t-1", "note": "salary"}
    account: Account = await trader.ask("transfer", deposit, Account)
    assert account.cash == account.initial_cash + Decimal("2500.50")
    assert (await trader.ask("transfer", deposit, Account)).cash == account.cash
    with pytest.raises(RpcError, match=r"TRANSFER_ID_TAKEN: transfer_id t-1 is a transfer of 2500\.5"):
        await trader.ask("transfer", {**deposit, "amount": "1"}, Account)
    with pytest.raises(RpcError, match=r"INSUFFICIENT_CASH: 1000000 to withdraw"):
        await trader.ask("transfer", {"amount": "-1000000", "transfer_id": "t-2"}, Account)
    with pytest.raises(RpcError, match=r"amount: 0\.001 must be money to the cent"):
        await trader.ask("transfer", {"amount": "0.001", "transfer_id": "t-2"}, Account)
    out: Account = await trader.ask("transfer", {"amount": "-500", "transfer_id": "t-2"}, Account)
    assert out.transferred == Decimal("2000.50")
    assert (await trader.check()).violations == []
    # What was put in can be spent at the simulated broker.
    await trader.signalled(signal())
    await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
    assert (await trader.ask("sync_positions", None, SyncedPositions)).differences == []


async def test_trades_and_lots_are_exported(trader: Trader) -> None:
    await trader.signalled(signal())
    await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
    trades: Exported = await trader.ask("export", {"what": "trades"}, Exported)
    assert trades.total == len(trades.rows) == 1
    lots: Exported = await trader.ask("export", {"what": "lots"}, Exported)
    row = dict(zip(lots.columns, lots.rows[0], strict=True))
    assert (row["symbol"], row["acquired"], row["disposed"], row["held_12_months"]) == ("AAA", str(DAY), "", "no")
    assert (await trader.ask("export", {"what": "lots", "skip": 1}, Exported)).rows == []
