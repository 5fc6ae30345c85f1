"""A backup that is restored for a test: how far that is, and what is next. Pure.

    1  begin    the status says that it has begun
    2  make     a scratch volume of each snapshot, and the Job that reads them; what is there is not made again
    3  wait     until the Job has ended, or the time is over
    4  tell     the outcome is written
    5  clear    all of it is deleted, whatever came of it; the status says when it is gone

An operator that was killed goes on by looking again. All of it belongs to the backup and goes with it besides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from bellwether_operator.backups.steps import Progress

PATIENCE = timedelta(minutes=45)
"""How long the volumes and the Job together may take."""
_WORDS = 1500
Stage = Literal["idle", "begin", "make", "wait", "clear"]


@dataclass(frozen=True)
class Scene:
    """What is there of a test."""

    left: Sequence[str] = ()
    """Names of scratch volumes, Job and policy that are there."""
    missing: Sequence[str] = ()
    """Names of those that are not."""
    job: Mapping[str, Any] | None = None
    said: str = ""
    """What the pod said last."""


@dataclass(frozen=True)
class DrillStep:
    """What is next: the progress to be written, and then what is to be made or deleted."""

    progress: Progress
    make: Sequence[str] = ()
    clear: bool = False


def is_due(progress: Progress, wanted: bool) -> bool:
    """Whether something is still to be done about testing a backup."""
    return wanted and progress.state == "complete" and progress.drill_ended_at is None


def drill_step(before: Progress, scene: Scene, now: datetime) -> DrillStep:
    """Return the next step of a test that has not ended."""
    if before.drill_started_at is None:
        words = "volumes are made from its snapshots and read"
        return DrillStep(replace(before, drill_started_at=now, drill_reason="Restoring", drill_message=words))
    if before.verified is not None:
        if scene.left:
            return DrillStep(before, clear=True)
        return DrillStep(replace(before, drill_ended_at=now))
    outcome = _outcome(scene.job, scene.said)
    if outcome is not None:
        return DrillStep(outcome_written(before, *outcome))
    if now >= before.drill_started_at + PATIENCE:
        words = f"not read within {PATIENCE.total_seconds() / 60:g} minutes: {_last(scene)}"
        return DrillStep(outcome_written(before, False, "RestoreTimeout", words))
    return DrillStep(before, make=scene.missing)


def outcome_written(before: Progress, verified: bool, reason: str, words: str) -> Progress:
    """Return the progress with the outcome of a test; what was made for it is still to go."""
    return replace(before, verified=verified, drill_reason=reason, drill_message=words[:_WORDS])


def _outcome(job: Mapping[str, Any] | None, said: str) -> tuple[bool, str, str] | None:
    """Return whether it was found whole, the reason, and the words; None while the Job goes on."""
    for each in ((job or {}).get("status") or {}).get("conditions") or ():
        if each.get("status") != "True":
            continue
        if each["type"] == "Failed":
            why = said.strip() or str(each.get("message") or each.get("reason") or "it does not say why")
            return False, "RestoreFailed", why.removeprefix("error: ")
        if each["type"] == "Complete":
            words = figures(said)
            if words is None:
                return False, "RestoreFailed", "the Job has ended without figures"
            return True, "Restored", words
    return None


def figures(said: str) -> str | None:
    """Return the figures of a test in words; None where there are none."""
    try:
        found = json.loads(said)
        databases = found["databases"]
        rows = ", ".join(f"{name} {one['rows']} rows ({one['sha256']})" for name, one in sorted(databases.items()))
        read = f"{int(found['files'])} files, {int(found['bytes'])} bytes, read in {found['seconds']} s"
        return f"{rows}; {read}; {_decided(found.get('decisions'))}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _decided(outcomes: Mapping[str, int] | None) -> str:
    """Return in words how the decisions of the last session came out when they were computed again."""
    if outcomes is None:
        return "its declaration is too long for decisions to be computed again"
    counted = ", ".join(f"{int(count)} {outcome}" for outcome, count in sorted(outcomes.items()))
    return f"decisions of the last session computed again: {counted or 'there are none'}"


def _last(scene: Scene) -> str:
    if scene.job is None:
        return f"there is no Job; not there: {', '.join(scene.missing)}"
    status = scene.job.get("status") or {}
    return "its pod runs" if status.get("ready") else "its pod does not run (kubectl describe pod says why)"
