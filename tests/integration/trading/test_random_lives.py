"""Random lives of an account at each broker, with kills between any two steps: the ledger's invariants hold."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwether.broker.ig.client import IgClient, Pace
from bellwether.broker.simulated_books import Books
from bellwether.messages.prediction import Action
from bellwether.runtime.errors import RpcError
from bellwether.storage.store import Store
from bellwether.trading import executions
from bellwether.trading import service as trading
from bellwether.trading.ledger import Ledger
from harness.clock import Present
from harness.ig.lab import write_credentials
from harness.ig.standin import StandIn, standing_in
from harness.ig.steps import STEPS, Aimed, count_requests, count_writes
from harness.ig.trader import live
from harness.ig.trials import (
    DOUBTFUL,
    ODD,
    books_at_ig,
    books_of_simulator,
    cash_of_simulator,
    differences,
    made_up_markets,
    usd,
)
from harness.system import System, running
from harness.until import DEADLINE
from integration.trading.peers import ROWS, SYMBOLS, Peers
from integration.trading.trader import Trader, signal

pytestmark = pytest.mark.integration

WITH_ACTIONS = (date(2009, 1, 16), date(2009, 1, 20), date(2009, 1, 21), date(2009, 1, 22))
"""AAA is split on the second, BBB pays a dividend on the last. At IG a split is a matter of its own."""
PLAIN = (date(2009, 1, 5), date(2009, 1, 6), date(2009, 1, 7))
ACTIONS: tuple[Action, ...] = ("STRONG_BUY", "BUY", "HOLD", "SELL")
REJECTED: dict[str, Any] = {"reject": "INSUFFICIENT_FUNDS"}


class Crash(Exception):
    """The process is gone: nothing is written or sent any more."""


class Life(Aimed):
    """Ends at a step; from then on every step is one too many."""

    def __init__(self) -> None:
        super().__init__("", self._end)
        self.over = False

    def _end(self, where: str) -> None:
        self.over = True
        raise Crash(where)

    def reach(self, where: str) -> None:
        """Count one step."""
        if self.over:
            raise Crash("it is over")
        super().reach(where)


@dataclass(frozen=True)
class Day:
    """One session: what is signalled, asked by hand, moved, halted, and where the process dies."""

    actions: dict[str, Action]
    manual: tuple[str, str, int] | None
    transfer: int
    cancels: bool
    halted: bool
    odd: dict[str, Any]
    aim: tuple[int, int]


days = st.builds(
    Day,
    actions=st.fixed_dictionaries({symbol: st.sampled_from(ACTIONS) for symbol in SYMBOLS}),
    manual=st.none() | st.tuples(st.sampled_from(SYMBOLS), st.sampled_from(["BUY", "SELL"]), st.integers(1, 60)),
    transfer=st.sampled_from([0, 0, 500, -300]),
    cancels=st.sampled_from([False, False, False, False, True]),
    halted=st.sampled_from([False, False, False, False, False, False, True]),
    odd=st.sampled_from([*ODD, REJECTED]),
    aim=st.tuples(st.integers(0, 100), st.sampled_from([1, 1, 2])),
)


@pytest.fixture(scope="module")
def life() -> Iterator[Life]:
    """Count steps of this process, and take that back at the end."""
    found = Life()
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (Store, "transact"),
            (executions, "save"),
            (Ledger, "append"),
            (Books, "take"),
            (IgClient, "_send"),
        ):
            patch.setattr(owner, name, getattr(owner, name))
        patch.setattr(Pace, "wait", lambda self, now: 0.0)
        count_writes(found)
        count_requests(found)
        yield found


@dataclass
class Account:
    """A trader on an account, that can be started again on the same files."""

    broker: str
    folder: Path
    life: Life
    ig: StandIn | None
    peers: Peers = field(default_factory=Peers)
    clock: Present = field(default_factory=lambda: Present(datetime(2009, 1, 5, tzinfo=UTC)))
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _system: System | None = None

    async def start(self) -> None:
        """Start, or end what ran and start again."""
        await self.stop()
        self.life.over = False
        self.life.aim("")
        outside: dict[str, Any] = {}
        if self.ig is not None:
            outside = {"proxy": self.ig.url, "ca_bundle": self.ig.authority}
            outside["ig_credentials"] = self.folder / "ig.json"

        def create(context: Any) -> Any:
            return trading.create(replace(context, config=replace(context.config, **outside)))

        builds = {**self.peers.builds(), "paper-trading": create}
        self._system = await self._stack.enter_async_context(
            running(builds, data_dir=self.folder / "data", rows=ROWS, declaration=live(self.broker), clock=self.clock)
        )

    async def stop(self) -> None:
        """End what runs."""
        await self._stack.aclose()

    @property
    def trader(self) -> Trader:
        """Who asks it."""
        assert self._system is not None
        return Trader(self._system, self.peers, run="live")

    async def ask(self, method: str, params: Any = None) -> dict[str, Any]:
        """Ask; once more after a restart where the process died over it. A refusal is an answer."""
        for _ in range(2):
            try:
                found: dict[str, Any] = await self.trader.ask(method, params, dict, at=self.clock.instant)
            except RpcError as error:
                if not self.life.over:
                    return {"error": error.code}
            else:
                if not self.life.over:
                    return found
            await self.start()
        raise AssertionError(f"{method} dies again and again")

    async def orders(self) -> dict[str, dict[str, Any]]:
        """Return the orders by id."""
        return {one["order_id"]: one for one in (await self.ask("list_orders", {"limit": 1000}))["orders"]}


@contextlib.asynccontextmanager
async def account(broker: str, life: Life) -> AsyncIterator[Account]:
    """Open an account."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with contextlib.AsyncExitStack() as stack:
            ig = None
            if broker == "ig-demo":
                ig = await stack.enter_async_context(standing_in(folder, made_up_markets()))
                usd(ig)
                write_credentials(folder)
            found = Account(broker, folder, life, ig)
            stack.push_async_callback(found.stop)
            yield found


async def lived(found: Account, sessions: tuple[date, ...], history: list[Day]) -> None:
    """Let an account live through sessions, and look at its books after each."""
    found.clock.instant = at(sessions[0], -15)
    await found.start()
    for session, day in zip(sessions, history, strict=False):
        found.clock.instant = at(session, -15)
        await prepared(found, session, day)
        if found.ig is not None:
            found.ig.set(**day.odd)
        steps = STEPS[found.broker]
        found.clock.instant = at(session, 1)
        found.life.aim(f"{day.aim[1]} {steps[day.aim[0] % len(steps)]}")
        await through_the_open(found, session)
        if found.ig is not None:
            found.ig.reset()
        found.clock.instant = at(session, 300)
        await settled(found)
        found.life.aim("")
        if day.halted:
            await found.ask("resume", {"reason": "enough", "source": "test"})
        found.clock.instant = at(session, 405)
        await found.ask("session_open", {"session": session.isoformat()})
        await found.ask("session_close", {"session": session.isoformat()})
        await judged(found)


def at(session: date, minutes: int) -> datetime:
    """Return an instant so many minutes after the session's open."""
    return datetime(session.year, session.month, session.day, 14, 30, tzinfo=UTC) + timedelta(minutes=minutes)


async def prepared(found: Account, session: date, day: Day) -> None:
    """Have everything asked for that waits for the open."""
    instant = found.clock.instant
    made = [signal(symbol, action, instant) for symbol, action in day.actions.items()]
    await found.trader.signalled(*made, at=instant)
    if day.manual is not None:
        symbol, side, quantity = day.manual
        wish = {"symbol": symbol, "action": side, "quantity": str(quantity), "client_id": f"by-hand-{session}"}
        await found.ask("execute_trade", wish)
    if day.transfer:
        await found.ask("transfer", {"amount": str(day.transfer), "transfer_id": f"t-{session}"})
    waiting = [name for name, one in (await found.orders()).items() if one["status"] == "queued"]
    if day.cancels and waiting:
        await found.ask("cancel_order", {"order_id": waiting[0], "by": "test"})
    if day.halted:
        await found.ask("halt", {"reason": "enough", "source": "test"})


async def through_the_open(found: Account, session: date) -> None:
    for _ in range(24):
        await found.ask("session_open", {"session": session.isoformat()})
        states = {one["status"] for one in (await found.orders()).values()}
        if not states & {"queued", "sending", "working"}:
            return
        await asyncio.sleep(0.05)


async def settled(found: Account) -> None:
    """Compare the account until nothing is in doubt; at IG an outcome may be reported late."""
    async with asyncio.timeout(DEADLINE):
        while True:
            synced = await found.ask("sync_positions")
            doubt = [one for one in (await found.orders()).values() if one["status"] in DOUBTFUL - {"partially_filled"}]
            if not doubt and not synced.get("differences", ["no answer"]):
                return
            await asyncio.sleep(0.1)


async def judged(found: Account) -> None:
    """Compare the ledger with itself, and with the broker's own books."""
    assert (await found.ask("check_ledger"))["violations"] == []
    orders = await found.orders()
    held = {one["symbol"]: Decimal(one["quantity"]) for one in (await found.ask("get_positions"))["positions"]}
    cash = Decimal((await found.ask("get_account"))["cash"])
    assert cash >= 0
    if found.ig is not None:
        assert differences(books_at_ig(found.ig), orders, held) == []
        return
    assert differences(books_of_simulator(found.folder / "data"), orders, held) == []
    assert cash_of_simulator(found.folder / "data") == cash


@settings(max_examples=10, deadline=None, derandomize=True)
@given(history=st.lists(days, min_size=3, max_size=len(WITH_ACTIONS)))
def test_at_the_simulator_ledger_and_broker_agree_whatever_happens(life: Life, history: list[Day]) -> None:
    async def run() -> None:
        async with account("simulated", life) as found:
            await lived(found, WITH_ACTIONS, history)

    asyncio.run(run())


@settings(max_examples=4, deadline=None, derandomize=True)
@given(history=st.lists(days, min_size=2, max_size=len(PLAIN)))
def test_at_ig_ledger_and_broker_agree_whatever_happens(life: Life, history: list[Day]) -> None:
    async def run() -> None:
        async with account("ig-demo", life) as found:
            await lived(found, PLAIN, history)

    asyncio.run(run())
