"""Pages and records of a SQLite file, by https://www.sqlite.org/fileformat2.html. Pure: bytes in, values out.

Everything is checked before it is believed, so that a damaged page raises `Damaged` and never gives half a row.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = int | float | str | bytes | None
Buffer: TypeAlias = "bytes | memoryview"

MAGIC = b"SQLite format 3\x00"
HEADER = 100
SIZES = (4096, 1024, 8192, 16384, 32768, 65536, 2048, 512)
"""Sizes of a page, the usual one first."""
LEAF_TABLE, INTERIOR_TABLE = 13, 5
_ENCODINGS = {1: "utf-8", 2: "utf-16-le", 3: "utf-16-be"}
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_MOST_COLUMNS = 2000


class Damaged(ValueError):
    """These bytes are no page, or no record, of a SQLite file."""


@dataclass(frozen=True)
class Cell:
    """One row of a table: its rowid and its stored values; `INTEGER PRIMARY KEY` is stored as None."""

    rowid: int
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Layout:
    """How a file is cut into pages."""

    page_size: int
    reserved: int
    encoding: str
    free_trunk: int
    """Number of the first page of the list of free pages; 0: none, or not known."""
    sound: bool
    """False: the file's header is unreadable, and the page size a guess."""


def layout(data: Buffer) -> Layout:
    """Return how a file is cut; guessed by the pages that it gives where the header is damaged.

    Raises:
        Damaged: if no page size gives a single page of a table.
    """
    head = bytes(data[:HEADER])
    if len(head) == HEADER and head.startswith(MAGIC):
        size = int.from_bytes(head[16:18], "big")
        size = 65536 if size == 1 else size
        encoding = _ENCODINGS.get(int.from_bytes(head[56:60], "big"))
        if size in SIZES and encoding is not None and head[20] <= size - 480:
            return Layout(size, head[20], encoding, int.from_bytes(head[32:36], "big"), True)
    counted = {size: _rows(data, Layout(size, 0, "utf-8", 0, False)) for size in SIZES}
    best = max(SIZES, key=lambda size: counted[size])
    if not counted[best]:
        raise Damaged("neither its header nor any page is readable")
    return Layout(best, 0, "utf-8", 0, False)


def _rows(data: Buffer, how: Layout) -> int:
    """Return how many rows a file has if it is cut so; twice the right size sees each second page only."""
    pages = Pages(data, how)
    return sum(pages.countable(number) for number in range(1, pages.count + 1) if pages.kind(number) == LEAF_TABLE)


class Pages:
    """The pages of one file, numbered from 1."""

    def __init__(self, data: Buffer, how: Layout) -> None:
        self.how = how
        self._data = memoryview(data)
        self._usable = how.page_size - how.reserved
        self.count = len(data) // how.page_size

    def _page(self, number: int) -> memoryview:
        if not 1 <= number <= self.count:
            raise Damaged(f"page {number} is not in the file")
        start = (number - 1) * self.how.page_size
        return self._data[start : start + self.how.page_size]

    @staticmethod
    def _start(number: int) -> int:
        return HEADER if number == 1 else 0

    def kind(self, number: int) -> int:
        """Return the type of a page; 0 for a number that is not in the file."""
        return self._page(number)[self._start(number)] if 1 <= number <= self.count else 0

    def countable(self, number: int) -> int:
        """Return how many rows a page has; 0 where not all of them can be read."""
        try:
            return sum(1 for _ in self.rows(number))
        except Damaged:
            return 0

    def _cells(self, number: int, kind: int) -> Iterator[tuple[memoryview, int]]:
        page = self._page(number)
        start = self._start(number)
        if page[start] != kind:
            raise Damaged(f"page {number} is of type {page[start]}")
        count = int.from_bytes(page[start + 3 : start + 5], "big")
        head = start + (8 if kind == LEAF_TABLE else 12)
        if head + 2 * count > self._usable:
            raise Damaged(f"page {number} has no room for {count} rows")
        for index in range(count):
            at = int.from_bytes(page[head + 2 * index : head + 2 * index + 2], "big")
            if not head + 2 * count <= at < self._usable:
                raise Damaged(f"page {number}: row {index} is outside of it")
            yield page, at

    def children(self, number: int) -> list[int]:
        """Return the pages below an interior page of a table, in the order of their rows; raises Damaged."""
        found = [int.from_bytes(page[at : at + 4], "big") for page, at in self._cells(number, INTERIOR_TABLE)]
        start = self._start(number)
        return [*found, int.from_bytes(self._page(number)[start + 8 : start + 12], "big")]

    def rows(self, number: int) -> Iterator[Cell]:
        """Yield the rows of a leaf page; raises Damaged at the first that is unreadable."""
        for page, at in self._cells(number, LEAF_TABLE):
            yield self._cell(page, at)

    def readable_rows(self, number: int) -> tuple[list[Cell], int]:
        """Return the rows of a leaf page that can be read, and how many cannot; raises Damaged without any order."""
        found: list[Cell] = []
        bad = 0
        for page, at in self._cells(number, LEAF_TABLE):
            try:
                found.append(self._cell(page, at))
            except Damaged:
                bad += 1
        return found, bad

    def _cell(self, page: memoryview, at: int) -> Cell:
        size, at = _varint(page, at)
        rowid, at = _varint(page, at)
        here = self._local(size)
        if at + here > self._usable:
            raise Damaged("a row is longer than its page")
        payload = bytes(page[at : at + here])
        if here < size:
            payload += self._overflow(int.from_bytes(page[at + here : at + here + 4], "big"), size - here)
        return Cell(rowid - (1 << 64) if rowid >= 1 << 63 else rowid, record(payload, self.how.encoding))

    def _local(self, size: int) -> int:
        """Return how many bytes of a row are on its own page."""
        most = self._usable - 35
        if size <= most:
            return size
        least = (self._usable - 12) * 32 // 255 - 23
        kept = least + (size - least) % (self._usable - 4)
        return kept if kept <= most else least

    def _overflow(self, number: int, size: int) -> bytes:
        if size > len(self._data):
            raise Damaged("a row is longer than the file")
        found = bytearray()
        while len(found) < size:
            page = self._page(number)
            found += page[4 : self._usable]
            number = int.from_bytes(page[:4], "big")
        return bytes(found[:size])

    def free(self) -> set[int]:
        """Return the pages that hold only what was deleted, as far as their list can be read."""
        found: set[int] = set()
        trunk = self.how.free_trunk
        while trunk and trunk not in found and trunk <= self.count:
            found.add(trunk)
            page = self._page(trunk)
            count = min(int.from_bytes(page[4:8], "big"), self._usable // 4 - 2)
            found |= {int.from_bytes(page[8 + 4 * one : 12 + 4 * one], "big") for one in range(count)}
            trunk = int.from_bytes(page[:4], "big")
        return found


def record(payload: bytes, encoding: str) -> tuple[Value, ...]:
    """Return the values of a record; raises Damaged unless all of its bytes fit its own header."""
    head, at = _varint(payload, 0)
    if not at <= head <= len(payload):
        raise Damaged("the header of a row is longer than the row")
    kinds: list[int] = []
    while at < head:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    if at != head or len(kinds) > _MOST_COLUMNS:
        raise Damaged("the header of a row does not end where it says")
    values: list[Value] = []
    for kind in kinds:
        value, at = _value(payload, at, kind, encoding)
        values.append(value)
    if at != len(payload):
        raise Damaged("a row is longer than its values")
    return tuple(values)


def _value(data: bytes, at: int, kind: int, encoding: str) -> tuple[Value, int]:
    if kind in (0, 8, 9):
        return {0: None, 8: 0, 9: 1}[kind], at
    if kind in (10, 11):
        raise Damaged("a value is of no known type")
    size = _INTEGER_BYTES.get(kind, 8 if kind == 7 else (kind - 12) // 2)
    raw = data[at : at + size]
    if len(raw) < size:
        raise Damaged("a value is cut off")
    if kind in _INTEGER_BYTES:
        return int.from_bytes(raw, "big", signed=True), at + size
    if kind == 7:
        return struct.unpack(">d", raw)[0], at + size
    if kind % 2 == 0:
        return raw, at + size
    try:
        return raw.decode(encoding), at + size
    except UnicodeDecodeError:
        raise Damaged("a text is no text") from None


def _varint(data: Buffer, at: int) -> tuple[int, int]:
    value = 0
    for index in range(9):
        if at >= len(data):
            raise Damaged("a number is cut off")
        byte = data[at]
        at += 1
        if index == 8:
            return value << 8 | byte, at
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    raise Damaged("a number does not end")
