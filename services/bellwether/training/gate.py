"""The gate: whether a model may serve, and whether live outcomes say that it should not. Pure.

A new recipe has to be better than the base rate by more than luck explains, at a level that is spent over all trials.
A refit of a recipe that passed has to be calibrated, not worse than the base rate nor than the version that serves, and
the same in ONNX Runtime.

Live outcomes are looked at after fixed numbers of realised sessions only: first at the declared minimum, then each time
one more block of sessions has come. The level is spent over those looks as the gate spends it over trials, so that
looking every evening demotes no model by luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from bellwether.messages.registry import LiveDay
from bellwether.training.bootstrap import FEWEST_BLOCKS, Resampled, block_length, resample
from bellwether.training.evidence import Day, Evidence
from bellwether.training.recipe import Gate

LARGEST_DIFFERENCE = 1.0e-5
LARGEST_BIAS = 0.05
"""By how much the mean probability may miss the share that rose, where luck does not explain it."""
CALIBRATION_LEVEL = 0.01
RECENT_SHARE = 1.0 / 3.0
"""The newest part of the test sessions, in which a signal must still be there."""


class Check(msgspec.Struct, frozen=True):
    """One thing that was asked: what was found, what was wanted, in words."""

    name: str
    passed: bool
    found: str
    wanted: str


class Verdict(msgspec.Struct, frozen=True):
    """What the gate says of a model."""

    passed: bool
    kind: Literal["new", "refit"]
    trials: int
    """Trials of its scope so far, this one included."""
    level: float
    """What was left of the declared level for this trial."""
    checks: list[Check]

    def words(self) -> str:
        """Return the verdict in one line: what failed, or that nothing did."""
        failed = [f"{check.name}: {check.found}, wanted {check.wanted}" for check in self.checks if not check.passed]
        return "passed" if self.passed else "failed: " + "; ".join(failed)


def level_of(declared: float, trial: int) -> float:
    """Return the level of the n-th trial, n from 1: declared / (n (n + 1)), which adds up to what was declared."""
    return declared / (trial * (trial + 1))


def comparable(evidence: Evidence) -> bool:
    """Return whether there is enough to compare a refit with the version that serves, where one does.

    There is not when both predicted other symbols: a session's losses are then those of other rows.
    """
    if evidence.serving is None:
        return True
    shared = sum(loss is not None for loss in evidence.serving_losses)
    return shared >= FEWEST_BLOCKS * block_length(evidence.horizon_sessions)


def judge(evidence: Evidence, gate: Gate, *, trials: int, refit: bool) -> Verdict:
    """Return whether a model may serve.

    Args:
        evidence: what its walk-forward showed.
        gate: what the recipe declares.
        trials: trials of its scope, this one included.
        refit: whether this very recipe passed before and its version that serves can be compared with; then it needs
            not win again, only not have got worse than the base rate and than that version.
    """
    level = level_of(gate.level, max(trials, 1))
    length = block_length(evidence.horizon_sessions)
    days = evidence.days
    try:
        gains = _gain(days, length)
        checks = [_no_worse(gains, gate)] if refit else _better(days, gains, level)
        if refit and evidence.serving is not None:
            checks.append(_not_inferior(evidence, length, gate))
        if evidence.rival is not None and not refit:
            checks.append(_beats_rival(days, length, gate, level))
        checks += _calibrated(days, length)
    except ValueError as error:
        checks = [Check("history", False, str(error), "enough test sessions")]
    checks.append(_parity(evidence))
    return Verdict(
        passed=all(check.passed for check in checks),
        kind="refit" if refit else "new",
        trials=trials,
        level=level,
        checks=checks,
    )


def _gain(days: Sequence[Day], length: int) -> Resampled:
    """Return by how much the model's log loss is lower than that of the better base rate, per row."""
    pooled, symbol = sum(day.pooled for day in days), sum(day.symbol for day in days)
    base = [day.pooled if pooled <= symbol else day.symbol for day in days]
    sums = [loss - day.model for loss, day in zip(base, days, strict=True)]
    return resample(sums, [day.rows for day in days], length)


def _better(days: Sequence[Day], gains: Resampled, level: float) -> list[Check]:
    bound = gains.lower(level)
    recent = list(days[-max(int(len(days) * RECENT_SHARE), 1) :])
    pooled, symbol = sum(day.pooled for day in recent), sum(day.symbol for day in recent)
    late = (min(pooled, symbol) - sum(day.model for day in recent)) / sum(day.rows for day in recent)
    return [
        Check(
            "better than the base rate",
            bound > 0.0,
            f"log loss {gains.mean:+.5f} better, lower bound {bound:+.5f} at level {level:.2g}",
            "a bound above 0",
        ),
        Check("still there", late > 0.0, f"{late:+.5f} in the newest third of the test", "above 0"),
    ]


def _no_worse(gains: Resampled, gate: Gate) -> Check:
    bound = gains.lower(gate.level)
    return Check(
        "not worse than the base rate",
        bound > -gate.tolerance,
        f"log loss {gains.mean:+.5f} better, lower bound {bound:+.5f} at level {gate.level:g}",
        f"a bound above -{gate.tolerance:g} (gate.tolerance)",
    )


def _not_inferior(evidence: Evidence, length: int, gate: Gate) -> Check:
    pairs = zip(evidence.days, evidence.serving_losses, strict=False)
    found = [(loss - day.model, day.rows) for day, loss in pairs if loss is not None]
    gains = resample([sums for sums, _ in found], [rows for _, rows in found], length)
    bound = gains.lower(gate.level)
    return Check(
        "not worse than what serves",
        bound > -gate.tolerance,
        f"log loss {gains.mean:+.5f} better in {len(found)} sessions, lower bound {bound:+.5f} at level {gate.level:g}",
        f"a bound above -{gate.tolerance:g} (gate.tolerance)",
    )


def _beats_rival(days: Sequence[Day], length: int, gate: Gate, level: float) -> Check:
    found = [(day.rival - day.model, day.rows) for day in days if day.rival is not None]
    gains = resample([sums for sums, _ in found], [rows for _, rows in found], length)
    bound = gains.lower(level)
    return Check(
        "better than what serves",
        bound > gate.margin,
        f"log loss {gains.mean:+.5f} better, lower bound {bound:+.5f} at level {level:.2g}",
        f"a bound above {gate.margin:g} (gate.margin)",
    )


def _calibrated(days: Sequence[Day], length: int) -> list[Check]:
    rows = [day.rows for day in days]
    bias, tilt = resample([day.bias for day in days], rows, length), resample([day.tilt for day in days], rows, length)
    low, high = bias.lower(CALIBRATION_LEVEL / 2), bias.upper(CALIBRATION_LEVEL / 2)
    off = abs(bias.mean) > LARGEST_BIAS and not low <= 0.0 <= high
    steepest = tilt.upper(CALIBRATION_LEVEL)
    return [
        Check(
            "calibrated on the whole",
            not off,
            f"probabilities {bias.mean:+.4f} beside outcomes ({low:+.4f} to {high:+.4f})",
            f"within {LARGEST_BIAS:g}, or explained by luck",
        ),
        Check(
            "not too sure",
            steepest >= 0.0,
            f"tilt {tilt.mean:+.5f}, upper bound {steepest:+.5f}",
            "an upper bound of 0 or more: below, probabilities lie too far from the base rate",
        ),
    ]


def _parity(evidence: Evidence) -> Check:
    return Check(
        "the same in ONNX Runtime",
        evidence.largest_difference < LARGEST_DIFFERENCE and evidence.other_side == 0,
        f"largest difference {evidence.largest_difference:.1e}, {evidence.other_side} rows on another side",
        f"below {LARGEST_DIFFERENCE:g}, and the same action on every row",
    )


class Look(NamedTuple):
    """What a look at live outcomes found. Gains are of log loss per decision, the base rate's less the model's."""

    number: int
    sessions: int
    gain: float
    bound: float
    """One-sided upper bound of the gain, at `level`."""
    level: float
    worse: bool

    @property
    def words(self) -> str:
        """Return what was found, in one line."""
        return (
            f"live log loss {self.gain:+.5f} better than the base rate over {self.sessions} sessions, upper bound "
            f"{self.bound:+.5f} at level {self.level:.2g}"
        )


def sessions_needed(minimum: int, horizon: int) -> int:
    """Return after how many sessions with outcomes the first look is taken."""
    return max(minimum, FEWEST_BLOCKS * block_length(horizon))


def newest_look(days: Sequence[LiveDay], horizon: int, *, minimum: int, level: float, margin: float) -> Look | None:
    """Return the newest look at a model's sessions with outcomes, oldest first; None before there are enough."""
    first, length = sessions_needed(minimum, horizon), block_length(horizon)
    if len(days) < first or level <= 0.0:
        return None
    number = (len(days) - first) // length + 1
    seen = days[: first + (number - 1) * length]
    spent = level_of(level, number)
    gains = resample([day.base - day.model for day in seen], [day.rows for day in seen], length)
    bound = gains.upper(spent)
    return Look(number, len(seen), gains.mean, bound, spent, worse=bound < -margin)
