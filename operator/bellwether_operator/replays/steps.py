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
from bellwether.spec.trading_replay import KIND, TradingReplaySpec
from bellwether.spec.vary import Change, Variant, variant_name
from bellwether_operator.replays.figures import row_of, words_of

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
    if not _ours(scene.plan, raw):
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
        frozen_at=f"{at:%Y-%m-%dT%H:%M:%SZ}",
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
    told = [f"{row['index']} ({row['name']}): {row['message']}" for row in rows if row.get("failed")]
    return f"; {'; '.join(told)}"[: 3 * _MESSAGE] if told else ""


def _by_index(pods: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    found: dict[int, list[Mapping[str, Any]]] = {}
    for pod in sorted(pods, key=lambda one: str(one["metadata"].get("creationTimestamp", ""))):
        metadata = pod["metadata"]
        told = (metadata.get("annotations") or {}).get(_INDEX) or (metadata.get("labels") or {}).get(_INDEX) or ""
        if str(told).isdigit():
            found.setdefault(int(told), []).append(pod)
    return found


def _ours(there: Mapping[str, Any], raw: Mapping[str, Any]) -> bool:
    return bool((there["metadata"].get("labels") or {}).get(LABEL_REPLAY) == raw["metadata"]["uid"])


def _refused(before: Progress, scene: Scene, words: str) -> Step:
    return _failed(replace(before, accepted=False), scene, "InvalidSpec", words)


def _failed(before: Progress, scene: Scene, reason: str, words: str) -> Step:
    return Step(replace(before, state="failed", reason=reason, message=words[: 4 * _MESSAGE], ended_at=scene.now))
