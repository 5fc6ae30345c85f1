"""Purged, embargoed walk-forward: predictions that were all made before their outcome, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from bellwether.training.artifact import ONNX, Manifest, read_file, read_model
from bellwether.training.bootstrap import DRAWS, FEWEST_BLOCKS, block_length, starts
from bellwether.training.calibration import log_odds
from bellwether.training.dataset import Flags, Matrix, Numbers, Rows, part_by_day, test_blocks
from bellwether.training.evidence import Bin, Costs, Day, Evidence, Interval, Scores
from bellwether.training.export import onnx_scores
from bellwether.training.features import feature_version
from bellwether.training.fit import TooFewRows, fit
from bellwether.training.recipe import Estimator, Recipe

BINS = 10
MARGIN = 0.01
"""How far above the base rate a probability is a BUY in the table of costs: the declaration's default."""
COST = 2 * 13.0e-4
"""Of buying and selling: the declaration's defaults, 8 basis points of commission and 5 of slippage, twice."""
BASE = "base rate of each symbol"
POOLED = "base rate of all symbols"


@dataclass(frozen=True)
class Walk:
    """All test rows, and for each of them what every estimator, and either base rate, said before its outcome."""

    rows: Rows
    folds: int
    said: Mapping[str, Matrix]

    @property
    def base(self) -> Matrix:
        """The symbols' own base rates."""
        return self.said[BASE]


def title(estimator: Estimator) -> str:
    """Return what an estimator is called in tables."""
    words = estimator.kind.replace("-", " ")
    if estimator.kind == "logistic-regression":
        return f"{words}, C = {estimator.inverse_penalty:g}"
    return f"{words}, {estimator.trees or 100} trees of depth {estimator.depth or 2}"


def estimators(recipe: Recipe) -> list[Estimator]:
    """Return what is judged, the one that serves first; a logistic regression is always among them."""
    found = [recipe.estimator, *recipe.beside]
    if not any(one.kind == "logistic-regression" for one in found):
        found.insert(1, Estimator(kind="logistic-regression", inverse_penalty=0.01))
    return found


def walk(
    rows: Rows, recipe: Recipe, which: Sequence[Estimator], say: Callable[[str], None] = lambda _: None
) -> Walk | None:
    """Return what each estimator said of the test blocks; None where no fold has enough to learn from.

    What a fold learns from ends `embargoSessions` before its test block, and none of its labels reaches into that.
    """
    blocks: list[Rows] = []
    said: dict[str, list[Matrix]] = {name: [] for name in (*map(title, which), BASE, POOLED)}
    days = rows.days
    for number, (first, last) in enumerate(test_blocks(rows, recipe.evaluation.folds, recipe.evaluation.share), 1):
        edge = max(int(np.searchsorted(days, first)) - recipe.evaluation.embargo_sessions, 0)
        known, _ = part_by_day(rows, int(days[edge]))
        block = rows.where((rows.day >= first) & (rows.day <= last))
        try:
            fitted = [fit(known, recipe, one) for one in which]
        except TooFewRows:
            continue
        say(f"fold {number} of {recipe.evaluation.folds}: learned from {len(known)} rows, judged on {len(block)}")
        blocks.append(block)
        for one, model in zip(which, fitted, strict=True):
            said[title(one)].append(model.probabilities(block))
        rates, pooled = fitted[0].symbol_base_rates, fitted[0].base_rate
        said[BASE].append(np.array([rates.get(block.symbols[symbol], pooled) for symbol in block.symbol]))
        said[POOLED].append(np.full(len(block), pooled))
    if not blocks:
        return None
    whole = Rows(
        x=np.concatenate([block.x for block in blocks]),
        y=np.concatenate([block.y for block in blocks]),
        day=np.concatenate([block.day for block in blocks]),
        known=np.concatenate([block.known for block in blocks]),
        symbol=np.concatenate([block.symbol for block in blocks]),
        symbols=rows.symbols,
        gain=None if rows.gain is None else np.concatenate([block.gain for block in blocks if block.gain is not None]),
    )
    return Walk(whole, len(blocks), {name: np.concatenate(parts) for name, parts in said.items()})


def plain_metrics(found: Walk | None, name: str) -> dict[str, float]:
    """Return the metrics of a manifest: those of an estimator, and those of the symbols' base rates beside."""
    if found is None:
        return {"folds": 0.0, "rows": 0.0}
    y = found.rows.y
    return {
        "folds": float(found.folds),
        "rows": float(len(y)),
        **_plain(y, found.said[name], ""),
        **_plain(y, found.base, "base_rate_"),
    }


def _plain(y: Numbers, p: Matrix, prefix: str) -> dict[str, float]:
    auc = float(roc_auc_score(y, p)) if len(set(y.tolist())) == 2 else 0.5
    found = {
        "brier": float(np.mean((p - y) ** 2)),
        "log_loss": float(np.mean(losses(y, p))),
        "auc": auc,
        "accuracy": float(np.mean((p >= 0.5) == (y == 1))),
    }
    return {prefix + name: round(value, 6) for name, value in found.items()}


def losses(y: Numbers, p: Matrix) -> Matrix:
    """Return the log loss of each row; probabilities are moved inwards by a millionth."""
    inside = np.clip(p, 1.0e-6, 1.0 - 1.0e-6)
    found: Matrix = np.negative(np.log(np.where(y == 1, inside, 1.0 - inside)))
    return found


def evidence_of(
    found: Walk,
    recipe: Recipe,
    manifest: Manifest,
    *,
    rival: tuple[str, Walk] | None = None,
    compared: tuple[str, list[float | None]] | None = None,
) -> Evidence:
    """Return what the gate judges by and the cards show."""
    serving = title(recipe.estimator)
    draws = Draws(found.rows, recipe.horizon_sessions)
    names = [serving, *(name for name in found.said if name != serving)]
    return Evidence(
        recipe=recipe.name,
        recipe_hash=recipe.hash,
        feature_version=feature_version(tuple(recipe.features)),
        data_revision=manifest.data_revision,
        symbol=manifest.symbol,
        horizon_sessions=recipe.horizon_sessions,
        folds=found.folds,
        days=days_of(found, serving, None if rival is None else rival[1]),
        table=[_scores(name, found, draws, serves=name == serving) for name in names],
        bins=_bins(found, serving, draws),
        costs=_costs(found, serving, draws, recipe.horizon_sessions),
        largest_difference=manifest.parity.largest_difference,
        other_side=manifest.parity.other_side,
        rival=None if rival is None else rival[0],
        serving=None if compared is None else compared[0],
        serving_losses=[] if compared is None else compared[1],
    )


def days_of(found: Walk, name: str, rival: Walk | None) -> list[Day]:
    """Return the sums by session; of a rival only what it said of the same rows counts."""
    rows, p = found.rows, found.said[name]
    columns = [
        losses(rows.y, p),
        losses(rows.y, found.said[POOLED]),
        losses(rows.y, found.base),
        p - rows.y,
        (rows.y - p) * np.array([log_odds(one) - log_odds(base) for one, base in zip(p, found.base, strict=True)]),
    ]
    theirs = _losses_of(rival, found) if rival is not None else None
    if theirs is not None:
        columns.append(theirs)
    days, place = np.unique(rows.day, return_inverse=True)
    counts = np.bincount(place, minlength=len(days))
    sums = [np.bincount(place, weights=column, minlength=len(days)) for column in columns]
    result: list[Day] = []
    for number, day in enumerate(days):
        model, pooled, symbol, bias, tilt, *rest = [round(float(column[number]), 9) for column in sums]
        other = rest[0] if rest and np.isfinite(rest[0]) else None
        result.append(Day(int(day), int(counts[number]), model, pooled, symbol, bias, tilt, other))
    return result


def _losses_of(rival: Walk, found: Walk) -> Matrix:
    name = next(iter(rival.said))
    theirs = losses(rival.rows.y, rival.said[name])
    keys = zip(rival.rows.day.tolist(), rival.rows.symbol.tolist(), strict=True)
    known = {(day, rival.rows.symbols[symbol]): float(loss) for (day, symbol), loss in zip(keys, theirs, strict=True)}
    ours = zip(found.rows.day.tolist(), found.rows.symbol.tolist(), strict=True)
    return np.array([known.get((day, found.rows.symbols[symbol]), np.nan) for day, symbol in ours])


class Draws:
    """The draws of the block bootstrap over some rows, as how often each session is drawn."""

    def __init__(self, rows: Rows, horizon: int, draws: int = DRAWS // 2) -> None:
        days, self._place = np.unique(rows.day, return_inverse=True)
        length = block_length(horizon)
        self.enough = len(days) >= FEWEST_BLOCKS * length
        self._days = len(days)
        begins = np.array([np.bincount(chosen, minlength=len(days)) for chosen in starts(len(days), length, 1, draws)])
        # A session is drawn once for each block that begins at it or within the sessions of a block before it.
        self._weights = sum((np.roll(begins, offset, axis=1) for offset in range(length)), np.zeros(begins.shape))

    def mean(self, values: Matrix, mask: Flags | None = None) -> Interval:
        """Return the mean of a value per row and its interval; `mask` counts only some rows."""
        counted = np.ones(len(values)) if mask is None else mask.astype(float)
        total = float(counted.sum())
        mean = float((values * counted).sum() / total) if total else 0.0
        sums = self._weights @ np.bincount(self._place, weights=values * counted, minlength=self._days)
        counts = self._weights @ np.bincount(self._place, weights=counted, minlength=self._days)
        return self._interval(mean, sums[counts > 0] / counts[counts > 0])

    def auc(self, y: Numbers, p: Matrix) -> Interval:
        """Return the area under the curve and its interval."""
        order = np.argsort(p, kind="stable")
        _, level = np.unique(p[order], return_inverse=True)
        place, outcome = self._place[order], y[order].astype(float)

        def area(weight: Matrix) -> float:
            up = np.bincount(level, weights=weight * outcome)
            down = np.bincount(level, weights=weight * (1.0 - outcome))
            total = up.sum() * down.sum()
            return float((up * (np.cumsum(down) - 0.5 * down)).sum() / total) if total else 0.5

        return self._interval(area(np.ones(len(y))), np.array([area(one[place]) for one in self._weights]))

    def _interval(self, value: float, drawn: Matrix) -> Interval:
        if not self.enough or not len(drawn):
            return Interval(round(value, 6), None, None)
        low, high = np.quantile(drawn, [0.025, 0.975])
        return Interval(round(value, 6), round(float(low), 6), round(float(high), 6))


def _scores(name: str, found: Walk, draws: Draws, *, serves: bool) -> Scores:
    y, p = found.rows.y, found.said[name]
    return Scores(
        name=name,
        serves=serves,
        brier=draws.mean((p - y) ** 2),
        log_loss=draws.mean(losses(y, p)),
        auc=draws.auc(y, p),
        hit_rate=draws.mean(((p >= 0.5) == (y == 1)).astype(float)),
    )


def _bins(found: Walk, name: str, draws: Draws) -> list[Bin]:
    y, p = found.rows.y, found.said[name]
    edges = np.unique(np.quantile(p, np.linspace(0.0, 1.0, BINS + 1)[1:-1]))
    place = np.searchsorted(edges, p, side="right")
    result = []
    for number in range(len(edges) + 1):
        mask = place == number
        if mask.any():
            rose = draws.mean(y.astype(float), mask)
            result.append(Bin(int(mask.sum()), round(float(p[mask].mean()), 6), rose))
    return result


def _costs(found: Walk, name: str, draws: Draws, horizon: int) -> Costs | None:
    gain = found.rows.gain
    if gain is None:
        return None
    bought = found.said[name] >= found.base + MARGIN
    before = draws.mean(gain, bought)
    after = Interval(
        round(before.value - COST, 6),
        None if before.low is None else round(before.low - COST, 6),
        None if before.high is None else round(before.high - COST, 6),
    )
    share = float(bought.mean())
    return Costs(
        trades=int(bought.sum()),
        share=round(share, 6),
        turnover=round(2.0 * share / horizon, 6),
        before=before,
        after=after,
        always=draws.mean(gain),
        cost=COST,
    )


def serving_losses(root: Path, version: str, rows: Rows, days: list[Day]) -> list[float | None]:
    """Return the serving version's loss of each session; None where it said nothing, or of other rows.

    Up to the last session that it learned from, its own walk-forward says what its recipe said of a session before the
    outcome was known; after that session, the model itself does.

    Raises:
        ArtifactError: when the serving version cannot be trusted.
    """
    manifest, evidence = read_model(root, version)
    walked = _walked(evidence, manifest)
    said = _said(root / version, manifest, rows)
    found: list[float | None] = []
    for day in days:
        rows_then, loss = said.get(day.day) or walked.get(day.day) or (0, 0.0)
        found.append(loss if rows_then == day.rows else None)
    return found


def _walked(evidence: Evidence | None, manifest: Manifest) -> dict[int, tuple[int, float]]:
    last = manifest.trained_through.toordinal()
    days = [] if evidence is None else evidence.days
    return {day.day: (day.rows, day.model) for day in days if day.day <= last}


def _said(folder: Path, manifest: Manifest, rows: Rows) -> dict[int, tuple[int, float]]:
    new = rows.where(rows.day > manifest.trained_through.toordinal())
    if not len(new):
        return {}
    scores = onnx_scores(read_file(folder, ONNX, manifest.files[ONNX]), new.x)
    predicted = [
        manifest.calibrator.probability(float(score), new.symbols[number])
        for score, number in zip(scores, new.symbol, strict=True)
    ]
    each = losses(new.y, np.array(predicted))
    days, place = np.unique(new.day, return_inverse=True)
    counts = np.bincount(place, minlength=len(days))
    sums = np.bincount(place, weights=each, minlength=len(days))
    return {int(day): (int(counts[n]), round(float(sums[n]), 9)) for n, day in enumerate(days)}
