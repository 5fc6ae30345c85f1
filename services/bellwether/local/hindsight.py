"""`bellwether hindsight`: what a live run decided, filled and has, beside what history says of the same days."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import MetaData

from bellwether.backups.databases import copy_database
from bellwether.lineage.known_then import (
    Later,
    Remade,
    folder_of_models,
    in_words,
    later_statements,
    past_known,
    remade,
)
from bellwether.lineage.past import Past
from bellwether.local.files import RunError
from bellwether.local.spans import BARS
from bellwether.local.state import RunDirectory
from bellwether.market_data import store as kept
from bellwether.market_data.store import UPGRADES as BARS_UPGRADES
from bellwether.messages.envelope import LIVE
from bellwether.messages.trading import Order
from bellwether.prediction import store as decided
from bellwether.prediction import tables as decided_tables
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Store, Transaction
from bellwether.trading import tables
from bellwether.trading.answers import order_from
from bellwether.trading.pricing import ZERO, exact_price, quote
from bellwether.trading.queries import find_orders
from bellwether.trading.rules import rules_of
from bellwether.training.artifact import ArtifactError

T = TypeVar("T")
DECISIONS, LEDGER = "decisions.db", "ledger.db"
_ALL = 10_000_000


class _Tables(Protocol):
    """The module of a store's tables."""

    VERSION: int
    UPGRADES: Any


class _Bars(NamedTuple):
    """The database of bars, and what it says today."""

    store: Store
    today: Past


@dataclass(frozen=True)
class DecisionDifference:
    """A decision that today's history would make otherwise."""

    prediction_id: str
    symbol: str
    live: str
    today: str
    same_action: bool
    values: Sequence[str]
    why: str


@dataclass(frozen=True)
class FillDifference:
    """An order that today's history would fill at another price, or whose price came too late."""

    order_id: str
    symbol: str
    session: date
    live: str
    today: str
    cash: Decimal
    """By how much more cash there would be."""
    why: str


@dataclass(frozen=True)
class Hindsight:
    """What was compared, and every difference."""

    decisions: int
    equal_then: int
    """Decisions that come out with equal bytes by the versions of bars that were known at their instant."""
    unequal_then: list[Remade]
    with_news: int
    """Decisions that saw news. It is taken from their records, since no source has it still."""
    decisions_differ: list[DecisionDifference]
    fills: int
    fills_differ: list[FillDifference]
    cash: Decimal
    """How much more cash there would be, had every order been filled at today's prices; decisions as they were."""


async def look_back(folder: Path, sessions: int, say: Callable[[str], None]) -> Hindsight:
    """Return what the newest sessions of a run look like by today's history. The run may go on meanwhile.

    Raises:
        RunError: if a database or the declaration is missing or damaged.
    """
    directory = RunDirectory(folder)
    try:
        system = TradingSystem.model_validate_json(directory.declaration.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"{folder} is no folder of a run: {directory.declaration.name} cannot be read in it") from error
    if system.spec.clock.mode == "replay":
        raise RunError(
            f"{folder} is of a replay, which decides by the history of today in any case: name the folder of a live run"
        )
    with tempfile.TemporaryDirectory(prefix="bellwether-hindsight-") as name:
        copies = Path(name)
        for one in (BARS, DECISIONS, LEDGER):
            source = directory.data / one
            if not source.is_file():
                raise RunError(f"{source}: there is none: name the folder of a run that was live")
            await asyncio.to_thread(copy_database, source, copies / one)
        return await _compared(system, copies, directory.data / "ml-model" / "registry", sessions, say)


async def _compared(
    system: TradingSystem, copies: Path, registry: Path, sessions: int, say: Callable[[str], None]
) -> Hindsight:
    bars = Store.open(copies / BARS, kept.metadata, version=kept.VERSION, upgrades=BARS_UPGRADES)
    try:
        rows = await _asked(
            copies / DECISIONS, decided_tables.metadata, decided_tables, lambda tx: _decisions(tx, sessions)
        )
        orders = await _asked(copies / LEDGER, tables.metadata, tables, lambda tx: _orders(tx, sessions))
        today = await bars.transact(lambda tx: past_known(tx, system, None))
        made, differ = await _decisions_compared(system, rows, _Bars(bars, today), registry, say)
        filled, fills = 0, list[FillDifference]()
        for order in orders:
            later = await bars.transact(partial(_later, order=order))
            found = compared_fill(order, today, system, later)
            filled += order.fill_price is not None
            fills += [] if found is None else [found]
    finally:
        await bars.close()
    unequal = [one for one in made if one.differs_then]
    return Hindsight(
        decisions=len(made),
        equal_then=len(made) - len(unequal),
        unequal_then=unequal,
        with_news=sum(one.news for one in made),
        decisions_differ=differ,
        fills=filled,
        fills_differ=fills,
        cash=sum((one.cash for one in fills), ZERO),
    )


async def _asked(path: Path, metadata: MetaData, module: _Tables, work: Callable[[Transaction], T]) -> T:
    store = Store.open(path, metadata, version=module.VERSION, upgrades=module.UPGRADES)
    try:
        return await store.transact(work)
    finally:
        await store.close()


def _decisions(tx: Transaction, sessions: int) -> list[decided.Row]:
    """Return the live decisions that may trade, of the newest target sessions, oldest first."""
    found, _ = decided.newest(tx, LIVE, None, _ALL, None)
    made = [row for row in reversed(found) if row.prediction.may_trade]
    wanted = sorted({row.prediction.target_session for row in made})[-sessions:]
    return [row for row in made if row.prediction.target_session in wanted]


def _orders(tx: Transaction, sessions: int) -> list[Order]:
    rows, _ = find_orders(tx, LIVE, limit=_ALL)
    orders = [order_from(row) for row in reversed(rows)]
    wanted = sorted({one.session for one in orders})[-sessions:]
    return [one for one in orders if one.session in wanted]


def _later(tx: Transaction, order: Order) -> list[Later]:
    after = order.filled_at or order.created_at
    found = later_statements(tx, order.symbol, after, order.session)
    return [one for one in found if order.session in one.sessions]


async def _decisions_compared(
    system: TradingSystem, rows: Sequence[decided.Row], kept_bars: _Bars, registry: Path, say: Callable[[str], None]
) -> tuple[list[Remade], list[DecisionDifference]]:
    bars, today = kept_bars
    models = folder_of_models(registry)
    made, differ = [], list[DecisionDifference]()
    for number, row in enumerate(rows, 1):
        one = row.prediction
        then = await bars.transact(partial(past_known, system=system, instant=one.timestamp))
        try:
            again = await remade(one.prediction_id, row.canonical, then, today, models)
        except ArtifactError as error:
            raise RunError(f"{one.prediction_id}: {error}") from error
        made.append(again)
        if again.differs_today:
            through = today.calendar.previous_session(one.timestamp).day
            symbols = _looked_at(one.symbol, today)
            later = await bars.transact(partial(_statements, symbols=symbols, after=one.timestamp, through=through))
            differ.append(_decision_difference(again, later))
        if number % 50 == 0 or number == len(rows):
            say(f"{number} of {len(rows)} decisions made again")
    return made, differ


def _statements(tx: Transaction, symbols: Sequence[str], after: datetime, through: date) -> list[Later]:
    return [one for symbol in symbols for one in later_statements(tx, symbol, after, through)]


def _looked_at(symbol: str, today: Past) -> list[str]:
    """Return the symbols whose bars a decision depends on, its own first: the market's mood is of all."""
    return [symbol, *(one for one in today.recorded if one != symbol)]


def _decision_difference(again: Remade, later: Sequence[Later]) -> DecisionDifference:
    live, now = again.live, again.today
    why = in_words(later) or "no later statement of a source explains it: symbols or settings were edited since"
    return DecisionDifference(
        prediction_id=again.prediction_id,
        symbol=again.symbol,
        live=f"{live.action} at {live.probability:.4f}",
        today=f"{now.action} at {now.probability:.4f}",
        same_action=live.action == now.action,
        values=list(again.differs_today),
        why=why,
    )


def compared_fill(order: Order, today: Past, system: TradingSystem, later: Sequence[Later]) -> FillDifference | None:
    """Return how today's opening price would have filled an order; None where it is the same, or there is none."""
    recorded = today.recorded.get(order.symbol)
    bar = None if recorded is None else next((one for one in recorded.bars if one.session == order.session), None)
    unpriced = order.status == "cancelled" and (order.refusal or "").startswith("NO_OPENING_PRICE")
    if bar is None or (order.fill_price is None and not unpriced):
        return None
    rules = rules_of(system.spec)
    quantity = order.filled_quantity or order.quantity
    cost = quote(order.side, quantity, exact_price(bar.open), rules)
    sign = -1 if order.side == "BUY" else 1
    now = sign * cost.value - cost.commission
    if order.fill_price is None:
        live, was = "no opening price in time", ZERO
    else:
        if cost.price == order.fill_price and order.commission == cost.commission:
            return None
        live, was = f"{order.fill_price}", sign * quantity * order.fill_price - (order.commission or ZERO)
    why = in_words(later)
    if not why:
        why = "the order was filled by a broker" if system.spec.trading.mode == "ig-demo" else "costs were edited since"
    return FillDifference(order.order_id, order.symbol, order.session, live, f"{cost.price}", now - was, why)
