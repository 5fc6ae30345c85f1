"""Reading an old folder by a mapping into the history: what each table gives, and what is left and why."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from bellwether.migrate.mapping import FIELDS, Entry, Kind, MappingFile, TableMap, Unfit, content, entry
from bellwether.migrate.old_folder import OldDatabase, OldFolder, OldModel, OldRow, OldTable, look_into, read_database
from bellwether.migrate.proposal import Look, Proposed, propose
from bellwether.migrate.salvage import shape_of

_SAMPLE = 200
_FORM = 1
COLUMNS = ("kind", "source", "file", "old_table", "old_row", "salvaged", *FIELDS, "extra", "imported_at")
"""The columns of an exported entry."""
_MAKE = f"""
CREATE TABLE IF NOT EXISTS entries (
    {", ".join(COLUMNS)}, content TEXT NOT NULL, PRIMARY KEY (source, file, old_table, old_row)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_by_time ON entries (kind, at);
CREATE TABLE IF NOT EXISTS left_out (
    source TEXT, file TEXT, old_table TEXT, old_row TEXT, why TEXT, PRIMARY KEY (source, file, old_table, old_row)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS databases (
    source TEXT, file TEXT, sha256 TEXT, size INTEGER, sound INTEGER, problems TEXT, PRIMARY KEY (source, file)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS models (
    source TEXT, file TEXT, size INTEGER, modified TEXT, PRIMARY KEY (source, file)
) WITHOUT ROWID;
"""
WHOLE = ""
"""The `old_row` of what concerns a whole table, and the `old_table` of what concerns a whole file."""

Place: TypeAlias = tuple[str, str, str]
"""Source, file and table of an old row."""


class HistoryError(Exception):
    """The history cannot be read or written; the message says why."""


@dataclass
class Written:
    """What became of the rows of one table."""

    new: int = 0
    changed: int = 0
    same: int = 0
    left: int = 0


class History:
    """Rows of the old system in a database of their own, each with where it came from.

    Nothing reads it to trade: no cash, position or decision of this system comes from it.
    `with` it: what was written is kept when the block ends well, and only then.
    """

    def __init__(self, path: Path, *, writing: bool = False) -> None:
        if not writing and not path.is_file():
            raise HistoryError(f"there is no history at {path}: `bellwether migrate import` makes it")
        try:
            if writing:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._database = sqlite3.connect(path)
                path.chmod(0o600)
                form = self._form(path)
                if form == 0:
                    self._database.executescript(f"{_MAKE} PRAGMA user_version = {_FORM};")
            else:
                self._database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
                self._form(path)
        except (sqlite3.Error, OSError) as error:
            raise HistoryError(f"{path}: {error}") from error
        self._database.row_factory = sqlite3.Row

    def _form(self, path: Path) -> int:
        form = int(self._database.execute("PRAGMA user_version").fetchone()[0])
        if form > _FORM:
            raise HistoryError(f"{path} is of a newer release: its form is {form}, this one reads {_FORM}")
        return form

    def __enter__(self) -> History:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._database.commit()
        else:
            self._database.rollback()
        self._database.close()

    def add(self, where: Place, row: OldRow, one: Entry, now: datetime, counts: Written) -> None:
        """Write one entry. A row that is there with other values is replaced, one that is there is left alone."""
        text = content(one)
        key = (*where, row.key)
        before = self._database.execute(
            "SELECT content, salvaged FROM entries WHERE (source, file, old_table, old_row) = (?, ?, ?, ?)", key
        ).fetchone()
        if before is not None and (before["content"] == text or (row.salvaged and not before["salvaged"])):
            # A damaged copy never replaces what was read from a sound one.
            counts.same += 1
            return
        counts.changed += before is not None
        counts.new += before is None
        values = [one.kind, *key, int(row.salvaged), *(one.fields.get(name) for name in FIELDS)]
        values += [json.dumps(dict(one.extra), sort_keys=True, ensure_ascii=False), now.isoformat(), text]
        marks = ", ".join("?" * len(values))
        self._database.execute(f"INSERT OR REPLACE INTO entries VALUES ({marks})", values)  # noqa: S608 (marks only)
        self._database.execute("DELETE FROM left_out WHERE (source, file, old_table, old_row) = (?, ?, ?, ?)", key)

    def leave(self, where: Place, row: str, why: str) -> None:
        """Write down that something was left, and why."""
        self._database.execute("INSERT OR REPLACE INTO left_out VALUES (?, ?, ?, ?, ?)", (*where, row, why))

    def forget_left(self, source: str) -> None:
        """Forget what was left of a source: an import says it again."""
        self._database.execute("DELETE FROM left_out WHERE source = ?", (source,))

    def note(self, source: str, databases: Iterable[OldDatabase], models: Iterable[OldModel]) -> None:
        """Write down which files there were."""
        self._database.executemany(
            "INSERT OR REPLACE INTO databases VALUES (?, ?, ?, ?, ?, ?)",
            [(source, one.file, one.sha256, one.size, int(one.sound), json.dumps(one.problems)) for one in databases],
        )
        self._database.executemany(
            "INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?)",
            [(source, one.path, one.size, one.modified.isoformat()) for one in models],
        )

    def entries(
        self, kind: Kind | None = None, symbol: str | None = None, limit: int | None = None, newest: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Yield entries, oldest first unless `newest`; fields that are not known are None."""
        order = "DESC" if newest else "ASC"
        found = self._database.execute(
            f"SELECT {', '.join(COLUMNS)} FROM entries WHERE (?1 IS NULL OR kind = ?1) "  # noqa: S608 (own names)
            f"AND (?2 IS NULL OR symbol = ?2) ORDER BY at {order}, source, file, old_table, old_row LIMIT ?3",
            (kind, symbol, -1 if limit is None else limit),
        )
        for row in found:
            one = dict(row)
            one["extra"] = json.loads(one["extra"])
            one["salvaged"] = bool(one["salvaged"])
            one["correct"] = None if one["correct"] is None else bool(one["correct"])
            yield one

    def counts(self) -> list[dict[str, Any]]:
        """Return how many entries there are by source, kind and symbol, with the first and the last instant."""
        return self._rows(
            "SELECT source, kind, symbol, count(*) AS entries, sum(salvaged) AS salvaged, min(at) AS first, "
            "max(at) AS last FROM entries GROUP BY source, kind, symbol ORDER BY source, kind, symbol"
        )

    def left(self) -> list[dict[str, Any]]:
        """Return what was left: tables, and rows counted by why, with the first of them."""
        return self._rows(
            "SELECT source, file, old_table, why, sum(old_row != '') AS rows, min(old_row) AS first_row FROM left_out "
            "GROUP BY source, file, old_table, why ORDER BY source, file, old_table, why"
        )

    def files(self) -> list[dict[str, Any]]:
        """Return the databases that were read, with what was wrong with them."""
        found = self._rows("SELECT * FROM databases ORDER BY source, file")
        return [one | {"sound": bool(one["sound"]), "problems": json.loads(one["problems"])} for one in found]

    def models(self) -> list[dict[str, Any]]:
        """Return the models that were seen and not opened."""
        return self._rows("SELECT * FROM models ORDER BY source, file")

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        return [dict(one) for one in self._database.execute(query, values)]


@dataclass
class TableRead:
    """One old table, read by its mapping."""

    file: str
    table: str
    kind: str | None
    entries: list[tuple[OldRow, Entry]] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    """Row and why; the row is empty for what concerns the whole table."""
    written: Written = field(default_factory=Written)


@dataclass
class FolderRead:
    """An old folder, read by a mapping."""

    folder: OldFolder
    databases: list[OldDatabase] = field(default_factory=list)
    tables: list[TableRead] = field(default_factory=list)
    left_files: list[tuple[str, str]] = field(default_factory=list)


def proposals(root: Path) -> list[Proposed]:
    """Return what every table of an old folder seems to hold; raises OSError."""
    found: list[Proposed] = []
    for file in look_into(root).databases:
        for table in read_database(root, file).tables:
            sample = [row.values for row in table.rows[:_SAMPLE]]
            found.append(propose(Look(file, table.name, table.columns, len(table.rows), sample)))
    return found


def read_folder(root: Path, whole: MappingFile) -> FolderRead:
    """Return an old folder as the mapping reads it. Nothing is written.

    Raises:
        OSError: if the folder or a file cannot be read.
        ValueError: if a `create` statement of the mapping cannot be read.
    """
    found = FolderRead(look_into(root))
    named = {file for file, _ in whole.named()}
    found.left_files += [
        (file, "the mapping names it, and it is not there") for file in sorted(named - set(found.folder.databases))
    ]
    for file in found.folder.databases:
        maps = {one.table: one for one in whole.tables if one.file == file}
        leave = {one.table: one.why for one in whole.leave if one.file == file}
        known = [shape_of(one.table, one.create) for one in maps.values() if one.create]
        database = read_database(root, file, known)
        found.databases.append(database)
        if not database.tables:
            why = "; ".join(database.problems) or "it has no table"
            found.left_files.append((file, why))
        found.tables += [_read(file, table, maps.get(table.name), leave, whole) for table in database.tables]
        there = {table.name for table in database.tables}
        for name in sorted({*maps, *leave} - there):
            why = "the mapping names it, and it is not in the file, or can no longer be found there"
            found.tables.append(TableRead(file, name, None, left=[(WHOLE, why)]))
    return found


def _read(file: str, table: OldTable, how: TableMap | None, leave: dict[str, str], whole: MappingFile) -> TableRead:
    found = TableRead(file, table.name, None if how is None else how.kind)
    if how is None:
        why = leave.get(table.name, "the mapping does not name it")
        found.left.append((WHOLE, f"{why} ({len(table.rows)} rows)"))
        return found
    if table.unreadable_pages or table.unreadable_rows:
        pages = ", ".join(map(str, table.unreadable_pages)) or "none"
        lost = f"damaged: {table.unreadable_rows} rows are unreadable, and all those of pages: {pages}"
        found.left.append((WHOLE, lost))
    for row in table.rows:
        try:
            found.entries.append((row, entry(row.values, how, whole)))
        except Unfit as error:
            found.left.append((row.key, str(error)))
    return found


def write(found: FolderRead, history: History, source: str, now: datetime) -> None:
    """Write what was read into a history; each table says how many rows were new, changed and the same."""
    history.forget_left(source)
    history.note(source, found.databases, found.folder.models)
    for file, why in found.left_files:
        history.leave((source, file, WHOLE), WHOLE, why)
    for table in found.tables:
        where = (source, table.file, table.table)
        for row, one in table.entries:
            history.add(where, row, one, now, table.written)
        for key, why in table.left:
            history.leave(where, key, why)
            table.written.left += key != WHOLE


def summary(found: FolderRead, *, shown: int = 0) -> dict[str, Any]:
    """Return what was read as JSON; with `shown` that many rows of each table."""
    return {
        "databases": [
            {"file": one.file, "sha256": one.sha256, "bytes": one.size, "sound": one.sound, "problems": one.problems}
            for one in found.databases
        ],
        "tables": [_table(one, shown) for one in found.tables],
        "left": [
            *({"file": file, "table": None, "rows": 0, "why": why} for file, why in found.left_files),
            *_left(found),
        ],
        "models": [
            {"file": one.path, "bytes": one.size, "modified": one.modified.isoformat()} for one in found.folder.models
        ],
    }


def _table(one: TableRead, shown: int) -> dict[str, Any]:
    return {
        "file": one.file,
        "table": one.table,
        "kind": one.kind,
        "rows": len(one.entries),
        "salvaged": sum(row.salvaged for row, _ in one.entries),
        **vars(one.written),
        "left": sum(key != WHOLE for key, _ in one.left),
        "sample": [
            {"row": row.key, "fields": dict(entry.fields), "extra": dict(entry.extra)}
            for row, entry in one.entries[:shown]
        ],
    }


def _left(found: FolderRead) -> Iterator[dict[str, Any]]:
    for table in found.tables:
        counted = Counter(why for key, why in table.left if key != WHOLE)
        for why in [why for key, why in table.left if key == WHOLE]:
            yield {"file": table.file, "table": table.table, "rows": 0, "why": why}
        for why, rows in counted.items():
            first = next(key for key, reason in table.left if reason == why and key != WHOLE)
            yield {"file": table.file, "table": table.table, "rows": rows, "why": why, "first_row": first}
