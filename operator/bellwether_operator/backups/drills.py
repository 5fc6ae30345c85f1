"""A backup that is read from scratch volumes: how far that is, and what is next. Pure.

    1  begin    the status says that it has started
    2  make     a scratch volume of each snapshot, and the Job that reads them; of a backup in a repository one volume,
                and the Job that restores it there. What is there is not made again
    3  wait     until the Job has ended, or the time is over
    4  report   the outcome is written
    5  clear    all of it is deleted, whatever came of it; the status says when it is gone

It is done once before a backup of snapshots is complete, to verify it, and once more for a drill, which also computes
the last decisions again. An operator that was killed goes on by looking again. All of it belongs to the backup and goes
with it besides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec.structs import replace

from bellwether_operator.backups.steps import Progress

PATIENCE = timedelta(minutes=45)
"""How long the volumes and the Job together may take."""
_WORDS = 1500
_DECIDED = "; decisions of the last session computed again: "
_COUNTED = ("pieces", "rows", "messages", "orders", "fills")
_OF = "decisions "
"""What the figures of a restored repository count, as `bellwether backup drill` has them."""
Stage = Literal["idle", "begin", "make", "wait", "clear"]


@dataclass(frozen=True)
class Scene:
    """What is there of what reads a backup."""

    left: Sequence[str] = ()
    """Names of scratch volumes, Job and policy that are there."""
    missing: Sequence[str] = ()
    """Names of those that are not."""
    job: Mapping[str, Any] | None = None
    said: str = ""
    """What the pod said last."""
    waits: str = ""
    """Why it does not run."""
    refused: str = ""
    """Why nothing of it can be made, ever."""


@dataclass(frozen=True)
class DrillStep:
    """What is next: the progress to be written, and then what is to be made or deleted."""

    progress: Progress
    make: Sequence[str] = ()
    clear: bool = False


def is_verifying(progress: Progress) -> bool:
    """Whether something is there that was made to verify a backup."""
    return progress.verify_started_at is not None and progress.verify_ended_at is None


def is_due(progress: Progress, wanted: bool) -> bool:
    """Whether something is still to be cleared, or done about testing a backup."""
    if is_verifying(progress) and progress.state in {"complete", "failed"}:
        return True
    return wanted and progress.state == "complete" and progress.drill_ended_at is None


def verify_step(before: Progress, scene: Scene, now: datetime) -> DrillStep:
    """Return the next step of a backup that is verified; it is complete, or has failed, before all is cleared."""
    if before.state != "running":
        return DrillStep(before, clear=True) if scene.left else DrillStep(replace(before, verify_ended_at=now))
    found = _found(scene, before.verify_started_at, before.message, now)
    if found is None:
        words = f"scratch copies of all volumes wait to be read: {scene.waits}"
        return DrillStep(replace(before, message=words[:_WORDS]) if scene.waits else before, make=scene.missing)
    kind, words = found
    if kind == "whole":
        words = f"all {len(before.volumes)} volumes are kept, of {before.cut_at:%Y-%m-%d %H:%M:%S} UTC: {words}"
        return DrillStep(replace(before, state="complete", ended_at=now, reason="Verified", message=words[:_WORDS]))
    reason = "NotWhole" if kind == "damaged" else "NotVerified"
    return DrillStep(replace(before, state="failed", ended_at=now, reason=reason, message=words[:_WORDS]))


def drill_step(before: Progress, scene: Scene, now: datetime) -> DrillStep:
    """Return the next step of a test that has not ended."""
    if before.drill_started_at is None:
        words = "volumes are made from its snapshots and read"
        if before.stored is not None:
            words = f"it is fetched from {before.stored.location} and restored on a scratch volume"
        return DrillStep(replace(before, drill_started_at=now, drill_reason="Restoring", drill_message=words))
    if before.verified is not None:
        return DrillStep(before, clear=True) if scene.left else DrillStep(replace(before, drill_ended_at=now))
    found = _found(scene, before.drill_started_at, before.drill_message, now)
    if found is None:
        return DrillStep(replace(before, drill_message=scene.waits or before.drill_message), make=scene.missing)
    kind, words = found
    reason = {"whole": "Restored", "late": "RestoreTimeout"}.get(kind, "RestoreFailed")
    if kind == "whole" and _DECIDED not in words:
        words = f"{words}; its declaration is too long for decisions to be computed again"
    return DrillStep(replace(before, verified=kind == "whole", drill_reason=reason, drill_message=words[:_WORDS]))


def _found(
    scene: Scene, since: datetime | None, said: str, now: datetime
) -> tuple[Literal["whole", "damaged", "unread", "late"], str] | None:
    """Return how volumes were found, in words too; None while the Job goes on and has time."""
    if scene.refused:
        return "unread", scene.refused
    for each in ((scene.job or {}).get("status") or {}).get("conditions") or ():
        if each.get("status") != "True":
            continue
        if each["type"] == "Failed":
            why = scene.said.strip() or str(each.get("message") or each.get("reason") or "it does not say why")
            # Only of this the pod says that trying again cannot help.
            named = each.get("reason") == "PodFailurePolicy"
            return "damaged" if named else "unread", why.removeprefix("error: ")
        if each["type"] == "Complete":
            words = figures(scene.said)
            return ("unread", "the Job has ended without figures") if words is None else ("whole", words)
    if since is not None and now >= since + PATIENCE:
        last = f"{said}; {_last(scene)}"
        return "late", f"not read within {PATIENCE.total_seconds() / 60:g} minutes: {last}"
    return None


def figures(said: str) -> str | None:
    """Return the figures of what was read in words; None where there are none."""
    try:
        found = json.loads(said)
        if "pieces" in found:
            counted = ", ".join(f"{int(found[name])} {name}" for name in _COUNTED)
            outcomes = {name[len(_OF) :]: count for name, count in found.items() if name.startswith(_OF)}
            return f"{counted}, restored in {found['seconds']} s{_decided(outcomes)}"
        databases = found["databases"]
        rows = ", ".join(f"{name} {one['rows']} rows ({one['sha256']})" for name, one in sorted(databases.items()))
        read = f"{int(found['files'])} files, {int(found['bytes'])} bytes, read in {found['seconds']} s"
        return f"{rows}; {read}{_decided(found.get('decisions'))}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _decided(outcomes: Mapping[str, int] | None) -> str:
    """Return in words how the decisions of the last session came out, where they were computed again."""
    if outcomes is None:
        return ""
    counted = ", ".join(f"{int(count)} {outcome}" for outcome, count in sorted(outcomes.items()))
    return f"{_DECIDED}{counted or 'there are none'}"


def _last(scene: Scene) -> str:
    if scene.job is None:
        return f"there is no Job; not there: {', '.join(scene.missing)}"
    status = scene.job.get("status") or {}
    return "its pod runs" if status.get("ready") else "its pod does not run"
