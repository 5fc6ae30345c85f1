"""Copies of what is in use: a database as it is at one instant, and a folder whose finished files never change."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from bellwether.storage.folders import Listing, copy_file, listing, sync_folder

BUSY_SECONDS = 10.0
_TOP = 1
"""How many folders below a service's own its books lie: `registry/ledger.json`."""
_LOOKS = 20


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as it is at one instant, whoever writes to it meanwhile; nobody waits for it.

    SQLite's own backup, in one go: it reads within one transaction, so the copy is whole, without a journal beside it.

    Raises:
        sqlite3.Error, OSError: if the source is no database, or the target cannot be written.
    """
    with opened(source, "rw") as given, contextlib.closing(sqlite3.connect(target)) as made:
        given.backup(made, pages=-1)
        made.execute("PRAGMA journal_mode = DELETE")
    with target.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(target.parent)


def copy_folder(source: Path, target: Path) -> int:
    """Copy a folder's files, of which the finished ones are never changed; return how many there are.

    Files at the top, as a registry's book, are copied before what lies below is looked for: they name nothing that is
    not in the copy. What is on its way in, as an upload, may be gone when its turn comes.

    Raises:
        OSError: if one cannot be read or written.
    """
    copied = set[str]()
    target.mkdir(parents=True)
    if not source.exists():
        return 0
    for top_only in (True, False):
        found = _listed(source)
        for folder in found.folders:
            (target / folder).mkdir(parents=True, exist_ok=True)
        for name in found.files.keys() - copied:
            if top_only and name.count("/") > _TOP:
                continue
            try:
                copy_file(source / name, target / name, lambda _: None)
            except FileNotFoundError:
                (target / name).unlink(missing_ok=True)
            else:
                copied.add(name)
    return len(copied)


def _listed(source: Path) -> Listing:
    """Return what is in a folder; a file that goes meanwhile has it looked at again."""
    for _ in range(_LOOKS):
        with contextlib.suppress(FileNotFoundError):
            return listing(source, [one.name for one in source.iterdir()])
    return listing(source, [one.name for one in source.iterdir()])


@contextlib.contextmanager
def opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """Give a connection to a database that others use: mode `ro` or `rw`."""
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        yield connection
