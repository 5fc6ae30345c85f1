"""Which columns of the old tables mean what, and one row of them as an entry of the history. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from bellwether.migrate.sqlite_pages import Value


class Kind(StrEnum):
    """What a row of the history is."""

    prediction = "prediction"
    trade = "trade"
    outcome = "outcome"


FIELDS: dict[str, type] = {
    "symbol": str,
    "at": datetime,
    "action": str,
    "quantity": float,
    "price": float,
    "probability": float,
    "confidence": float,
    "model": str,
    "prediction_id": str,
    "order_id": str,
    "status": str,
    "closed_at": datetime,
    "close_price": float,
    "profit": float,
    "return_percent": float,
    "correct": bool,
}
"""The columns of the history, and what each holds."""
NEEDED = {
    Kind.prediction: ("symbol", "at", "action"),
    Kind.trade: ("symbol", "at", "action", "quantity"),
    Kind.outcome: ("symbol", "at"),
}
ACTIONS = ("STRONG_BUY", "BUY", "HOLD", "SELL", "STRONG_SELL")
_SAME_ACTION = {"LONG": "BUY", "SHORT": "SELL", "NEUTRAL": "HOLD"}
_TRUTHS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


class TableMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One old table: its file (as a path within the old folder), what it holds, and its columns."""

    file: str
    table: str
    kind: Kind
    columns: dict[str, str]
    """Column of the history -> column of the old table."""
    timezone: str | None = None
    """Of instants that name none."""
    actions: dict[str, str] = {}
    """What the old table calls an action -> one of ours."""
    create: str | None = None
    """The table's CREATE TABLE statement, for a damaged file whose own list of tables is lost."""


class Left(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table that is left on purpose, and why."""

    file: str
    table: str
    why: str


class MappingFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole mapping, as its YAML says it."""

    source: str
    """What this old system is called in the history."""
    timezone: str
    """Of instants that name none."""
    tables: list[TableMap]
    leave: list[Left] = []
    symbols: dict[str, str] = {}
    """What the old system calls a share -> its symbol here, such as an IG epic."""

    def named(self) -> list[tuple[str, str]]:
        """Return file and table of everything that it names."""
        return [*((one.file, one.table) for one in self.tables), *((one.file, one.table) for one in self.leave)]


@dataclass(frozen=True)
class Entry:
    """One row of the history; `fields` as in FIELDS, what no column was named for is in `extra`."""

    kind: Kind
    fields: Mapping[str, Any]
    extra: Mapping[str, Any]


class Unfit(ValueError):
    """A row cannot become an entry; the message says why, without the row's own number."""


def read_mapping(given: Any) -> MappingFile:
    """Return a mapping from what its YAML holds.

    Raises:
        ValueError: naming the field, the value and what would be right.
    """
    try:
        found = msgspec.convert(given, MappingFile)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    for zone in (found.timezone, *(one.timezone for one in found.tables if one.timezone)):
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"timezone {zone!r}: there is no such zone; write UTC or Australia/Sydney") from None
    seen: set[tuple[str, str]] = set()
    for file, table in found.named():
        if (file, table) in seen:
            raise ValueError(f"{file}, table {table}: it is named twice")
        seen.add((file, table))
    for one in found.tables:
        _check(one)
    return found


def _check(one: TableMap) -> None:
    where = f"{one.file}, table {one.table}"
    odd = sorted(set(one.columns) - set(FIELDS))
    if odd:
        raise ValueError(f"{where}: columns.{odd[0]} is not known; there are {', '.join(FIELDS)}")
    lacking = [name for name in NEEDED[one.kind] if name not in one.columns]
    if lacking:
        raise ValueError(f"{where}: a {one.kind} needs columns.{lacking[0]}")
    for old, new in one.actions.items():
        if new not in ACTIONS:
            raise ValueError(f"{where}: actions.{old}: {new!r} is no action; there are {', '.join(ACTIONS)}")


def entry(row: Mapping[str, Value], how: TableMap, whole: MappingFile) -> Entry:
    """Return a row of an old table as an entry.

    Raises:
        Unfit: if a needed value is missing, or a value is none of its kind.
    """
    zone = ZoneInfo(how.timezone or whole.timezone)
    fields: dict[str, Any] = {}
    for name, column in how.columns.items():
        if column not in row:
            raise Unfit(f"the table has no column {column}")
        value = row[column]
        if value is None or value == "":
            if name in NEEDED[how.kind]:
                raise Unfit(f"{column} is empty")
            continue
        if isinstance(value, bytes):
            raise Unfit(f"{column} is bytes, no value")
        if name == "symbol":
            text = str(value).strip()
            fields[name] = whole.symbols.get(text, text.upper())
        elif name == "action":
            fields[name] = action(str(value).strip(), how.actions, column)
        else:
            fields[name] = _converted(FIELDS[name], column, value, zone)
    used = set(how.columns.values())
    extra = {name: _plain(value) for name, value in row.items() if name not in used and value is not None}
    return Entry(how.kind, fields, extra)


def _converted(kind: type, column: str, value: int | float | str, zone: ZoneInfo) -> Any:
    if kind is datetime:
        return instant(value, zone, column).isoformat()
    text = str(value).strip()
    if kind is float:
        return _number(text, column)
    if kind is bool:
        if text.lower() not in _TRUTHS:
            raise Unfit(f"{column} is neither true nor false")
        return _TRUTHS[text.lower()]
    return text


def action(text: str, named: Mapping[str, str], column: str) -> str:
    """Return the action that an old word means; raises Unfit."""
    if text in named:
        return named[text]
    word = text.upper().replace(" ", "_").replace("-", "_")
    word = _SAME_ACTION.get(word, word)
    if word not in ACTIONS:
        raise Unfit(f"{column}: {text[:40]!r} is no action; name it under `actions`")
    return word


def _number(text: str, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise Unfit(f"{column} is no number") from None
    if not math.isfinite(value):
        raise Unfit(f"{column} is not a finite number")
    return value


def instant(value: Value, zone: ZoneInfo, column: str = "it") -> datetime:
    """Return an instant (UTC) of ISO text, or of seconds or milliseconds since 1970; text without a zone is `zone`'s.

    Raises:
        Unfit: if it is none of these, or not within 1990-2100.
    """
    text = str(value).strip()
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    try:
        if math.isnan(seconds):
            found = datetime.fromisoformat(text)
            found = found.replace(tzinfo=zone) if found.tzinfo is None else found
        else:
            found = datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
        found = found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise Unfit(f"{column} is no instant") from None
    if not 1990 <= found.year < 2100:
        raise Unfit(f"{column} is not within 1990-2100")
    return found


def _plain(value: Value) -> Any:
    """Return a value as JSON holds it. Bytes may be a pickle: only their size and hash are kept."""
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def content(one: Entry) -> str:
    """Return an entry as canonical text: equal entries, equal text."""
    return json.dumps([one.kind, dict(one.fields), dict(one.extra)], sort_keys=True, ensure_ascii=False)
