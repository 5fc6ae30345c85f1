"""Of one variant: what its pods said last, as a row of the status. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from bellwether.spec.trading_replay import VariantStatus

_MESSAGE = 500
_FIGURES = {
    "baseHitRate",
    "buyAndHoldReturn",
    "finalEquity",
    "hitRate",
    "maxDrawdown",
    "sessions",
    "sharpe",
    "signals",
    "totalReturn",
    "trades",
    "bars",
}


def row_of(before: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], replay: str) -> dict[str, Any]:
    """Return the row of a variant by its pods, the oldest first; figures that are there once stay.

    `failed` beside what the status keeps says that its newest pod failed; it is not written.
    """
    kept = {name: value for name, value in before.items() if name != "failed"}
    if kept.get("complete"):
        return kept
    found = {"index": kept["index"], "name": kept["name"]}
    for pod in reversed(pods):
        code, said = _ended(pod)
        told = _object(said)
        if code == 0 and told is not None:
            try:
                return _with_figures(found, told, replay)
            except ValidationError:
                return found | {"message": "its figures cannot be read by this release", "failed": True}
        if code is not None:
            words = str((told or {}).get("error") or said or f"it ended with {code}").strip()
            return found | {"message": words[-_MESSAGE:], "failed": True}
        return found | {"message": _under_way(pod)[:_MESSAGE]}
    return found | {"message": "waits"}


def words_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return in one line what the declaration as it was came to."""
    first = rows[0]
    hold = first.get("buyAndHoldReturn", "not defined")
    told = f"return {first.get('totalReturn', 'not defined')} beside {hold} of buy-and-hold, {first['trades']} trades"
    return told if len(rows) == 1 else f"{told}; {len(rows) - 1} variants beside it"


def _with_figures(found: dict[str, Any], told: Mapping[str, Any], replay: str) -> dict[str, Any]:
    row = found | {name: value for name, value in told.items() if name in _FIGURES} | {"complete": True}
    words = [str(told["amiss"])] if told.get("amiss") else []
    if told.get("noReport"):
        words.append(f"the report was not taken: {told['noReport']}")
    else:
        index = found["index"]
        row["report"] = f"/reports/replays/{replay}" + (f"/{index}" if index else "")
    if words:
        row["message"] = "; ".join(words)[:_MESSAGE]
    VariantStatus.model_validate(row)
    return row


def _ended(pod: Mapping[str, Any]) -> tuple[int | None, str]:
    """Return the exit code of a pod's container and its last words; None while it has not ended."""
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated")
        if ended is not None:
            words = str(ended.get("message") or "")
            if not words and ended.get("reason") == "OOMKilled":
                words = "it took more memory than spec.job.memoryMebibytes"
            return int(ended.get("exitCode", 1)), words
    return None, ""


def _under_way(pod: Mapping[str, Any]) -> str:
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting")
        if waiting is not None:
            return f"its pod waits: {waiting.get('reason', '')} {waiting.get('message', '')}".strip()
        if "running" in (container.get("state") or {}):
            return "replays"
    for one in status.get("conditions") or ():
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            return f"its pod has no node: {one.get('message', '')}"
    return "its pod starts"


def _object(said: str) -> dict[str, Any] | None:
    try:
        found = json.loads(said)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
