"""The history: rows of the old system in a database of their own, each with where it came from.

Nothing reads it to trade: no cash, position or decision of this system comes from it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from bellwether.migrate.mapping import FIELDS, Entry, Kind, content
from bellwether.migrate.old_folder import OldDatabase, OldModel, OldRow

_FORM = 1
_COLUMNS = ("kind", "source", "file", "old_table", "old_row", "salvaged", *FIELDS, "extra", "imported_at")
_MAKE = f"""
CREATE TABLE IF NOT EXISTS entries (
    {", ".join(_COLUMNS)}, content TEXT NOT NULL, PRIMARY KEY (source, file, old_table, old_row)
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
    """One history file. `with` it: what was written is kept when the block ends well, and only then."""

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

    def add(self, where: Place, row: OldRow, one: Entry, now: datetime, told: Written) -> None:
        """Write one entry. A row that is there with other values is replaced, one that is there is left alone."""
        text = content(one)
        key = (*where, row.key)
        before = self._database.execute(
            "SELECT content, salvaged FROM entries WHERE (source, file, old_table, old_row) = (?, ?, ?, ?)", key
        ).fetchone()
        if before is not None and (before["content"] == text or (row.salvaged and not before["salvaged"])):
            # A damaged copy never replaces what was read from a sound one.
            told.same += 1
            return
        told.changed += before is not None
        told.new += before is None
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
            f"SELECT {', '.join(_COLUMNS)} FROM entries WHERE (?1 IS NULL OR kind = ?1) "  # noqa: S608 (own names)
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


COLUMNS = _COLUMNS
"""The columns of an exported entry."""
