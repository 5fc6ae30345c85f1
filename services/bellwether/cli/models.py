"""`bellwether models`: which models there are, what the gate said of them, and which of them serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer

from bellwether.cli import models_system
from bellwether.cli.client import CommandError
from bellwether.cli.options import Format, Output, print_drawn, write_json
from bellwether.cli.training import REGISTRY, RegistryFolder
from bellwether.training.artifact import CARD, ArtifactError, read_model
from bellwether.training.ledger import Entry, Ledger, LedgerError, promote, read_ledger, roll_back, write_ledger

app = typer.Typer(no_args_is_help=True, help="The models of a registry: list, show, diff, promote, rollback.")
app.add_typer(models_system.app, name="system")
Version = Annotated[str, typer.Argument(help="A version, or its beginning.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for whoever reads it later.")]
Enforce = Annotated[bool, typer.Option("--enforce", help="As with training.gate.mode enforce: only what passed.")]


@contextmanager
def _words() -> Iterator[None]:
    try:
        yield
    except (LedgerError, ArtifactError) as error:
        raise CommandError(str(error)) from error


@app.command("list")
def list_models(registry: RegistryFolder = REGISTRY, output: Format = Output.text) -> None:
    """List the models with their stage and what the gate said."""
    with _words():
        ledger = read_ledger(registry)
    if output is Output.json:
        write_json(msgspec.to_builtins(ledger))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("recipe", "symbol", "stage", "since", "version", "gate"):
        table.add_column(title, overflow="fold")
    for one in sorted(ledger.entries, key=lambda entry: (entry.name, entry.symbol or "", entry.since)):
        table.add_row(
            one.name, one.symbol or "all", one.stage, f"{one.since:%Y-%m-%d %H:%M}", one.version[:12], _said(one)
        )
    print_drawn(table if ledger.entries else f"no models in {registry}")


@app.command()
def show(version: Version, registry: RegistryFolder = REGISTRY, output: Format = Output.text) -> None:
    """Show a model's card, every check of the gate, and where it served."""
    with _words():
        entry = read_ledger(registry).entry(version)
        read_model(registry, entry.version)  # verifies every hash
    if output is Output.json:
        write_json(msgspec.to_builtins(entry))
        return
    lines = [(registry / entry.version / CARD).read_text("utf-8"), "## The gate", ""]
    if entry.verdict is None:
        lines.append("There is nothing to judge by.")
    else:
        lines.append(f"Trial {entry.verdict.trials} of its scope, level {entry.verdict.level:.2g}.")
        lines += [
            f"- {'passed' if check.passed else 'FAILED'}: {check.name}: {check.found} (wanted: {check.wanted})"
            for check in entry.verdict.checks
        ]
    lines += ["", f"Stage: {entry.stage} since {entry.since:%Y-%m-%d %H:%M} UTC ({entry.reason})"]
    print("\n".join(lines))


@app.command()
def diff(one: Version, other: Version, registry: RegistryFolder = REGISTRY) -> None:
    """Say where two models differ: recipe, data, features, calibration, figures."""
    with _words():
        ledger = read_ledger(registry)
        sides = [msgspec.to_builtins(read_model(registry, ledger.entry(part).version)[0]) for part in (one, other)]
    found = list(differing(*sides))
    for name, left, right in found:
        print(f"{name}: {left} -> {right}")
    if not found:
        print("they are the same")


@app.command("promote")
def promote_model(
    version: Version, reason: Reason, registry: RegistryFolder = REGISTRY, *, enforce: Enforce = False
) -> None:
    """Let a model serve in place of what serves for its recipe and symbol."""
    mode: Any = "enforce" if enforce else "report"

    def change(ledger: Ledger, now: datetime) -> tuple[Ledger, Entry]:
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
    """Let the model serve again that served before."""
    mode: Any = "enforce" if enforce else "report"

    def change(ledger: Ledger, now: datetime) -> tuple[Ledger, Entry]:
        changed = roll_back(ledger, recipe, symbol, now, reason, mode=mode)
        entry = changed.serving(recipe, symbol)
        assert entry is not None  # noqa: S101 (it was just put there)
        return changed, entry

    _change(registry, change, "serves again")


def _change(registry: Any, change: Callable[[Ledger, datetime], tuple[Ledger, Entry]], what: str) -> None:
    with _words():
        ledger, entry = change(read_ledger(registry), datetime.now(UTC).replace(microsecond=0))
        write_ledger(registry, ledger)
    print(f"{entry.name}, {entry.symbol or 'all symbols'}: {entry.version[:12]} {what}; gate: {_said(entry)}")


def _said(entry: Entry) -> str:
    return "nothing to judge by" if entry.verdict is None else entry.verdict.words()


def differing(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield where two manifests differ: the dotted name and both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differing(one.get(key), other.get(key), f"{path}.{key}" if path else key)
    elif one != other:
        yield path, str(one), str(other)
