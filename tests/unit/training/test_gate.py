"""The gate on made-up evidence: what it accepts, what it refuses, and in which words."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from bellwether.training.bootstrap import block_length, block_sums, resample, student
from bellwether.training.evidence import Day, Evidence
from bellwether.training.gate import Verdict, judge, level_of
from bellwether.training.recipe import Gate

GATE = Gate()


def evidence(days: list[Day], **changes: Any) -> Evidence:
    found = Evidence(
        recipe="made-up",
        recipe_hash="r",
        feature_version="f",
        data_revision="d",
        symbol=None,
        horizon_sessions=5,
        folds=5,
        days=days,
        table=[],
        bins=[],
        costs=None,
        largest_difference=1e-8,
        other_side=0,
    )
    return msgspec.structs.replace(found, **changes)


def days(gain: float, count: int = 1500, *, late: float | None = None, tilt: float = 0.0, **more: Any) -> list[Day]:
    """Return sessions of four rows on which the model is so much better, in noise as real log losses have it."""
    chance, found = random.Random(1), list[Day]()
    for number in range(count):
        base = 4 * 0.69
        better = 4 * (gain if late is None or number < count * 0.6 else late) + chance.gauss(0.0, 0.2)
        bias = chance.gauss(more.get("bias", 0.0), 0.3)
        found.append(Day(number, 4, base - better, base, base + 0.01, bias, chance.gauss(tilt, 0.1)))
    return found


def failed(verdict: Verdict) -> set[str]:
    return {check.name for check in verdict.checks if not check.passed}


def judged(found: Evidence, trials: int = 1, *, refit: bool = False) -> Verdict:
    return judge(found, GATE, trials=trials, refit=refit)


def test_a_clear_gain_passes() -> None:
    verdict = judged(evidence(days(0.01)))
    assert verdict.passed
    assert verdict.words() == "passed"


def test_no_gain_is_refused_in_words() -> None:
    verdict = judged(evidence(days(0.0)))
    assert failed(verdict) >= {"better than the base rate"}
    assert "lower bound -0.0" in verdict.words()


def test_the_better_of_both_base_rates_is_what_counts() -> None:
    found = [msgspec.structs.replace(day, symbol=day.pooled - 0.08) for day in days(0.01)]
    assert judged(evidence(days(0.01))).passed
    assert not judged(evidence(found)).passed


def test_a_signal_that_died_is_refused_though_the_whole_is_good() -> None:
    verdict = judged(evidence(days(0.04, late=-0.002)))
    assert failed(verdict) == {"still there"}


def test_what_is_too_sure_of_itself_is_refused() -> None:
    assert failed(judged(evidence(days(0.01, tilt=-0.05)))) == {"not too sure"}


def test_a_bias_that_luck_does_not_explain_is_refused() -> None:
    assert failed(judged(evidence(days(0.01, bias=0.4)))) == {"calibrated on the whole"}


def test_each_trial_needs_more_than_the_one_before() -> None:
    assert sum(level_of(0.01, trial) for trial in range(1, 10_000)) == pytest.approx(0.01, rel=1e-3)
    found = evidence(days(0.0045))
    assert judged(found).passed
    assert not judged(found, trials=40).passed


@pytest.mark.parametrize(("gain", "passes"), [(0.0, True), (-0.01, False)])
def test_a_refit_has_only_not_to_be_worse(gain: float, passes: bool) -> None:
    verdict = judge(evidence(days(gain)), Gate(tolerance=0.005), trials=1, refit=True)
    assert verdict.passed is passes
    assert verdict.kind == "refit"


def test_another_recipe_in_service_has_to_be_beaten_by_the_margin() -> None:
    rival = [msgspec.structs.replace(day, rival=day.model + 4 * 0.003) for day in days(0.01)]
    found = evidence(rival, rival="other")
    assert judged(found).passed
    tight = judge(found, Gate(margin=0.01), trials=1, refit=False)
    assert failed(tight) == {"better than what serves"}


def test_a_graph_that_acts_differently_is_refused() -> None:
    assert failed(judged(evidence(days(0.01), other_side=1))) == {"the same in ONNX Runtime"}
    assert failed(judged(evidence(days(0.01), largest_difference=1e-5))) == {"the same in ONNX Runtime"}


def test_too_few_sessions_say_nothing() -> None:
    verdict = judged(evidence(days(0.5, count=100)))
    assert failed(verdict) == {"history"}
    assert "100 test sessions: 10 blocks of 11 sessions are needed" in verdict.words()


def test_a_block_is_longer_than_two_horizons() -> None:
    assert [block_length(horizon) for horizon in (1, 5, 20)] == [10, 11, 41]
    assert block_sums([1.0, 2.0, 3.0, 4.0], 2) == [3.0, 5.0, 7.0, 5.0]


def test_the_error_of_the_mean_grows_with_what_neighbours_share() -> None:
    chance = random.Random(2)
    alone = [chance.gauss(0.0, 1.0) for _ in range(2000)]
    blocks = [value for value in alone[:200] for _ in range(10)]
    rows = [1] * 2000
    free, tied = resample(alone, rows, 20), resample(blocks, rows, 20)
    assert free.error == pytest.approx(2000**-0.5, rel=0.3)
    assert tied.error > 2.0 * free.error


def test_students_quantile() -> None:
    # From the tables: 99 % with 10, 30 and 120 degrees of freedom.
    assert [round(student(0.99, freedom), 3) for freedom in (10, 30, 120)] == [2.764, 2.457, 2.358]


def test_a_refit_is_refused_that_is_worse_than_the_version_that_serves() -> None:
    reported = days(0.02)
    alike = evidence(reported, serving="v", serving_losses=[day.model for day in reported])
    assert judged(alike, refit=True).passed
    better = evidence(reported, serving="v", serving_losses=[None, *(day.model - 4 * 0.01 for day in reported[1:])])
    found = judged(better, refit=True)
    assert failed(found) == {"not worse than what serves"}
    assert "-0.01000 better in 1499 sessions" in found.words()
    few = evidence(reported, serving="v", serving_losses=[day.model for day in reported[:50]])
    assert failed(judged(few, refit=True)) >= {"history"}
    assert judged(better).passed, "a new recipe has its own rival"
