"""Trials of a trader that is killed at steps of its orders' lives, judged by the broker's books alone."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from harness.ig.killed import Trader
from harness.ig.markets import Market, epic_of
from harness.ig.standin import StandIn
from harness.ig.steps import STEPS
from integration.trading.peers import CALENDAR, SYMBOLS, price

FIRST_DAY = date(2009, 1, 5)
DOUBTFUL = frozenset({"sending", "working", "partially_filled", "unknown"})
"""States of an order whose outcome the ledger does not know."""
COUNTS = (1, 1, 2, 2, 3)
"""Of the three orders of a session, at which one's step the process is killed."""

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
NOT_TAKEN = {"post": "not-taken-broken"}
"""The way that always leaves a doubt: no answer, and nothing that tells of the order."""


def made_up_markets() -> list[Market]:
    """Return the markets of the made-up symbols, at their prices of the day before."""
    before = CALENDAR.previous_session(datetime(2009, 1, 5, 14, 0, tzinfo=UTC)).day
    return [Market(epic_of(one), f"{one} Ltd", "USD", Decimal(str(price(one, before, "close")))) for one in SYMBOLS]


def usd(ig: StandIn) -> None:
    """Have the accounts in US dollars, as the made-up system trades in."""
    for account in ig.accounts.values():
        account.currency = "USD"


class Books(NamedTuple):
    """What a broker executed: shares by order's reference, one entry for each execution, and what is held."""

    executed: Sequence[tuple[str, Decimal]]
    held: Mapping[str, Decimal]


@dataclass
class Trial:
    """What one seed did, judged by the broker's books."""

    broker: str
    seed: int
    kills: list[str]
    orders: int
    executed: int
    unknown_meanwhile: int
    """Orders whose outcome was in doubt at the end of their session."""
    unknown: int
    """Those that still are, once the broker answers as it should and its lookup window is over."""
    violations: list[str]


def aims_of(broker: str, seed: int, count: int, tried: Mapping[str, int]) -> list[str]:
    """Return where a trial kills: mostly at steps that were tried least often."""
    chance = random.Random(f"{broker}-{seed}")
    known = Counter(tried)
    found = []
    for _ in range(count):
        steps = STEPS[broker]
        least = min(known[step] for step in steps)
        step = chance.choice([one for one in steps if known[one] <= least + 1])
        known[step] += 1
        found.append(f"{chance.choice(COUNTS)} {step}")
    return found


async def trial(
    ig: StandIn | None,
    folder: Path,
    credentials: Path | None,
    seed: int,
    *,
    aims: Sequence[str],
    sessions: int = 3,
    patience: float = 90.0,
) -> Trial:
    """Trade some sessions under kills, and odd ways that a seed chooses; return what the broker's books say then."""
    chance = random.Random(seed)
    trader = Trader(ig, folder, credentials, patience=patience)
    doubtful: set[str] = set()
    days = [one.day for one in CALENDAR.sessions(FIRST_DAY, FIRST_DAY + timedelta(days=3 * sessions))[:sessions]]
    try:
        await trader.start()
        for number, day in enumerate(days):
            opens = datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC)
            await trader.at(opens - timedelta(minutes=15))
            await trader.call("sync_positions")
            mine = aims[number::sessions]
            await trader.aim(*[aim for aim in mine if aim.endswith("the order is written")])
            for symbol in SYMBOLS:
                held = {one["symbol"] for one in (await trader.call("get_positions"))["positions"]}
                action = chance.choice(["STRONG_SELL", "SELL"] if symbol in held else ["BUY", "STRONG_BUY"])
                await trader.do({"signal": [symbol, action]})
            if ig is not None:
                ig.reset()
                odd = chance.choice(ODD)
                ig.set(**(NOT_TAKEN if any("the doubt" in aim for aim in mine) else odd))
            await trader.at(opens + timedelta(seconds=5))
            await trader.aim(*[aim for aim in mine if not aim.endswith("the order is written")])
            doubtful |= await _through_the_open(trader, day)
            if ig is not None:
                ig.reset()
            await trader.at(opens + timedelta(hours=5))
            await _settled(trader)
            await trader.aim()
            await trader.at(opens + timedelta(hours=6, minutes=45))
            await trader.call("session_open", session=day.isoformat())
            await trader.call("session_close", session=day.isoformat())
        return await _judged(trader, seed, doubtful)
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


async def _judged(trader: Trader, seed: int, doubtful: set[str]) -> Trial:
    await _settled(trader)
    orders = await trader.orders()
    synced = await trader.call("sync_positions")
    checked = await trader.call("check_ledger")
    held = {one["symbol"]: Decimal(one["quantity"]) for one in (await trader.call("get_positions"))["positions"]}
    await trader.stop()
    books = books_at_ig(trader.ig) if trader.ig is not None else books_of_simulator(trader.folder / "data")
    unknown = {name for name, one in orders.items() if one["status"] in DOUBTFUL}
    violations = differences(books, orders, held)
    if not unknown:
        violations += [f"not reconciled: {line}" for line in synced.get("differences", [str(synced)])]
    violations += checked["violations"]
    return Trial(
        broker="simulated" if trader.ig is None else "ig-demo",
        seed=seed,
        kills=list(trader.strikes),
        orders=len(orders),
        executed=len(books.executed),
        unknown_meanwhile=len(doubtful),
        unknown=len(unknown),
        violations=violations,
    )


def books_at_ig(ig: StandIn) -> Books:
    """Return what the stand-in executed and holds."""
    deals = [deal for deal in ig.account.deals if deal.accepted and deal.filled and not deal.working]
    net = ig.account.net()
    held = {symbol: net[epic_of(symbol)] for symbol in SYMBOLS if epic_of(symbol) in net}
    return Books([(deal.ticket.reference, deal.filled) for deal in deals], held)


def books_of_simulator(folder: Path) -> Books:
    """Return what the simulator's own tables say."""
    (file,) = (one for one in folder.rglob("*.db") if _has_books(one))
    with sqlite3.connect(file) as db:
        rows = db.execute("SELECT reference, data FROM sim_events ORDER BY id").fetchall()
        held = {row[0]: Decimal(row[1]) for row in db.execute("SELECT symbol, quantity FROM sim_positions")}
    reported = [(reference, json.loads(data)) for reference, data in rows]
    fills = [(reference, Decimal(one["quantity"])) for reference, one in reported if one["kind"] == "fill"]
    return Books(fills, {symbol: size for symbol, size in held.items() if size})


def cash_of_simulator(folder: Path) -> Decimal:
    """Return the cash in the simulator's own tables."""
    (file,) = (one for one in folder.rglob("*.db") if _has_books(one))
    with sqlite3.connect(file) as db:
        return Decimal(db.execute("SELECT cash FROM sim_accounts").fetchone()[0])


def _has_books(file: Path) -> bool:
    with sqlite3.connect(file) as db:
        return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'sim_events'").fetchone() is not None


def differences(books: Books, orders: Mapping[str, Mapping[str, Any]], held: Mapping[str, Decimal]) -> list[str]:
    """Return what is wrong with a ledger's orders and positions, by the broker's books; in doubt nothing is wrong."""
    references = [reference for reference, _ in books.executed]
    found = [f"order {one} was executed twice" for one in sorted(set(references)) if references.count(one) > 1]
    found += [f"the broker executed {one}, which is no order" for one in references if one not in orders]
    unknown = {name for name, one in orders.items() if one["status"] in DOUBTFUL}
    for name, size in books.executed:
        if name in orders and name not in unknown:
            recorded = Decimal(orders[name].get("filled_quantity") or 0)
            if recorded != size:
                status = orders[name]["status"]
                found.append(f"order {name}: {size} executed, {recorded} in the ledger, where it is {status}")
    for name, one in orders.items():
        if one["status"] == "filled" and name not in references:
            found.append(f"order {name} is filled in the ledger, and the broker never executed it")
    in_doubt = {orders[name]["symbol"] for name in unknown}
    for symbol in SYMBOLS:
        theirs = books.held.get(symbol, Decimal(0))
        if symbol not in in_doubt and theirs != held.get(symbol, Decimal(0)):
            found.append(f"{symbol}: the ledger holds {held.get(symbol, 0)}, the broker {theirs}")
    if any(size < 0 for size in books.held.values()):
        found.append(f"the broker holds a short position: {dict(books.held)}")
    return found
