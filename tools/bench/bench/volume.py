"""What a year of seven symbols takes of the default volume."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import yaml

from bellwether.gateway.traces import DEFAULT_LIMIT_BYTES
from bellwether.local.files import load_system
from bellwether.render.kubernetes.configmaps import store_bytes
from bellwether.render.kubernetes.quantities import mebibytes
from bellwether.runtime.plan import bus_plan
from bellwether.spec.fields import parse_days
from bellwether.spec.models import TradingSystem
from bench.local_run import local_run
from bench.long_run import SYMBOLS, declared
from bench.report import Figure, Section

SESSIONS = 252
"""Sessions of a year."""
DAYS = timedelta(days=365)
FIRST, EARLY, LAST = "2009-01-05", "2009-01-09", "2009-12-31"
EARLY_SESSIONS, ALL_SESSIONS = 5, 253
LONGEST = 1800.0

_HOW = (
    f"`bellwether run` with a replay of {len(SYMBOLS)} symbols over made-up bars, from {FIRST} to {EARLY} "
    f"({EARLY_SESSIONS} sessions) and to {LAST} ({ALL_SESSIONS}), two decisions for each symbol and session; pages of "
    "each table and of its indices as SQLite counts them; events are stored as in a live system. A replay deletes "
    "nothing, so what a live system's `retention` deletes is subtracted: a table that is kept for so many days grows "
    "for that long. Traces, events and dead letters count with the limits that the system sets for them. All are taken "
    "to be on one volume, which only a run on one "
    "machine does. Bytes are 10^6."
)


def measure() -> Section:
    """Replay the year's beginning and the whole year, and compare what they left."""
    with tempfile.TemporaryDirectory() as folder:
        file = declared(Path(folder))
        for last in (EARLY, LAST):
            with local_run(_until(last, file), Path(folder) / last) as run:
                run.wait("the replay is complete", lambda: run.replay().get("state") == "complete", LONGEST)
        system = load_system(file)
        early, late = (table_bytes(Path(folder) / last / "run" / "data") for last in (EARLY, LAST))
    grown = year_of(early, late, ALL_SESSIONS - EARLY_SESSIONS, system)
    databases = by_database(grown)
    bounded = bounded_bytes(system)
    size = volume_bytes(system)
    figures = [
        Figure("everything on one volume, after a year", _mb(sum(databases.values()) + bounded), "MB", _mb(size)),
        *(Figure(f"of it: {name}", _mb(value), "MB") for name, value in databases.items()),
        Figure("of it: traces, events and dead letters at their limits", _mb(bounded), "MB"),
        Figure("databases with nothing deleted", _mb(sum(late.values())), "MB"),
    ]
    return Section("A year in the volume", _HOW, figures)


def _until(last: str, file: Path) -> Path:
    """Write a declaration that replays no further than a day; return its file, in a folder of its own."""
    system = yaml.safe_load(file.read_text())
    system["spec"]["clock"] |= {"from": FIRST, "to": last}
    folder = file.parent / last
    folder.mkdir()
    (folder / file.name).write_text(yaml.safe_dump(system))
    return folder / file.name


def table_bytes(data: Path) -> Mapping[str, int]:
    """Return the bytes of the pages of each table with its indices, as `database/table`, but of traces."""
    found: dict[str, int] = {}
    # What traces may take is bounded, and counts with its limit.
    for file in sorted(file for file in data.glob("*.db") if file.stem != "traces"):
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT coalesce(m.tbl_name, d.name), sum(d.pgsize) FROM dbstat d "
                "LEFT JOIN sqlite_master m ON m.name = d.name GROUP BY 1 ORDER BY 1"
            ).fetchall()
        found |= {f"{file.stem}/{table}": int(size) for table, size in rows}
    return found


def year_of(
    early: Mapping[str, int], late: Mapping[str, int], sessions: int, system: TradingSystem
) -> dict[str, float]:
    """Return the bytes of each table after a year with retention.

    `early` and `late` are the tables of the same replay, `late` so many sessions longer; growth is taken as even.
    """
    kept = {
        "outbox": parse_days(system.spec.retention.outbox),
        "inbox": parse_days(system.spec.retention.inbox),
        "decisions": parse_days(system.spec.retention.decisions),
    }
    found = {}
    for name, size in late.items():
        before = early.get(name, 0)
        span = min(kept.get(name.rpartition("/")[2], DAYS), DAYS)
        found[name] = before + (size - before) / sessions * SESSIONS * (span / DAYS)
    return found


def by_database(tables: Mapping[str, float]) -> dict[str, float]:
    """Return the sums of tables by their database."""
    found: dict[str, float] = {}
    for name, size in tables.items():
        database = name.partition("/")[0]
        found[database] = found.get(database, 0.0) + size
    return found


def bounded_bytes(system: TradingSystem) -> int:
    """Return what the trace store and the streams may take at most."""
    plan = bus_plan(max_store=store_bytes(system))
    return DEFAULT_LIMIT_BYTES + sum(stream.max_bytes for stream in plan.streams)


def volume_bytes(system: TradingSystem) -> int:
    """Return the declared size of a volume."""
    return mebibytes(system.spec.storage.size) * 1024 * 1024


def _mb(size: float) -> float:
    return size / 1e6
