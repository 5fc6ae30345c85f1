"""What stands beside a model about its training rows: contributions, unlike inputs, drift."""

from __future__ import annotations

import math
from functools import cache

import msgspec
import numpy as np
import pytest

from bellwether.messages.canonical import canonical_bytes
from bellwether.training.dataset import Rows, make_rows
from bellwether.training.fit import Fitted, fit
from bellwether.training.recipe import load_recipe
from bellwether.training.reference import Reference, linear_parts, novelty, stability_index
from bellwether.training.train import reference_of
from unit.training.test_fit import walk

RECIPE = load_recipe("direction-lr")


@cache
def made() -> tuple[Rows, Fitted, Reference]:
    bars = {name: walk(seed, [(700, 0.001), (500, -0.001)]) for seed, name in enumerate("AB")}
    rows = make_rows(bars, RECIPE.features, RECIPE.horizon_sessions)
    fitted = fit(rows, RECIPE)
    return rows, fitted, reference_of(rows, RECIPE.features, fitted)


def row_of(rows: Rows, number: int) -> dict[str, float]:
    return dict(zip(RECIPE.features, map(float, rows.x[number]), strict=True))


def test_contributions_of_a_linear_model_add_up_to_its_calibrated_log_odds() -> None:
    rows, fitted, reference = made()
    slope, intercept = 1.3, fitted.calibrator.intercept
    assert reference.intercept is not None
    for number in (0, 17, len(rows) - 1):
        parts = linear_parts(reference, row_of(rows, number), slope)
        assert parts is not None
        score = float(fitted.scores(rows.x[number : number + 1])[0])
        at_means = slope * reference.intercept + intercept
        assert math.fsum(one.contribution for one in parts) + at_means == pytest.approx(slope * score + intercept)
        for one in parts:
            assert one.standardised is not None
            assert one.coefficient is not None
            assert one.contribution == pytest.approx(one.coefficient * one.standardised)


def test_a_model_of_trees_has_no_coefficients() -> None:
    rows, fitted, _ = made()
    trees = fit(rows, load_recipe("direction-boost"))
    reference = reference_of(rows, RECIPE.features, trees)
    assert linear_parts(reference, row_of(rows, 0), 1.0) is None
    assert reference.intercept is None
    assert fitted is not trees


def test_one_row_in_a_hundred_is_at_more_than_one_and_a_row_far_away_is_unlike() -> None:
    rows, _, reference = made()
    distances = [novelty(reference, row_of(rows, number)) for number in range(len(rows))]
    assert sum(one > 1.0 for one in distances) == pytest.approx(0.01 * len(rows), abs=2)
    middle = dict(zip(RECIPE.features, reference.centre, strict=True))
    assert novelty(reference, middle) == 0.0
    assert novelty(reference, {**row_of(rows, 0), "volatility_20": 0.5}) > 3.0


def test_values_that_are_each_usual_but_not_together_are_unlike() -> None:
    rows, _, reference = made()
    # A 20-day return and the gap to the mean of 20 days rise together in every training row.
    column = dict(zip(RECIPE.features, rows.x.T, strict=True))
    odd = {name: float(np.median(values)) for name, values in column.items()}
    odd["return_20"] = float(np.quantile(column["return_20"], 0.95))
    odd["gap_to_mean_20"] = float(np.quantile(column["gap_to_mean_20"], 0.05))
    assert novelty(reference, odd) > 1.0


def test_the_index_of_the_training_rows_is_nought_and_of_others_large() -> None:
    rows, _, reference = made()
    for number, feature in enumerate(reference.features):
        values = rows.x[:, number].tolist()
        assert stability_index(feature, values) == pytest.approx(0.0, abs=1e-9)
        assert stability_index(feature, []) is None
        shifted = [one + 3.0 * float(np.std(values)) for one in values]
        found = stability_index(feature, shifted)
        assert found is not None
        assert found > 0.25


def test_the_index_is_what_its_formula_says() -> None:
    _, _, reference = made()
    feature = reference.features[0]
    low = [feature.edges[0] - 1.0] * 30 + [feature.edges[-1] + 1.0] * 70
    shares = [0.3, *([0.0001] * 8), 0.7]
    expected = sum((now - then) * math.log(now / then) for now, then in zip(shares, feature.shares, strict=True))
    assert stability_index(feature, low) == pytest.approx(expected)


def test_a_reference_is_the_same_bytes_again() -> None:
    rows, fitted, reference = made()
    assert msgspec.json.decode(canonical_bytes(reference), type=Reference) == reference
    assert canonical_bytes(reference_of(rows, RECIPE.features, fitted)) == canonical_bytes(reference)
