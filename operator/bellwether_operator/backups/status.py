"""A backup's progress as its status, and back. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from kubernetes import utils

from bellwether_operator.backups.steps import PRUNING, Progress, State, Stored
from bellwether_operator.report.finding import Finding, conditions, instant, truth

VERIFIED = "RestoreVerified"
_ELSEWHERE = {"state", "reason", "message", "verified", "drillReason", "drillMessage", "repository"}
"""What stands in conditions; and the repository, which is written only of a backup in one."""


def progress_of(raw: Mapping[str, Any]) -> Progress:
    """Return how far a backup is by its status."""
    status = raw.get("status") or {}
    said = {one["type"]: one for one in status.get("conditions") or ()}
    complete, drill = said.get("Complete", {}), said.get(VERIFIED, {})
    state: State = "running"
    if complete.get("status") == "True":
        state = "complete"
    elif complete.get("reason") == PRUNING:
        state = "pruning"
    elif said.get("Failed", {}).get("status") == "True":
        state = "failed"
    by_conditions = {
        "state": state,
        "reason": complete.get("reason", "Started"),
        "message": complete.get("message", ""),
        "verified": {"True": True, "False": False}.get(drill.get("status")),
        "drillReason": drill.get("reason", ""),
        "drillMessage": drill.get("message", ""),
    }
    repository = _without_empty(status.get("repository") or {}) or None
    return msgspec.convert(_without_empty(status) | by_conditions | {"repository": repository}, Progress)


def status_of(progress: Progress, raw: Mapping[str, Any], now: datetime, **facts: str) -> dict[str, Any]:
    """Return the status that says this; `facts` are further texts that are kept once they are written."""
    before = raw.get("status") or {}
    generation = int(raw["metadata"].get("generation", 0))
    held = progress.quiesced_until is not None or progress.held_until is not None
    spec = raw.get("spec") or {}
    whole = spec.get("kind") == "incremental" and progress.stored is None
    note = " (of volume snapshots each is whole: incremental is full)" if whole else ""
    failed = progress.state == "failed"
    why = (progress.reason, progress.message) if failed else ("NotFailed", "")
    wanted = [
        Finding("Complete", truth(progress.state == "complete"), progress.reason, progress.message + note),
        Finding("Failed", truth(failed), *why),
        Finding("Quiesced", truth(held), "CuttingVolumes" if held else "Running", ""),
    ]
    if progress.drill_started_at is not None:
        verified = "Unknown" if progress.verified is None else truth(progress.verified)
        wanted.append(Finding(VERIFIED, verified, progress.drill_reason, progress.drill_message))
    found: dict[str, Any] = {name: record for name, record in _as_written(progress).items() if name not in _ELSEWHERE}
    found |= {
        "observedGeneration": generation,
        "conditions": conditions(wanted, generation, before.get("conditions") or (), now),
        "volumes": [msgspec.to_builtins(one) for one in progress.volumes],
        "seconds": _seconds(progress),
        "size": _size([one.size for one in progress.volumes]),
    }
    if progress.stored is not None:
        found["size"] = _mebibytes(progress.stored.size)
        found["repository"] = _as_written(progress.stored) | {"added": _mebibytes(progress.stored.added)}
    for name in ("release", "declaration"):
        found[name] = str(before.get(name) or facts.get(name, ""))
    return found


def _without_empty(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value != ""}


def _as_written(record: Progress | Stored) -> dict[str, Any]:
    """Return the fields as a status has them: instants to the second, empty where there is none."""
    found = msgspec.to_builtins(record, builtin_types=(datetime,))
    return {
        name: _text(value) if value is None or isinstance(value, datetime) else value for name, value in found.items()
    }


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
    return "" if at is None else instant(at)
