"""The registry's book: what serves, what was tried, and what may not serve."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwether.training.artifact import Manifest, Parity, version_of
from bellwether.training.calibration import Calibrator
from bellwether.training.evidence import Day, Evidence
from bellwether.training.ledger import (
    LedgerError,
    ModelLedger,
    demote,
    end_shadow,
    promote,
    put_in_shadow,
    read_ledger,
    record,
    roll_back,
    write_ledger,
)
from bellwether.training.recipe import Gate

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SHORT = 300


def manifest(number: int, symbol: str | None = None) -> Manifest:
    return Manifest(
        format=1,
        name="made-up",
        symbol=symbol,
        recipe_hash="recipe",
        data_revision=str(number),
        features=["return_1"],
        horizon_sessions=1,
        trained_from=date(2020, 1, 1),
        trained_through=date(2025, 1, 1),
        rows=1000,
        base_rate=0.5,
        symbol_base_rates={},
        calibrator=Calibrator(1.0, 0.0, {}, 0.0),
        metrics={},
        gated=True,
        parity=Parity(1, 0.0, 0),
        libraries={},
        files={},
    )


def evidence(number: int, gain: float, *, recipe: str = "recipe", symbol: str | None = None) -> Evidence:
    noise = [0.05 if day % 2 else -0.05 for day in range(SHORT)]
    return Evidence(
        recipe="made-up",
        recipe_hash=recipe,
        feature_version="f",
        data_revision=str(number),
        symbol=symbol,
        horizon_sessions=1,
        folds=5,
        days=[Day(day, 1, 0.69 - gain, 0.69, 0.69, noise[day], noise[day]) for day in range(SHORT)],
        table=[],
        bins=[],
        costs=None,
        largest_difference=0.0,
        other_side=0,
    )


def add(ledger: ModelLedger, number: int, gain: float, **more: Any) -> tuple[ModelLedger, str]:
    reported = manifest(number, more.get("symbol"))
    reported = msgspec.structs.replace(reported, recipe_hash=more.get("recipe", "recipe"))
    found = record(ledger, version_of(reported), reported, evidence(number, gain, **more), Gate(), at=NOW)
    return found, version_of(reported)


def verdict(ledger: ModelLedger, version: str) -> Any:
    found = ledger.entry(version).verdict
    assert found is not None
    return found


def test_a_new_model_is_a_candidate_and_its_trial_is_counted() -> None:
    ledger, good = add(ModelLedger(), 1, 0.02)
    ledger, bad = add(ledger, 2, -0.02, recipe="other")
    assert [(one.stage, one.verdict and one.verdict.passed) for one in ledger.entries] == [
        ("candidate", True),
        ("candidate", False),
    ]
    assert len(ledger.trials) == 2
    assert verdict(ledger, good).level == 0.005
    assert verdict(ledger, bad).level == pytest.approx(0.01 / 6)


def test_a_refit_of_what_passed_is_no_trial_and_a_symbol_has_its_own_count() -> None:
    ledger, _ = add(ModelLedger(), 1, 0.02)
    ledger, refit = add(ledger, 2, 0.0)
    ledger, own = add(ledger, 3, 0.02, symbol="IBM")
    assert verdict(ledger, refit).kind == "refit"
    assert verdict(ledger, refit).passed
    assert verdict(ledger, own).trials == 1
    assert [trial.symbol for trial in ledger.trials] == [None, "IBM"]


def test_a_refit_that_shares_no_session_with_what_serves_has_to_win_again() -> None:
    """After a symbol was added, each session has more rows than the version that serves was judged by."""
    ledger, one = add(ModelLedger(), 1, 0.02)
    for number, gain, passed in ((2, 0.0, False), (3, 0.02, True)):
        apart = msgspec.structs.replace(evidence(number, gain), serving=one, serving_losses=[None] * SHORT)
        changed = record(ledger, version_of(manifest(number)), manifest(number), apart, Gate(), at=NOW)
        reported = changed.entries[-1].verdict
        assert reported is not None
        assert (reported.kind, reported.trials, reported.passed) == ("new", 2, passed)
        assert len(changed.trials) == 2


def test_recording_the_same_model_again_changes_nothing() -> None:
    ledger, _ = add(ModelLedger(), 1, 0.02)
    assert add(ledger, 1, 0.02)[0] == ledger


def test_one_model_serves_and_a_rollback_goes_back_step_by_step() -> None:
    ledger, one = add(ModelLedger(), 1, 0.02)
    ledger, two = add(ledger, 2, 0.02)
    ledger, three = add(ledger, 3, 0.02)
    for version in (one, two, three):
        ledger = promote(ledger, version, NOW, "better", mode="enforce")
    assert [entry.stage for entry in ledger.entries] == ["retired", "retired", "serving"]
    for expected in (two, one):
        ledger = roll_back(ledger, "made-up", None, NOW, "worse", mode="enforce")
        serving = ledger.serving("made-up", None)
        assert serving is not None
        assert serving.version == expected
    with pytest.raises(LedgerError, match="is the first that served, there is none to go back to"):
        roll_back(ledger, "made-up", None, NOW, "worse", mode="enforce")


def test_under_enforce_nothing_serves_that_failed_not_even_by_hand() -> None:
    ledger, bad = add(ModelLedger(), 1, -0.02)
    with pytest.raises(LedgerError, match=r"did not pass the gate \(failed: better than the base rate"):
        promote(ledger, bad, NOW, "please", mode="enforce", by_hand=True)
    reported = promote(ledger, bad, NOW, "please", mode="report", by_hand=True)
    assert reported.entry(bad).reason == "by hand: please"


def test_an_unknown_or_ambiguous_version_is_named() -> None:
    ledger, one = add(ModelLedger(), 1, 0.02)
    assert ledger.entry(one[:8]).version == one
    with pytest.raises(LedgerError, match="version 'zz': no model begins like that; the newest are"):
        ledger.entry("zz")
    with pytest.raises(LedgerError, match="version '': no model"):
        ledger.entry("")
    twin = record(ledger, f"{one[:8]}-twin", manifest(2), evidence(2, 0.02), Gate(), at=NOW)
    with pytest.raises(LedgerError, match=f"version '{one[:8]}': 2 models begin like that: "):
        twin.entry(one[:8])


def test_the_book_is_kept_in_a_file(tmp_path: Path) -> None:
    ledger, _ = add(ModelLedger(), 1, 0.02)
    write_ledger(tmp_path, ledger)
    assert read_ledger(tmp_path) == ledger
    assert read_ledger(tmp_path / "none") == ModelLedger()
    (tmp_path / "ledger.json").write_text("{")
    with pytest.raises(LedgerError, match=r"ledger\.json"):
        read_ledger(tmp_path)


def test_at_most_one_candidate_per_symbol_is_in_shadow_and_a_promotion_takes_it_out() -> None:
    ledger, one = add(ModelLedger(), 1, 0.02)
    ledger, two = add(ledger, 2, 0.02)
    ledger, own = add(ledger, 3, 0.02, symbol="IBM")
    for version in (one, own, two):
        ledger = put_in_shadow(ledger, version, NOW, "to see it", mode="enforce")
    assert [entry.stage for entry in ledger.entries] == ["candidate", "shadow", "shadow"]
    ledger = end_shadow(ledger, own, NOW, "seen")
    ledger = promote(ledger, two, NOW, "better", mode="enforce")
    assert [entry.stage for entry in ledger.entries] == ["candidate", "serving", "candidate"]
    with pytest.raises(LedgerError, match="is serving: only a candidate can be put into shadow"):
        put_in_shadow(ledger, two, NOW, "please", mode="enforce")
    with pytest.raises(LedgerError, match="is candidate, not in shadow"):
        end_shadow(ledger, one, NOW, "please")


def test_under_enforce_only_what_passed_can_be_put_into_shadow() -> None:
    ledger, bad = add(ModelLedger(), 1, -0.02)
    with pytest.raises(LedgerError, match=r"did not pass the gate, and training\.gate\.mode is enforce"):
        put_in_shadow(ledger, bad, NOW, "please", mode="enforce")
    assert put_in_shadow(ledger, bad, NOW, "please", mode="report").entry(bad).stage == "shadow"


def test_a_demotion_goes_back_past_what_was_demoted_before_and_ends_with_none_that_answers() -> None:
    ledger, one = add(ModelLedger(), 1, 0.02)
    ledger, two = add(ledger, 2, 0.02)
    ledger, three = add(ledger, 3, 0.02)
    for version in (one, two, three):
        ledger = promote(ledger, version, NOW, "better", mode="enforce")
    ledger = demote(ledger, three, NOW, "worse", mode="enforce")
    assert [(entry.stage, entry.demoted) for entry in ledger.entries] == [
        ("retired", ""),
        ("serving", ""),
        ("retired", "worse"),
    ]
    ledger = demote(ledger, two, NOW, "worse too", mode="enforce")
    last = demote(ledger, one, NOW, "all are", mode="enforce")
    assert [(entry.stage, entry.demoted) for entry in last.entries] == [
        ("serving", "all are"),
        ("retired", "worse too"),
        ("retired", "worse"),
    ]
    assert demote(last, one, NOW, "again", mode="enforce") == last
    back = promote(last, one, NOW, "I know", mode="enforce", by_hand=True).entry(one)
    assert (back.stage, back.demoted, back.reason) == ("serving", "", "by hand: I know")
