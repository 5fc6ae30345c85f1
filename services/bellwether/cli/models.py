"""`bellwether models`: which models there are, what the gate said of them, and which of them serves."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer

from bellwether.cli import models_system
from bellwether.cli.client import in_words
from bellwether.cli.options import Format, Output, print_drawn, write_json
from bellwether.cli.training import REGISTRY, RegistryFolder
from bellwether.models.transfer import is_hash
from bellwether.training.artifact import CARD, ArtifactError, read_model
from bellwether.training.ledger import Entry, LedgerError, ModelLedger, promote, read_ledger, roll_back, write_ledger

app = typer.Typer(
    no_args_is_help=True,
    help="Models that `bellwether train` made in a folder on this machine; those of a running system: `models system`.",
)
app.add_typer(models_system.app, name="system")
Version = Annotated[str, typer.Argument(help="A version, or its beginning.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for whoever reads it later.")]
Enforce = Annotated[bool, typer.Option("--enforce", help="As with training.gate.mode enforce: only what passed.")]

_OLDER_THAN_THE_GATE = "gated"
"""A manifest's own word on its Brier score. `show` has what the gate says, which can be the opposite."""


@app.command("list")
def list_models(registry: RegistryFolder = REGISTRY, output: Format = Output.text) -> None:
    """List the models with their stage and what the gate said."""
    with in_words(LedgerError, ArtifactError):
        ledger = read_ledger(registry)
    if output is Output.json:
        write_json(msgspec.to_builtins(ledger))
        return
    from rich.table import Table

    if not ledger.entries:
        print_drawn(f"no models in {registry}: `bellwether train RECIPE --registry {registry}` makes some")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("recipe", "symbol", "stage", "since (UTC)", "version", "gate"):
        table.add_column(title, overflow="fold")
    for one in sorted(ledger.entries, key=lambda entry: (entry.name, entry.symbol or "", entry.since)):
        table.add_row(
            one.name, one.symbol or "all", one.stage, f"{one.since:%Y-%m-%d %H:%M}", one.version[:12], _in_short(one)
        )
    print_drawn(table)


@app.command()
def show(version: Version, registry: RegistryFolder = REGISTRY, output: Format = Output.text) -> None:
    """Show a model's card, every check of the gate, and where it served."""
    with in_words(LedgerError, ArtifactError):
        entry = read_ledger(registry).entry(version)
        read_model(registry, entry.version)  # verifies every hash
    if output is Output.json:
        write_json(msgspec.to_builtins(entry))
        return
    lines = [(registry / entry.version / CARD).read_text("utf-8"), "## The gate", ""]
    if entry.verdict is None:
        lines.append("There is nothing to judge by.")
    else:
        scope = entry.symbol or "all symbols"
        lines.append(f"{_in_short(entry)}. Trial {entry.verdict.trials} of {scope}, level {entry.verdict.level:.2g}.")
        lines.append("")
        lines += [
            f"- {'passed' if check.passed else 'FAILED'}: {check.name}: {check.found} (wanted: {check.wanted})"
            for check in entry.verdict.checks
        ]
    why = "" if entry.reason == _said(entry) else f" ({entry.reason})"
    lines += ["", "## Stage", "", f"{entry.stage} since {entry.since:%Y-%m-%d %H:%M} UTC{why}"]
    if entry.before is not None:
        lines += ["", f"Before it served {entry.before[:12]}: that is where `rollback` goes."]
    _print_markdown("\n".join(lines))


@app.command()
def diff(one: Version, other: Version, registry: RegistryFolder = REGISTRY, output: Format = Output.text) -> None:
    """Say where two models differ: recipe, data, features, calibration, figures.

    Text has six digits of a figure and the beginning of a hash; json has all
    of them.
    """
    with in_words(LedgerError, ArtifactError):
        ledger = read_ledger(registry)
        entries = [ledger.entry(part) for part in (one, other)]
        sides = [msgspec.to_builtins(read_model(registry, entry.version)[0]) for entry in entries]
    found = [row for row in differing(*sides) if row[0] != _OLDER_THAN_THE_GATE]
    if output is Output.json:
        write_json([{"name": name, "one": left, "other": right} for name, left, right in found])
        return
    if not found:
        print_drawn(f"{entries[0].version[:12]} and {entries[1].version[:12]} are the same")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("what", *(entry.version[:12] for entry in entries)):
        table.add_column(title, overflow="fold")
    for name, left, right in found:
        table.add_row(name, _brief(left), _brief(right))
    print_drawn(table)


@app.command("promote")
def promote_model(
    version: Version, reason: Reason, registry: RegistryFolder = REGISTRY, *, enforce: Enforce = False
) -> None:
    """Let a model serve in place of what serves for its recipe and symbol.

    In this folder only: what a running system serves changes by `bellwether
    models system promote`.
    """
    mode: Any = "enforce" if enforce else "report"

    def change(ledger: ModelLedger, now: datetime) -> tuple[ModelLedger, Entry]:
        entry = ledger.entry(version)
        read_model(registry, entry.version)
        return promote(ledger, entry.version, now, reason, mode=mode, by_hand=True), entry

    _change(registry, change, "serves")


@app.command()
def rollback(
    recipe: Annotated[str, typer.Argument(help="The recipe's name.")],
    reason: Reason,
    symbol: Annotated[
        str | None, typer.Option("--symbol", help="The symbol's own model; else the general one.")
    ] = None,
    registry: RegistryFolder = REGISTRY,
    *,
    enforce: Enforce = False,
) -> None:
    """Let the model serve again that served before; a second time, the one before that.

    In this folder only: a running system goes back by `bellwether models
    system rollback`.
    """
    mode: Any = "enforce" if enforce else "report"

    def change(ledger: ModelLedger, now: datetime) -> tuple[ModelLedger, Entry]:
        changed = roll_back(ledger, recipe, symbol, now, reason, mode=mode)
        entry = changed.serving(recipe, symbol)
        assert entry is not None  # noqa: S101 (it was just put there)
        return changed, entry

    _change(registry, change, "serves again")


def _change(registry: Any, change: Callable[[ModelLedger, datetime], tuple[ModelLedger, Entry]], what: str) -> None:
    with in_words(LedgerError, ArtifactError):
        before = read_ledger(registry)
        if not before.entries:
            # Nothing is made of a folder that was only mistyped.
            raise LedgerError(f"no models in {registry}; of a running system: `bellwether models system`")
        ledger, entry = change(before, datetime.now(UTC).replace(microsecond=0))
        write_ledger(registry, ledger)
    print(f"{entry.name}, {entry.symbol or 'all symbols'}: {entry.version[:12]} {what}; gate: {_in_short(entry)}")


def _said(entry: Entry) -> str:
    return "nothing to judge by" if entry.verdict is None else entry.verdict.words()


def _in_short(entry: Entry) -> str:
    """Return the verdict, and of one that failed the names of what did; `show` has the figures."""
    if entry.verdict is None or entry.verdict.passed:
        return _said(entry)
    return "failed: " + ", ".join(check.name for check in entry.verdict.checks if not check.passed)


def _brief(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text[:12] if is_hash(text) else text


def _print_markdown(text: str) -> None:
    """Write Markdown: as it is into a file or a pipe, drawn on a terminal."""
    if not sys.stdout.isatty():
        print(text)
        return
    from rich.markdown import Markdown

    print_drawn(Markdown(text))


def differing(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield where two manifests differ: the dotted name and both values, None where one has none."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differing(one.get(key), other.get(key), f"{path}.{key}" if path else key)
    elif one != other:
        yield path, one, other
