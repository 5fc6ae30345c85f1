"""From a file's bytes to numbered lines of cells (pure).

Each line is split by itself: a lone quote spoils its own line and never swallows the rest of the file.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

DELIMITERS = ",;\t|"
LONGEST_LINE = 8_192
"""A line of prices has some hundred characters; a longer one is not read."""

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_LINE_END = re.compile(r"\r\n|\r|\n")
_SPACES = " \t\u00a0\u202f\ufeff"


class FormError(Exception):
    """A file that cannot be read as daily bars; the message says file and line, what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its number in the file (1 is the first), its cells, and why it cannot be split (else empty)."""

    number: int
    cells: tuple[str, ...]
    fault: str = ""


def text_lines(content: bytes) -> list[str]:
    """Return a file's lines. Bytes that are no text become U+FFFD, so that only their own row is odd."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _LINE_END.split(content[len(mark) :].decode(encoding, errors="replace"))
    return _LINE_END.split(content.decode("utf-8", errors="replace"))


def delimiter_of(lines: Sequence[str]) -> str:
    """Return what separates the cells of the first lines: the character that occurs most, outside of quotes."""
    for line in lines[:1]:
        stated = re.fullmatch(r'"?sep=(.)"?', line.strip(_SPACES), re.IGNORECASE)
        if stated and stated[1] in DELIMITERS:
            return stated[1]
    sample = re.sub(r'"[^"]*"', "", "\n".join(line[:LONGEST_LINE] for line in lines[:10]))
    counts = {delimiter: sample.count(delimiter) for delimiter in DELIMITERS}
    # A decimal comma occurs as often as `;` does, so that `;` and tabs go first where they are found at all.
    for delimiter in "\t;|":
        if counts[delimiter] >= 3 and counts[delimiter] * 3 >= counts[","]:
            return delimiter
    return ","


def split_lines(lines: Sequence[str], delimiter: str) -> list[Line]:
    """Return the lines that hold anything, split into cells without the spaces around them."""
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip(_SPACES + delimiter):
            continue
        if number == 1 and re.fullmatch(r'"?sep=."?', line.strip(_SPACES), re.IGNORECASE):
            continue
        found.append(_split(number, line, delimiter))
    return found


def _split(number: int, line: str, delimiter: str) -> Line:
    if len(line) > LONGEST_LINE:
        return Line(number, (), f"it has {len(line)} characters: a row of prices has at most {LONGEST_LINE}")
    if "\0" in line:
        return Line(number, (), "it holds a NUL character")
    if '"' not in line:
        return Line(number, tuple(cell.strip(_SPACES) for cell in line.split(delimiter)))
    try:
        rows = list(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error:
        return Line(number, (), "its quotes do not match")
    cells = tuple(cell.strip(_SPACES) for cell in rows[0])
    return Line(number, cells)
