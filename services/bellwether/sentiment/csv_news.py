"""Headlines from a file: columns published, source, title and perhaps symbol."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from bellwether.sentiment.raw import Raw
from bellwether.sentiment.scoring import clean

LARGEST = 20 * 1024 * 1024
NEEDED = ("published", "title")
MOST_REPORTED = 5


class NewsError(Exception):
    """Headlines cannot be read; the message says which and why."""


class Rows(NamedTuple):
    """The headlines of a file, and what is wrong with the rows that were left out."""

    found: list[Raw]
    odd: list[str]


def read_file(path: Path) -> tuple[Rows, datetime]:
    """Return a file's headlines and when it was last written.

    Raises:
        NewsError: when there is no such file, it is too large, or its heading is not the right one.
    """
    try:
        about = path.stat()
        if about.st_size > LARGEST:
            raise NewsError(f"{path}: {about.st_size} bytes, the most is {LARGEST}")
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise NewsError(f"{path} cannot be read: {error.strerror}") from error
    return rows_of(text, path.name), datetime.fromtimestamp(about.st_mtime, UTC)


def rows_of(text: str, name: str) -> Rows:
    """Return the headlines of a file's text.

    Raises:
        NewsError: when the heading is not the right one.
    """
    reader = csv.DictReader(io.StringIO(text))
    heading = reader.fieldnames or []
    missing = [column for column in NEEDED if column not in heading]
    if missing:
        raise NewsError(
            f"{name}: the heading is {','.join(heading)[:100]!r}, without {' and '.join(missing)}; "
            "right is published,source,title,symbol"
        )
    found, odd = [], []
    try:
        for row in reader:
            raw = _row(row)
            if isinstance(raw, Raw):
                found.append(raw)
            else:
                odd.append(f"{name} line {reader.line_num}: {raw}")
    except csv.Error as error:
        odd.append(f"{name} line {reader.line_num}: {error}; what follows was not read")
    return Rows(found, odd)


def _row(row: dict[str, str | None]) -> Raw | str:
    given = (row.get("published") or "").strip()
    try:
        published = datetime.fromisoformat(given)
    except ValueError:
        return f"published is {given[:40]!r}: it must be a time such as 2026-11-23T04:30:00Z"
    if published.tzinfo is None:
        return f"published is {given[:40]!r}, without a time zone: write 2026-11-23T04:30:00Z"
    title = clean(row.get("title") or "")
    if not title:
        return "there is no title"
    return Raw(published.astimezone(UTC), clean(row.get("source") or ""), title, (row.get("symbol") or "").strip())
