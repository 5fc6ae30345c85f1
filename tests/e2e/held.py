"""What a volume holds, as sqlite3, sha256 and a NATS client see it: figures of their own, not those of any manifest."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bellwether.local.backup_places import nats_over
from bellwether.local.state import RunDirectory
from bellwether.render.nats import BOOTSTRAP
from bellwether.runtime.nats_bus import NatsBus
from harness.until import DEADLINE

STORES = ("bars.db", "decisions.db", "ledger.db", "slots.db")
NATS_FOLDER = "nats"
MODELS = "ml-model"


@dataclass(frozen=True)
class Held:
    """The figures of one volume."""

    rows: dict[str, dict[str, int]]
    """By database and table."""
    streams: dict[str, tuple[int, int]]
    """Messages and last sequence of each stream."""
    models: dict[str, str]
    """SHA-256 of each file."""
    orders: list[tuple[Any, ...]]
    events: list[tuple[Any, ...]]
    """Of the ledger."""
    decisions: dict[str, str]
    """SHA-256 of the canonical bytes, by id."""


def held(data: Path, scratch: Path) -> Held:
    """Return the figures of a compact system's volume on which nobody writes; they are taken from a copy."""
    copy = scratch / "copy"
    shutil.copytree(data, copy)
    (scratch / "run").mkdir()
    shutil.move(copy / NATS_FOLDER, RunDirectory(scratch / "run").nats)
    with closing(sqlite3.connect(copy / "ledger.db")) as ledger:
        orders = ledger.execute("SELECT order_id, symbol, side, quantity FROM orders ORDER BY order_id").fetchall()
        events = ledger.execute("SELECT * FROM ledger_events ORDER BY 1, 2").fetchall()
    with closing(sqlite3.connect(copy / "decisions.db")) as database:
        found = database.execute("SELECT id, canonical FROM decisions").fetchall()
    return Held(
        rows={name: rows(copy / name) for name in STORES},
        streams=asyncio.run(_streams(scratch / "run")),
        models=hashes(copy / MODELS),
        orders=orders,
        events=events,
        decisions={name: hashlib.sha256(content).hexdigest() for name, content in found},
    )


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {one: int(database.execute(f"SELECT count(*) FROM [{one}]").fetchone()[0]) for one in tables}  # noqa: S608


async def _streams(root: Path) -> dict[str, tuple[int, int]]:
    directory = RunDirectory(root)
    async with nats_over(directory) as url:
        bus = NatsBus(url, BOOTSTRAP, directory.keys / f"{BOOTSTRAP}.nk")
        await bus.start()
        assert await bus.wait_connected(DEADLINE)
        try:
            listed = await bus.api("$JS.API.STREAM.LIST", {})
        finally:
            await bus.close()
    return {
        each["config"]["name"]: (each["state"]["messages"], each["state"]["last_seq"]) for each in listed["streams"]
    }
