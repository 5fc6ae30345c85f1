"""Copies of SQLite databases that are in use, and what can be counted in one."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

from bellwether.backups.errors import BackupError
from bellwether.storage.folders import sync_folder

BUSY_SECONDS = 10.0


class CopyError(BackupError):
    """Something of a system cannot be copied; the message names it and says why."""


class Figures(NamedTuple):
    """What can be counted in a database."""

    rows: dict[str, int]
    last: dict[str, int]
    """The highest row number by table; tables without row numbers have none."""
    version: int


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment, whoever writes to it meanwhile; nobody waits for it.

    SQLite's own backup, in one go: it reads within one transaction, so the copy is whole, without a journal beside it.

    Raises:
        CopyError: if the source is no database, or the target cannot be written.

    """
    try:
        with _opened(source, "rw") as given, contextlib.closing(sqlite3.connect(target)) as made:
            given.backup(made, pages=-1)
            made.execute("PRAGMA journal_mode = DELETE")
        with target.open("rb") as file:
            os.fsync(file.fileno())
        sync_folder(target.parent)
    except (sqlite3.Error, OSError) as error:
        raise CopyError(f"{source.name} cannot be copied to {target.parent}: {error}") from error


def figures_of(path: Path) -> Figures:
    """Return what is in a database that nobody uses, after SQLite checked every page of it.

    Raises:
        CopyError: if it is damaged, or no database.

    """
    try:
        with _opened(path, "ro") as found:
            told = [str(row[0]) for row in found.execute("PRAGMA integrity_check(3)")]
            if told != ["ok"]:
                raise CopyError(f"SQLite finds it damaged: {'; '.join(told)}")
            rows: dict[str, int] = {}
            last: dict[str, int] = {}
            tables = [str(row[0]) for row in found.execute(_TABLES)]
            for table in tables:
                name = '"' + table.replace('"', '""') + '"'
                rows[table] = int(found.execute(f"SELECT count(*) FROM {name}").fetchone()[0])  # noqa: S608
                with contextlib.suppress(sqlite3.OperationalError):  # of a table without row numbers
                    highest = found.execute(f"SELECT max(rowid) FROM {name}").fetchone()[0]  # noqa: S608
                    last[table] = int(highest or 0)
            return Figures(rows, last, int(found.execute("PRAGMA user_version").fetchone()[0]))
    except sqlite3.Error as error:
        raise CopyError(f"SQLite cannot read it: {error}") from error


def newest_session(ledger: Path) -> date | None:
    """Return the newest session that the ledger has closed, whatever run it is of; None before the first."""
    with contextlib.suppress(sqlite3.Error), _opened(ledger, "ro") as found:
        row = found.execute("SELECT max(session) FROM equity").fetchone()
        return None if row[0] is None else date.fromisoformat(row[0])
    return None


@contextlib.contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        yield connection


_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
