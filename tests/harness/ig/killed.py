"""A trader on the stand-in's account that is killed and started again, and what the stand-in's books say of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from harness.ig.markets import Market, epic_of
from harness.ig.standin import StandIn
from harness.ig.trader import STARTED
from integration.trading.peers import CALENDAR, SYMBOLS, price
from soak.victim import STRIKE

FIRST_DAY = date(2009, 1, 5)
ANSWER_SECONDS = 90.0
TRIES = 60
DOUBTFUL = frozenset({"sending", "working", "unknown"})
"""States of an order whose outcome the ledger does not know."""


class Killed(Exception):
    """The process ended before it answered; the message says at which point."""


@dataclass
class Trader:
    """The process, started again whenever it was killed; `moment` is where its clock begins then."""

    ig: StandIn
    folder: Path
    credentials: Path
    gaps: list[int] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)
    moment: datetime = datetime(2009, 1, 5, 14, 15, tzinfo=UTC)
    strikes: list[str] = field(default_factory=list)
    log: Path | None = None
    _child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process, again and again while it is killed at its start."""
        for _ in range(TRIES):
            with contextlib.suppress(Killed):
                await self._start()
                return
        raise AssertionError("the trader does not start")

    async def _start(self) -> None:
        environment = {
            **os.environ,
            "BELLWETHER_PROXY": self.ig.url,
            "BELLWETHER_CA_BUNDLE": str(self.ig.authority),
            "BELLWETHER_IG_CREDENTIALS": str(self.credentials),
            "HARNESS_MOMENT": self.moment.isoformat(),
            "HARNESS_IG": json.dumps(dict(self.settings)),
        }
        arguments = [str(self.folder / "data"), str(self.gaps.pop(0)) if self.gaps else ""]
        self.log = self.folder / "trader.log"
        with self.log.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "harness.ig.trader", *arguments,
                env=environment, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        await self._line(STARTED)

    async def _line(self, wanted: str = "") -> str:
        assert self._child is not None
        assert self._child.stdout is not None
        while True:
            async with asyncio.timeout(ANSWER_SECONDS):
                line = (await self._child.stdout.readline()).decode().strip()
            if line.startswith(STRIKE):
                self.strikes.append(line.removeprefix(STRIKE))
            elif not line:
                await self._child.wait()
                raise Killed(self.strikes[-1] if self.strikes else f"exit {self._child.returncode}, see {self.log}")
            elif line == wanted or (not wanted and line.startswith("{") and '"level"' not in line):
                return line

    async def ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Ask once.

        Raises:
            Killed: the process ended before it answered.

        """
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(dict(asked)).encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            await self._child.stdin.drain()
        found: dict[str, Any] = json.loads(await self._line())
        return found

    async def do(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Ask until there is an answer: a process that was killed is started again and asked the same."""
        for _ in range(TRIES):
            try:
                return await self.ask(asked)
            except Killed:
                self.moment += timedelta(seconds=2)
                await self.start()
        raise AssertionError(f"no answer to {asked}")

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of paper-trading, through kills."""
        return await self.do({"method": method, "params": params or None})

    async def at(self, moment: datetime) -> None:
        """Set the clock."""
        self.moment = moment
        await self.do({"at": moment.isoformat()})

    async def orders(self) -> dict[str, dict[str, Any]]:
        """Return the orders by id."""
        return {one["order_id"]: one for one in (await self.call("list_orders", limit=1000))["orders"]}

    def kill(self) -> None:
        """End the process as if the power went."""
        assert self._child is not None
        self._child.kill()

    async def stop(self) -> None:
        """End the process, if it still runs."""
        if self._child is not None and self._child.returncode is None:
            self._child.kill()
            await self._child.wait()


def made_up_markets() -> list[Market]:
    """Return the markets of the made-up symbols, at their prices of the day before."""
    before = CALENDAR.previous_session(datetime(2009, 1, 5, 14, 0, tzinfo=UTC)).day
    return [Market(epic_of(one), f"{one} Ltd", "USD", Decimal(str(price(one, before, "close")))) for one in SYMBOLS]


def usd(ig: StandIn) -> None:
    """Have the accounts in US dollars, as the made-up system trades in."""
    for account in ig.accounts.values():
        account.currency = "USD"


ODD: tuple[dict[str, Any], ...] = (
    {},
    {"confirm": "lost"},
    {"confirm": "405"},
    {"confirm": "lost", "activity_delay": 1.5},
    {"confirm": "405", "activity": "no-closes"},
    {"confirm": "lost", "activity": "none"},
    {"confirm_after": 2, "closing_names_opening": True},
    {"post": "taken-broken"},
    {"post": "not-taken-broken"},
    {"post": "taken-500", "confirm": "405", "activity_delay": 1.5},
)
"""Ways of IG under which the trader is killed."""


@dataclass
class Trial:
    """What one seed did, judged by the stand-in's books."""

    seed: int
    kills: list[str]
    orders: int
    executed: int
    unknown_meanwhile: int
    """Orders whose outcome was in doubt at the end of their session."""
    unknown: int
    """Those that still are, once IG answers as it should and its lookup window is over."""
    violations: list[str]


async def trial(ig: StandIn, folder: Path, credentials: Path, seed: int, *, kills: int, sessions: int = 3) -> Trial:
    """Trade some sessions under odd ways and kills that a seed chooses; return what the books say at the end."""
    chance = random.Random(seed)
    trader = Trader(ig, folder, credentials, gaps=[chance.randint(1, 45) for _ in range(kills)])
    doubtful: set[str] = set()
    days = [one.day for one in CALENDAR.sessions(FIRST_DAY, FIRST_DAY + timedelta(days=3 * sessions))[:sessions]]
    try:
        await trader.start()
        for day in days:
            opens = datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC)
            await trader.at(opens - timedelta(minutes=15))
            await trader.call("sync_positions")
            for symbol in SYMBOLS:
                held = {one["symbol"] for one in (await trader.call("get_positions"))["positions"]}
                action = chance.choice(["STRONG_SELL", "SELL"] if symbol in held else ["BUY", "STRONG_BUY"])
                await trader.do({"signal": [symbol, action]})
            ig.reset()
            ig.set(**chance.choice(ODD))
            await trader.at(opens + timedelta(seconds=5))
            doubtful |= await _through_the_open(trader, day)
            ig.reset()
            await trader.at(opens + timedelta(hours=5))
            await _settled(trader)
            await trader.at(opens + timedelta(hours=6, minutes=45))
            await trader.call("session_open", session=day.isoformat())
            await trader.call("session_close", session=day.isoformat())
        return await _judged(ig, trader, seed, doubtful)
    finally:
        await trader.stop()


async def _through_the_open(trader: Trader, day: date) -> set[str]:
    """Ask for the open until each order is over or in doubt, 24 times at most; return those in doubt."""
    states: dict[str, str] = {}
    for _ in range(24):
        await trader.call("session_open", session=day.isoformat())
        states = {name: one["status"] for name, one in (await trader.orders()).items()}
        if not any(one in ("queued", "sending", "working", "partially_filled") for one in states.values()):
            break
        await asyncio.sleep(0.1)
    return {name for name, one in states.items() if one in DOUBTFUL}


async def _settled(trader: Trader) -> None:
    """Have the account compared until no order is in doubt, six times at most: longer than IG is looked up for."""
    for _ in range(6):
        await trader.call("sync_positions")
        if not any(one["status"] in DOUBTFUL for one in (await trader.orders()).values()):
            return
        await asyncio.sleep(0.5)


async def _judged(ig: StandIn, trader: Trader, seed: int, doubtful: set[str]) -> Trial:
    await _settled(trader)
    orders = await trader.orders()
    synced = await trader.call("sync_positions")
    checked = await trader.call("check_ledger")
    held = {one["symbol"]: Decimal(one["quantity"]) for one in (await trader.call("get_positions"))["positions"]}
    books = ig.account
    executed = [deal for deal in books.deals if deal.accepted and deal.filled and not deal.working]
    references = [deal.ticket.reference for deal in executed]
    violations = [f"order {one} was executed twice" for one in sorted(set(references)) if references.count(one) > 1]
    violations += [f"IG executed {one}, which is no order" for one in references if one not in orders]
    unknown = {name for name, one in orders.items() if one["status"] in DOUBTFUL}
    for name in references:
        if name in orders and name not in unknown and not orders[name].get("filled_quantity"):
            violations.append(f"order {name} was executed and is {orders[name]['status']} in the ledger")
    for name, one in orders.items():
        if one["status"] == "filled" and name not in references:
            violations.append(f"order {name} is filled in the ledger, and IG never executed it")
    in_doubt = {orders[name]["symbol"] for name in unknown}
    for symbol in SYMBOLS:
        theirs = books.net().get(epic_of(symbol), Decimal(0))
        if symbol not in in_doubt and theirs != held.get(symbol, Decimal(0)):
            violations.append(f"{symbol}: the ledger holds {held.get(symbol, 0)}, IG {theirs}")
    if any(size < 0 for size in books.net().values()):
        violations.append(f"IG holds a short position: {books.net()}")
    if not unknown:
        violations += [f"not reconciled: {line}" for line in synced.get("differences", [str(synced)])]
    violations += checked["violations"]
    return Trial(seed, list(trader.strikes), len(orders), len(executed), len(doubtful), len(unknown), violations)
