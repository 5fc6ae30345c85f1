"""A morning's bars through yfinance: seconds, requests and memory of the child process, for 7 and for 50 symbols."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from bellwether.market.sessions import load_calendar
from bellwether.market_data.yahoo.asking import CHILD, Reach, conversation
from bellwether.market_data.yahoo.due import WINDOW_SESSIONS, Ask, whole_history
from bellwether.topology import SERVICES
from bench.report import Figure, Section
from harness.yahoo import default_shares, standing_in

CALENDAR = "XASX"
YEARS = 10
PER_MINUTE = 60
"""The declaration's default of data.yahoo.requestsPerMinute."""
SIZES = (7, 50)
LOOK = 0.05
MIB = 2**20

_HOW = (
    "Unmodified yfinance in market-data's child process against the stand-in for Yahoo on this machine (its bars are "
    f"made up), a new process for each batch. First: {YEARS} years of each symbol. Morning: the last "
    f"{WINDOW_SESSIONS} sessions of each. Seconds are those of the asking alone, the start of Python and pandas "
    f"included; the pace of {PER_MINUTE} requests a minute, which a system keeps, is not in them "
    "and is stated beside. Requests are counted by the stand-in, those for cookie, crumb and time zone included. "
    f"Memory is the highest resident set of the child, looked at every {LOOK:g} s; the target is what market-data's "
    "pod has, less what the service itself takes."
)


@dataclass(frozen=True)
class Batch:
    """One batch: seconds, requests seen by the stand-in, rows handed over, highest resident set of the child."""

    seconds: float
    requests: int
    rows: int
    peak_bytes: int


def measure() -> Section:
    """Ask for the first history and for a morning's window, with few and with many symbols."""
    return asyncio.run(_measure())


async def _measure() -> Section:
    room = SERVICES["market-data"].resources.memory_mebibytes * MIB - _resident_service()
    figures: list[Figure] = []
    for count in SIZES:
        first, morning = await _both(count)
        for name, batch in (("first history", first), ("morning", morning)):
            pace = f"at {PER_MINUTE} requests a minute: {batch.requests / PER_MINUTE:.1f} min"
            figures += [
                Figure(f"{name}, {count} symbols", batch.seconds, "s", note=f"{batch.rows:,} rows"),
                Figure(f"{name}, {count} symbols: requests", batch.requests, "", note=pace),
                Figure(
                    f"{name}, {count} symbols: memory of the child, highest", batch.peak_bytes / 1e6, "MB", room / 1e6
                ),
            ]
    return Section("A morning's bars from Yahoo", _HOW, figures)


async def _both(count: int) -> tuple[Batch, Batch]:
    calendar, now = load_calendar(CALENDAR), datetime.now(UTC)
    symbols = [f"S{number:02}.AX" for number in range(count)]
    whole = [whole_history(symbol, calendar, YEARS, now, "first history") for symbol in symbols]
    newest = calendar.previous_session(now).day
    days = [session.day for session in calendar.sessions(newest - timedelta(weeks=6), newest)]
    window = [Ask(symbol, days[-WINDOW_SESSIONS], False, f"the sessions up to {newest}") for symbol in symbols]
    with tempfile.TemporaryDirectory() as folder:
        async with standing_in(Path(folder), default_shares(symbols, calendar)) as yahoo:
            reach = Reach(Path(folder) / "cache", yahoo.url, yahoo.authority)
            found = []
            for asks in (whole, window):
                before, began = yahoo.requests(), time.monotonic()
                rows, peak = await _asked(reach, asks)
                found.append(Batch(time.monotonic() - began, yahoo.requests() - before, rows, peak))
    return found[0], found[1]


async def _asked(reach: Reach, asks: list[Ask]) -> tuple[int, int]:
    """Return how many rows a batch brought, and the child's highest resident set in bytes."""
    rows = 0
    async with conversation(reach) as talk, _watching() as peak:
        for ask in asks:
            rows += len((await talk.ask(ask)).rows)
    return rows, peak[0]


@contextlib.asynccontextmanager
async def _watching() -> AsyncIterator[list[int]]:
    """Look at the child's resident set until the block ends; the only element is the highest."""
    peak = [0]

    async def look() -> None:
        while True:
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if CHILD in child.cmdline():
                        peak[0] = max(peak[0], child.memory_info().rss)
            await asyncio.sleep(LOOK)

    task = asyncio.ensure_future(look())
    try:
        yield peak
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _resident_service() -> int:
    """Return what this process takes, which has imported what market-data imports and more: an upper bound."""
    return int(psutil.Process().memory_info().rss)
