"""Watching over rollouts: what to go back to is noted before, and a template that does not come up is taken back."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from bellwether.change.hold import referenced_config_maps
from bellwether.change.release import back
from bellwether.change.rollouts import failed_annotations, failure_in, overdue, started_annotations
from bellwether.change.rollouts import template_hash as hash_of
from bellwether.change.world import Key
from bellwether.render.kubernetes.context import ANNOTATION_FAILED, BEGAN, FAILED
from bellwether_operator.apply.actions import Desired, desired_from, unmarked
from bellwether_operator.apply.client import Client
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import BY_NAME, ChildKey, Observed, version_of
from bellwether_operator.passes import Due, Pass, Released, Watched
from bellwether_operator.report.pods import Cause

log = logging.getLogger(__name__)


class _Look(NamedTuple):
    """What came of the look at one workload."""

    desired: Desired
    rolling: bool = False
    annotated: int = 0
    left: float | None = None
    """For how many seconds its new pods still have time."""
    why: str | None = None
    """Why it went back."""


class Rollouts:
    """Goes back to what ran before where something new does not run."""

    def __init__(self, client: Client, cache: Cache, deadline: timedelta) -> None:
        self._client = client
        self._cache = cache
        self._deadline = deadline

    async def forget(self, this: Pass, rendered: Sequence[Desired]) -> int:
        """Take the notes of failed templates off that are no longer declared; return how many there were."""
        if this.paused_until is not None:
            return 0
        gone = 0
        for each in rendered:
            known = self._known(this, each)
            failure = None if known is None else failure_in({ANNOTATION_FAILED: known.annotations.get(FAILED, "")})
            if failure is not None and failure.template != hash_of(each.manifest):
                await self._annotate(this, each.key, {ANNOTATION_FAILED: None})
                gone += 1
        return gone

    async def watch_over(self, this: Pass, released: Released, causes: Mapping[ChildKey, Cause]) -> Watched:
        """Take back what has failed, note when the others have to be up, and what to go back to from what is new."""
        if this.paused_until is not None:
            return Watched(released.desired, released.gone_back, released.still_mounted)
        looks = [await self._look(this, released, each, causes.get(each.key)) for each in released.desired]
        failed = [each for each in looks if each.why is not None]
        mounted = {
            ChildKey("ConfigMap", this.key.namespace, name)
            for each in failed
            for name in referenced_config_maps(each.desired.manifest["spec"]["template"])
        }
        return Watched(
            tuple(each.desired for each in looks),
            {**released.gone_back, **{each.desired.key: each.why for each in failed if each.why is not None}},
            released.still_mounted | mounted,
            any(each.rolling for each in looks),
            sum(each.annotated for each in looks),
            Due(within=tuple(each.left for each in looks if each.left is not None)),
        )

    async def _look(self, this: Pass, released: Released, desired: Desired, cause: Cause | None) -> _Look:
        known = self._known(this, desired)
        if known is None or desired.manifest["spec"]["replicas"] == 0:
            return _Look(desired)
        if known.applied != desired.digest:
            return await self._begin(this, released, desired)
        began = known.annotations.get(BEGAN)
        if began is None or came_up(known):
            return _Look(desired)
        left = overdue(began, this.now, self._deadline, defect=cause is not None)
        if left is not None:
            return _Look(desired, rolling=True, left=left.total_seconds())
        minutes = f"its pods were not ready within {self._deadline.total_seconds() / 60:g} minutes"
        why = minutes if cause is None else cause.words
        raw = await self._annotate(this, desired.key, failed_annotations(desired.manifest, why))
        log.warning("%s %s goes back to what ran before: %s", desired.key.kind, desired.key.name, why)
        taken = back(unmarked(desired.manifest), raw)
        if taken is None:
            return _Look(desired, rolling=True, annotated=1)
        return _Look(desired_from(taken[0]), rolling=True, annotated=1, why=taken[1])

    async def _begin(self, this: Pass, released: Released, desired: Desired) -> _Look:
        """Note on a workload what to go back to, before another template is applied."""
        if desired.key in released.gone_back:
            return _Look(desired)
        observed = released.there.get(Key(desired.key.kind, desired.key.name))
        started = None if observed is None else started_annotations(observed, desired.manifest, this.now)
        known = {} if observed is None else observed["metadata"].get("annotations") or {}
        changed = {name: text for name, text in (started or {}).items() if known.get(name) != text}
        if changed:
            await self._annotate(this, desired.key, changed)
        return _Look(desired, rolling=started is not None, annotated=int(bool(changed)))

    def _known(self, this: Pass, desired: Desired) -> Observed | None:
        """Return what is there of one of the system's workloads."""
        if not BY_NAME[desired.key.kind].workload:
            return None
        known = self._cache.children.get(desired.key)
        return known if known is not None and known.belongs_to(this.uid) and not known.deleting else None

    async def _annotate(self, this: Pass, key: ChildKey, annotations: Mapping[str, str | None]) -> dict[str, Any]:
        """Write annotations beside what is applied: an apply neither takes them away nor compares them."""
        kind = BY_NAME[key.kind]
        reply = await self._client.annotate(kind, key.namespace, key.name, annotations)
        self._cache.take_child(reply, kind.kind)
        this.memory.written.versions.add(version_of(reply))
        return reply


def came_up(workload: Observed) -> bool:
    """Whether the pods of the newest template were all ready once; later it is no rollout that fails."""
    status: Mapping[str, Any] = workload.status
    if int(status.get("observedGeneration", 0)) < workload.generation:
        return False
    if workload.key.kind == "StatefulSet" and "updateRevision" in status:
        return bool(status.get("currentRevision") == status["updateRevision"])
    counts = [int(status.get(name, 0)) for name in ("replicas", "updatedReplicas")]
    ready = workload.key.kind == "Deployment" or int(status.get("readyReplicas", 0)) == counts[0]
    return counts[0] > 0 and counts[0] == counts[1] and ready
