"""`bellwether train RECIPE`: make and judge a recipe's models on this machine."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from bellwether.cli.client import CommandError, in_words
from bellwether.cli.options import Format, Output, day_of, say, write_json
from bellwether.messages.market_data import Bar
from bellwether.training.artifact import CARD, ArtifactError, read_model
from bellwether.training.ledger import LedgerError, ModelLedger, read_ledger, record, write_ledger
from bellwether.training.recipe import Recipe, RecipeError, find_recipe, read_recipe

REGISTRY = Path("registry")
RegistryFolder = Annotated[
    Path, typer.Option("--registry", metavar="DIR", help="The folder of the models: ./registry, or a system's.")
]


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a recipe in models/, or a file.")],
    *,
    data: Annotated[
        str,
        typer.Option("--data", metavar="NAME|FILE", help="us-2000-2013, sp500-1990-2022, or a TradingSystem's file."),
    ] = "us-2000-2013",
    before: Annotated[
        str | None, typer.Option("--before", metavar="DAY", help="Learn from sessions before this day only.")
    ] = None,
    registry: RegistryFolder = REGISTRY,
    workers: Annotated[
        int, typer.Option("--workers", min=0, max=256, help="Processes that share the symbols; 0: one per core.")
    ] = 0,
    output: Format = Output.text,
) -> None:
    """Make a recipe's models, judge them beside the base rate, and say whether they pass the gate.

    A model that is there already is not made again, so an interrupted run
    goes on where it was. The models are candidates: `bellwether models
    promote` lets one serve.

        bellwether train direction-closes --data sp500-1990-2022
        bellwether train direction-full --data system.yaml --before 2025-01-01
    """
    with in_words(RecipeError, LedgerError, ArtifactError, ValueError):
        path = Path(recipe) if recipe.endswith((".yaml", ".yml")) else find_recipe(recipe)
        parsed = read_recipe(path)
        histories = _bars(data, day_of("--before", before))
        versions = run_training(path, histories, registry, workers or os.cpu_count() or 1, say)
        ledger = enter(registry, versions, parsed)
    rows = [_row(ledger, registry, version) for version in versions]
    if output is Output.json:
        write_json([msgspec.to_builtins(ledger.entry(version)) for version in versions])
        return
    from bellwether.cli.options import print_drawn

    print_drawn(_drawn(parsed, rows, [name for name in histories if name not in {row[0] for row in rows}]))
    sys.stdout.write(f"cards and evidence: {registry}/VERSION/{CARD}\n")


def run_training(
    recipe: Path, histories: Mapping[str, Sequence[Bar]], registry: Path, workers: int, say: Callable[[str], None]
) -> list[str]:
    """Train in a process of its own, which alone loads scikit-learn; return the versions, the general one first.

    Raises:
        CommandError: with the last line of the process.
    """
    from bellwether.models.child import TrainingFailed, train_in_child

    try:
        return asyncio.run(train_in_child(recipe, histories, registry, workers=workers, say=say))
    except TrainingFailed as error:
        raise CommandError(str(error).removeprefix("training failed: ")) from error


def enter(registry: Path, versions: Sequence[str], recipe: Recipe) -> ModelLedger:
    """Write models into the registry's book as candidates, judged, and return the book."""
    ledger, now = read_ledger(registry), datetime.now(UTC).replace(microsecond=0)
    for version in versions:
        manifest, evidence = read_model(registry, version)
        ledger = record(ledger, version, manifest, evidence, recipe.judged_by, at=now)
    write_ledger(registry, ledger)
    return ledger


def _bars(data: str, before: date | None) -> dict[str, list[Bar]]:
    from bellwether.cli.training_bars import DATASETS, dataset, declared
    from bellwether.local.files import RunError, load_system

    if data in DATASETS:
        return dataset(data, before)
    path = Path(data)
    if not path.exists():
        raise CommandError(f"--data {data!r} is neither a file nor one of {', '.join(DATASETS)}")
    with in_words(RunError):
        system = load_system(path)
    return declared(system, path.parent, before, say)


def _row(ledger: ModelLedger, registry: Path, version: str) -> tuple[str, ...]:
    entry = ledger.entry(version)
    manifest, evidence = read_model(registry, version)
    whose = entry.symbol or "all symbols"
    if evidence is None:
        return (whose, str(manifest.rows), "", "", "", "nothing to judge by", version[:12])
    model, base = evidence.table[0], min(evidence.table[-2:], key=lambda one: one.log_loss.value)
    verdict = "passed" if entry.verdict is not None and entry.verdict.passed else "failed"
    return (
        whose,
        str(evidence.rows),
        _figure(model.log_loss),
        f"{base.log_loss.value:.4f}",
        _figure(model.auc),
        verdict,
        version[:12],
    )


def _figure(found: Any) -> str:
    if found.low is None:
        return f"{found.value:.4f}"
    return f"{found.value:.4f} ({found.low:.4f} to {found.high:.4f})"


def _drawn(recipe: Recipe, rows: Sequence[tuple[str, ...]], general: Sequence[str]) -> Any:
    from rich.console import Group
    from rich.table import Table

    titles = ("symbol", "test rows", "log loss (95 %)", "base rate", "AUC (95 %)", "gate", "version")
    table = Table(*titles, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    lines: list[Any] = [table]
    if recipe.per_symbol and general:
        lines.append(f"the general model answers for {', '.join(sorted(general))}: too little history for their own")
    return Group(*lines)
