"""The release stage of a pass: reads what decides about it, has it decided, and makes the backup that comes first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from bellwether.change.hold import holding_now
from bellwether.change.release import Circumstances, Release, release
from bellwether.change.rollouts import failure_in, template_hash
from bellwether.change.world import WORKLOADS, Key
from bellwether.render.kubernetes import Manifest, RenderContext, image_of
from bellwether.render.kubernetes.context import ANNOTATION_FAILED, FAILED
from bellwether_operator.apply.actions import Desired, desired_from, unmarked
from bellwether_operator.apply.client import Client
from bellwether_operator.backups.keeping import make_before, upgrade_gate
from bellwether_operator.backups.running import Backups
from bellwether_operator.backups.upgrades import Gate, upgrade_row_of
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import BY_NAME, ChildKey, Observed
from bellwether_operator.passes import Due, Pass, Released


class Releasing:
    """Says what is to be there now."""

    def __init__(self, client: Client, cache: Cache, backups: Backups | None) -> None:
        self._client = client
        self._cache = cache
        self._backups = backups

    async def release(self, this: Pass, context: RenderContext, rendered: Sequence[Desired]) -> Released:
        """Return what is to be there now of what was rendered."""
        there = await self._there(this.uid, rendered)
        case = Circumstances(
            this.system,
            context,
            holding=holding_now(this.system.spec, this.period),
            stopped=this.memory.forcing,
            paused=this.paused_until is not None,
        )
        asked = _Asked(this, rendered, [unmarked(each.manifest) for each in rendered], there)
        if case.holding or case.paused or (before := self._before(this, context)) is None or before.waits is None:
            gate = Gate() if case.holding or case.paused or before is None else before
            return asked.released(release(case, asked.wanted, there), gate)
        # The release waits only if something of the former one runs when it comes; from then on also while that has
        # no pods, since the backup itself ends them.
        started = upgrade_row_of(this.raw.get("status") or {}) == before.row
        found = release(replace(case, holding=True, stopped=case.stopped or started), asked.wanted, there)
        if not found.held or self._backups is None:
            return asked.released(release(case, asked.wanted, there), Gate())
        gate = await make_before(self._backups, this.system, before)
        due = Due(() if gate.until is None else (gate.until,))
        return replace(asked.released(found, gate), due=due)

    def _before(self, this: Pass, context: RenderContext) -> Gate | None:
        """Return what a new release has to wait for; None where it is none."""
        if self._backups is None:
            return None
        image = image_of(context.image, this.system.spec.version)
        return upgrade_gate(self._backups, this.system, this.raw, image, this.now)

    async def _there(self, uid: str, rendered: Iterable[Desired]) -> dict[Key, Manifest]:
        """Return the workloads that are there; one that is as it was rendered is not read for it."""
        found: dict[Key, Manifest] = {}
        for each in rendered:
            known = self._standing(each.key, uid)
            if known is None:
                continue
            raw = _as_rendered(each, known)
            if raw is None:
                raw = await self._client.get(BY_NAME[known.key.kind], known.key.namespace, known.key.name)
            if raw is not None:
                found[Key(known.key.kind, known.key.name)] = {"kind": known.key.kind, **raw}
        return found

    def _standing(self, key: ChildKey, uid: str) -> Observed | None:
        """Return the workload of a name that is there, be it of the kind in which a former release made it."""
        if not BY_NAME[key.kind].workload:
            return None
        kinds = (key.kind, *sorted(WORKLOADS - {key.kind}))
        found = (self._cache.children.get(key._replace(kind=kind)) for kind in kinds)
        return next((each for each in found if each is not None and each.belongs_to(uid) and not each.deleting), None)


def _as_rendered(wanted: Desired, known: Observed) -> dict[str, Any] | None:
    """Return a workload as the API server has it, where it was applied as it is rendered; else None."""
    note = known.annotations.get(FAILED, "")
    failure = failure_in({ANNOTATION_FAILED: note})
    failed = failure is not None and failure.template == template_hash(wanted.manifest)
    if known.key != wanted.key or known.applied != wanted.digest or failed:
        return None
    return {**wanted.manifest, "status": known.status}


class _Asked(NamedTuple):
    """What a release is asked for."""

    this: Pass
    rendered: Sequence[Desired]
    wanted: Sequence[Manifest]
    """The same, without digests."""
    there: Mapping[Key, Manifest]

    def released(self, found: Release, gate: Gate) -> Released:
        """Return what the stage gives."""
        namespace = self.this.key.namespace
        same = zip(found.objects, self.wanted, self.rendered, strict=True)
        return Released(
            found.image,
            tuple(known if now is plain else desired_from(now) for now, plain, known in same),
            found.held,
            {ChildKey(key.kind, namespace, key.name): why for key, why in found.gone_back.items()},
            frozenset(ChildKey("ConfigMap", namespace, name) for name in found.still_mounted),
            found.only,
            gate,
            self.there,
        )
