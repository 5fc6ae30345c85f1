"""One pass over one system, stage by stage: what each takes and gives is in passes.py."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from bellwether.market.sessions import CalendarError
from bellwether.render.kubernetes import RenderContext, derive_keyring, image_of
from bellwether.render.kubernetes.context import LABEL_COMPONENT, SYSTEM, Keyring, period_of
from bellwether.render.kubernetes.filling import fill_job, restore_job
from bellwether.render.kubernetes.volumes import ANNOTATION_FILLED
from bellwether.render.kubernetes.workloads import claims_of
from bellwether.spec.models import TradingSystem
from bellwether_operator.apply.actions import Desired, desired_from
from bellwether_operator.apply.applier import Applier
from bellwether_operator.apply.client import Client
from bellwether_operator.backups.filling import fill_job_of, fill_key, job_said, restore_job_of, restore_key
from bellwether_operator.backups.in_place import RestorePicture, RestoreRow, next_row, restore_row_of
from bellwether_operator.backups.restoring import Restore
from bellwether_operator.backups.running import Backups
from bellwether_operator.causes import causes
from bellwether_operator.finishing import Finishing
from bellwether_operator.forcing import force_halt, halt_of_unusable
from bellwether_operator.layout import layout, render_layout
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import BY_NAME, CLAIM, ChildKey, Observed, SystemKey
from bellwether_operator.observe.layouts import Expected, all_up, expected, look, workloads_of
from bellwether_operator.passes import Due, Halted, Laid, Memory, Pass, PassEnd, Released, Rendered, Results, Watched
from bellwether_operator.releasing import Releasing
from bellwether_operator.report.finding import instant
from bellwether_operator.report.market import calendar_problems
from bellwether_operator.report.observation import Observation
from bellwether_operator.report.pods import Cause
from bellwether_operator.rolling import Rollouts
from bellwether_operator.settings import Settings
from bellwether_operator.when import Basis, Rest, rest

log = logging.getLogger(__name__)

GATEWAY = "gateway"
RESTORE_LOOK_SECONDS = 5.0
"""How often is looked whether a backup that is to be restored is complete now."""


def utc_now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


class Reconciler:
    """Passes over systems; holds no state of its own besides the connections and the shared cache."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        cache: Cache,
        now: Callable[[], datetime],
        *,
        backups: Backups | None = None,
    ) -> None:
        """Take what passes need."""
        self._backups = backups
        self._settings = settings
        self._client = client
        self._cache = cache
        self._now = now
        self._rollouts = Rollouts(client, cache, timedelta(seconds=settings.rollout_deadline))
        self._releasing = Releasing(client, cache, backups)
        self._finishing = Finishing(settings, client, cache, now, backups)

    def keyring(self, uid: str) -> Keyring:
        """Return the keys of a system."""
        return derive_keyring(self._settings.installation_seed, uid)

    async def run(self, key: SystemKey, memory: Memory) -> PassEnd:
        """Make one pass.

        Raises:
            ApiError: if not even the status could be written.
        """
        raw = self._cache.systems.get(key)
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            return PassEnd(0, retry=False)
        memory.about(raw["metadata"]["uid"])
        memory.next_at = None
        memory.written.versions.clear()
        if self._finishing.expired(memory.view):
            memory.view = None  # forgotten, so that the next word is news even where it says the same
        memory.gateway_up = self._reachable(key, memory.uid)
        if memory.gateway_up and memory.gateway_up_since is None:
            memory.gateway_up_since = time.monotonic()
        now = self._now()
        try:
            system = declared(raw)
        except ValidationError as error:
            return await self._unusable(raw, key, memory, None, Observation(invalid=invalid_words(error)))
        try:
            period = None if calendar_problems(system.spec) else period_of(system.spec, now)
        except CalendarError:
            period = None  # the table ends before today: the condition says so
        if period is None:
            release = str((raw.get("status") or {}).get("release", ""))
            seen = Observation(view=memory.view, view_pending=self._finishing.pending(memory), release=release)
            return await self._unusable(raw, key, memory, system, seen)
        return await self._reconcile(Pass(raw, key, system, period, now, memory))

    async def _unusable(
        self, raw: dict[str, Any], key: SystemKey, memory: Memory, system: TradingSystem | None, seen: Observation
    ) -> PassEnd:
        """Leave a system as it is whose declaration cannot be used; one that wants to be halted does not trade on."""
        if memory.accepted_generation is not None:
            memory.accepted_generation = None
            memory.look_now.set()
        verdict, traders = halt_of_unusable(raw, memory, self._cache.children_of(key), time.monotonic())
        for child in traders:
            await self._client.scale(BY_NAME[child.key.kind], child.key.namespace, child.key.name, 0)
        memory.next_at = verdict.due_at
        generation = int(raw["metadata"].get("generation", 0))
        seen = replace(seen, forced=verdict.words)
        writes = len(traders) + await self._finishing.report(raw, system, generation, seen, memory)
        return PassEnd(writes, retry=False)

    def _reachable(self, key: SystemKey, uid: str) -> bool:
        return any(
            int(child.status.get("readyReplicas", 0)) > 0
            for child in self._cache.children_of(key)
            if child.belongs_to(uid)
            and BY_NAME[child.key.kind].workload
            and child.labels.get(LABEL_COMPONENT) in {SYSTEM, GATEWAY}
        )

    async def _reconcile(self, this: Pass) -> PassEnd:
        """Bring the children to what is declared, as far as it may be now."""
        memory = this.memory
        # First of all: a halt must not wait for whatever else there is to write.
        memory.accept(this.system.metadata.generation, (this.raw.get("status") or {}).get("observedGeneration"))
        children = self._cache.children_of(this.key)
        laid = await self._lay_out(this, children)
        known = memory.rest
        if known is not None and known.holds(laid.basis, children, time.monotonic()):
            return await self._rested(this, laid, known)
        memory.rest = None
        released = await self._release(this, laid)
        pod_causes = await self._causes(this, expected(released.desired))
        watched = await self._rollouts.watch_over(this, released, pod_causes)
        there = {each.key: each for each in self._cache.children_of(this.key)}
        halted = force_halt(this, released, watched.desired, there, time.monotonic())
        workloads = expected(halted.desired)
        all_ready = all(each.ready for each in workloads_of(children, workloads, this.uid))
        applier = self._applier(this, released, all_ready=all_ready)
        await self._apply(this, laid, halted, watched, applier)
        results = Results(laid, released, watched, halted, applier.found, pod_causes, workloads)
        memory.rest = self._rest(this, results, all_ready=all_ready)
        return await self._finishing.finish(this, results, applier, self._context(this, released.image))

    async def _rested(self, this: Pass, laid: Laid, known: Rest) -> PassEnd:
        """Bring a pass to its end that has nothing to write, as the one before left nothing to do."""
        pod_causes = await self._causes(this, known.workloads)
        released = Released(image_of(self._settings.services_image, this.system.spec.version))
        applier = self._applier(this, released, all_ready=True)
        results = Results(laid, released, Watched(), Halted(), applier.found, pod_causes, known.workloads)
        return await self._finishing.finish(this, results, applier, self._context(this, released.image))

    async def _causes(self, this: Pass, workloads: Sequence[Expected]) -> dict[ChildKey, Cause]:
        return await causes(self._client, self._cache, this.key, this.memory, workloads, now=this.now)

    def _applier(self, this: Pass, released: Released, *, all_ready: bool) -> Applier:
        written = this.memory.written
        only = released.only
        return Applier(self._client, self._cache, this.uid, written, this.now, all_ready=all_ready, only=only)

    async def _apply(self, this: Pass, laid: Laid, halted: Halted, watched: Watched, applier: Applier) -> None:
        wanted, restore = halted.desired, laid.layout.restore
        if restore.filling:
            # No pod before its volumes are filled, whatever else is there already.
            applier.found.missing.add(fill_key(this.system))
            applier.found.failed += [words for words in [restore.waiting] if words is not None]
        elif laid.layout.blocked:
            # An empty volume in place of one with data would be a beginning from nothing.
            claims = {each.key for each in wanted if each.key.kind == CLAIM}
            applier.found.missing |= claims
            wanted = tuple(each for each in wanted if each.key not in claims)
            applier.found.failed += [words for words in [laid.layout.restore.waiting] if words is not None]
            applier.found.other_declaration += [words for words in [laid.layout.other_declaration] if words is not None]
        await applier.apply(wanted, halted.urgent)
        if restore.filling:
            await self._fill(this, restore, applier)
        order = laid.layout.in_place
        if order is not None and restore_key(this.system, order.request) not in self._cache.children:
            await applier.make([restore_job(this.system, self._context(this), order)])
        keys = {each.key for each in halted.desired}
        await applier.prune(self._cache.children_of(this.key), keys, watched.still_mounted)

    async def _fill(self, this: Pass, restore: Restore, applier: Applier) -> None:
        """Have a Job fill the volumes once all are there, and mark them when it has; marked ones get pods."""
        names = claims_of(this.system, this.system.spec.profile).values()
        keys = [ChildKey(CLAIM, this.key.namespace, name) for name in names]
        if restore.filled:
            for key in keys:
                marks = {ANNOTATION_FILLED: str(this.system.spec.restore_from)}
                reply = await self._client.annotate(BY_NAME[CLAIM], key.namespace, key.name, marks)
                self._cache.take_child(reply, CLAIM)
        elif fill_key(this.system) not in self._cache.children and all(key in self._cache.children for key in keys):
            await applier.make([fill_job(this.system, self._context(this))])

    def _rest(self, this: Pass, results: Results, *, all_ready: bool) -> Rest | None:
        """Return the resting state, or None while something is held, rolling or halted."""
        if (
            results.released.held
            or results.watched.gone_back
            or results.watched.rolling
            or this.paused_until is not None
            or this.system.spec.trading.halted
            or results.halted.forced is not None
            or (results.laid.restore is not None and results.laid.restore.under_way)
        ):
            return None
        children = self._cache.children_of(this.key)
        if all_ready != all(each.ready for each in workloads_of(children, results.workloads, this.uid)):
            return None  # meanwhile pods went or came: other rules for Secrets and ConfigMaps hold
        desired = results.halted.desired
        secrets = this.memory.written.secrets_due(desired, all_ready=all_ready)
        until = min(secrets, time.monotonic() + self._settings.resync)
        return rest(results.laid.basis, desired, children, results.found, until)

    def _context(self, this: Pass, image: str | None = None) -> RenderContext:
        return RenderContext(
            image=image or self._settings.services_image,
            keyring=self.keyring(this.uid),
            image_pull_policy=self._settings.image_pull_policy,
            log_level=self._settings.services_log_level,
            period=this.period,
        )

    async def _lay_out(self, this: Pass, children: Sequence[Observed]) -> Laid:
        """Choose the volumes and pods, and say what the objects depend on, besides what a session holds back."""
        quiesced = None if self._backups is None else self._backups.quiesced(this.key)
        before = restore_row_of(this.raw.get("status") or {})
        found = layout(
            this.system,
            children,
            quiesced=quiesced is not None or (before is not None and before.without_pods),
            backup=self._restored_from(this),
            said=await job_said(self._client, fill_job_of(this.system, children)),
            in_place=None if before is None else before.order,
        )
        within: list[float] = []
        if found.restore.blocked:
            within.append(0.0 if found.restore.filled else RESTORE_LOOK_SECONDS)
        row = await self._in_place(this, before, children, cut=quiesced is not None)
        if before is not None and before.under_way:
            within.append(RESTORE_LOOK_SECONDS)
        due = Due(() if quiesced is None else (quiesced,), tuple(within))
        return Laid(found, Basis(this.system.metadata.generation, this.period, found), due, row)

    async def _in_place(
        self, this: Pass, before: RestoreRow | None, children: Sequence[Observed], *, cut: bool
    ) -> RestoreRow | None:
        """Return how far the restore in place is; `cut`: whether the volumes are being cut for a backup."""
        asked = None if this.memory.view is None else this.memory.view.restore
        if before is None or not before.under_way:
            return next_row(before, RestorePicture(this.now, this.uid, asked))
        seen, job = look(this.system, children), restore_job_of(this.system, before.request, children)
        hindrance = "a backup cuts the volumes first" if cut else None
        if this.paused_until is not None:
            hindrance = f"waiting for the end of the system's pause, {instant(this.paused_until)}"
        return next_row(
            before,
            RestorePicture(
                this.now,
                this.uid,
                asked,
                pods=seen.not_stopped,
                ready=all_up(this.system, seen),
                hindrance=hindrance,
                job=job,
                said=await job_said(self._client, job),
            ),
        )

    def _restored_from(self, this: Pass) -> dict[str, Any] | None:
        source = this.system.spec.restore_from
        if source is None or self._backups is None:
            return None
        return self._backups.named(this.key.namespace, source.backup)

    async def _release(self, this: Pass, laid: Laid) -> Released:
        """Return what is to be there now, with the pod templates held back while they may not be changed."""
        rendered = self._rendered(this, laid.basis)
        forgotten = await self._rollouts.forget(this, rendered)
        found = await self._releasing.release(this, self._context(this), rendered)
        return replace(found, annotated=forgotten)

    def _rendered(self, this: Pass, basis: Basis) -> list[Desired]:
        """Return the objects of a layout; kept for the next pass while passes still write."""
        known = this.memory.rendered
        if known is None or known.basis != basis:
            manifests = render_layout(this.system, self._context(this), basis.layout)
            known = this.memory.rendered = Rendered(basis, [desired_from(manifest) for manifest in manifests])
        return known.desired


def declared(raw: Mapping[str, Any]) -> TradingSystem:
    """Return the declaration of a system as the API server gave it.

    Raises:
        ValidationError: when it cannot be read, though the schema let it through.
    """
    return TradingSystem.model_validate({name: raw[name] for name in raw if name != "status"})


def invalid_words(error: ValidationError) -> str:
    """Return what is wrong with a declaration, field by field."""
    faults = (f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors())
    return "; ".join(faults)
