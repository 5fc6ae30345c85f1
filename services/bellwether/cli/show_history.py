"""The old system's history as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bellwether.cli import show


def drawn(what: str, found: dict[str, Any]) -> RenderableType:
    """Return a part of the history, and the new system's own below it where it was asked."""
    parts: list[RenderableType] = [_PARTS[what](found)]
    new = found.get("new", {})
    if what == "counts" and new:
        counts = [f"{_count(one)} {name}" for name, one in new.items()]
        parts += [Text(), Text(f"the new system has {', '.join(counts)}")]
    elif new:
        parts += [Text(), Text("of the new system:", style="dim")]
        parts += [show.decisions(rows) if name == "predictions" else show.orders(rows) for name, rows in new.items()]
    return Group(*parts)


def _count(one: dict[str, Any]) -> str:
    return f"{one['entries']:,} or more" if one["more"] else f"{one['entries']:,}"


def _counts(found: dict[str, Any]) -> RenderableType:
    table = show.table_of(
        *("source", "kind", "symbol", "entries", "salvaged", "first", "last"), right=("entries", "salvaged")
    )
    for one in found["counts"]:
        table.add_row(
            one["source"],
            one["kind"],
            one["symbol"],
            f"{one['entries']:,}",
            f"{one['salvaged']:,}",
            show.short_time(one["first"]),
            show.short_time(one["last"]),
        )
    total = sum(one["entries"] for one in found["counts"])
    return Group(table, Text(f"{total:,} in all; {found['left']:,} rows left, {found['models']} models not opened"))


def _entries(kind: str, columns: tuple[str, ...]) -> Any:
    def draw(found: dict[str, Any]) -> RenderableType:
        table = show.table_of("when (UTC)", *columns, "from")
        for one in found[kind]:
            cells = ["-" if one[name] is None else str(one[name]) for name in columns]
            table.add_row(show.short_time(one["at"]), *cells, f"{one['file']} {one['old_table']} {one['old_row']}")
        return table

    return draw


def _left(found: dict[str, Any]) -> RenderableType:
    table = show.table_of("file", "table", "rows", "why")
    for one in found["left"]:
        table.add_row(one["file"], one["old_table"] or "-", f"{one['rows']:,}" if one["rows"] else "-", one["why"])
    return table


def _files(found: dict[str, Any]) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("file", "bytes", "state"):
        table.add_column(column, no_wrap=column != "state")
    for one in found["databases"]:
        table.add_row(one["file"], f"{one['size']:,}", "sound" if one["sound"] else "; ".join(one["problems"][:3]))
    for one in found["models"]:
        table.add_row(one["file"], f"{one['size']:,}", "a model, not opened")
    return table


_PARTS = {
    "counts": _counts,
    "predictions": _entries("predictions", ("symbol", "action", "probability", "confidence", "price", "model")),
    "trades": _entries("trades", ("symbol", "action", "quantity", "price", "status", "close_price", "profit")),
    "outcomes": _entries("outcomes", ("symbol", "prediction_id", "action", "return_percent", "correct")),
    "left": _left,
    "files": _files,
}
