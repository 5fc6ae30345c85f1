"""From a halt to the last order that is accepted, while orders come in as fast as they are answered."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from bellwether.messages.trading import HaltState, Trade
from bellwether.runtime.errors import RpcError
from bellwether.trading import service as trading
from bench.report import Figure, Section
from harness.clock import Present
from harness.nats import nats_server
from harness.system import System, running
from harness.until import until
from integration.trading.peers import ROWS, SYMBOLS, Peers, declaration
from integration.trading.trader import BEFORE

HALTS = 100
CALLERS = 16
AT_LEAST, AT_MOST = 0.1, 0.3
"""Seconds of load before each halt."""
AFTER = 0.2
"""Seconds after the halt's answer in which orders go on being asked for."""
BUDGET = 30.0
_HOW = (
    "paper-trading with its ledger on disk, over a nats-server with the keys and permissions of a system; "
    f"{CALLERS} callers ask for orders by hand, each as soon as its last one was answered. {HALTS} times, after "
    f"{AT_LEAST:g} to {AT_MOST:g} s, somebody halts, and it is counted from there until the answer to the last order "
    "that was accepted has arrived; then somebody resumes. Callers, trader and what stands in for market-data share "
    "one process, so what is measured includes their waiting for each other."
)


def measure() -> Section:
    """Halt again and again under load."""
    last, answers, rate = asyncio.run(_measured())
    figures = [
        Figure("halt to the last accepted order, p99", p99(last), "ms", 1000.0),
        Figure("the same, median", statistics.median(last), "ms"),
        Figure("the same, longest", max(last), "ms", note=f"{len(last)} halts"),
        Figure("halt to its answer, p99", p99(answers), "ms"),
        Figure("orders accepted a second before a halt, median", rate, "/s"),
    ]
    return Section("Halt under load", _HOW, figures)


def p99(values: Sequence[float]) -> float:
    """Return the smallest value that 99 of 100 do not exceed."""
    return sorted(values)[max(0, -(-len(values) * 99 // 100) - 1)]


@contextlib.asynccontextmanager
async def _trader(folder: Path) -> AsyncIterator[System]:
    rows = {name: row for name, row in ROWS.items() if name != "scheduler"}
    risk = {"maxOrdersPerSession": 10000, "maxPositionValue": "10000000", "maxDailyLoss": "90000"}
    system = declaration(
        clock={"mode": "live"},
        data={"provider": "csv", "csv": {"directory": "."}},
        trading={"risk": risk, "initialCash": "100000000"},
    )
    builds = {**Peers().builds(), "paper-trading": trading.create}
    async with (
        nats_server(folder / "nats", rows) as server,
        running(
            builds,
            data_dir=folder / "data",
            rows=rows,
            declaration=system,
            clock=Present(BEFORE),
            connect=server.connect,
        ) as found,
    ):
        yield found


async def _measured() -> tuple[list[float], list[float], float]:
    """Return for each halt the milliseconds to the last order and to its own answer; and the accepted orders a second.

    Raises:
        TimeoutError: when no order is accepted before a halt: it would have nothing to stop.
    """
    chance = random.Random(1)  # noqa: S311 - the times of halts are no secret
    last, answers, rates = list[float](), list[float](), list[float]()
    with tempfile.TemporaryDirectory() as name:
        async with _trader(Path(name)) as system:
            numbers = itertools.count(1)
            for _ in range(HALTS):
                accepted: list[float] = []
                end = asyncio.Event()
                began = time.perf_counter()
                callers = [asyncio.ensure_future(_orders(system, numbers, accepted, end)) for _ in range(CALLERS)]
                try:
                    # The first one may take a while: of this process, or on a machine with other work.
                    await until(lambda: accepted, BUDGET)  # noqa: B023 - asked in this turn of the loop alone
                    await asyncio.sleep(chance.uniform(AT_LEAST, AT_MOST))
                    halted = time.perf_counter()
                    rates.append(len(accepted) / (halted - began))
                    wish = {"reason": "measured", "source": "bench"}
                    state: HaltState = await system.call("paper-trading", "halt", wish, HaltState, as_of=BEFORE)
                    answers.append((time.perf_counter() - halted) * 1000)
                    await asyncio.sleep(AFTER)
                finally:
                    end.set()
                    await asyncio.gather(*callers)
                last.append((max(accepted[-1], halted) - halted) * 1000)
                seen = {"reason": "measured", "source": "bench", "seen": state.newest_halt}
                await system.call("paper-trading", "resume", seen, HaltState, as_of=BEFORE)
    return last, answers, statistics.median(rates)


async def _orders(system: System, numbers: Iterator[int], accepted: list[float], end: asyncio.Event) -> None:
    """Ask for orders until the end; write down when each accepted one was answered."""
    while not end.is_set():
        number = next(numbers)
        wish = {"symbol": SYMBOLS[number % len(SYMBOLS)], "action": "BUY", "quantity": "1", "client_id": f"b-{number}"}
        try:
            trade: Trade = await system.call("paper-trading", "execute_trade", wish, Trade, as_of=BEFORE, budget=BUDGET)
        except RpcError as error:
            raise RuntimeError(f"an order was not answered: {error}") from error
        if trade.status == "queued":
            accepted.append(time.perf_counter())
