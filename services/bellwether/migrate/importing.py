"""Reading an old folder by a mapping: what each table gives, and what is left and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bellwether.migrate.history import WHOLE, History, Written
from bellwether.migrate.mapping import Entry, MappingFile, TableMap, Unfit, entry
from bellwether.migrate.old_folder import OldDatabase, OldFolder, OldRow, OldTable, look_into, read_database
from bellwether.migrate.proposal import Look, Proposed, propose
from bellwether.migrate.salvage import shape_of

_SAMPLE = 200


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
            lost = TableRead(file, name, None)
            lost.left.append(
                (WHOLE, "the mapping names it, and it is not in the file, or can no longer be found there")
            )
            found.tables.append(lost)
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
    told = one.written
    return {
        "file": one.file,
        "table": one.table,
        "kind": one.kind,
        "rows": len(one.entries),
        "salvaged": sum(row.salvaged for row, _ in one.entries),
        "new": told.new,
        "changed": told.changed,
        "same": told.same,
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
            first = next(key for key, told in table.left if told == why and key != WHOLE)
            yield {"file": table.file, "table": table.table, "rows": rows, "why": why, "first_row": first}
