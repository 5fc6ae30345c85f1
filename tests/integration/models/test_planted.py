"""Signals planted in prices, through features, fit, walk-forward and gate. `make soak` does it with all seeds."""

from __future__ import annotations

import pytest

from bellwether.training.dataset import Rows
from bellwether.training.evidence import Evidence
from bellwether.training.gate import Verdict, judge
from harness.signals import RECIPE, Strength, auc_of, planted, rows_of, shifted, too_sure, walked

pytestmark = pytest.mark.integration

SESSIONS = 1800
STRONG = 0.5
"""Stronger than any market: a short history shows no weaker one (docs/gate.md)."""


def made(strength: Strength) -> Rows:
    return rows_of(planted(1, strength, sessions=SESSIONS), RECIPE)


@pytest.fixture(scope="module")
def steady() -> Rows:
    return made(lambda _: STRONG)


def verdict(found: Evidence) -> Verdict:
    return judge(found, RECIPE.judged_by, trials=1, refit=False)


def test_a_signal_in_the_prices_is_found_and_accepted(steady: Rows) -> None:
    assert auc_of(steady, RECIPE) > 0.6
    assert verdict(walked(steady, RECIPE)).passed


def test_the_same_signal_too_sure_of_itself_is_refused(steady: Rows) -> None:
    reported = verdict(walked(steady, RECIPE, too_sure))
    assert "not too sure" in {check.name for check in reported.checks if not check.passed}


def test_outcomes_that_belong_to_other_sessions_are_refused(steady: Rows) -> None:
    assert not verdict(walked(shifted(steady, 0.4, RECIPE.horizon_sessions), RECIPE)).passed


def test_a_signal_that_dies_midway_is_refused() -> None:
    assert not verdict(walked(made(lambda passed: STRONG if passed < 0.5 else 0.0), RECIPE)).passed
