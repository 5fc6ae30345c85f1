"""A backup's progress as its status, and back. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from kubernetes import utils

from bellwether_operator.backups.repository import NOT_TESTED
from bellwether_operator.backups.steps import PRUNING, Progress, State, Stored, Volume, instant

VERIFIED = "RestoreVerified"


def progress_of(raw: Mapping[str, Any]) -> Progress:
    """Return how far a backup is by its status."""
    status = raw.get("status") or {}
    volumes = tuple(
        Volume(
            str(one["claim"]),
            str(one["snapshot"]),
            str(one.get("content", "")),
            str(one.get("cutAt", "")),
            str(one.get("size", "")),
            bool(one.get("ready", False)),
        )
        for one in status.get("volumes") or ()
    )
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    complete, drill = conditions.get("Complete", {}), conditions.get(VERIFIED, {})
    state: State = "running"
    if complete.get("status") == "True":
        state = "complete"
    elif complete.get("reason") == PRUNING:
        state = "pruning"
    elif conditions.get("Failed", {}).get("status") == "True":
        state = "failed"
    return Progress(
        volumes=volumes,
        stored=_stored(status.get("repository")),
        class_name=str(status.get("className", "")),
        started_at=instant(str(status.get("startedAt", ""))),
        held_until=instant(str(status.get("heldUntil", ""))),
        not_held=str(status.get("notHeld", "")),
        held_milliseconds=int(status.get("heldMilliseconds", 0)),
        quiesced_until=instant(str(status.get("quiescedUntil", ""))),
        cut_at=instant(str(status.get("cutAt", ""))),
        verify_started_at=instant(str(status.get("verifyStartedAt", ""))),
        verify_ended_at=instant(str(status.get("verifyEndedAt", ""))),
        ended_at=instant(str(status.get("endedAt", ""))),
        without_pods=int(status.get("secondsWithoutPods", 0)),
        state=state,
        reason=str(complete.get("reason", "Started")),
        message=str(complete.get("message", "")),
        verified={"True": True, "False": False}.get(str(drill.get("status"))),
        drill_started_at=instant(str(status.get("drillStartedAt", ""))),
        drill_ended_at=instant(str(status.get("drillEndedAt", ""))),
        drill_reason=str(drill.get("reason", "")),
        drill_message=str(drill.get("message", "")),
    )


def status_of(progress: Progress, raw: Mapping[str, Any], now: datetime, **facts: str) -> dict[str, Any]:
    """Return the status that says this; `facts` are further texts that are kept once they are written."""
    before = raw.get("status") or {}
    generation = int(raw["metadata"].get("generation", 0))
    held = progress.quiesced_until is not None or progress.held_until is not None
    spec = raw.get("spec") or {}
    whole = spec.get("kind") == "incremental" and progress.stored is None
    note = " (of volume snapshots each is whole: incremental is full)" if whole else ""
    complete = "True" if progress.state == "complete" else "False"
    failed = "True" if progress.state == "failed" else "False"
    why = (progress.reason, progress.message) if failed == "True" else ("NotFailed", "")
    wanted = [
        ("Complete", complete, progress.reason, progress.message + note),
        ("Failed", failed, *why),
        ("Quiesced", "True" if held else "False", "CuttingVolumes" if held else "Running", ""),
    ]
    if progress.drill_started_at is not None:
        said = {True: "True", False: "False", None: "Unknown"}[progress.verified]
        wanted.append((VERIFIED, said, progress.drill_reason, progress.drill_message))
    elif spec.get("drill") and progress.stored is not None:
        wanted.append((VERIFIED, "Unknown", "NotTested", NOT_TESTED))
    known = {one["type"]: one for one in before.get("conditions") or ()}
    found: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": [
            {
                "type": kind_,
                "status": status,
                "reason": reason,
                "message": message[:2000],
                "observedGeneration": generation,
                "lastTransitionTime": known[kind_]["lastTransitionTime"]
                if kind_ in known and known[kind_]["status"] == status
                else _text(now),
            }
            for kind_, status, reason, message in wanted
        ],
        "volumes": [
            {
                "claim": one.claim,
                "snapshot": one.snapshot,
                "content": one.content,
                "cutAt": one.cut_at,
                "size": one.size,
                "ready": one.ready,
            }
            for one in progress.volumes
        ],
        "className": progress.class_name,
        "startedAt": _text(progress.started_at),
        "heldUntil": _text(progress.held_until),
        "notHeld": progress.not_held,
        "heldMilliseconds": progress.held_milliseconds,
        "quiescedUntil": _text(progress.quiesced_until),
        "cutAt": _text(progress.cut_at),
        "verifyStartedAt": _text(progress.verify_started_at),
        "verifyEndedAt": _text(progress.verify_ended_at),
        "endedAt": _text(progress.ended_at),
        "drillStartedAt": _text(progress.drill_started_at),
        "drillEndedAt": _text(progress.drill_ended_at),
        "secondsWithoutPods": progress.without_pods,
        "seconds": _seconds(progress),
        "size": _size([one.size for one in progress.volumes]),
    }
    if (stored := progress.stored) is not None:
        found["size"] = _mebibytes(stored.size)
        found["repository"] = {
            "location": stored.location,
            "where": stored.where,
            "attempts": stored.attempts,
            "retryAt": _text(stored.retry_at),
            "id": stored.id,
            "session": stored.session,
            "bytes": stored.size,
            "addedBytes": stored.added,
            "added": _mebibytes(stored.added),
        }
    for name in ("release", "declaration"):
        found[name] = str(before.get(name) or facts.get(name, ""))
    return found


def _stored(found: Mapping[str, Any] | None) -> Stored | None:
    if not found:
        return None
    return Stored(
        location=str(found["location"]),
        where=str(found["where"]),
        attempts=int(found["attempts"]),
        retry_at=instant(str(found["retryAt"])),
        id=str(found["id"]),
        session=str(found["session"]),
        size=int(found["bytes"]),
        added=int(found["addedBytes"]),
    )


def _seconds(progress: Progress) -> int:
    """Return how long it took; 0 while it has not ended."""
    began, ended = progress.started_at, progress.ended_at
    return 0 if began is None or ended is None else max(0, int((ended - began).total_seconds()))


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f}Mi" if size else ""


def _size(sizes: Sequence[str]) -> str:
    """Return how much a restore of all needs; empty while that is not known of each."""
    if not sizes or not all(sizes):
        return ""
    try:
        return f"{sum(_bytes(size) for size in sizes) / Decimal(2**30):.1f}Gi"
    except ValueError:
        return ""


_bytes: Callable[[str], int | Decimal] = utils.parse_quantity


def _text(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
