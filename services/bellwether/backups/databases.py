"""Copies of SQLite databases that are in use, and what can be counted in one."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import date
from pathlib import Path
from typing import NamedTuple

from bellwether.backups.errors import BackupError
from bellwether.storage import copying
from bellwether.storage.copying import opened


class CopyError(BackupError):
    """Something of a system cannot be copied; the message names it and says why."""


class Figures(NamedTuple):
    """What can be counted in a database."""

    rows: dict[str, int]
    last: dict[str, int]
    """The highest row number by table; tables without row numbers have none."""
    version: int


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as it is at one instant, whoever writes to it meanwhile; nobody waits for it.

    Raises:
        CopyError: if the source is no database, or the target cannot be written.
    """
    try:
        copying.copy_database(source, target)
    except (sqlite3.Error, OSError) as error:
        raise CopyError(f"{source.name} cannot be copied to {target.parent}: {error}") from error


def figures_of(path: Path) -> Figures:
    """Return what is in a database that nobody uses, after SQLite checked every page of it.

    Raises:
        CopyError: if it is damaged, or no database.
    """
    try:
        with opened(path, "ro") as found:
            problems = [str(row[0]) for row in found.execute("PRAGMA integrity_check(3)")]
            if problems != ["ok"]:
                raise CopyError(f"SQLite finds it damaged: {'; '.join(problems)}")
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
    with contextlib.suppress(sqlite3.Error), opened(ledger, "ro") as found:
        row = found.execute("SELECT max(session) FROM equity").fetchone()
        return None if row[0] is None else date.fromisoformat(row[0])
    return None


_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
