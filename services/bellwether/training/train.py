"""From a recipe and bars to models in a registry, by as many processes as are wanted, resumable."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version as installed
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from bellwether.messages.canonical import canonical_bytes, content_hash
from bellwether.messages.market_data import Bar
from bellwether.storage.folders import write_durably
from bellwether.training import artifact
from bellwether.training.card import card
from bellwether.training.dataset import Matrix, Row, Rows, data_revision, join_rows, last_session, symbol_rows
from bellwether.training.evidence import Evidence
from bellwether.training.export import from_skops_bytes, prove_parity, to_onnx_bytes, to_skops_bytes
from bellwether.training.features import WINDOW, basket_of, feature_version, needs_basket
from bellwether.training.fit import Fitted, TooFewRows, fit
from bellwether.training.recipe import Recipe
from bellwether.training.reference import BINS, REFERENCE, USUAL, FeatureReference, Reference
from bellwether.training.reference import FORMAT as REFERENCE_FORMAT
from bellwether.training.walk import days_of, estimators, evidence_of, plain_metrics, serving_losses, title, walk

LIBRARIES = ("scikit-learn", "skl2onnx", "numpy")

Progress = Callable[[str], None]
Parts = Mapping[str, Sequence[Row]]
DIGITS = 12
"""Significant digits that are kept: the rest is what the order of a sum leaves."""


@dataclass(frozen=True)
class Work:
    """One model to be made."""

    recipe: Recipe
    histories: Mapping[str, Sequence[Bar]]
    parts: Parts
    symbol: str | None
    rival: Recipe | None = None
    rival_parts: Parts | None = None
    serving: str | None = None
    """Version of this recipe's model that serves, in the same registry."""

    @property
    def title(self) -> str:
        """What progress calls it."""
        return f"{self.recipe.name}, {self.symbol or 'all symbols'}"

    @property
    def key(self) -> str:
        """What it is made of, as a hash: a model of this key need not be made again."""
        return content_hash(
            {
                "recipe": self.recipe.hash,
                "features": feature_version(tuple(self.recipe.features)),
                "data": data_revision(self.histories),
                "symbol": self.symbol,
                "rival": None if self.rival is None else self.rival.hash,
                "libraries": _libraries(),
            }
            | ({} if self.serving is None else {"serving": self.serving})
        )


def train(
    recipe: Recipe,
    histories: Mapping[str, Sequence[Bar]],
    root: Path,
    say: Progress,
    *,
    workers: int = 1,
    rival: Recipe | None = None,
    serving: Mapping[str | None, str] = MappingProxyType({}),
) -> list[str]:
    """Make the recipe's models, put them into the registry, and return their versions, the general one first.

    A symbol with less history than one row needs does not take part. The same recipe, bars and library versions give
    the same versions; a model that is there already is not made again. `rival` is the recipe that serves, if it is
    another one: it is walked forward over the same bars, so that the gate can compare. `serving` are the versions of
    this recipe that serve, by symbol, from the same registry: a refit is compared with them.

    Raises:
        TooFewRows: when the history does not suffice for the general model.
        NotTheSame: when ONNX Runtime does not give what scikit-learn gives.
    """
    usable = {name: bars for name, bars in histories.items() if len(bars) >= WINDOW + recipe.horizon_sessions}
    whole = Work(recipe, usable, {}, None, rival, serving=serving.get(None))
    with _pool(workers) as pool:
        if not recipe.per_symbol and (version := _made(root, whole.key)) is not None:
            say(f"{whole.title}: is there already, {version[:12]}")
            return [version]
        parts = _rows(pool, recipe, usable, say)
        theirs = None if rival is None else _rows(pool, rival, usable, say)
        whole = Work(recipe, usable, parts, None, rival, theirs, serving.get(None))
        works = [
            Work(
                recipe,
                {name: usable[name]},
                {name: parts[name]},
                name,
                rival,
                theirs and {name: theirs[name]},
                serving.get(name),
            )
            for name in (sorted(usable) if recipe.per_symbol else ())
        ]
        waiting = [pool.submit(_attempt, work, root) for work in works] if pool is not None else []
        versions = [_one(whole, root, say)]
        for number, work in enumerate(works):
            found, why = waiting[number].result() if waiting else _attempt(work, root)
            if found is None:
                say(f"{work.title}: no model of its own, the general one answers: {why}")
            else:
                versions.append(found)
                say(f"{work.title}: {why}")
    return versions


def train_target(
    recipe: Recipe,
    histories: Mapping[str, Sequence[Bar]],
    root: Path,
    say: Progress,
    target: str | None,
    *,
    rival: Recipe | None = None,
    serving: Mapping[str | None, str] = MappingProxyType({}),
) -> str:
    """Make one model of a recipe, of a symbol or (None) of all, and return its version: the same as `train` gives it.

    The other symbols' bars count as well, where features look at what all do together.

    Raises:
        TooFewRows: when the symbol's history does not suffice.
        NotTheSame: when ONNX Runtime does not give what scikit-learn gives.
    """
    usable = {name: bars for name, bars in histories.items() if len(bars) >= WINDOW + recipe.horizon_sessions}
    if target is not None and target not in usable:
        needed = WINDOW + recipe.horizon_sessions
        raise TooFewRows(f"{target} has {len(histories.get(target, ()))} sessions: one row needs {needed}")
    names = sorted(usable) if target is None else [target]
    parts = _rows(None, recipe, usable, say, names)
    theirs = None if rival is None else _rows(None, rival, usable, say, names)
    own = {name: usable[name] for name in names}
    return _one(Work(recipe, own, parts, target, rival, theirs, serving.get(target)), root, say)


def train_one(work: Work, root: Path, say: Progress) -> str:
    """Make one model and return its version; raises as `train`."""
    recipe, histories, symbol = work.recipe, work.histories, work.symbol
    rows = join_rows(work.parts, recipe.features)
    say(f"{work.title}: {len(rows)} rows of {len(histories)} symbols")
    fitted = fit(rows, recipe)
    say(f"{work.title}: fitted and calibrated, judging it by walk-forward")
    found = walk(rows, recipe, estimators(recipe), say)
    metrics = plain_metrics(found, title(recipe.estimator))
    onnx, study = to_onnx_bytes(fitted), to_skops_bytes(fitted)
    from_skops_bytes(study)
    parity = prove_parity(onnx, fitted, rows)
    through = last_session(histories)
    plain = recipe.gate is None
    manifest = artifact.Manifest(
        format=artifact.FORMAT,
        name=recipe.name,
        symbol=symbol,
        recipe_hash=recipe.hash,
        data_revision=data_revision(histories),
        features=list(recipe.features),
        horizon_sessions=recipe.horizon_sessions,
        trained_from=min(bars[0].session for bars in histories.values()),
        trained_through=through,
        rows=len(rows),
        base_rate=fitted.base_rate,
        symbol_base_rates=dict(fitted.symbol_base_rates),
        calibrator=fitted.calibrator,
        metrics=metrics,
        gated=bool(metrics.get("folds")) and metrics["brier"] <= metrics["base_rate_brier"],
        parity=parity,
        libraries=_libraries(),
        files={artifact.ONNX: artifact.file_hash(onnx), artifact.SKOPS: artifact.file_hash(study)},
        feature_version="" if plain else feature_version(tuple(recipe.features)),
        estimator="" if plain else title(recipe.estimator),
        expires_on=None if recipe.expires_after_days is None else through + timedelta(days=recipe.expires_after_days),
    )
    version = artifact.version_of(manifest)
    evidence: Evidence | None = None
    if found is not None:
        rival_walk = None
        if work.rival is not None and work.rival_parts is not None:
            theirs = walk(join_rows(work.rival_parts, work.rival.features), work.rival, [work.rival.estimator])
            rival_walk = None if theirs is None else (work.rival.hash, theirs)
        compared = None
        if work.serving is not None:
            days = days_of(found, title(recipe.estimator), None)
            compared = work.serving, serving_losses(root, work.serving, rows, days)
        evidence = evidence_of(found, recipe, manifest, rival=rival_walk, compared=compared)
    files = {
        artifact.ONNX: onnx,
        artifact.SKOPS: study,
        artifact.CARD: card(recipe, manifest, version, evidence).encode(),
    }
    files[REFERENCE] = canonical_bytes(reference_of(rows, recipe.features, fitted))
    if evidence is not None:
        files[artifact.EVIDENCE] = canonical_bytes(evidence)
    artifact.write_artifact(root, manifest, files)
    write_durably(root / f".made-{work.key}", version.encode())
    if metrics.get("folds"):
        brier, base = metrics["brier"], metrics["base_rate_brier"]
        say(f"{work.title}: Brier {brier:.4f} beside {base:.4f} of the base rate")
    return version


def _one(work: Work, root: Path, say: Progress) -> str:
    found = _made(root, work.key)
    if found is not None:
        say(f"{work.title}: is there already, {found[:12]}")
        return found
    return train_one(work, root, say)


def _attempt(work: Work, root: Path) -> tuple[str | None, str]:
    """Return the version of a symbol's own model, or None and why there is none."""
    lines: list[str] = []
    try:
        return _one(work, root, lines.append), lines[-1].partition(": ")[2]
    except TooFewRows as error:
        return None, str(error)


def _rows(
    pool: Executor | None,
    recipe: Recipe,
    histories: Mapping[str, Sequence[Bar]],
    say: Progress,
    of: Sequence[str] | None = None,
) -> dict[str, list[Row]]:
    basket = basket_of(histories.values()) if needs_basket(tuple(recipe.features)) else {}
    make = partial(symbol_rows, names=recipe.features, horizon=recipe.horizon_sessions, basket=basket)
    names = sorted(histories) if of is None else of
    made = (pool.map if pool is not None else map)(make, [histories[name] for name in names])
    found: dict[str, list[Row]] = {}
    for name, rows in zip(names, made, strict=True):
        found[name] = rows
        if len(names) > 1:
            say(f"{recipe.name}: features of {name}, {len(found)} of {len(names)} symbols")
    return found


@contextmanager
def _pool(workers: int) -> Iterator[Executor | None]:
    if workers <= 1:
        yield None
        return
    # A fork shares what is imported; this process has no threads.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
        yield pool


def _libraries() -> dict[str, str]:
    return {name: installed(name) for name in LIBRARIES}


def _made(root: Path, key: str) -> str | None:
    """Return the version of a model that was made of this before and is still there."""
    try:
        version = (root / f".made-{key}").read_text()
    except OSError:
        return None
    folder = root / version
    there = all((folder / name).is_file() for name in (artifact.MANIFEST, artifact.EVIDENCE, REFERENCE))
    return version if there else None


def reference_of(rows: Rows, names: list[str], fitted: Fitted) -> Reference:
    """Return what the training rows looked like, and the coefficients of a linear estimator."""
    x = rows.x
    centre = x.mean(axis=0)
    away = x - centre
    covariance = away.T @ away / max(len(x) - 1, 1)
    precision = np.linalg.pinv(covariance, hermitian=True)
    distances = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", away, precision, away), 0.0))
    steps: dict[str, Any] = dict(fitted.pipeline.steps)
    scale: Any = steps.get("scale")
    regression: Any = steps.get("regression")
    linear = scale is not None and regression is not None
    return Reference(
        format=REFERENCE_FORMAT,
        rows=len(x),
        features=[
            _feature(
                name,
                x[:, number],
                mean=_short(scale.mean_[number]) if linear else 0.0,
                deviation=_short(scale.scale_[number]) if linear else 1.0,
                coefficient=_short(regression.coef_[0, number]) if linear else None,
            )
            for number, name in enumerate(names)
        ],
        centre=[_short(one) for one in centre],
        precision=[[_short(one) for one in line] for line in precision],
        usual_distance=_short(np.quantile(distances, USUAL)),
        intercept=_short(regression.intercept_[0]) if linear else None,
    )


def _feature(
    name: str, values: Matrix, *, mean: float, deviation: float, coefficient: float | None
) -> FeatureReference:
    edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, BINS + 1)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return FeatureReference(
        name=name,
        median=_short(np.median(values)),
        edges=[float(one) for one in edges],
        shares=[_short(one) for one in counts / len(values)],
        mean=mean,
        deviation=deviation,
        coefficient=coefficient,
    )


def _short(value: Any) -> float:
    return float(f"{float(value):.{DIGITS}g}")
