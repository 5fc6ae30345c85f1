from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwether.messages.prediction import GeneratePredictions, Prediction, PredictionGenerated
from bellwether.messages.trading import (
    Account,
    EquityCurve,
    Explanation,
    Exported,
    HaltState,
    LedgerCheck,
    Order,
    Orders,
    Positions,
    Refusals,
    Safety,
    SessionClosed,
    SessionOpened,
    SyncedPositions,
    Trade,
)
from bellwether.runtime.declaration import encode_declaration
from bellwether.runtime.errors import RpcError
from bellwether.storage.store import Transaction
from bellwether.trading import service as trading
from bellwether.trading import tables
from bellwether.trading.executor import Executor
from bellwether.trading.ledger import Ledger
from bellwether.trading.projection import project
from harness.clock import Present
from harness.system import System, running
from harness.until import until
from integration.trading.peers import ROWS, SPLIT, Peers, declaration, predicted, price

pytestmark = pytest.mark.integration

DAY = date(2009, 1, 5)
BEFORE = datetime(2009, 1, 5, 14, 15, tzinfo=UTC)
OPEN = datetime(2009, 1, 5, 14, 30, tzinfo=UTC)
CLOSE = datetime(2009, 1, 5, 21, 0, tzinfo=UTC)
RUN = "replay-test"


def signal(symbol: str = "AAA", action: str = "BUY", as_of: datetime = BEFORE, **changes: Any) -> Prediction:
    made = predicted(symbol, as_of, GeneratePredictions(may_trade=True, slot=f"slot-{as_of:%Y%m%d}"))
    return msgspec.structs.replace(made, action=action, **changes)


@dataclass
class Trader:
    system: System
    peers: Peers
    run: str = RUN

    async def ask(self, method: str, params: Any, result: Any, at: datetime = BEFORE) -> Any:
        return await self.system.call("paper-trading", method, params, result, as_of=at, run=self.run)

    async def signalled(self, *signals: Prediction, at: datetime = BEFORE) -> None:
        """Publish predictions and wait until the trader has met them."""
        work = self.system.work(as_of=at, run=self.run)
        ids = [f"prediction_generated:{one.prediction_id}" for one in signals]
        for event_id, one in zip(ids, signals, strict=True):
            await work.publish_event("prediction_generated", PredictionGenerated(one), event_id=event_id)
        await self.system.settle("paper-trading", *ids, run=self.run)

    async def orders(self, **wanted: Any) -> list[Order]:
        found: Orders = await self.ask("list_orders", wanted, Orders)
        return found.orders

    async def check(self) -> LedgerCheck:
        found: LedgerCheck = await self.ask("check_ledger", None, LedgerCheck)
        return found


def started(folder: Path, peers: Peers, **options: Any) -> Any:
    builds = {**peers.builds(), "paper-trading": trading.create}
    options.setdefault("declaration", declaration())
    return running(builds, data_dir=folder, rows=ROWS, **options)


@pytest.fixture
async def trader(tmp_path: Path) -> AsyncIterator[Trader]:
    peers = Peers()
    async with started(tmp_path, peers) as system:
        yield Trader(system, peers)


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


class Heard:
    """Collects messages; `first` waits for one, for at most ten seconds."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()

    def add(self, body: bytes) -> None:
        self._queue.put_nowait(body)

    async def first(self) -> bytes:
        return await asyncio.wait_for(self._queue.get(), 10)


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


@pytest.mark.parametrize("quantity", ["0", "-1", "1.5"])
async def test_a_manual_order_needs_whole_shares(trader: Trader, quantity: str) -> None:
    wish = {"symbol": "AAA", "action": "BUY", "quantity": quantity, "client_id": "x"}
    with pytest.raises(RpcError, match=r"quantity: .* must be a whole number of shares"):
        await trader.ask("execute_trade", wish, Trade)


async def test_there_is_no_ig_account_and_the_words_name_the_mode(trader: Trader) -> None:
    with pytest.raises(RpcError, match=r"NO_IG_ACCOUNT: trading\.mode is simulated"):
        await trader.ask("initialize_ig_markets", None, dict)


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


async def test_splits_of_sessions_that_the_system_was_away_for_reach_its_positions(tmp_path: Path) -> None:
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


async def test_health_says_what_is_held_and_what_halts(trader: Trader) -> None:
    await trader.ask("halt", {"reason": "lunch", "source": "cli"}, HaltState)
    health = await trader.ask("health", None, dict)
    assert health["status"] == "healthy"
    assert health["halted"] is True
    assert health["mode"] == "simulated"


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


async def test_one_share_without_a_price_is_refused_and_the_others_trade(trader: Trader) -> None:
    trader.peers.silent = frozenset({"CCC"})
    found: Safety = await trader.ask("get_safety", None, Safety)
    assert found.safe is True
    assert [(one.code, one.symbol) for one in found.refusals] == [("NO_REAL_PRICE", "CCC")]
    await trader.signalled(signal(), signal("CCC", current_price=0.0, market_data_available=False))
    assert [(one.symbol, one.status) for one in await trader.orders()] == [("AAA", "queued")]
    refusals: Refusals = await trader.ask("list_refusals", {}, Refusals)
    assert [(one.symbol, one.code) for one in refusals.refusals] == [("CCC", "NO_REAL_PRICE")]


async def test_safety_is_unknown_while_market_data_is_away_and_a_halt_is_reported_all_the_same(trader: Trader) -> None:
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


async def test_trades_and_lots_are_exported(trader: Trader) -> None:
    await trader.signalled(signal())
    await trader.ask("session_open", {"session": DAY}, SessionOpened, OPEN)
    trades: Exported = await trader.ask("export", {"what": "trades"}, Exported)
    assert trades.total == len(trades.rows) == 1
    lots: Exported = await trader.ask("export", {"what": "lots"}, Exported)
    row = dict(zip(lots.columns, lots.rows[0], strict=True))
    assert (row["symbol"], row["acquired"], row["disposed"], row["held_12_months"]) == ("AAA", str(DAY), "", "no")
    assert (await trader.ask("export", {"what": "lots", "skip": 1}, Exported)).rows == []
