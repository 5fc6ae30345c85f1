from __future__ import annotations

import hashlib
import inspect
import json
import math
import random
from datetime import date, timedelta

import pytest

from bellwether.messages.market_data import Bar
from bellwether.training import feature_table
from bellwether.training.feature_table import TABLE, Compute, View, basket_of, feature_version
from bellwether.training.features import FEATURES, WINDOW, features
from bellwether.training.recipe import load_recipe

EXACT = "471a82dcb8d1d5c9e1c2349d5c3a1dc26e02f1e2d62e03d2b107b22bc43963a7"
"""SHA-256 of the rows below: a change would change the decisions that are stored."""


def rounded(seed: int, count: int = WINDOW) -> list[Bar]:
    """Return bars of whole cents, which are the same on every machine."""
    chance, close, found = random.Random(seed), 5000, list[Bar]()
    for number in range(count):
        opened = close + chance.randint(-30, 30)
        close = max(opened + chance.randint(-90, 91), 500)
        day = date(2020, 1, 1) + timedelta(days=number)
        high, low = max(opened, close) + chance.randint(0, 40), min(opened, close) - chance.randint(0, 40)
        found.append(Bar(day, opened / 100, high / 100, low / 100, close / 100, float(chance.randint(10**5, 10**6))))
    return found


def test_the_features_of_the_sample_model_keep_every_bit() -> None:
    rows = [features(rounded(seed, WINDOW + 5)[: WINDOW + extra]) for seed in range(5) for extra in (0, 3, 5)]
    assert hashlib.sha256(json.dumps(rows).encode()).hexdigest() == EXACT


def test_every_feature_is_finite_and_free_of_scale() -> None:
    bars = rounded(1)
    doubled = [Bar(bar.session, bar.open * 2, bar.high * 2, bar.low * 2, bar.close * 2, bar.volume / 2) for bar in bars]
    row = features(bars, tuple(TABLE), basket_of([bars, rounded(2)]))
    assert all(math.isfinite(value) for value in row.values())
    again = features(doubled, tuple(TABLE), basket_of([doubled, rounded(2)]))
    assert {name: pytest.approx(value, abs=1e-12) for name, value in row.items()} == again


@pytest.mark.parametrize("name", [name for name, feature in TABLE.items() if feature.needs == "closes"])
def test_a_feature_of_closes_sees_nothing_but_closes(name: str) -> None:
    bars = rounded(3)
    bare = [Bar(bar.session, bar.close, bar.close, bar.close, bar.close, 0.0) for bar in bars]
    assert features(bars, [name], basket_of([bars])) == features(bare, [name], basket_of([bare]))


def test_the_basket_is_the_mean_move_of_those_that_traded() -> None:
    days = [date(2020, 1, 1), date(2020, 1, 2)]
    one = [Bar(day, 1.0, 1.0, 1.0, close, 0.0) for day, close in zip(days, (1.0, math.e), strict=True)]
    flat = [Bar(day, 1.0, 1.0, 1.0, 1.0, 0.0) for day in days]
    late = [Bar(days[1], 1.0, 1.0, 1.0, 9.0, 0.0)]
    assert basket_of([one, flat, late]) == {days[1].toordinal(): pytest.approx(0.5)}


def test_a_basket_of_later_sessions_changes_no_row() -> None:
    bars, other = rounded(4, WINDOW + 30), rounded(5, WINDOW + 30)
    names = [name for name, feature in TABLE.items() if feature.basket]
    now = features(bars[:WINDOW], names, basket_of([bars[:WINDOW], other[:WINDOW]]))
    assert now == features(bars[:WINDOW], names, basket_of([bars, other]))


def _plain(view: View) -> float:
    return view.returns[-1] * 2.0


def _commented(view: View) -> float:
    """Say more about it."""
    # The same.
    return view.returns[-1] * 2.0


def _other(view: View) -> float:
    return view.returns[-1] * 3.0


def test_the_version_follows_what_is_computed_and_not_how_it_is_explained() -> None:
    def tokens(compute: Compute) -> str:
        return feature_table._tokens(inspect.getsource(compute)).replace(compute.__name__, "f")

    assert tokens(_plain) == tokens(_commented) != tokens(_other)


def test_the_version_follows_what_a_feature_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    before = feature_version.__wrapped__(("volume_ratio",))
    assert feature_version.__wrapped__(("volume_ratio",)) == before
    monkeypatch.setattr(feature_table, "_log_ratio", feature_table._position)
    assert feature_version.__wrapped__(("volume_ratio",)) != before


def test_a_recipe_has_the_version_of_its_own_features() -> None:
    assert feature_version(FEATURES) == feature_version(tuple(load_recipe("direction-boost").features))
    assert feature_version(FEATURES) != feature_version(FEATURES[:-1])
