"""A replay of fifty symbols over ten years of made-up bars: rate, memory and databases."""

from __future__ import annotations

import shutil
import sys
import tempfile
from datetime import date
from pathlib import Path

from bellwether.market.sessions import load_calendar
from bench.child import run
from bench.long_run import REPLAY_FROM, declared
from bench.replay import Replayed, published
from bench.report import Figure, Section
from bench.volume import table_bytes

TITLE = "A replay of 50 symbols over ten years"
SYMBOLS, SESSIONS = 50, 2500
TRAINED_AFTER = 5
"""Sessions of the replay before it that leaves the model."""

_HOW = (
    f"`bellwether replay` of {SYMBOLS} symbols over made-up daily bars, {SESSIONS:,} sessions from "
    f"{REPLAY_FROM.isoformat()} on, two decisions for each symbol and session, the model trained before by a replay of "
    f"{TRAINED_AFTER} sessions. Decisions a second as in the section on the replay. Memory is the highest Rss of the "
    "process. Databases are their pages, with nothing deleted, and without the write-ahead logs. Bytes are 10^6."
)


def measure(symbols: int = SYMBOLS, sessions: int = SESSIONS) -> Section:
    """Replay all sessions once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = declared(folder, tuple(f"S{number:02}.AX" for number in range(1, symbols + 1)))
        days = [one.day for one in load_calendar("XASX").sessions(REPLAY_FROM, date(2026, 6, 30))][:sessions]
        before, data = folder / "before", folder / "data"
        run(_replay(file, days[TRAINED_AFTER - 1], before))
        shutil.copytree(before / "ml-model", data / "ml-model")
        ended = run(_replay(file, days[-1], data))
        made = published(data / "decisions.db", 2 * symbols)
        return Section(TITLE, _HOW, figures_of(made, ended.seconds, ended.peak, sum(table_bytes(data).values()) / 1e6))


def figures_of(made: Replayed, seconds: float, peak: float, databases: float) -> list[Figure]:
    """Return the figures of a replay; sizes in MB."""
    return [
        Figure("decisions", made.decisions, ""),
        Figure("decisions a second", made.rate, "/s"),
        Figure("its last year / its first year", made.last_year / made.first_year, ""),
        Figure("from start to end", seconds, "s"),
        Figure("highest memory", peak, "MB"),
        Figure("databases", databases, "MB"),
        Figure("databases, a decision", 1e3 * databases / made.decisions, "kB"),
    ]


def _replay(file: Path, last: date, data: Path) -> list[str]:
    command = [sys.executable, "-m", "bellwether", "replay", str(file)]
    return [*command, "--from", REPLAY_FROM.isoformat(), "--to", last.isoformat(), "--data", str(data), "-o", "json"]
