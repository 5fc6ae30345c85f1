"""How far a TradingReplay is, and what is next. Pure: everything follows from what is in the API server.

    1  accept   the system's declaration is frozen in the plan, a ConfigMap; what cannot be replayed is refused
    2  make     the policy and the Job
    3  follow   each index that ends leaves its figures in its pod's last words; they are taken into the status
    4  end      complete when every variant has its figures, else failed

An operator that was killed goes on by looking again. All that is made belongs to the TradingReplay and goes with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from bellwether.render.kubernetes.context import Manifest
from bellwether.render.kubernetes.replay_jobs import LABEL_REPLAY, PLAN_FILE, Owner, replay_plan
from bellwether.spec.models import API_VERSION
from bellwether.spec.replaying import Refused, Span, all_variants, problem_of
from bellwether.spec.trading_replay import KIND, TradingReplaySpec, VariantStatus
from bellwether.spec.vary import Change, Variant, variant_name
from bellwether_operator.report.finding import Finding, conditions, instant, instant_of, truth

State = Literal["waiting", "running", "complete", "failed"]
_INDEX = "batch.kubernetes.io/job-completion-index"
_MESSAGE = 500


@dataclass(frozen=True)
class Progress:
    """What its status says."""

    state: State = "waiting"
    accepted: bool = False
    reason: str = "Waiting"
    message: str = ""
    rows: tuple[Mapping[str, Any], ...] = ()
    """Of each variant, by index, as the status writes it."""
    frozen_at: str = ""
    declaration_hash: str = ""
    job: str = ""
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Scene:
    """What is there."""

    now: datetime
    system: Mapping[str, Any] | None = None
    """The TradingSystem as it is now; None where there is none."""
    plan: Mapping[str, Any] | None = None
    job: Mapping[str, Any] | None = None
    pods: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Step:
    """What is next: what is to be made, and the progress to be written after that."""

    progress: Progress
    plan: Manifest | None = None
    job: Frozen | None = None
    """What the policy and the Job are to be made of."""


class Frozen(NamedTuple):
    """The content of a plan."""

    declaration: Mapping[str, Any]
    variants: tuple[Variant, ...]
    text: str
    as_of: str


def owner_of(raw: Mapping[str, Any]) -> Owner:
    """Return whose everything is that is made for a TradingReplay."""
    metadata = raw["metadata"]
    reference = {"apiVersion": API_VERSION, "kind": KIND, "name": metadata["name"], "uid": metadata["uid"]}
    return Owner(metadata["name"], metadata["uid"], metadata["namespace"], reference)


def next_step(raw: Mapping[str, Any], before: Progress, scene: Scene) -> Step:
    """Return the next step of a replay that has not ended."""
    try:
        spec = TradingReplaySpec.model_validate(raw["spec"])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return _refused(before, scene, f"spec.{'.'.join(map(str, first['loc']))}: {first['msg']}")
    if scene.plan is None:
        if before.job:
            return _failed(before, scene, "PlanGone", "somebody deleted the ConfigMap with the frozen declaration")
        return _accept(raw, spec, before, scene)
    if (scene.plan["metadata"].get("labels") or {}).get(LABEL_REPLAY) != raw["metadata"]["uid"]:
        name = scene.plan["metadata"]["name"]
        return _failed(before, scene, "NameTaken", f"there is another ConfigMap {name}: take another name")
    frozen = read_plan(scene.plan)
    known = _with_plan(before, frozen)
    if scene.job is None:
        if known.job:
            return _failed(known, scene, "JobGone", "the Job went before every variant had its figures")
        return Step(replace(known, state="running", reason="Replaying", message="the Job is made"), job=frozen)
    return _follow(raw, known, scene, scene.job)


def read_plan(plan: Mapping[str, Any]) -> Frozen:
    """Return what a plan says.

    Raises:
        ValueError, KeyError: when it is none.
    """
    text = plan["data"][PLAN_FILE]
    found = json.loads(text)
    variants = tuple(tuple(Change(*change) for change in variant) for variant in found["variants"])
    return Frozen(found["declaration"], variants, text, found["asOf"])


_EMPTY: dict[str, Any] = {"bars": "", "complete": False, "message": "", "report": ""}


def progress_of(raw: Mapping[str, Any]) -> Progress:
    """Return how far a replay is by its status."""
    status = raw.get("status") or {}
    known = {one["type"]: one for one in status.get("conditions") or ()}
    complete = known.get("Complete", {})
    state: State = "running" if status.get("job") else "waiting"
    if complete.get("status") == "True":
        state = "complete"
    elif known.get("Failed", {}).get("status") == "True":
        state = "failed"
    return Progress(
        state=state,
        accepted=known.get("Accepted", {}).get("status") == "True",
        reason=str(complete.get("reason", "Waiting")),
        message=str(complete.get("message", "")),
        rows=tuple(dict(one) for one in status.get("variants") or ()),
        frozen_at=str(status.get("frozenAt", "")),
        declaration_hash=str(status.get("declarationHash", "")),
        job=str(status.get("job", "")),
        ended_at=instant_of(status.get("endedAt")),
    )


def status_of(progress: Progress, raw: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the status that says this."""
    before = raw.get("status") or {}
    failed = progress.state == "failed"
    under_way = progress.accepted and progress.state in {"waiting", "running"}
    why = (progress.reason, progress.message)
    accepted = ("Frozen", f"of {progress.frozen_at}") if progress.accepted else why
    wanted = [
        Finding("Accepted", truth(progress.accepted), *accepted),
        Finding("Progressing", truth(under_way), *why),
        Finding("Complete", truth(progress.state == "complete"), *why),
        Finding("Failed", truth(failed), *(why if failed else ("NotFailed", ""))),
    ]
    generation = int(raw["metadata"].get("generation", 0))
    said = conditions(wanted, generation, before.get("conditions") or (), now)
    # With every default, as the API server keeps it: what is the same is not written again.
    rows = [{name: value for name, value in (_EMPTY | dict(row)).items() if name != "failed"} for row in progress.rows]
    found: dict[str, Any] = {"observedGeneration": generation, "conditions": said}
    found |= {"variants": rows} if rows else {}
    texts = {
        "frozenAt": progress.frozen_at,
        "declarationHash": progress.declaration_hash,
        "job": progress.job,
        "endedAt": instant(progress.ended_at) if progress.ended_at else "",
    }
    return found | texts


def _accept(raw: Mapping[str, Any], spec: TradingReplaySpec, before: Progress, scene: Scene) -> Step:
    if scene.system is None:
        words = f"spec.system: there is no TradingSystem {spec.system} in this namespace yet"
        return Step(replace(before, reason="SystemNotFound", message=words))
    name = scene.system["metadata"]["name"]
    declaration = {"metadata": {"name": name}, "spec": dict(scene.system.get("spec") or {})}
    try:
        variants = all_variants(spec)
        problem = problem_of(declaration, Span(spec.from_, spec.to), variants)
        if problem is not None:
            return _refused(before, scene, problem)
        plan = replay_plan(owner_of(raw), spec, declaration, variants, scene.now.astimezone(UTC).replace(microsecond=0))
    except (Refused, ValueError) as error:
        return _refused(before, scene, str(error))
    known = _with_plan(before, read_plan(plan))
    return Step(replace(known, reason="Accepted", message="the declaration is frozen"), plan=plan)


def _with_plan(before: Progress, frozen: Frozen) -> Progress:
    rows = before.rows or tuple(
        {"index": index, "name": variant_name(variant)[:1000], "message": "waits"}
        for index, variant in enumerate(frozen.variants)
    )
    text = json.dumps(frozen.declaration, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    at = datetime.fromisoformat(frozen.as_of).astimezone(UTC)
    return replace(
        before,
        accepted=True,
        rows=rows,
        frozen_at=instant(at),
        declaration_hash=hashlib.sha256(text.encode()).hexdigest(),
    )


def _follow(raw: Mapping[str, Any], known: Progress, scene: Scene, job: Mapping[str, Any]) -> Step:
    name = raw["metadata"]["name"]
    by_index = _by_index(scene.pods)
    rows = tuple(row_of(row, by_index.get(row["index"], []), name) for row in known.rows)
    seen = replace(known, rows=rows, job=job["metadata"]["name"], state="running")
    done = sum(1 for row in rows if row.get("complete"))
    ended = next(
        (
            one
            for one in (job.get("status") or {}).get("conditions") or ()
            if one.get("type") in {"Complete", "Failed"} and one.get("status") == "True"
        ),
        None,
    )
    if ended is None:
        return Step(replace(seen, reason="Replaying", message=f"{done} of {len(rows)} have figures{_troubles(rows)}"))
    if done == len(rows):
        at = scene.now
        return Step(replace(seen, state="complete", reason="Replayed", message=words_of(rows), ended_at=at))
    if ended.get("reason") == "DeadlineExceeded":
        words = f"{done} of {len(rows)} have figures; the others took longer than spec.job.deadline"
        return _failed(seen, scene, "DeadlineExceeded", words + _troubles(rows))
    if ended["type"] == "Complete":
        words = f"{done} of {len(rows)} have figures; somebody deleted the pods of the others"
        return _failed(seen, scene, "FiguresLost", words)
    words = f"{done} of {len(rows)} have figures{_troubles(rows)}"
    return _failed(seen, scene, "VariantsFailed", words)


def _troubles(rows: Sequence[Mapping[str, Any]]) -> str:
    stated = [f"{row['index']} ({row['name']}): {row['message']}" for row in rows if row.get("failed")]
    return f"; {'; '.join(stated)}"[: 3 * _MESSAGE] if stated else ""


def _by_index(pods: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    found: dict[int, list[Mapping[str, Any]]] = {}
    for pod in sorted(pods, key=lambda one: str(one["metadata"].get("creationTimestamp", ""))):
        metadata = pod["metadata"]
        stated = (metadata.get("annotations") or {}).get(_INDEX) or (metadata.get("labels") or {}).get(_INDEX) or ""
        if str(stated).isdigit():
            found.setdefault(int(stated), []).append(pod)
    return found


def _refused(before: Progress, scene: Scene, words: str) -> Step:
    return _failed(replace(before, accepted=False), scene, "InvalidSpec", words)


def _failed(before: Progress, scene: Scene, reason: str, words: str) -> Step:
    return Step(replace(before, state="failed", reason=reason, message=words[: 4 * _MESSAGE], ended_at=scene.now))


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
        stated = _object(said)
        if code == 0 and stated is not None:
            try:
                return _with_figures(found, stated, replay)
            except ValidationError:
                return found | {"message": "its figures cannot be read by this release", "failed": True}
        if code is not None:
            words = str((stated or {}).get("error") or said or f"it ended with {code}").strip()
            return found | {"message": words[-_MESSAGE:], "failed": True}
        return found | {"message": _under_way(pod)[:_MESSAGE]}
    return found | {"message": "waits"}


def words_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return in one line what the declaration as it was came to."""
    first = rows[0]
    hold = first.get("buyAndHoldReturn", "not defined")
    stated = f"return {first.get('totalReturn', 'not defined')} beside {hold} of buy-and-hold, {first['trades']} trades"
    return stated if len(rows) == 1 else f"{stated}; {len(rows) - 1} variants beside it"


def _with_figures(found: dict[str, Any], stated: Mapping[str, Any], replay: str) -> dict[str, Any]:
    row = found | {name: value for name, value in stated.items() if name in _FIGURES} | {"complete": True}
    words = [str(stated["amiss"])] if stated.get("amiss") else []
    if stated.get("noReport"):
        words.append(f"the report was not taken: {stated['noReport']}")
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
