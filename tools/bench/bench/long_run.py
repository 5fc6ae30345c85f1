"""Memory of the compact local run with everything switched on, after a long time of trading."""

from __future__ import annotations

import math
import shutil
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import yaml

from bellwether.market.sessions import load_calendar
from bench.local_run import LocalRun, local_run
from bench.memory import PAUSE, RSS, SAMPLES, mapped_bytes, pss_of, tree_megabytes
from bench.report import Figure, Section

SYMBOLS = ("ANZ.AX", "BHP.AX", "CBA.AX", "COL.AX", "MQG.AX", "NAB.AX", "WBC.AX")
DECISIONS = 50_000
BARS_FROM, REPLAY_FROM = date(2004, 1, 1), date(2009, 1, 5)
LONGEST = 3600.0
ROOM = 4 * 2**30
TITLE = "Memory after a long run"

_HOW = (
    f"`bellwether run` with all services, seven symbols and an open event stream as the page has it, until "
    f"{DECISIONS:,} decisions are stored: a replay with pace 0s over made-up daily bars from {BARS_FROM.year} on. "
    f"Pss and Rss as above, {SAMPLES} looks over {SAMPLES * PAUSE:g} s, highest. The decisions a second include the "
    "start and the training of the model. Databases and streams are kept in memory while it is measured (tmpfs, in no "
    "process's Pss), so that it does not wait for the disk."
)


def measure(wanted: int = DECISIONS) -> Section:
    """Replay until so many decisions are stored, then add up the process tree several times."""
    with tempfile.TemporaryDirectory(dir=_quick()) as folder:
        manifest = declared(Path(folder))
        with local_run(manifest, Path(folder)) as run:
            run.wait("the API answers", lambda: bool(run.replay()), LONGEST)
            with _page_open(run):
                began = time.monotonic()
                run.wait(f"{wanted} decisions", lambda: _stored(Path(folder) / "run") >= wanted, LONGEST)
                took = time.monotonic() - began
                looks = []
                for _ in range(SAMPLES):
                    time.sleep(PAUSE)
                    looks.append(tree_megabytes(run.process.pid))
                mapped = mapped_bytes(Path(f"/proc/{run.process.pid}/smaps").read_text())
    return Section(TITLE, _HOW, figures_of(looks, wanted / took, mapped))


def _quick() -> str | None:
    """Return a folder in memory where there is room: the disk's flushes are most of the time, and none is measured."""
    memory = Path("/dev/shm")  # noqa: S108 (a folder of its own is made in it)
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > ROOM else None


def figures_of(looks: list[Mapping[str, float]], rate: float, mapped: Mapping[str, int]) -> list[Figure]:
    """Return the figures of looks at the process tree, and of what the services' process has mapped at the end."""
    parts = sorted({name for look in looks for name in look} - {RSS})
    return [
        Figure("all services, seven symbols, page open, highest Pss", max(map(pss_of, looks)), "MB", target=180),
        Figure("the same, against the aim", max(map(pss_of, looks)), "MB", target=150, note="the aim"),
        *(
            Figure(f"of it: {name}, median", statistics.median(look.get(name, 0.0) for look in looks), "MB")
            for name in parts
        ),
        *(
            Figure(f"of the services at the end: {kind}", size / 1e6, "MB")
            for kind, size in sorted(mapped.items(), key=lambda one: -one[1])
        ),
        Figure("as Rss, highest", max(look[RSS] for look in looks), "MB"),
        Figure("decisions a second on the way", rate, "/s"),
    ]


def declared(folder: Path, symbols: Sequence[str] = SYMBOLS) -> Path:
    """Write made-up bars of some symbols and a declaration that replays them; return its file."""
    bars = folder / "bars"
    bars.mkdir()
    days = [session.day for session in load_calendar("XASX").sessions(BARS_FROM, date(2026, 6, 30))]
    for number, symbol in enumerate(symbols, 1):
        lines = ["Date,Open,High,Low,Close,Adj Close,Volume"]
        for at, day in enumerate(days):
            price = 20 * number + 3 * math.sin(at / 7 + number) + math.sin(at * number)
            lines.append(
                f"{day},{price:.2f},{price + 1:.2f},{price - 1:.2f},{price + 0.3:.2f},{price + 0.3:.2f},{100_000 + at}"
            )
        (bars / f"{symbol}.csv").write_text("\n".join(lines) + "\n")
    document: dict[str, Any] = {
        "apiVersion": "bellwether.dev/v1alpha1",
        "kind": "TradingSystem",
        "metadata": {"name": "long"},
        "spec": {
            "market": {"calendar": "XASX"},
            "symbols": list(symbols),
            "data": {"provider": "csv", "csv": {"directory": str(bars)}},
            "clock": {"mode": "replay", "from": REPLAY_FROM.isoformat(), "pace": "0s"},
            "training": {"gate": {"mode": "report"}},
            "trading": {"mode": "simulated", "currency": "AUD", "initialCash": "100000"},
        },
    }
    file = folder / "long.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


@contextmanager
def _page_open(run: LocalRun) -> Iterator[None]:
    """Read the event stream as the page does, until the end."""
    reported = run.reported()
    ended = threading.Event()

    def read() -> None:
        headers = {"Authorization": f"Bearer {reported['token']}"}
        url = f"{reported['url']}/v1/events"
        with httpx.stream("GET", url, headers=headers, timeout=LONGEST, trust_env=False) as stream:
            for _ in stream.iter_raw():
                if ended.is_set():
                    return

    threading.Thread(target=read, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _stored(data: Path) -> int:
    """Return how many decisions the run has stored."""
    found = next(data.rglob("decisions.db"), None)
    if found is None:
        return 0
    with closing(sqlite3.connect(f"file:{found}?mode=ro", uri=True)) as database:
        (count,) = database.execute("SELECT count(*) FROM decisions").fetchone()
    return int(count)
