"""From a recipe and bars to models in a registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as installed
from pathlib import Path

from bellwether.messages.market_data import Bar
from bellwether.training.artifact import (
    CARD,
    FORMAT,
    ONNX,
    SKOPS,
    Manifest,
    file_hash,
    version_of,
    write_artifact,
)
from bellwether.training.card import card
from bellwether.training.dataset import data_revision, last_session, make_rows
from bellwether.training.export import from_skops_bytes, prove_parity, to_onnx_bytes, to_skops_bytes
from bellwether.training.features import WINDOW
from bellwether.training.fit import TooFewRows, fit, walk_forward
from bellwether.training.recipe import Recipe

LIBRARIES = ("scikit-learn", "skl2onnx", "numpy")

Progress = Callable[[str], None]


def train(recipe: Recipe, histories: Mapping[str, Sequence[Bar]], root: Path, say: Progress) -> list[str]:
    """Make the recipe's models, put them into the registry, and return their versions, the general one first.

    A symbol with less history than one row needs does not take part. The same recipe, bars and library versions give
    the same versions.

    Raises:
        TooFewRows: when the history does not suffice for the general model.
        NotTheSame: when ONNX Runtime does not give what scikit-learn gives.

    """
    usable = {name: bars for name, bars in histories.items() if len(bars) >= WINDOW + recipe.horizon_sessions}
    versions = [train_one(recipe, usable, None, root, say)]
    for name in sorted(usable) if recipe.per_symbol else ():
        try:
            versions.append(train_one(recipe, {name: usable[name]}, name, root, say))
        except TooFewRows as error:
            say(f"{recipe.name}, {name}: no model of its own, the general one answers: {error}")
    return versions


def train_one(
    recipe: Recipe, histories: Mapping[str, Sequence[Bar]], symbol: str | None, root: Path, say: Progress
) -> str:
    """Make one model and return its version; raises as `train`."""
    title = symbol or "all symbols"
    rows = make_rows(histories, recipe.features, recipe.horizon_sessions)
    say(f"{recipe.name}, {title}: {len(rows)} rows of {len(histories)} symbols")
    fitted = fit(rows, recipe)
    say(f"{recipe.name}, {title}: fitted and calibrated, judging it by walk-forward")
    metrics = walk_forward(rows, recipe)
    onnx, study = to_onnx_bytes(fitted), to_skops_bytes(fitted)
    from_skops_bytes(study)
    parity = prove_parity(onnx, fitted, rows)
    manifest = Manifest(
        format=FORMAT,
        name=recipe.name,
        symbol=symbol,
        recipe_hash=recipe.hash,
        data_revision=data_revision(histories),
        features=list(recipe.features),
        horizon_sessions=recipe.horizon_sessions,
        trained_from=min(bars[0].session for bars in histories.values()),
        trained_through=last_session(histories),
        rows=len(rows),
        base_rate=fitted.base_rate,
        symbol_base_rates=dict(fitted.symbol_base_rates),
        calibrator=fitted.calibrator,
        metrics=metrics,
        gated=bool(metrics.get("folds")) and metrics["brier"] <= metrics["base_rate_brier"],
        parity=parity,
        libraries={name: installed(name) for name in LIBRARIES},
        files={ONNX: file_hash(onnx), SKOPS: file_hash(study)},
    )
    version = version_of(manifest)
    text = card(recipe, manifest, version)
    write_artifact(root, manifest, {ONNX: onnx, SKOPS: study, CARD: text.encode()})
    if metrics.get("folds"):
        brier, base = metrics["brier"], metrics["base_rate_brier"]
        say(f"{recipe.name}, {title}: Brier {brier:.4f} beside {base:.4f} of the base rate")
    return version
