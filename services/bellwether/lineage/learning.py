"""A model fitted in this process, and what was learnt of it as plain numbers that can be compared.

Imports scikit-learn: for commands that end, never for a service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import numpy as np

from bellwether.market_data.loaded import LoadedBars, NoData
from bellwether.messages.market_data import Bar
from bellwether.messages.models import Probability
from bellwether.models.child import TRAINING_BARS
from bellwether.training import dataset
from bellwether.training.fit import Fitted, fit
from bellwether.training.recipe import Recipe

COMPARED = 25
"""Rows whose scores are compared, evenly over what was learnt from."""


@dataclass(frozen=True)
class FittedModel:
    """Answers as the recipe's model would."""

    recipe: Recipe
    fitted: Fitted

    def predict(self, features: Mapping[str, float], symbol: str | None) -> Probability:
        """Return the calibrated probability of a row."""
        row = np.array([[features[name] for name in self.recipe.features]])
        score = float(self.fitted.scores(row)[0])
        calibrator = self.fitted.calibrator
        probability = calibrator.probability(score, symbol)
        return Probability(
            probability=probability,
            confidence=abs(probability - 0.5) * 2.0,
            model_name=self.recipe.name,
            version="",
            horizon_sessions=self.recipe.horizon_sessions,
            base_rate=calibrator.base_rate(symbol),
        )


def histories_at(book: LoadedBars, symbols: Sequence[str], day: date, zone: ZoneInfo) -> dict[str, list[Bar]]:
    """Return the bars that a model may learn from on a day: of sessions before it, as ml-model asks for them."""
    midnight = datetime.combine(day, time(0), zone)
    found: dict[str, list[Bar]] = {}
    for symbol in sorted(symbols):
        try:
            found[symbol] = book.view(symbol, midnight).bars(TRAINING_BARS)
        except NoData:
            continue
    return found


def learnt(histories: Mapping[str, Sequence[Bar]], recipe: Recipe, edge: date | None = None) -> Fitted:
    """Return what is learnt from histories; with an edge, from the rows that the walk-forward allows before it.

    Raises:
        TooFewRows: where the history does not suffice.
    """
    rows = dataset.make_rows(histories, recipe.features, recipe.horizon_sessions)
    if edge is not None:
        rows, _ = dataset.part_by_day(rows, edge.toordinal())
    return fit(rows, recipe)


def numbers_of(fitted: Fitted, sample: dataset.Matrix) -> dict[str, float]:
    """Return what was learnt as numbers by name: calibration, base rates, and the scores of some rows."""
    calibrator = fitted.calibrator
    found = {"slope": calibrator.slope, "intercept": calibrator.intercept, "base rate": fitted.base_rate}
    found |= {f"base rate of {symbol}": rate for symbol, rate in fitted.symbol_base_rates.items()}
    if len(sample):
        found |= {f"score of row {number}": float(score) for number, score in enumerate(fitted.scores(sample))}
    return found


def sample_of(histories: Mapping[str, Sequence[Bar]], recipe: Recipe) -> dataset.Matrix:
    """Return the features of some windows, made one by one."""
    rows = dataset.symbol_rows(next(iter(histories.values())), recipe.features, recipe.horizon_sessions, {})
    step = max(len(rows) // COMPARED, 1)
    return np.array([row[1] for row in rows[::step]][:COMPARED])
