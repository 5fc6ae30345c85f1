"""A replay of fifty symbols over ten years of made-up bars: rate, memory and databases.

    python -m bench --only wide
    python -m bench.wide --symbols 10 --sessions 250

It says how far it is. One that is ended before its end goes on there when it is measured again from the same sources.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from bellwether.local.replay import time_left
from bellwether.market.sessions import load_calendar
from bench.child import run
from bench.long_run import REPLAY_FROM, declared
from bench.replay import Replayed, taken
from bench.report import Figure, Section
from bench.volume import table_bytes
from devcluster.typed import run_function
from environments.machine import ROOT

TITLE = "A replay of 50 symbols over ten years"
SYMBOLS, SESSIONS = 50, 2500
TRAINED_AFTER = 5
"""Sessions of the replay before it that leaves the model."""
LOOK_SECONDS = 15.0

_HOW = (
    f"`bellwether replay` of {SYMBOLS} symbols over made-up daily bars, {SESSIONS:,} sessions from "
    f"{REPLAY_FROM.isoformat()} on, two decisions for each symbol and session, the model trained before by a replay of "
    f"{TRAINED_AFTER} sessions. Decisions a second as in the section on the replay. Memory is the highest Rss of the "
    "process. Databases are their pages, with nothing deleted, and without the write-ahead logs. Bytes are 10^6. Where "
    "it was ended and gone on with, memory and the time from start to end are of its last part; the rate leaves out "
    "the time between."
)


def measure(symbols: int = SYMBOLS, sessions: int = SESSIONS) -> Section:
    """Replay all sessions once, or what is left of them."""
    days = [one.day for one in load_calendar("XASX").sessions(REPLAY_FROM, date(2026, 6, 30))][:sessions]
    folder = _folder(symbols, sessions)
    data = folder / "data"
    if not (data / "ml-model").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        file = declared(folder, tuple(f"S{number:02}.AX" for number in range(1, symbols + 1)))
        _say(f"training a model of {symbols} symbols")
        run(_replay(file, days[TRAINED_AFTER - 1], folder / "before"))
        # Whole or not at all: it says that the replay may begin.
        shutil.copytree(folder / "before" / "ml-model", data / "part")
        (data / "part").rename(data / "ml-model")
    with _progress(data / "slots.db", sessions):
        ended = run(_replay(folder / "long.yaml", days[-1], data))
    made = taken(data / "ledger.db", 2 * symbols)
    figures = figures_of(made, ended.seconds, ended.peak, sum(table_bytes(data).values()) / 1e6)
    shutil.rmtree(folder)
    return Section(TITLE, _HOW, figures)


def _folder(symbols: int, sessions: int) -> Path:
    """Return where a replay of these sources and this size is kept until it is at its end."""
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, check=False)
    commit = asked.stdout.decode().strip() or "archive"
    name = f"bellwether-wide-{symbols}-{sessions}-{commit}"
    return Path(tempfile.gettempdir()) / name


def _say(words: str) -> None:
    print(f"  {words}", file=sys.stderr, flush=True)


@contextmanager
def _progress(slots: Path, sessions: int) -> Iterator[None]:
    """Say now and then how many sessions a replay has stored, and how long the rest will take."""
    ended = threading.Event()

    def look() -> None:
        began, before = time.monotonic(), sessions_stored(slots)
        while not ended.wait(LOOK_SECONDS):
            done = sessions_stored(slots)
            left = time_left(time.monotonic() - began, done - before, sessions - done)
            _say(f"{done:,} of {sessions:,} sessions, {left or 'it has started'}")

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def sessions_stored(slots: Path) -> int:
    """Return how many reports of sessions a replay has stored; 0 before it has a database."""
    if not slots.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{slots}?mode=ro", uri=True, timeout=5)) as database:
            (count,) = database.execute("SELECT count(*) FROM slots WHERE task = 'evening_analysis'").fetchone()
    except sqlite3.OperationalError:
        return 0
    return int(count)


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


def main(
    symbols: Annotated[int, typer.Option(min=1, help="How many symbols.")] = SYMBOLS,
    sessions: Annotated[int, typer.Option(min=TRAINED_AFTER, help="How many sessions.")] = SESSIONS,
) -> None:
    """Measure a replay of this size, and print its figures."""
    for figure in measure(symbols, sessions).figures:
        print(f"{figure.what}: {figure.shown}")


if __name__ == "__main__":
    sys.exit(run_function(main))
