"""Fit, calibrate and judge: the only place that imports scikit-learn, and only a child process imports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from bellwether.training.calibration import Calibrator, log_odds
from bellwether.training.dataset import Matrix, Numbers, Rows, newest_share, part_by_day
from bellwether.training.recipe import Calibration, Estimator, Recipe

PLATT_STEPS = 50
SEED = 1
"""Of whatever an estimator draws: the same rows give the same model."""
LEAST_SPREAD = 1.0e-12
"""Variance of the scores below which they are one number."""


class TooFewRows(ValueError):
    """There is not enough history to learn from and to judge by."""


@dataclass(frozen=True)
class Fitted:
    """An estimator with its calibration, and the base rates it was fitted beside."""

    pipeline: Any
    calibrator: Calibrator
    base_rate: float
    symbol_base_rates: Mapping[str, float]

    def scores(self, x: Matrix) -> Matrix:
        """Return the raw scores (log odds) of rows."""
        return raw_scores(self.pipeline, x)

    def probabilities(self, rows: Rows) -> Matrix:
        """Return the calibrated probability of each row."""
        return calibrated(self.scores(rows.x), rows, self.calibrator)


def calibrated(scores: Matrix, rows: Rows, calibrator: Calibrator) -> Matrix:
    """Return the calibrated probability of each row's raw score."""
    return np.array(
        [
            calibrator.probability(float(score), rows.symbols[number])
            for score, number in zip(scores, rows.symbol, strict=True)
        ]
    )


def raw_scores(pipeline: Any, x: Matrix) -> Matrix:
    """Return the log odds that an estimator gives before calibration."""
    found: Matrix = pipeline.decision_function(x)
    return found


def untrained(estimator: Estimator) -> Pipeline:
    """Return what scikit-learn calls an estimator; everything that draws numbers draws the same ones each time."""
    if estimator.kind == "logistic-regression":
        regression = LogisticRegression(C=estimator.inverse_penalty, max_iter=1000, tol=1.0e-8)
        return Pipeline([("scale", StandardScaler()), ("regression", regression)])
    depth, rate = estimator.depth or 2, estimator.learning_rate or 0.05
    if estimator.kind == "gradient-boosting":
        boosting = GradientBoostingClassifier(
            n_estimators=estimator.trees or 100,
            max_depth=depth,
            learning_rate=rate,
            subsample=estimator.subsample or 1.0,
            random_state=SEED,
        )
        return Pipeline([("boosting", boosting)])
    histogram = HistGradientBoostingClassifier(
        max_iter=estimator.trees or 100, max_depth=depth, learning_rate=rate, early_stopping=False, random_state=SEED
    )
    return Pipeline([("boosting", histogram)])


def fit(rows: Rows, recipe: Recipe, estimator: Estimator | None = None) -> Fitted:
    """Fit on the older sessions and calibrate on the newest share, purged of labels that reach into it.

    The base rates are those of the sessions of the calibration, too.

    Raises:
        TooFewRows: with fewer rows than the recipe asks for, or only one outcome.
    """
    if not len(rows):
        raise TooFewRows(f"no row to learn from: {recipe.name} needs {recipe.minimum_rows} (minimumRows)")
    learn, calibrate = part_by_day(rows, newest_share(rows, recipe.calibration.share))
    if len(learn) < recipe.minimum_rows or len(set(learn.y.tolist())) < 2 or len(set(calibrate.y.tolist())) < 2:
        raise TooFewRows(
            f"{len(learn)} rows to learn from and {len(calibrate)} to calibrate by: {recipe.name} needs "
            f"{recipe.minimum_rows} (minimumRows) and both outcomes in each part; give it a longer history"
        )
    pipeline = untrained(estimator or recipe.estimator)
    pipeline.fit(learn.x, learn.y)
    pooled = float(calibrate.y.mean())
    rates = {symbol: float(calibrate.of(symbol).y.mean()) for symbol in rows.symbols if len(calibrate.of(symbol))}
    base = log_odds(pooled)
    shifts = {symbol: log_odds(rate) - base for symbol, rate in rates.items()}
    slope, intercept = platt(raw_scores(pipeline, calibrate.x), calibrate, shifts, recipe.calibration)
    return Fitted(pipeline, Calibrator(slope, intercept, shifts, base), pooled, rates)


def platt(scores: Matrix, rows: Rows, shifts: Mapping[str, float], rule: Calibration) -> tuple[float, float]:
    """Return slope and intercept of the calibration, by Newton's method on the penalised log loss.

    The penalty holds the slope at 1 as strongly as `prior_strength` rows would. Where the rows alone, without it, show
    no slope above 0, the scores do not tell the outcomes apart: the slope is 0, and every probability the base rate.
    """
    offset = np.array([shifts.get(rows.symbols[number], 0.0) for number in rows.symbol])
    spread = float(np.var(scores))
    if spread <= LEAST_SPREAD or _newton(scores, rows.y, offset, 0.0)[0] <= 0.0:
        return 0.0, log_odds(float(rows.y.mean()))
    return _newton(scores, rows.y, offset, rule.prior_strength * 0.25 * spread)


def _newton(scores: Matrix, outcomes: Numbers, offset: Matrix, weight: float) -> tuple[float, float]:
    parameters = np.array([1.0, 0.0])
    design = np.column_stack([scores, np.ones(len(scores))])
    for _ in range(PLATT_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ parameters + offset, -500.0, 500.0)))
        gradient = design.T @ (p - outcomes) + np.array([weight * (parameters[0] - 1.0), 0.0])
        # The last term keeps it invertible where an outcome is as good as certain; it moves the solution by nothing.
        hessian = (design * (p * (1.0 - p))[:, None]).T @ design + np.diag([weight + 1.0e-9, 1.0e-9])
        step = np.linalg.solve(hessian, gradient)
        parameters = parameters - step
        if float(np.abs(step).max()) < 1.0e-12:
            break
    return float(parameters[0]), float(parameters[1])
