"""The trader from a signal to a fill, a close and its ledger, over the bus in memory."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bellwether.messages.prediction import PredictionGenerated
from bellwether.messages.trading import (
    Account,
    EquityCurve,
    Explanation,
    Positions,
    Refusals,
    Safety,
    SessionClosed,
    SessionOpened,
    SyncedPositions,
    Trade,
)
from bellwether.runtime.errors import RpcError
from bellwether.storage.store import Transaction
from bellwether.trading import tables
from bellwether.trading.executor import Executor
from bellwether.trading.ledger import Ledger
from bellwether.trading.projection import project
from harness.clock import Present
from integration.trading.peers import SPLIT, Peers, declaration, price
from integration.trading.trader import BEFORE, CLOSE, DAY, OPEN, RUN, Heard, Trader, signal, started

pytestmark = pytest.mark.integration


async def test_a_signal_is_queued_filled_at_the_open_and_sold_on_a_sell(trader: Trader) -> None:
    await trader.signalled(signal())
    (queued,) = await trader.orders()
    assert (queued.status, queued.session, queued.prediction_id) == ("queued", DAY, "slot-20090105-AAA")
    opened = await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
    assert opened.filled == [queued.order_id]
    (filled,) = await trader.orders(status="filled")
    assert filled.fill_price is not None
    assert filled.fill_price > Decimal(str(price("AAA", DAY, "open")))
    closed = await trader.ask("session_close", {"session": DAY}, SessionClosed, CLOSE)
    positions = await trader.ask("get_positions", None, Positions)
    (position,) = positions.positions
    assert position.market_price == Decimal(str(price("AAA", DAY, "close")))
    account = await trader.ask("get_account", None, Account)
    assert account.equity == closed.equity == account.cash + position.market_value
    next_morning = BEFORE + timedelta(days=1)
    await trader.signalled(signal(action="STRONG_SELL", as_of=next_morning), at=next_morning)
    await trader.ask("session_open", {"session": date(2009, 1, 6)}, SessionOpened, OPEN + timedelta(days=1))
    assert (await trader.ask("get_positions", None, Positions)).positions == []
    assert (await trader.check()).violations == []


async def test_the_same_message_twice_is_one_order(trader: Trader) -> None:
    work = trader.system.work(as_of=BEFORE, run=RUN)
    for event_id in ("first", "second"):
        # The same decision under two event ids: neither the stream nor the inbox can tell, the ledger can.
        await work.publish_event("prediction_generated", PredictionGenerated(signal()), event_id=event_id)
    await trader.system.settle("paper-trading", "first", "second", run=RUN)
    assert len(await trader.orders()) == 1
    assert (await trader.check()).duplicate_orders == 0


async def test_open_and_close_asked_again_answer_the_same_and_do_nothing(trader: Trader) -> None:
    await trader.signalled(signal(), signal("BBB"))
    first = await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
    assert await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN) == first
    closed = await trader.ask("session_close", {"session": DAY}, SessionClosed, CLOSE)
    assert await trader.ask("session_close", {"session": DAY}, SessionClosed, CLOSE) == closed
    assert (await trader.check()).fills == 2
    later = date(2009, 1, 6)
    await trader.ask("session_open", {"session": later}, SessionOpened, OPEN + timedelta(days=1))
    assert await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN) == first
    with pytest.raises(RpcError, match="SESSION_PASSED"):
        await trader.ask("session_open", {"session": date(2009, 1, 2)}, SessionOpened, OPEN)


@pytest.mark.parametrize(
    ("method", "day", "at", "code"),
    [
        ("session_open", date(2009, 1, 4), OPEN, "NOT_A_SESSION"),
        ("session_open", DAY, BEFORE, "NOT_OPEN_YET"),
        ("session_close", DAY, OPEN, "NOT_CLOSED_YET"),
    ],
)
async def test_a_session_is_not_opened_or_closed_out_of_its_time(
    trader: Trader, method: str, day: date, at: datetime, code: str
) -> None:
    with pytest.raises(RpcError, match=code):
        await trader.ask(method, {"session": day}, dict, at)


async def test_hold_and_looking_at_leave_no_refusal_and_a_guard_s_objection_does(trader: Trader) -> None:
    await trader.signalled(
        signal(action="HOLD"),
        signal("BBB", may_trade=False),
        signal("CCC", current_price=0.0, market_data_available=False),
    )
    refusals: Refusals = await trader.ask("list_refusals", {}, Refusals)
    assert [(one.symbol, one.code) for one in refusals.refusals] == [("CCC", "NO_REAL_PRICE")]
    assert await trader.orders() == []
    explained: Explanation = await trader.ask("explain", {"symbol": "AAA"}, Explanation)
    assert explained.outcome == "ignored"
    explained = await trader.ask("explain", {"symbol": "CCC"}, Explanation)
    assert (explained.outcome, explained.refusals[0].code) == ("refused", "NO_REAL_PRICE")
    explained = await trader.ask("explain", {"symbol": "ZZZ"}, Explanation)
    assert explained.outcome == "unseen"


async def test_explain_prefers_the_decision_that_might_trade(trader: Trader) -> None:
    looked_at = signal(may_trade=False, prediction_id="looked-at")
    await trader.signalled(signal(), looked_at)
    explained: Explanation = await trader.ask("explain", {"symbol": "AAA"}, Explanation)
    assert (explained.prediction_id, explained.outcome) == ("slot-20090105-AAA", "order")
    assert explained.guards[-1] == "INSUFFICIENT_CASH"
    explained = await trader.ask("explain", {"symbol": "AAA", "prediction_id": "looked-at"}, Explanation)
    assert explained.outcome == "ignored"


async def test_a_fill_that_is_found_at_the_broker_after_a_restart_is_recorded_at_the_time_of_the_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise RuntimeError("killed before the ledger has it")

    peers = Peers()
    with monkeypatch.context() as patch:
        patch.setattr(Executor, "_take_in", killed)
        async with started(tmp_path, peers) as system:
            trader = Trader(system, peers)
            await trader.signalled(signal())
            with pytest.raises(RpcError):
                await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
            assert await trader.orders(status="filled") == []
    async with started(tmp_path, peers) as system:
        (order,) = await Trader(system, peers).orders(status="filled")
        assert order.filled_at == OPEN


async def test_a_signal_that_leaves_nothing_to_do_is_explained_and_stands_in_no_ledger(trader: Trader) -> None:
    bus, reported = trader.system.context.bus, Heard()
    await bus.subscribe("bw.event.normal.order_refused", lambda message: reported.add(message.body))
    await trader.signalled(signal(action="SELL"))
    explained: Explanation = await trader.ask("explain", {"symbol": "AAA"}, Explanation)
    assert (explained.outcome, [one.code for one in explained.refusals]) == ("refused", ["NOTHING_TO_SELL"])
    assert (explained.refusals[0].value, explained.refusals[0].stage) == ("0", "signal")
    assert (await trader.ask("list_refusals", {}, Refusals)).total == 0
    await trader.signalled(signal("CCC", current_price=0.0, market_data_available=False))
    assert b"NO_REAL_PRICE" in await reported.first()


async def test_an_order_made_smaller_at_the_open_says_from_what_and_why(trader: Trader) -> None:
    await trader.signalled(signal(current_price=price("AAA", DAY, "open") / 3))
    (queued,) = await trader.orders()
    assert queued.strength > 0
    await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
    (order,) = await trader.orders()
    assert (order.status, order.reduced_from) == ("filled", queued.quantity)
    assert order.quantity < queued.quantity
    assert str(order.reduction).startswith("POSITION_VALUE_EXCEEDED: value=")
    explained: Explanation = await trader.ask("explain", {"symbol": "AAA"}, Explanation)
    assert explained.order == order
    assert (await trader.check()).violations == []


async def test_the_equity_curve_has_each_session_s_close_also_where_the_next_opens_on_its_utc_day(
    trader: Trader,
) -> None:
    await trader.signalled(signal())
    await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
    closed: SessionClosed = await trader.ask("session_close", {"session": DAY}, SessionClosed, CLOSE)
    await trader.ask("session_open", {"session": DAY + timedelta(days=1)}, SessionOpened, OPEN + timedelta(days=1))
    curve: EquityCurve = await trader.ask("get_equity", {}, EquityCurve, OPEN + timedelta(days=1))
    assert [(one.session, one.equity) for one in curve.points] == [(DAY, closed.equity)]


async def test_a_ledger_of_the_former_release_is_read_on(tmp_path: Path) -> None:
    peers = Peers()
    async with started(tmp_path, peers) as system:
        await Trader(system, peers).signalled(signal())
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger:
        for table, columns in (
            ("orders", ("strength", "reduced_from", "reduction", "filled_quantity")),
            ("decisions", ("code", "value", '"limit"')),
            ("halts", ("run",)),
        ):
            for column in columns:
                ledger.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        for table in ("executions", "unreconciled", "sim_accounts", "sim_positions", "sim_orders", "sim_events"):
            ledger.execute(f"DROP TABLE {table}")
        ledger.execute("DROP TABLE sim_actions")
        for index in ("refusals_by_time", "decisions_by_time"):
            ledger.execute(f"DROP INDEX {index}")
        ledger.execute("PRAGMA user_version = 1")
        ledger.commit()
    async with started(tmp_path, peers) as system:
        trader = Trader(system, peers)
        (order,) = await trader.orders()
        assert (order.status, order.reduced_from) == ("queued", None)
        explained: Explanation = await trader.ask("explain", {"symbol": "AAA"}, Explanation)
        assert explained.order == order


async def test_positions_agree_with_the_broker_and_a_difference_is_named(trader: Trader) -> None:
    await trader.signalled(signal())
    await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
    found: SyncedPositions = await trader.ask("sync_positions", None, SyncedPositions)
    assert (found.synced_positions, found.differences) == (1, [])
    store = trader.system.services["paper-trading"].context.store
    assert store is not None

    def put(tx: Transaction, quantity: str) -> None:
        tx.driver.execute("UPDATE sim_positions SET quantity = ? WHERE account = ?", (quantity, RUN))

    (held,) = (await trader.ask("get_positions", None, Positions)).positions
    await store.transact(lambda tx: put(tx, "3"))
    found = await trader.ask("sync_positions", None, SyncedPositions)
    assert found.differences == [f"AAA: ledger {held.quantity}, broker 3"]
    # Nothing is traded in it until they agree, and no order is made up to mend it.
    morning = BEFORE + timedelta(days=1)
    await trader.signalled(signal(action="SELL", as_of=morning), at=morning)
    refusals: Refusals = await trader.ask("list_refusals", {"symbol": "AAA"}, Refusals)
    assert refusals.refusals[0].code == "BROKER_UNRECONCILED"
    assert len(await trader.orders()) == 1
    await store.transact(lambda tx: put(tx, str(held.quantity)))
    assert (await trader.ask("sync_positions", None, SyncedPositions)).differences == []
    await trader.signalled(signal(action="SELL", as_of=morning, prediction_id="again"), at=morning)
    assert len(await trader.orders(status="queued")) == 1


async def test_no_opening_price_cancels_with_its_code(trader: Trader) -> None:
    trader.peers.silent = frozenset({"AAA"})
    await trader.signalled(signal(), signal("BBB"))
    opened = await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
    assert len(opened.filled) == 1
    (order,) = await trader.orders(status="cancelled")
    assert str(order.refusal) == "NO_OPENING_PRICE: value=none limit=an opening price on 2009-01-05"


async def test_projections_made_again_from_the_events_are_the_same(trader: Trader) -> None:
    trader.peers.silent = frozenset({"CCC"})
    await trader.signalled(signal(), signal("BBB", "SELL"), signal("CCC"))
    await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
    await trader.ask("session_close", {"session": DAY}, SessionClosed, CLOSE)
    store = trader.system.services["paper-trading"].context.store
    assert store is not None

    def contents(tx: Transaction) -> list[list[tuple[Any, ...]]]:
        found = []
        for table in (tables.orders, tables.refusals, tables.equity):
            columns = [column for column in table.c if column.name != "id"]
            found.append(
                sorted((tuple(row) for row in tx.execute(table.select().with_only_columns(*columns))), key=str)
            )
        return found

    before = await store.transact(contents)

    def make_again(tx: Transaction) -> None:
        for table in (tables.orders, tables.refusals, tables.equity):
            tx.execute(table.delete().where(table.c.run == RUN))
        project(tx, RUN, Ledger().events(tx, RUN))

    await store.transact(make_again)
    assert await store.transact(contents) == before
    assert (await trader.check()).violations == []


async def test_live_an_order_waits_for_its_opening_price_and_expires_with_the_session(tmp_path: Path) -> None:
    peers = Peers(silent=frozenset({"AAA"}))
    clock = Present(BEFORE)
    async with started(tmp_path, peers, clock=clock) as system:
        trader = Trader(system, peers, run="live")
        await trader.signalled(signal(), signal("BBB"))
        clock.instant = OPEN
        await trader.ask("session_open", {"session": DAY}, SessionOpened)
        assert [one.symbol for one in await trader.orders(status="filled")] == ["BBB"]
        assert [one.symbol for one in await trader.orders(status="queued")] == ["AAA"]
        peers.silent = frozenset()
        clock.instant = OPEN + timedelta(minutes=5)
        await trader.ask("session_open", {"session": DAY}, SessionOpened)
        assert len(await trader.orders(status="filled")) == 2
        # A message that waited for longer than the prediction holds is judged by the present.
        clock.instant = CLOSE + timedelta(minutes=1)
        await trader.signalled(signal("CCC"))
        explained: Explanation = await trader.ask("explain", {"symbol": "CCC"}, Explanation)
        assert explained.refusals[0].code in ("ORDER_EXPIRED", "PREDICTION_EXPIRED")


async def test_a_live_session_is_not_closed_while_an_order_waits_for_its_price(tmp_path: Path) -> None:
    peers = Peers(silent=frozenset({"AAA"}))
    clock = Present(BEFORE)
    async with started(tmp_path, peers, clock=clock) as system:
        trader = Trader(system, peers, run="live")
        await trader.signalled(signal())
        clock.instant = CLOSE + timedelta(minutes=59)
        await trader.ask("session_open", {"session": DAY}, SessionOpened)
        words = "session 2009-01-05 waits until 2009-01-05T22:00:00+00:00 for bars of AAA"
        with pytest.raises(RpcError, match=re.escape(f"BARS_AWAITED: {words}")):
            await trader.ask("session_close", {"session": DAY}, SessionClosed)
        assert [one.symbol for one in await trader.orders(status="queued")] == ["AAA"]
        clock.instant = CLOSE + timedelta(hours=1)
        await trader.ask("session_open", {"session": DAY}, SessionOpened)
        await trader.ask("session_close", {"session": DAY}, SessionClosed)
        (order,) = await trader.orders(status="cancelled")
        assert order.refusal == "NO_OPENING_PRICE: value=none limit=an opening price on 2009-01-05"


async def test_splits_of_sessions_that_the_system_was_down_for_reach_its_positions(tmp_path: Path) -> None:
    clock = Present(BEFORE)
    async with started(tmp_path, Peers(), clock=clock) as system:
        trader = Trader(system, Peers(), run="live")
        await trader.signalled(signal())
        clock.instant = OPEN
        await trader.ask("session_open", {"session": DAY}, SessionOpened)
        before: Positions = await trader.ask("get_positions", None, Positions)
        after_the_split = SPLIT.session + timedelta(days=1)
        clock.instant = OPEN + (after_the_split - DAY)
        opened = await trader.ask("session_open", {"session": after_the_split}, SessionOpened)
        assert opened.corporate_actions == 1
        held: Positions = await trader.ask("get_positions", None, Positions)
        assert held.positions[0].quantity == 2 * before.positions[0].quantity
        again = await trader.ask("session_open", {"session": after_the_split}, SessionOpened)
        assert again == opened
        assert (await trader.check()).violations == []


async def test_a_session_closes_although_a_held_symbol_was_taken_out_of_the_declaration(trader: Trader) -> None:
    await trader.signalled(signal())
    await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
    trader.peers.refused["get_bars"] = "UNKNOWN_SYMBOL"
    closed: SessionClosed = await trader.ask("session_close", {"session": DAY}, SessionClosed, CLOSE)
    (position,) = (await trader.ask("get_positions", None, Positions)).positions
    assert position.market_price == Decimal(str(price("AAA", DAY, "open")))
    account: Account = await trader.ask("get_account", None, Account)
    assert closed.equity == account.equity
    assert (await trader.check()).violations == []


async def test_one_share_without_a_price_is_refused_and_the_others_trade(trader: Trader) -> None:
    trader.peers.silent = frozenset({"CCC"})
    found: Safety = await trader.ask("get_safety", None, Safety)
    assert found.safe is True
    assert [(one.code, one.symbol) for one in found.refusals] == [("NO_REAL_PRICE", "CCC")]
    await trader.signalled(signal(), signal("CCC", current_price=0.0, market_data_available=False))
    assert [(one.symbol, one.status) for one in await trader.orders()] == [("AAA", "queued")]
    refusals: Refusals = await trader.ask("list_refusals", {}, Refusals)
    assert [(one.symbol, one.code) for one in refusals.refusals] == [("CCC", "NO_REAL_PRICE")]


async def test_a_share_of_the_volume_fills_a_part_and_the_rest_ends(tmp_path: Path) -> None:
    peers = Peers()
    # The made-up bars have a volume of 1000 shares or more; a share of one in a thousand leaves a few.
    costs = {"costs": {"volumeShare": "0.001"}}
    async with started(tmp_path, peers, declaration=declaration(trading=costs)) as system:
        trader = Trader(system, peers)
        wish = {"symbol": "AAA", "action": "BUY", "quantity": "300", "client_id": "large"}
        await trader.ask("execute_trade", wish, Trade)
        opened = await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
        (order,) = await trader.orders()
        assert order.status == "partially_filled"
        assert opened.filled == [order.order_id]
        assert order.filled_quantity is not None
        assert 0 < order.filled_quantity < 300
        assert str(order.refusal).startswith("BROKER_CANCELLED")
        (position,) = (await trader.ask("get_positions", None, Positions)).positions
        assert position.quantity == order.filled_quantity
        assert (await trader.check()).violations == []
        assert (await trader.ask("sync_positions", None, SyncedPositions)).differences == []
        trade: Trade = await trader.ask("execute_trade", wish, Trade)
        assert trade.status == "executed"
