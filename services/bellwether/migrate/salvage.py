"""The rows of a damaged SQLite file, as far as its pages can be read. Pure: bytes in, tables out.

SQLite has no checksums: a value that was overwritten by another of the same length is not found out. So what is read
here is marked, and the numbers of its pages are named.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field

from bellwether.migrate.sqlite_pages import INTERIOR_TABLE, LEAF_TABLE, Buffer, Cell, Damaged, Pages, Value, layout

_OWN = "sqlite_"
"""What SQLite's own tables begin with."""


@dataclass(frozen=True)
class Shape:
    """The columns of a table, as stored: names, which of them is the rowid, which hold floats, and defaults."""

    name: str
    columns: tuple[str, ...]
    rowid_column: int | None
    floats: frozenset[int]
    defaults: tuple[Value, ...]
    root: int = 0


@dataclass
class Salvaged:
    """One table of a damaged file."""

    shape: Shape
    rows: dict[int, tuple[Value, ...]] = field(default_factory=dict)
    """By rowid."""
    unreadable_pages: list[int] = field(default_factory=list)
    unreadable_rows: int = 0
    """Rows that are on readable pages and are damaged themselves; those of unreadable pages are not known."""
    stray: int = 0
    """Of the rows, those on pages that nothing leads to any more, known by their number of columns."""


@dataclass
class Found:
    """What a damaged file gave."""

    tables: list[Salvaged] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def salvage(data: Buffer, known: Iterable[Shape] = ()) -> Found:
    """Return the tables of a file with every row that can be read, and what is wrong with the file, in words.

    `known` are tables whose columns were declared, for a file whose own list of tables is lost.
    """
    found = Found()
    try:
        how = layout(data)
    except Damaged as error:
        found.problems.append(str(error))
        return found
    pages = Pages(data, how)
    if not how.sound:
        found.problems.append(f"its header is unreadable: pages of {how.page_size} bytes are a guess")
    if len(data) % how.page_size:
        found.problems.append(f"it ends within a page: {len(data)} bytes")
    seen: set[int] = set()
    schema = Salvaged(Shape("sqlite_schema", ("type", "name", "tbl_name", "rootpage", "sql"), None, frozenset(), ()))
    _walk(pages, 1, schema, seen)
    if schema.unreadable_pages:
        found.problems.append("its list of tables is unreadable, in part or whole")
    for row in schema.rows.values():
        _add_table(found, row)
    there = {table.shape.name for table in found.tables}
    found.tables += [Salvaged(shape) for shape in known if shape.name not in there]
    for table in found.tables:
        if table.shape.root:
            _walk(pages, table.shape.root, table, seen)
    _strays(pages, found, seen)
    return found


def _add_table(found: Found, row: tuple[Value, ...]) -> None:
    if len(row) != 5 or row[0] != "table" or str(row[1]).startswith(_OWN):
        return
    name, root, sql = str(row[1]), row[3], row[4]
    try:
        shape = shape_of(name, str(sql), root if isinstance(root, int) else 0)
    except ValueError as error:
        found.problems.append(f"table {name}: {error}")
        return
    found.tables.append(Salvaged(shape))


def shape_of(name: str, sql: str, root: int = 0) -> Shape:
    """Return the columns that a CREATE TABLE statement makes.

    Raises:
        ValueError: if it is none, or makes a table that has no rowid.
    """
    if not sql.lstrip().upper().startswith("CREATE TABLE"):
        raise ValueError("it is no plain table")
    with sqlite3.connect(":memory:") as empty:
        try:
            empty.execute(sql)
            quoted = name.replace('"', '""')
            rows = empty.execute(f'PRAGMA table_xinfo("{quoted}")').fetchall()
        except sqlite3.Error as error:
            raise ValueError(f"its statement cannot be read ({error})") from error
        try:
            empty.execute(f'SELECT rowid FROM "{quoted}"')  # noqa: S608 (a name has no other place)
        except sqlite3.Error:
            raise ValueError("it has no rowid: such a table is read from a sound file only") from None
    empty.close()
    stored = [one for one in rows if one[6] != 2]  # 2: computed when it is read, not stored
    keys = [index for index, one in enumerate(stored) if one[5]]
    alone = len(keys) == 1 and str(stored[keys[0]][2]).upper() == "INTEGER"
    floats = frozenset(index for index, one in enumerate(stored) if _holds_floats(str(one[2])))
    defaults = tuple(_literal(one[4]) for one in stored)
    return Shape(name, tuple(str(one[1]) for one in stored), keys[0] if alone else None, floats, defaults, root)


def _holds_floats(declared: str) -> bool:
    upper = declared.upper()
    text = any(word in upper for word in ("INT", "CHAR", "CLOB", "TEXT", "BLOB"))
    return not text and any(word in upper for word in ("REAL", "FLOA", "DOUB"))


def _literal(text: str | None) -> Value:
    """Return the default of a column where it is a plain number or text."""
    if text is None:
        return None
    if text.startswith("'") and text.endswith("'"):
        return text[1:-1].replace("''", "'")
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, int | float) else None


def _walk(pages: Pages, root: int, table: Salvaged, seen: set[int]) -> None:
    """Read a table from its root page on."""
    waiting = [root]
    while waiting:
        number = waiting.pop()
        if number in seen:
            continue
        seen.add(number)
        try:
            if pages.kind(number) == INTERIOR_TABLE:
                waiting += reversed(pages.children(number))
                continue
            cells, bad = pages.readable_rows(number)
        except Damaged:
            table.unreadable_pages.append(number)
            continue
        table.unreadable_rows += bad + _keep(table, cells)


def _keep(table: Salvaged, cells: list[Cell]) -> int:
    """Keep rows that fit a table; return how many do not. The first of a rowid counts."""
    odd = 0
    for cell in cells:
        row = fitted(table.shape, cell)
        if row is None:
            odd += 1
        else:
            table.rows.setdefault(cell.rowid, row)
    return odd


def fitted(shape: Shape, cell: Cell) -> tuple[Value, ...] | None:
    """Return a row with a value for each column, as SQLite would read it; None if it has too many."""
    if len(cell.values) > len(shape.columns):
        return None
    row = [*cell.values, *shape.defaults[len(cell.values) :]]
    if shape.rowid_column is not None and shape.rowid_column < len(row):
        row[shape.rowid_column] = cell.rowid
    for index in shape.floats:
        value = row[index]
        if isinstance(value, int):
            row[index] = float(value)
    return tuple(row)


def _strays(pages: Pages, found: Found, seen: set[int]) -> None:
    """Give rows on pages that no table leads to any more to the one table that they fit."""
    skipped = seen | pages.free()
    lost = 0
    for number in range(1, pages.count + 1):
        if number in skipped or pages.kind(number) != LEAF_TABLE:
            continue
        try:
            cells, _ = pages.readable_rows(number)
        except Damaged:
            continue
        fits = [table for table in found.tables if cells and all(_like(table.shape, cell) for cell in cells)]
        if len(fits) != 1:
            lost += len(cells)
            continue
        before = len(fits[0].rows)
        _keep(fits[0], cells)
        fits[0].stray += len(fits[0].rows) - before
    if lost:
        found.problems.append(f"{lost} rows are on pages that nothing leads to, and fit no table or several")


def _like(shape: Shape, cell: Cell) -> bool:
    """Return whether a row looks like one of a table: as many values, NULL where its rowid is."""
    if len(cell.values) != len(shape.columns):
        return False
    return shape.rowid_column is None or cell.values[shape.rowid_column] is None
