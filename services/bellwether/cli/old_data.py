"""`bellwether migrate import`, `migrate history` and `migrate export`: the old system's rows."""

from __future__ import annotations

import csv
import json
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from bellwether.cli.client import CommandError, in_words
from bellwether.cli.options import Format, GatewayAccess, Output, print_drawn, talks, write_json
from bellwether.migrate import importing
from bellwether.migrate.mapping import Kind, MappingFile, read_mapping
from bellwether.migrate.proposal import as_yaml
from bellwether.runtime.terminal import all_visible, visible

_SHOWN = 3
_MOST_LEFT = 40
HistoryPath = Annotated[
    Path | None,
    typer.Option("--history", metavar="FILE", help="The history's file; else history.db beside the local runs."),
]


class What(StrEnum):
    """What of the history is listed."""

    counts = "counts"
    predictions = "predictions"
    trades = "trades"
    outcomes = "outcomes"
    left = "left"
    files = "files"


class Kept(StrEnum):
    """What of the history is exported."""

    predictions = "predictions"
    trades = "trades"
    outcomes = "outcomes"


def _kind(what: What | Kept) -> Kind:
    return Kind(what.value.removesuffix("s"))


def history_path(given: Path | None) -> Path:
    """Return the history's file: the one named, else `history.db` in the folder of the local runs."""
    if given is not None:
        return given
    return Path(os.environ.get("BELLWETHER_STATE", ".bellwether")) / "history.db"


def add(app: typer.Typer) -> None:
    """Add the commands to `migrate`."""
    app.command("import")(import_)
    app.command()(talks(history))
    app.command()(export)


def import_(
    folder: Annotated[Path, typer.Option("--from", metavar="OLDDIR", help="The old system's folder.")],
    *,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", metavar="FILE", help="Which old columns mean what, as YAML.")
    ] = None,
    propose: Annotated[bool, typer.Option("--propose", help="Print a first mapping, and import nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show rows as they would be, and write nothing.")] = False,
    shown: Annotated[int, typer.Option("--rows", min=0, max=100, help="Rows of each table to show.")] = _SHOWN,
    history: HistoryPath = None,
    output: Format = Output.text,
) -> None:
    """Take over the old system's SQLite files as history: predictions, trades and outcomes.

    bellwether migrate import --from OLDDIR --propose > mapping.yaml
    bellwether migrate import --from OLDDIR --mapping mapping.yaml --dry-run
    bellwether migrate import --from OLDDIR --mapping mapping.yaml

    The old files are copied and then read; damaged ones page by page, as far as
    they go. Importing again adds only what is new. Pickled models are named and
    never opened. Nothing of it reaches the ledger.
    """
    try:
        if propose:
            sys.stdout.write(as_yaml(folder.resolve().name, importing.proposals(folder)))
            return
        if mapping is None:
            raise CommandError("--mapping is missing: make a first one with --propose > mapping.yaml, and read it")
        whole = _mapping(mapping)
        found = importing.read_folder(folder, whole)
        if not dry_run:
            with importing.History(history_path(history), writing=True) as kept:
                importing.write(found, kept, whole.source, datetime.now(UTC))
    except (OSError, importing.HistoryError) as error:
        raise CommandError(str(error)) from error
    except ValueError as error:
        raise CommandError(f"{mapping}: {error}") from error
    if output is Output.json:
        write_json(importing.summary(found, shown=shown if dry_run else 0) | {"written": not dry_run})
    else:
        _show(found, None if dry_run else history_path(history), shown)


def _mapping(path: Path) -> MappingFile:
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
    return read_mapping(given)


def _show(read: importing.FolderRead, path: Path | None, shown: int) -> None:
    found = all_visible(importing.summary(read, shown=shown if path is None else 0))
    lines: list[str] = []
    for one in found["databases"]:
        state = "sound" if one["sound"] else f"damaged: {'; '.join(one['problems'][:3])}"
        lines.append(f"{one['file']}  {one['bytes']:,} bytes, {state}")
        for table in (table for table in found["tables"] if table["file"] == one["file"] and table["kind"]):
            lines.append(f"  {table['table']}: {table['rows']:,} {table['kind']}s{_became(table, path is None)}")
            for row in table["sample"]:
                lines.append(f"    row {row['row']}: {json.dumps(row['fields'], ensure_ascii=False)}")
    if found["left"]:
        lines += ["", "left:"]
        lines += [f"  {_left_line(one)}" for one in found["left"][:_MOST_LEFT]]
        if len(found["left"]) > _MOST_LEFT:
            lines.append(f"  and {len(found['left']) - _MOST_LEFT} more: -o json has all")
    if found["models"]:
        lines += [
            "",
            "models, named and not opened (a pickle runs what it likes); train again with `bellwether train`:",
        ]
        lines += [f"  {one['file']}  {one['bytes']:,} bytes, {one['modified'][:10]}" for one in found["models"]]
    lines += ["", "nothing was written (--dry-run)" if path is None else f"written to {path}"]
    sys.stdout.write("\n".join(lines) + "\n")


def _became(table: dict[str, Any], dry: bool) -> str:
    salvaged = f", {table['salvaged']:,} of them from a damaged file" if table["salvaged"] else ""
    if dry:
        return f"{salvaged}, {table['left']:,} rows left"
    totals = ", ".join(f"{table[name]:,} {name}" for name in ("new", "changed", "same"))
    return f" ({totals}){salvaged}, {table['left']:,} rows left"


def _left_line(one: dict[str, Any]) -> str:
    where = one["file"] + (f", {one['table']}" if one["table"] else "")
    rows = f"{one['rows']:,} rows (the first is {one['first_row']}): " if one["rows"] else ""
    return f"{where}: {rows}{one['why']}"


def history(
    access: GatewayAccess,
    what: Annotated[What, typer.Argument(help="What to list.")] = What.counts,
    *,
    symbol: Annotated[str | None, typer.Option("--symbol", help="Only this share.")] = None,
    lines: Annotated[int, typer.Option("-l", "--lines", min=1, max=5000, help="How many at most.")] = 20,
    beside: Annotated[bool, typer.Option("--beside", help="Also ask the new system: its own counts or rows.")] = False,
    history: HistoryPath = None,
) -> None:
    """List what was imported: counts, predictions, trades, outcomes, what was left, the files it came from.

    bellwether migrate history
    bellwether migrate history trades --symbol CBA.AX
    bellwether migrate history --beside
    """
    with in_words(importing.HistoryError), importing.History(history_path(history)) as kept:
        found = _listed(kept, what, symbol, lines)
    if beside:
        found["new"] = _new(access, what, symbol, lines)
    if access.output is Output.json:
        write_json(found)
    else:
        from bellwether.cli import show_history

        print_drawn(show_history.drawn(what.value, all_visible(found)))


def _listed(kept: importing.History, what: What, symbol: str | None, lines: int) -> dict[str, Any]:
    if what is What.counts:
        rows = [one for one in kept.counts() if symbol in (None, one["symbol"])]
        return {"counts": rows, "models": len(kept.models()), "left": sum(one["rows"] for one in kept.left())}
    if what is What.left:
        return {"left": kept.left()}
    if what is What.files:
        return {"databases": kept.files(), "models": kept.models()}
    return {what.value: list(kept.entries(_kind(what), symbol, lines, newest=True))}


def _new(access: GatewayAccess, what: What, symbol: str | None, lines: int) -> dict[str, Any]:
    """Return the new system's own: its decisions and orders."""
    asked = min(lines, 500)
    found: dict[str, Any] = {}
    if what in (What.counts, What.predictions):
        found["predictions"] = access.client.get("/v1/decisions", symbol=symbol, limit=500)["decisions"]
    if what in (What.counts, What.trades):
        found["trades"] = access.client.get("/v1/orders", symbol=symbol, limit=500)["orders"]
    if what is What.counts:
        return {name: {"entries": len(rows), "more": len(rows) == 500} for name, rows in found.items()}
    return {name: rows[:asked] for name, rows in found.items()}


def export(
    what: Annotated[Kept, typer.Argument(help="predictions, trades or outcomes.")],
    file: Annotated[Path | None, typer.Option("--file", help="Where to write it; else to the output.")] = None,
    history: HistoryPath = None,
) -> None:
    """Write imported predictions, trades or outcomes as CSV, oldest first, each with where it came from."""
    try:
        with importing.History(history_path(history)) as kept:
            if file is None:
                _write(sys.stdout, kept, what)
                return
            with file.open("w", encoding="utf-8", newline="") as out:
                _write(out, kept, what)
    except importing.HistoryError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(visible(f"{file}: {error.strerror}")) from error


def _write(out: Any, kept: importing.History, what: Kept) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(importing.COLUMNS)
    for one in kept.entries(_kind(what)):
        extra = json.dumps(one["extra"], sort_keys=True, ensure_ascii=False)
        writer.writerow([extra if name == "extra" else one[name] for name in importing.COLUMNS])
