"""`bellwether replay FILE`: history as fast as this machine goes, in one process without NATS, and its sum."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bellwether.local.files import RunError, load_system
from bellwether.local.registry import named_services, registry, run_loop
from bellwether.local.summary import OpenPosition, ReplaySum, shares_of, sum_lines
from bellwether.messages.market_data import Bar, Bars, Coverage, GetBars, GetCoverage
from bellwether.messages.prediction import BuyRate, Decisions, GetBuyRate, ListDecisions
from bellwether.messages.scheduling import ReplayState
from bellwether.messages.trading import Account, LedgerCheck, ListOrders, Orders, Positions
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.errors import RpcError
from bellwether.runtime.history import PAGE
from bellwether.runtime.logs import configure_logs
from bellwether.runtime.memory_bus import MemoryBroker
from bellwether.runtime.plan import bus_plan, ensure
from bellwether.runtime.process import Process
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Store

T = TypeVar("T")

_LOOK_SECONDS = 0.5
_BUDGET = 120.0
_INTERRUPTED = 130
_GOES_ON = "the same command goes on from here"
_NOT_KEPT = "nothing is kept: with --data FOLDER the same command would go on from here"
_CONDUCTOR = "bellwether.scheduling.conductor"


@dataclass(frozen=True)
class ReplayOptions:
    """What a person asked for beside the file."""

    first: str | None = None
    last: str | None = None
    data: Path | None = None
    sampling: float = 0.0
    as_json: bool = False
    report: Path | None = None
    """Folder for the page and its JSON."""


def replay_file(file: Path, options: ReplayOptions) -> int:
    """Replay what a file declares and write its sum; return 0, or 130 if interrupted.

    It returns 1 if the ledger does not add up, a symbol had no bars, or a slot had no effect: the sum says which.

    Raises:
        RunError: if the file is not a replay, or the replay failed; in words.
    """
    if not 0 <= options.sampling <= 1:
        raise RunError(f"--sampling {options.sampling:g}: a share from 0 to 1")
    system = replayed(load_system(file), options)
    configure_logs("replay", "warning", terminal=True)
    for handler in logging.getLogger().handlers:
        handler.addFilter(is_news)
    with contextlib.ExitStack() as stack:
        data = options.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bellwether-replay-")))
        found = run_loop(_replay(system, data, options))
    if found is None:
        sys.stderr.write(f"interrupted; {_GOES_ON if options.data else _NOT_KEPT}\n")
        return _INTERRUPTED
    sys.stdout.write((json.dumps(asdict(found), indent=2) if options.as_json else "\n".join(sum_lines(found))) + "\n")
    return 0 if found.whole else 1


def is_news(record: logging.LogRecord) -> bool:
    """Return whether a line says what the replay's end does not: why it failed is its last line."""
    return record.name != _CONDUCTOR or record.levelno < logging.ERROR


def replayed(system: TradingSystem, options: ReplayOptions) -> TradingSystem:
    """Return the system with the days that were asked for, as fast as it goes.

    Raises:
        RunError: if it is no replay, or a day is none.
    """
    clock = system.spec.clock
    if clock.mode != "replay":
        raise RunError("spec.clock.mode is live: a replay needs mode replay and clock.from")
    days = {"from_": options.first or clock.from_, "to": options.last or clock.to}
    for option, day in (("--from", options.first), ("--to", options.last)):
        try:
            date.fromisoformat(day or "2000-01-01")
        except ValueError as error:
            raise RunError(f"{option} {day!r}: a day is written 2009-01-31") from error
    if days["from_"] and days["to"] and days["from_"] > days["to"]:
        raise RunError(f"--from {days['from_']} is after --to {days['to']}")
    clock = clock.model_copy(update=days | {"pace": "0s"})
    return system.model_copy(update={"spec": system.spec.model_copy(update={"clock": clock})})


async def _replay(system: TradingSystem, data: Path, options: ReplayOptions) -> ReplaySum | None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with running(system, data, options.sampling) as services:
        state, seconds = await _to_the_end(services, stopping)
        if state is None:
            return None
        found = await _sum(services, system, state, seconds)
        if options.report is not None:
            await _report(services, system, state, options.report)
        return found


async def _report(services: ServiceCaller, system: TradingSystem, state: ReplayState, folder: Path) -> None:
    from bellwether.local.replay_report import Asked, gather, write_report

    histories, _ = await histories_of(services, system.spec.symbols, state)
    positions = await services.ask("paper-trading", "get_positions", None, Positions, state)
    rate = await services.ask("prediction", "get_buy_rate", GetBuyRate("all"), BuyRate, state)
    held = {one.symbol: one.market_value for one in positions.positions}
    rows = await gather(services, system, state.run, Asked(histories, held, rate.actions))
    for path in write_report(rows, folder):
        sys.stderr.write(f"wrote {path}\n")


class Asks(Protocol):
    """Whoever answers for the services."""

    async def ask(self, peer: str, method: str, params: Any, result: type[T], at: ReplayState | None = None) -> T:
        """Call a method, at a replay's instant if there is one."""


class ServiceCaller:
    """Asks the services of this process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._service = process.services["scheduler"]

    def store(self, service: str) -> Store:
        """Return the store of a service of this process.

        Raises:
            RunError: if it has none.
        """
        found = self._process.services[service].context.store
        if found is None:
            raise RunError(f"{service} has no store")
        return found

    async def ask(self, peer: str, method: str, params: Any, result: type[T], at: ReplayState | None = None) -> T:
        """Call a method, at a replay's instant if there is one.

        Raises:
            RunError: with the peer's words.
        """
        call = self._service.call(budget=_BUDGET)
        if at is not None and at.as_of is not None:
            call = call.at(at.as_of, run=at.run)
        try:
            return await call.request(peer, method, params, result)
        except RpcError as error:
            raise RunError(f"{peer}: {error.message}") from error


@contextlib.asynccontextmanager
async def running(system: TradingSystem, data: Path, sampling: float) -> AsyncIterator[ServiceCaller]:
    """Run all services but the gateway over a bus in memory."""
    broker = MemoryBroker()
    await ensure(broker.connect("bootstrap"), bus_plan(one_process=True))
    config = replace(ProcessConfig(), system=system.metadata.name, data_dir=data, sampling=sampling, group_commit=True)
    config = replace(config, complete_data=True)
    names = [name for name in named_services("all") if name != "gateway"]
    process = Process(config, registry(names), connect=broker.connect, declaration=system, health=False)
    try:
        await process.start()
        with _rare_collections():
            yield ServiceCaller(process)
    finally:
        await process.stop()


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Keep the garbage collector from what is there, and let it run seldom: next to nothing here is a cycle."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def _to_the_end(services: ServiceCaller, stopping: asyncio.Event) -> tuple[ReplayState | None, float]:
    """Return the final state and how long the replay itself took, or none when asked to stop."""
    began = time.monotonic()
    progress = Progress()
    while not stopping.is_set():
        state = await services.ask("scheduler", "get_replay", None, ReplayState)
        if state.state == "failed":
            raise RunError(f"the replay failed: {state.error}")
        if state.state == "waiting":
            # It begins after this look, and may be over at the next.
            began = time.monotonic()
        if state.state == "complete":
            progress.end()
            return state, time.monotonic() - began
        progress.show(state)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _LOOK_SECONDS)
    progress.end()
    return None, 0.0


class Progress:
    """One line on a terminal, written over and over; nothing where there is no terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._width = 0
        self._first: tuple[float, int] | None = None

    def show(self, state: ReplayState) -> None:
        """Say how far the replay is."""
        if not self._shown:
            return
        done = state.sessions_done / state.sessions_total if state.sessions_total else 0.0
        bar = "#" * round(done * 30)
        text = "training the model"
        if state.state != "waiting":
            now = time.monotonic()
            began, before = self._first = self._first or (now, state.sessions_done)
            left = time_left(now - began, state.sessions_done - before, state.sessions_total - state.sessions_done)
            text = f"[{bar:<30}] {done:4.0%}  {state.session or ''}  {left}"
        self._width = max(self._width, len(text))
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()

    def end(self) -> None:
        """Take the line away."""
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")


def time_left(seconds: float, done: int, left: int) -> str:
    """Return in words how long so many sessions will take, by how long those that are done took; empty at first."""
    if not done:
        return ""
    rest = round(seconds / done * left)
    return f"{rest // 60} min {rest % 60:02d} s left" if rest >= 60 else f"{rest} s left"


async def _sum(services: ServiceCaller, system: TradingSystem, state: ReplayState, seconds: float) -> ReplaySum:
    account = await services.ask("paper-trading", "get_account", None, Account, state)
    decisions = await services.ask("prediction", "list_decisions", ListDecisions(limit=1), Decisions, state)
    orders: dict[str | None, int] = {}
    for status in (None, "refused", "cancelled", "expired"):
        question = ListOrders(status=status, limit=1)
        orders[status] = (await services.ask("paper-trading", "list_orders", question, Orders, state)).total
    ledger = await services.ask("paper-trading", "check_ledger", None, LedgerCheck, state)
    rate = await services.ask("prediction", "get_buy_rate", GetBuyRate("all"), BuyRate, state)
    coverage = await services.ask("market-data", "get_coverage", GetCoverage(), Coverage, state)
    histories, without = await histories_of(services, system.spec.symbols, state)
    ends = {symbol: day for symbol, day in coverage.last.items() if state.last_session and day < state.last_session}
    return ReplaySum(
        sessions=state.sessions_done,
        first_session=str(state.first_session),
        last_session=str(state.last_session),
        decisions=decisions.total,
        orders=orders[None],
        filled=account.orders_filled,
        commission=str(account.commission),
        equity=str(account.equity),
        initial_cash=str(account.initial_cash),
        currency=account.currency,
        total_return=float(account.equity / account.initial_cash - 1),
        buy_and_hold_return=buy_and_hold(histories, state.first_session),
        without=without,
        ledger_violations=ledger.violations,
        seconds=round(seconds, 3),
        decisions_per_second=round(decisions.total / seconds, 1) if seconds else 0.0,
        actions=shares_of(rate.actions),
        refused=orders["refused"],
        cancelled=orders["cancelled"] + orders["expired"],
        open_positions=await _open(services, coverage, state),
        bars_end={symbol: day.isoformat() for symbol, day in sorted(ends.items())},
        predictions_failed=state.predictions_failed,
        slots_failed=state.slots_failed,
        first_failed=state.first_failed,
    )


async def histories_of(services: Asks, symbols: list[str], state: ReplayState) -> tuple[list[Bars], dict[str, str]]:
    """Return the bars of the symbols that have any, and why the others have none."""
    coverage = await services.ask("market-data", "get_coverage", GetCoverage(symbols), Coverage, state)
    found = [await _bars(services, symbol, state) for symbol in symbols if symbol in coverage.last]
    return found, {symbol: coverage.errors.get(symbol, "no bars") for symbol in symbols if symbol not in coverage.last}


async def _bars(services: Asks, symbol: str, state: ReplayState) -> Bars:
    """Return a symbol's bars of as many sessions as the replay has, page by page."""
    found: list[Bar] = []
    while len(found) < state.sessions_total:
        count = min(PAGE, state.sessions_total - len(found))
        question = GetBars(symbol, count=count, before=found[0].session if found else None)
        page = (await services.ask("market-data", "get_bars", question, Bars, state)).bars
        found = [*page, *found]
        if len(page) < count:
            break
    return Bars(symbol, found, "")


async def _open(services: ServiceCaller, coverage: Coverage, state: ReplayState) -> list[OpenPosition]:
    held = await services.ask("paper-trading", "get_positions", None, Positions, state)
    found: list[OpenPosition] = []
    for one in held.positions:
        question = ListOrders(symbol=one.symbol, status="cancelled", limit=1)
        cancelled = await services.ask("paper-trading", "list_orders", question, Orders, state)
        end = coverage.last.get(one.symbol)
        found.append(
            OpenPosition(
                symbol=one.symbol,
                quantity=f"{one.quantity:f}",
                value=str(one.market_value),
                bars_end="" if end is None else end.isoformat(),
                cancelled=cancelled.total,
            )
        )
    return found


def buy_and_hold(histories: list[Bars], first: date | None) -> float | None:
    """Return what equal parts bought at the first opening price came to at the last close, as a fraction.

    Bars are adjusted for splits; dividends are left out. None where there is no bar since the first session.
    """
    gains: list[float] = []
    for history in histories:
        bars = [bar for bar in history.bars if first is None or bar.session >= first]
        if bars:
            gains.append(bars[-1].close / bars[0].open - 1)
    return sum(gains) / len(gains) if gains else None
