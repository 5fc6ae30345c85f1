"""Made-up bars with a signal planted in the prices: what the gate has to accept, and what it has to refuse.

Volume follows a slow state that nobody sees; the next sessions' returns lean the same way. The signal reaches a model
only through the features, as a real one would.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from datetime import date, timedelta

import numpy as np

from bellwether.messages.market_data import Bar
from bellwether.training.bootstrap import block_length
from bellwether.training.dataset import Numbers, Rows, make_rows
from bellwether.training.evidence import Evidence
from bellwether.training.features import feature_version
from bellwether.training.recipe import Recipe, load_recipe
from bellwether.training.walk import Walk, days_of, plain_metrics, title, walk

SYMBOLS = tuple(f"S{number}" for number in range(7))
SESSIONS = 3900
MEMORY = 0.95
"""How much of the state is still there a session later."""
_SAMPLE = load_recipe("direction-lr")
RECIPE = _SAMPLE.model_copy(
    update={
        "features": ["volume_ratio", "volume_surprise", "return_5", "volatility_20"],
        "evaluation": _SAMPLE.evaluation.model_copy(update={"share": 0.7, "embargo_sessions": 5}),
    }
)
"""The sample's recipe with few features, so that it is quick."""
Strength = Callable[[float], float]
"""How strongly the state moves prices, by the share of the history that has passed, 0-1."""


def planted(
    seed: int, strength: Strength, symbols: Sequence[str] = SYMBOLS, sessions: int = SESSIONS
) -> dict[str, list[Bar]]:
    """Return bars of symbols that move by themselves but for the signal; weekends are left out."""
    days = [date(2000, 1, 3) + timedelta(days=7 * (number // 5) + number % 5) for number in range(sessions)]
    found = {}
    for place, symbol in enumerate(symbols):
        chance = random.Random(f"{seed} {place}")
        state, close, bars = chance.gauss(0.0, 1.0), 50.0, list[Bar]()
        for number, day in enumerate(days):
            drift = strength(number / sessions) * state
            opened = close * math.exp(chance.gauss(0.0, 0.002))
            close *= math.exp(0.012 * (chance.gauss(0.0, 1.0) + drift))
            state = MEMORY * state + math.sqrt(1.0 - MEMORY**2) * chance.gauss(0.0, 1.0)
            volume = math.exp(13.0 + 0.6 * state + chance.gauss(0.0, 0.1))
            high, low = max(opened, close) * 1.003, min(opened, close) * 0.997
            bars.append(Bar(day, opened, high, low, close, volume))
        found[symbol] = bars
    return found


def walked(rows: Rows, recipe: Recipe, change: Callable[[Walk], Walk] = lambda found: found) -> Evidence:
    """Return the evidence of a walk-forward over rows, by the recipe's own estimator alone.

    It holds what the gate judges by and nothing that cards show: their intervals take most of the time.
    """
    found = walk(rows, recipe, [recipe.estimator])
    assert found is not None
    return Evidence(
        recipe=recipe.name,
        recipe_hash=recipe.hash,
        feature_version=feature_version(tuple(recipe.features)),
        data_revision="made up",
        symbol=None,
        horizon_sessions=recipe.horizon_sessions,
        folds=found.folds,
        days=days_of(change(found), title(recipe.estimator), None),
        table=[],
        bins=[],
        costs=None,
        largest_difference=0.0,
        other_side=0,
    )


def auc_of(rows: Rows, recipe: Recipe) -> float:
    """Return the AUC over all test rows of a walk-forward by the recipe's own estimator."""
    return plain_metrics(walk(rows, recipe, [recipe.estimator]), title(recipe.estimator))["auc"]


def rows_of(histories: dict[str, list[Bar]], recipe: Recipe) -> Rows:
    """Return the rows of a recipe."""
    return make_rows(histories, recipe.features, recipe.horizon_sessions)


def too_sure(found: Walk) -> Walk:
    """Return the walk of a model that is twice and a half as sure as it may be."""
    name = next(iter(found.said))
    odds = np.log(found.said[name] / (1.0 - found.said[name]))
    base = np.log(found.base / (1.0 - found.base))
    return Walk(found.rows, found.folds, {**found.said, name: 1.0 / (1.0 + np.exp(-(base + 2.5 * (odds - base))))})


def shifted(rows: Rows, share: float, horizon: int) -> Rows:
    """Return rows whose outcomes are those of other sessions: of each symbol turned by a share of its history.

    The same share for all symbols, so outcomes still overlap and still move together; only what features know is gone.
    """
    y: Numbers = rows.y.copy()
    for number in range(len(rows.symbols)):
        mask = rows.symbol == number
        count = int(mask.sum())
        by = min(max(int(share * count), 2 * block_length(horizon)), count - 2 * block_length(horizon))
        y[mask] = np.roll(rows.y[mask], by)
    return Rows(rows.x, y, rows.day, rows.known, rows.symbol, rows.symbols, rows.gain)
