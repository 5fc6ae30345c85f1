"""Fit and calibration on made-up rows: base rate and calibration are of one window, and what knows nothing says so."""

from __future__ import annotations

import math
import random
from datetime import date, timedelta

import numpy as np
import pytest

from bellwether.messages.market_data import Bar
from bellwether.messages.prediction import Action
from bellwether.prediction.logic import action_of
from bellwether.training.calibration import Calibrator
from bellwether.training.dataset import Matrix, Rows, make_rows
from bellwether.training.enough import first_enough
from bellwether.training.features import FEATURES, WINDOW
from bellwether.training.fit import TooFewRows, fit, platt
from bellwether.training.recipe import Recipe, load_recipe

RECIPE = load_recipe("direction-lr")
MARGIN = 0.01


def walk(seed: int, drifts: list[tuple[int, float]], start: date = date(2010, 1, 4)) -> list[Bar]:
    """Return made-up bars: so many of each drift after the other."""
    rolled, price, found = random.Random(seed), 100.0, list[Bar]()
    for count, drift in drifts:
        for _ in range(count):
            price *= math.exp(drift + rolled.gauss(0.0, 0.012))
            low, high = price * 0.995, price * 1.005
            day = start + timedelta(days=len(found))
            found.append(Bar(day, price, high, low, price, rolled.uniform(1e5, 2e5)))
    return found


def actions(rows: Rows, calibrator: Calibrator, scores: Matrix) -> list[Action]:
    found: list[Action] = []
    for score, number in zip(scores, rows.symbol, strict=True):
        symbol = rows.symbols[number]
        base = calibrator.base_rate(symbol)
        assert base is not None
        found.append(action_of(calibrator.probability(float(score), symbol), base, MARGIN))
    return found


@pytest.mark.parametrize("drift", [0.002, -0.002])
def test_signals_are_not_one_sided_after_years_that_were_unlike_the_newest(drift: float) -> None:
    bars = {name: walk(seed, [(900, -drift), (500, drift)]) for seed, name in enumerate("AB")}
    rows = make_rows(bars, RECIPE.features, RECIPE.horizon_sessions)
    fitted = fit(rows, RECIPE)
    newest = rows.where(rows.day >= int(np.quantile(rows.day, 0.8)))
    found = actions(newest, fitted.calibrator, fitted.scores(newest.x))
    for one_sided in (("BUY", "STRONG_BUY"), ("SELL", "STRONG_SELL")):
        assert sum(action in one_sided for action in found) < 0.7 * len(found)
    # In its window the mean probability is the base rate.
    assert fitted.calibrator.base_rate("A") == pytest.approx(fitted.symbol_base_rates["A"])


def test_a_recipe_that_cannot_tell_apart_says_hold_to_everything() -> None:
    rows = make_rows({"A": walk(3, [(900, 0.0)])}, RECIPE.features, RECIPE.horizon_sessions)
    # The scores point the wrong way, and only the prior would have them point the right way.
    scores = np.where(rows.y == 1, -0.01, 0.01) + 0.1 * np.sin(np.arange(len(rows)))
    slope, intercept = platt(scores, rows, {}, RECIPE.calibration)
    calibrator = Calibrator(slope, intercept, {"A": 0.3}, intercept)
    assert slope == 0.0
    for symbol in ("A", "NEW"):
        for score in (-1.0e308, -3.0, 0.0, 2.5, math.inf):
            assert calibrator.probability(score, symbol) == calibrator.base_rate(symbol)


def test_scores_that_are_all_one_number_calibrate_to_the_base_rate() -> None:
    rows = make_rows({"A": walk(4, [(900, 0.001)])}, RECIPE.features, RECIPE.horizon_sessions)
    slope, intercept = platt(np.full(len(rows), 0.7), rows, {}, RECIPE.calibration)
    assert slope == 0.0
    assert 1.0 / (1.0 + math.exp(-intercept)) == pytest.approx(float(rows.y.mean()))


def test_a_share_that_stands_still_gives_no_row_and_its_rates_are_finite() -> None:
    dead = [Bar(bar.session, 2.0, 2.0, 2.0, 2.0, 0.0) for bar in walk(5, [(900, 0.0)])]
    alive = walk(6, [(900, 0.0)])
    # It died in the middle: what was learnt of it before stays, and the newest quarter has nothing of it.
    half = [*alive[:400], *dead[400:]]
    rows = make_rows({"DEAD": dead, "HALF": half, "LIVE": alive}, RECIPE.features, RECIPE.horizon_sessions)
    assert len(rows.of("DEAD")) == 0
    assert 0 < len(rows.of("HALF")) < len(rows.of("LIVE"))
    fitted = fit(rows, RECIPE)
    assert set(fitted.symbol_base_rates) == {"LIVE"}
    assert all(math.isfinite(one) for one in (*fitted.calibrator.shifts.values(), fitted.calibrator.slope))
    assert fitted.calibrator.base_rate("DEAD") == pytest.approx(fitted.base_rate)


def test_no_row_at_all_is_reported_in_words() -> None:
    rows = make_rows({"A": walk(7, [(60, 0.0)])}, FEATURES, 5)
    with pytest.raises(TooFewRows, match=r"no row to learn from: direction-lr needs 500 \(minimumRows\)"):
        fit(rows, RECIPE)


def sufficient(recipe: Recipe, bars: dict[str, list[Bar]], day: date) -> bool:
    cut = {name: [bar for bar in history if bar.session < day] for name, history in bars.items()}
    try:
        fit(make_rows(cut, recipe.features, recipe.horizon_sessions), recipe)
    except TooFewRows:
        return False
    return True


def test_the_first_day_that_would_do_is_the_first_before_which_a_model_can_be_made() -> None:
    bars = {"A": walk(8, [(500, 0.0)]), "B": walk(9, [(450, 0.0)], date(2010, 5, 3))}
    found = first_enough(RECIPE, bars)
    assert found is not None
    assert sufficient(RECIPE, bars, found)
    assert not sufficient(RECIPE, bars, found - timedelta(days=1))


def test_sixty_sessions_alone_do_for_no_day() -> None:
    assert first_enough(RECIPE, {"A": walk(10, [(60, 0.0)])}) is None
    assert first_enough(RECIPE, {"A": walk(10, [(WINDOW + 300, 0.0)])}) is None
