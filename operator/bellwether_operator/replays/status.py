"""A replay's progress as its status, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bellwether_operator.replays.steps import Progress, State

_LONGEST = 2000
_EMPTY: dict[str, Any] = {"bars": "", "complete": False, "message": "", "report": ""}


def progress_of(raw: Mapping[str, Any]) -> Progress:
    """Return how far a replay is by its status."""
    status = raw.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    complete = conditions.get("Complete", {})
    state: State = "running" if status.get("job") else "waiting"
    if complete.get("status") == "True":
        state = "complete"
    elif conditions.get("Failed", {}).get("status") == "True":
        state = "failed"
    ended = str(status.get("endedAt", ""))
    return Progress(
        state=state,
        accepted=conditions.get("Accepted", {}).get("status") == "True",
        reason=str(complete.get("reason", "Waiting")),
        message=str(complete.get("message", "")),
        rows=tuple(dict(one) for one in status.get("variants") or ()),
        frozen_at=str(status.get("frozenAt", "")),
        declaration_hash=str(status.get("declarationHash", "")),
        job=str(status.get("job", "")),
        ended_at=datetime.fromisoformat(ended.replace("Z", "+00:00")) if ended else None,
    )


def status_of(progress: Progress, raw: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the status that says this."""
    before = raw.get("status") or {}
    known = {one["type"]: one for one in before.get("conditions") or ()}
    generation = int(raw["metadata"].get("generation", 0))
    failed = progress.state == "failed"
    under_way = progress.accepted and progress.state in {"waiting", "running"}
    why = (progress.reason, progress.message)
    accepted = ("Frozen", f"of {progress.frozen_at}") if progress.accepted else why
    wanted = [
        ("Accepted", progress.accepted, *accepted),
        ("Progressing", under_way, *why),
        ("Complete", progress.state == "complete", *why),
        ("Failed", failed, *(why if failed else ("NotFailed", ""))),
    ]
    conditions = []
    for kind, holds, reason, message in wanted:
        status = "True" if holds else "False"
        old = known.get(kind, {})
        since = old.get("lastTransitionTime") if old.get("status") == status else None
        conditions.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message[:_LONGEST],
                "lastTransitionTime": since or _text(now),
                "observedGeneration": generation,
            }
        )
    # With every default, as the API server keeps it: what is the same is not written again.
    rows = [{name: value for name, value in (_EMPTY | dict(row)).items() if name != "failed"} for row in progress.rows]
    found: dict[str, Any] = {"observedGeneration": generation, "conditions": conditions}
    found |= {"variants": rows} if rows else {}
    texts = {
        "frozenAt": progress.frozen_at,
        "declarationHash": progress.declaration_hash,
        "job": progress.job,
        "endedAt": _text(progress.ended_at) if progress.ended_at else "",
    }
    return found | texts


def _text(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
