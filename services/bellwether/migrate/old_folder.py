"""The old system's folder: its databases, read without a change to them, and its models, which are never opened."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bellwether.migrate.salvage import Salvaged, Shape, salvage
from bellwether.migrate.sqlite_pages import MAGIC, Value

_DATABASES = (".db", ".sqlite", ".sqlite3", ".db3")
_MODELS = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".pt", ".pth", ".h5", ".keras", ".npy", ".npz")
_MOST_PROBLEMS = 20


@dataclass(frozen=True)
class OldModel:
    """A file that may run code when it is opened: named, and left."""

    path: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class OldRow:
    """One row: a key that is the same each time the table is read, and its values by column."""

    key: str
    values: Mapping[str, Value]
    salvaged: bool


@dataclass
class OldTable:
    """One table of an old database."""

    name: str
    columns: tuple[str, ...]
    rows: list[OldRow]
    unreadable_rows: int = 0
    unreadable_pages: list[int] = field(default_factory=list)


@dataclass
class OldDatabase:
    """One old database as it was read."""

    file: str
    size: int
    sha256: str
    sound: bool
    problems: list[str]
    tables: list[OldTable]


@dataclass
class OldFolder:
    """What lies in the folder. Paths are relative to it."""

    databases: list[str]
    models: list[OldModel]


def look_into(root: Path) -> OldFolder:
    """Return the databases and models of a folder and those below it; links are not followed.

    Raises:
        OSError: if the folder cannot be read.
    """
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is no folder")
    found = OldFolder([], [])
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            path = Path(folder) / name
            if path.is_symlink() or not path.is_file():
                continue
            relative = path.relative_to(root).as_posix()
            if path.suffix.lower() in _MODELS:
                stat = path.stat()
                found.models.append(OldModel(relative, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC)))
            elif path.suffix.lower() in _DATABASES:
                found.databases.append(relative)
    return found


def read_database(root: Path, file: str, known: Iterable[Shape] = ()) -> OldDatabase:
    """Return a database with every row that can be read; it is copied first, and its own file left as it is.

    Raises:
        OSError: if the file cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="bellwether-old-") as scratch:
        copy = Path(scratch) / "old.db"
        shutil.copyfile(root / file, copy)
        for suffix in ("-wal", "-journal"):
            if (root / (file + suffix)).is_file():
                shutil.copyfile(root / (file + suffix), f"{copy}{suffix}")
        with copy.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        found = OldDatabase(file, copy.stat().st_size, digest, True, [], [])
        found.problems = _problems(copy)
        if not found.problems:
            found.tables = list(_sound_tables(copy))
            return found
        found.sound = False
        _take_in_log(copy)
        # What is damaged is read page by page.
        salvaged = salvage(copy.read_bytes(), known)
        found.problems += [one for one in salvaged.problems if one not in found.problems]
        found.tables = [_salvaged_table(one) for one in salvaged.tables]
        return found


def _problems(copy: Path) -> list[str]:
    """Return what SQLite says is wrong with a file; nothing: it is sound."""
    if copy.stat().st_size == 0:
        return []
    with copy.open("rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            return ["it does not begin as a SQLite file does"]
    try:
        with contextlib.closing(sqlite3.connect(copy)) as database:
            answered = database.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})").fetchall()
    except sqlite3.Error as error:
        return [f"SQLite says: {error}"]
    said = [line for one in answered for line in str(one[0]).splitlines() if not line.startswith("***")]
    return [] if said == ["ok"] else said


def _take_in_log(copy: Path) -> None:
    """Write what is only in the copy's log into the copy itself, if SQLite still can."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(copy)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _sound_tables(copy: Path) -> Iterator[OldTable]:
    with contextlib.closing(sqlite3.connect(copy)) as database:
        database.text_factory = lambda raw: raw.decode("utf-8", "replace")
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        for (name,) in names:
            if name.startswith("sqlite_"):
                continue
            yield _sound_table(database, name)


def _sound_table(database: sqlite3.Connection, name: str) -> OldTable:
    quoted = '"' + name.replace('"', '""') + '"'
    try:
        cursor = database.execute(f"SELECT rowid, * FROM {quoted} ORDER BY rowid")  # noqa: S608 (quoted above)
        columns = tuple(one[0] for one in cursor.description[1:])
        rows = [OldRow(f"{row[0]}", dict(zip(columns, row[1:], strict=True)), False) for row in cursor]
    except sqlite3.OperationalError:
        # It has no rowid: a row's own values are its key.
        cursor = database.execute(f"SELECT * FROM {quoted}")  # noqa: S608 (quoted above)
        columns = tuple(one[0] for one in cursor.description)
        rows = [OldRow(_key(row), dict(zip(columns, row, strict=True)), False) for row in cursor]
    return OldTable(name, columns, rows)


def _key(row: Iterable[Value]) -> str:
    return hashlib.sha256(repr(tuple(row)).encode()).hexdigest()[:32]


def _salvaged_table(one: Salvaged) -> OldTable:
    columns = one.shape.columns
    rows = [OldRow(f"{rowid}", dict(zip(columns, row, strict=True)), True) for rowid, row in sorted(one.rows.items())]
    return OldTable(one.shape.name, columns, rows, one.unreadable_rows, sorted(one.unreadable_pages))
