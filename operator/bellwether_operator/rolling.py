"""Watching over rollouts: what to go back to is noted before, and a template that does not come up is taken back."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from bellwether.change.hold import referenced_config_maps
from bellwether.change.rollouts import begun_annotations, failed_annotations, failure_in, gone_back, overdue
from bellwether.change.rollouts import template_hash as hash_of
from bellwether.render.kubernetes.names import ANNOTATION_FAILED, BEGAN, FAILED
from bellwether_operator.apply.client import Client
from bellwether_operator.apply.decide import Desired, desired_from, unmarked
from bellwether_operator.observe.cache import Cache, ChildKey, Observed, version_of
from bellwether_operator.observe.kinds import BY_NAME
from bellwether_operator.passes import Pass
from bellwether_operator.report.pods import Cause

log = logging.getLogger(__name__)


class Rollouts:
    """Goes back to what ran before where something new does not run."""

    def __init__(self, client: Client, cache: Cache, deadline: timedelta) -> None:
        self._client = client
        self._cache = cache
        self._deadline = deadline

    async def as_failed(self, this: Pass, desired: Sequence[Desired]) -> list[Desired]:
        """Return what is to be, with the template that ran before where the rendered one is known to have failed."""
        return [await self._as_failed(this, each) for each in desired]

    async def _as_failed(self, this: Pass, desired: Desired) -> Desired:
        known = self._known(this, desired)
        failure = None if known is None else failure_in({ANNOTATION_FAILED: known.annotations.get(FAILED, "")})
        if known is None or failure is None:
            return desired
        if failure.template != hash_of(desired.manifest):
            if this.paused_until is None:
                await self._annotate(this, desired.key, {ANNOTATION_FAILED: None})
            return desired
        return await self._back(this, desired, failure.why)

    async def _back(self, this: Pass, desired: Desired, why: str) -> Desired:
        kind = BY_NAME[desired.key.kind]
        observed = await self._client.get(kind, desired.key.namespace, desired.key.name)
        held = gone_back(unmarked(desired.manifest), observed)
        if held is None:
            return desired
        template = held.manifest["spec"]["template"]
        this.spared |= {ChildKey("ConfigMap", desired.key.namespace, name) for name in referenced_config_maps(template)}
        what = f"{desired.key.kind} {desired.key.name}"
        this.gone_back[desired.key] = (
            f"{what} did not come up with {'; '.join(held.words)} ({why}), and what ran before runs again. Declare "
            f"another value; to try this one once more, take the annotation {ANNOTATION_FAILED} off {what}"
        )
        return desired_from(held.manifest)

    async def watch_over(self, this: Pass, causes: Mapping[ChildKey, Cause]) -> None:
        """Take back what has failed, note when the others have to be up, and what to go back to from what is new."""
        if this.paused_until is not None:
            return
        for index, each in enumerate(this.desired):
            known = self._known(this, each)
            if known is None or each.manifest["spec"]["replicas"] == 0:
                continue
            if known.applied != each.digest:
                await self._begin(this, each)
            elif (began := known.annotations.get(BEGAN)) is not None and not came_up(known):
                this.rolling = True
                cause = causes.get(each.key)
                left = overdue(began, this.now, self._deadline, defect=cause is not None)
                if left is not None:
                    this.due_in.append(left.total_seconds())
                    continue
                minutes = f"its pods were not ready within {self._deadline.total_seconds() / 60:g} minutes"
                why = minutes if cause is None else cause.words
                await self._annotate(this, each.key, failed_annotations(each.manifest, why))
                this.desired[index] = await self._back(this, each, why)
                log.warning("%s %s goes back to what ran before: %s", each.key.kind, each.key.name, why)

    async def _begin(self, this: Pass, desired: Desired) -> None:
        if desired.key in this.gone_back:
            return
        observed = await self._client.get(BY_NAME[desired.key.kind], desired.key.namespace, desired.key.name)
        begun = None if observed is None else begun_annotations(observed, desired.manifest, this.now)
        known = {} if observed is None else observed["metadata"].get("annotations") or {}
        changed = {name: text for name, text in (begun or {}).items() if known.get(name) != text}
        if changed:
            await self._annotate(this, desired.key, changed)
        this.rolling = this.rolling or begun is not None

    def _known(self, this: Pass, desired: Desired) -> Observed | None:
        """Return what is there of one of the system's workloads."""
        if not BY_NAME[desired.key.kind].workload:
            return None
        known = self._cache.children.get(desired.key)
        return known if known is not None and known.belongs_to(this.uid) and not known.deleting else None

    async def _annotate(self, this: Pass, key: ChildKey, annotations: Mapping[str, str | None]) -> None:
        """Write annotations beside what is applied: an apply neither takes them away nor compares them."""
        kind = BY_NAME[key.kind]
        reply = await self._client.annotate(kind, key.namespace, key.name, annotations)
        self._cache.take_child(reply, kind.kind)
        this.memory.written.versions.add(version_of(reply))
        this.annotated += 1


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
