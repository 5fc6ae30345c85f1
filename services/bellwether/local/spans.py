"""The newest sessions of stored bars, replayed under a declaration, and what the replay left behind."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from bellwether.backups.databases import copy_database
from bellwether.local.files import RunError
from bellwether.local.replay import ServiceCaller, running
from bellwether.market.declared import calendar_of
from bellwether.messages.prediction import Prediction
from bellwether.messages.scheduling import ReplayState
from bellwether.messages.trading import EquityPoint, Order
from bellwether.prediction import store as decided
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Transaction
from bellwether.trading.answers import order_from
from bellwether.trading.queries import find_equity, find_orders, find_refusals

BARS = "bars.db"
_ALL = 10_000_000
_LOOK_SECONDS = 0.1
_LONGEST_CLOSED = timedelta(days=30)


@dataclass(frozen=True)
class Span:
    """Sessions from one day to another."""

    first: date
    last: date


@dataclass(frozen=True)
class Left:
    """What a replay, or a live run, left of some sessions."""

    orders: Sequence[Order]
    decisions: Mapping[str, Prediction]
    """By id."""
    refusals: Mapping[str, str]
    """By id of the decision: code, value and limit."""
    equity: Sequence[EquityPoint]


def stored_bars(folder: Path) -> Path:
    """Return the database of bars of a run's folder, of its data, or of a replay's.

    Raises:
        RunError: where there is none.
    """
    for path in (folder / BARS, folder / "data" / BARS):
        if path.is_file():
            return path
    raise RunError(f"--data {folder}: there is no {BARS} in it: name the folder of a run, or of `replay --data`")


def last_sessions(path: Path) -> dict[str, date]:
    """Return the newest session by symbol of a database of bars.

    Raises:
        RunError: if it cannot be read.
    """
    query = "SELECT symbol, max(session) FROM bars WHERE close IS NOT NULL GROUP BY symbol"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return {symbol: date.fromisoformat(day) for symbol, day in database.execute(query)}
    except sqlite3.Error as error:
        raise RunError(f"{path}: {error}") from error


def newest(system: TradingSystem, last: date, count: int) -> Span:
    """Return the newest `count` sessions up to a day."""
    calendar = calendar_of(system.spec.market)
    session = first = calendar.sessions(last - _LONGEST_CLOSED, last)[-1]
    for _ in range(count - 1):
        first = calendar.previous_session(first.open)
    return Span(first.day, session.day)


def over(system: TradingSystem, span: Span, *, stored: bool) -> TradingSystem:
    """Return a declaration as a replay of these sessions, with a simulated account and no source that has no history.

    With `stored` no source is asked: what is stored of the bars answers.
    """
    spec = system.spec
    clock = spec.clock.model_copy(
        update={"mode": "replay", "from_": span.first.isoformat(), "to": span.last.isoformat(), "pace": "0s"}
    )
    changes: dict[str, object] = {"clock": clock}
    if spec.trading.mode not in ("simulated", "off"):
        changes["trading"] = spec.trading.model_copy(update={"mode": "simulated"})
    if spec.sentiment.provider not in ("none", "csv"):
        changes["sentiment"] = spec.sentiment.model_copy(update={"provider": "none"})
    if stored:
        # In a replay Yahoo is never asked, so what is stored stands whatever a file says by now.
        changes["data"] = spec.data.model_copy(update={"provider": "yahoo"})
    return system.model_copy(update={"spec": spec.model_copy(update=changes)})


async def replay(system: TradingSystem, folder: Path, bars: Path | None, models: Path | None = None) -> Left:
    """Replay a declaration made by `over` in a folder of its own; bars and models are copied in where given.

    Raises:
        RunError: if the replay failed; in words.
    """
    await asyncio.to_thread(_prepare, folder, bars, models)
    async with running(system, folder, 0.0) as services:
        while True:
            state = await services.ask("scheduler", "get_replay", None, ReplayState)
            if state.state == "failed":
                raise RunError(f"the replay failed: {state.error}")
            if state.state == "complete":
                return await _left(services, state.run)
            await asyncio.sleep(_LOOK_SECONDS)


def _prepare(folder: Path, bars: Path | None, models: Path | None) -> None:
    folder.mkdir(parents=True)
    if bars is not None:
        copy_bars(bars, folder / BARS)
    if models is not None and models.is_dir():
        shutil.copytree(models, folder / "ml-model")


def copy_bars(source: Path, target: Path) -> None:
    """Copy stored bars for a declaration that may differ from what their store was created with."""
    copy_database(source, target)
    with closing(sqlite3.connect(target)) as database, database:
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'begun'").fetchone():
            database.execute("DELETE FROM begun")


async def _left(services: ServiceCaller, run: str) -> Left:
    orders, refusals, equity = await services.store("paper-trading").transact(lambda tx: _ledger(tx, run))
    made = await services.store("prediction").transact(lambda tx: decisions_of(tx, run))
    return Left(orders, made, refusals, equity)


def _ledger(tx: Transaction, run: str) -> tuple[list[Order], dict[str, str], list[EquityPoint]]:
    orders, _ = find_orders(tx, run, limit=_ALL)
    refused, _ = find_refusals(tx, run, limit=_ALL)
    words = {
        one["prediction_id"]: f"{one['code']}: value {one['value']}, limit {one['limit']}"
        for one in refused
        if one["prediction_id"] is not None
    }
    return [order_from(row) for row in reversed(orders)], words, find_equity(tx, run)


def decisions_of(tx: Transaction, run: str) -> dict[str, Prediction]:
    """Return all decisions of a run that may trade, by id."""
    found, _ = decided.newest(tx, run, None, _ALL, None)
    return {row.prediction.prediction_id: row.prediction for row in found if row.prediction.may_trade}
