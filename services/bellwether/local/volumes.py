"""What a pod does to volumes made from snapshots: look whether they are whole, and make them this system's, halted.

`look` only reads. `adopt` is done before anything else opens the databases; each database notes by whom it was adopted
in the transaction that does it, so doing it again, after a kill at any time, changes nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bellwether.backups.databases import CopyError, figures_of
from bellwether.backups.errors import BackupError
from bellwether.backups.making import LEDGER
from bellwether.local.exchange import stays
from bellwether.local.unpacking import SOURCE_OF_HALT
from bellwether.storage.folders import digest_of, listing, remove
from bellwether.storage.notes import PREFIX, differences, note_path, noted_services
from bellwether.storage.store import make_created_with_table
from bellwether.topology import SERVICES

ADOPTED_BY = "restored-for"
"""In a database's table of what it was created with: the uid of the system that was made from it."""
SKEW = 3600.0
"""Snapshots that somebody took one by one may be this many seconds apart: events are published again for so long."""
_BUSY_MILLISECONDS = 10_000
_SHOWN = 20
"""Of a pod that failed only its last 2 KiB are kept."""


class Damaged(BackupError):
    """What is on a restored volume cannot be used; the message names each file and says why."""

    final = True


class Adoption(NamedTuple):
    """For whom volumes are made ready, and what of."""

    uid: str
    name: str
    source: str
    """The backup or snapshots, as people know them."""
    together: bool = True
    """Whether all volumes are of one instant, at which nobody wrote."""


def adopt(data: Path, whose: Adoption, now: datetime, kept: Sequence[str] = ()) -> list[str]:
    """Make the databases of a volume this system's, the ledger halted; return the names of those that were not yet.

    `kept` are the names that stay, where the snapshot was of a volume that held more: what is another component's
    is removed. Without any, all of it stays.

    Raises:
        Damaged: if one is not whole; then none was touched.
    """
    problems = differences(data)
    left: list[Path] = []
    if not problems:
        # Only of what was just copied: from here on its files change.
        for service in noted_services(data):
            note_path(data, service).unlink()
        for path in data.iterdir() if kept else ():
            if path.name not in kept and not stays(path.name):
                remove(path)
        left = [path for path in sorted(data.glob("*.db")) if _adopted_by(path) != whose.uid]
        problems = [f"{path.name}: {words}" for path in left if (words := _damage(path)) is not None]
    if problems:
        raise Damaged(f"the volume made from {whose.source} cannot be used: {'; '.join(problems)}")
    for path in left:
        with _opened(path) as database, database:
            database.execute("BEGIN IMMEDIATE")
            _make_own(database, whose)
            outbox = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'outbox'"
            if not whose.together and database.execute(outbox).fetchone() is not None:
                last = database.execute("SELECT max(published_at) FROM outbox").fetchone()[0]
                if last is not None:
                    republish = "UPDATE outbox SET published_at = NULL WHERE published_at >= ?"
                    database.execute(republish, (float(last) - SKEW,))
            if path.name == LEDGER:
                reason = f"restored from {whose.source}: compare, then resume"
                row = (SOURCE_OF_HALT, reason, now.astimezone(UTC).isoformat())
                database.execute("INSERT INTO halts (kind, source, reason, at) VALUES ('halt', ?, ?, ?)", row)
    return [path.name for path in left]


def make_own(data: Path, whose: Adoption) -> None:
    """Make restored databases that are halted already a system's own, so that its pods do not adopt them once more."""
    for path in sorted(data.glob("*.db")):
        with _opened(path) as database, database:
            database.execute("BEGIN IMMEDIATE")
            _make_own(database, whose)


def _make_own(database: sqlite3.Connection, whose: Adoption) -> None:
    make_created_with_table(database)
    # By the resource it goes on under another name; all else that it was created with has to be the same.
    database.execute("UPDATE begun SET value = ? WHERE name = 'metadata.name'", (whose.name,))
    database.execute("INSERT OR REPLACE INTO begun (name, value) VALUES (?, ?)", (ADOPTED_BY, whose.uid))


def look(root: Path, expected: Sequence[str] = ()) -> dict[str, Any]:
    """Return what is on volumes that are mounted in a folder, each in the folder of its claim: figures, no contents.

    Every database has its pages checked and its rows counted; every other file is read whole. Where services noted what
    their files were, each of them is compared.

    Args:
        root: of the volumes.
        expected: files that have to be there, as patterns below it.

    Raises:
        Damaged: naming each file that is missing or not whole.
    """
    began = time.monotonic()
    databases: dict[str, dict[str, Any]] = {}
    problems = [f"{path}: missing" for path in expected if not any(root.glob(path))]
    files = size = 0
    noted: set[str] = set()
    for volume in sorted(path for path in root.iterdir() if path.is_dir()):
        noted |= noted_services(volume)
        problems += [f"{volume.name}/{words}" for words in differences(volume)]
        for path in sorted(volume.glob("*.db")):
            try:
                found = figures_of(path)
            except CopyError as error:
                problems.append(f"{volume.name}/{path.name}: {error}")
                continue
            rows = {name: count for name, count in found.rows.items() if name not in {"inbox", "outbox", "begun"}}
            databases[path.name] = {"rows": sum(rows.values()), "sha256": digest_of(path)[:16]}
        names = [each.name for each in volume.iterdir() if not _is_other(each.name)]
        for name, stamp in listing(volume, names).files.items():
            try:
                digest_of(volume / name)
            except OSError as error:
                problems.append(f"{volume.name}/{name}: {error.strerror}")
            files, size = files + 1, size + stamp.size
    if not databases and not problems:
        problems.append("there is no database on any volume")
    if noted and (lost := sorted(row.name for row in SERVICES.values() if row.needs_volume and row.name not in noted)):
        problems.append(f"of {', '.join(lost)} it is not noted what its files were: not all was copied")
    if problems:
        problems = list(dict.fromkeys(problems))  # what has to be there may be noted too
        more = f"; {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise Damaged("; ".join(problems[:_SHOWN]) + more)
    return {
        "databases": databases,
        "rows": sum(found["rows"] for found in databases.values()),
        "files": files,
        "bytes": size,
        "seconds": round(time.monotonic() - began, 1),
    }


def gathered(root: Path, target: Path) -> None:
    """Make one folder of what is on volumes that are mounted in a folder, as one process has it; nothing is copied."""
    target.mkdir(parents=True, exist_ok=True)
    for volume in sorted(path for path in root.iterdir() if path.is_dir()):
        for path in volume.iterdir():
            if not stays(path.name):
                (target / path.name).symlink_to(path)


def _is_other(name: str) -> bool:
    """Whether a name is a database, or beside one, or no part of a system."""
    return stays(name) or name.startswith(PREFIX) or name.endswith((".db", ".db-wal", ".db-shm", ".db-journal"))


def _damage(path: Path) -> str | None:
    try:
        figures_of(path)
    except CopyError as error:
        return str(error)
    return None


def _adopted_by(path: Path) -> str | None:
    """Return the uid of the system that a database was adopted by; None where by none, or it cannot be read."""
    with contextlib.suppress(sqlite3.Error), _opened(path) as database:
        row = database.execute("SELECT value FROM begun WHERE name = ?", (ADOPTED_BY,)).fetchone()
        return None if row is None else str(row[0])
    return None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        connection.execute("PRAGMA synchronous = FULL")
        yield connection
