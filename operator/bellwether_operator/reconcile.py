"""One pass over one system: observe, render, hold back, apply, prune, report."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from bellwether.change.hold import (
    WITH_SCHEDULER,
    Held,
    going_on,
    hold,
    holding_now,
    referenced_config_maps,
    released_image,
    running_image,
    schedules,
    unversioned,
)
from bellwether.change.world import CRON_JOB, WORKLOADS, Key, component_of
from bellwether.market.sessions import CalendarError
from bellwether.render.kubernetes import RenderContext, derive_keyring, image_of, release_of
from bellwether.render.kubernetes.context import Keyring, Manifest
from bellwether.render.kubernetes.jobs import slot_job
from bellwether.render.kubernetes.moment import moment_of
from bellwether.render.kubernetes.names import LABEL_COMPONENT, SYSTEM
from bellwether.render.kubernetes.training_jobs import training_job, training_job_name
from bellwether.spec.fields import parse_instant
from bellwether.spec.models import TradingSystem
from bellwether_operator.apply.applier import Applier, Written
from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.apply.decide import Desired, desired_from, unmarked
from bellwether_operator.backups.keeping import Kept, keep, make_before, upgrade_gate
from bellwether_operator.backups.running import Backups
from bellwether_operator.backups.upgrades import row_of, row_status
from bellwether_operator.catching_up import Claims, DueWork, due_work, reported
from bellwether_operator.causes import causes
from bellwether_operator.gateway import GatewayView, undelivered
from bellwether_operator.halting import HALTED, TRADER, stopped_for_halt, trader_component
from bellwether_operator.layout import layout, render_layout
from bellwether_operator.observe.cache import Cache, ChildKey, Observed, SystemKey, same_but_for_status, version_of
from bellwether_operator.observe.jobs import started_jobs
from bellwether_operator.observe.kinds import BY_NAME, CLAIM
from bellwether_operator.observe.layouts import volume_size
from bellwether_operator.observe.workloads import expected, workloads_of
from bellwether_operator.passes import Memory, Outcome, Pass, Rendered
from bellwether_operator.report.events import EventRecord, event, event_records
from bellwether_operator.report.market import misfits
from bellwether_operator.report.observation import BackupsSeen, Observation
from bellwether_operator.report.status import status
from bellwether_operator.rest import Basis, Rest, rest
from bellwether_operator.rolling import Rollouts
from bellwether_operator.settings import Settings

log = logging.getLogger(__name__)

GATEWAY = "gateway"
SCHEDULER = "scheduler"
LATEST = datetime.max.replace(tzinfo=UTC)
DELIVERY_SECONDS = 1.0
"""So long a status waits for the services' word on an edit, which comes within milliseconds where all is well: so it is
written once, and warns of nothing that is over before anybody reads it. Until then it speaks of the former generation.
"""
RESTORE_LOOK_SECONDS = 5.0
"""How often is looked whether a backup that is to be restored is complete now."""
VIEW_LIFE_PERIODS = 3
"""A gateway's word counts for so many polling periods."""


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

    def keyring(self, uid: str) -> Keyring:
        """Return the keys of a system."""
        return derive_keyring(self._settings.installation_seed, uid)

    async def run(self, key: SystemKey, memory: Memory) -> Outcome:
        """Make one pass.

        Raises:
            ApiError: if not even the status could be written.

        """
        raw = self._cache.systems.get(key)
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            return Outcome(0, retry=False)
        memory.about(raw["metadata"]["uid"])
        memory.next_at = None
        memory.written.versions.clear()
        if self._expired(memory.view):
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
            moment = None if misfits(system.spec) else moment_of(system.spec, now)
        except CalendarError:
            moment = None  # the table ends before today: the condition says so
        if moment is None:
            release = str((raw.get("status") or {}).get("release", ""))
            seen = Observation(view=memory.view, view_pending=self._pending(memory), release=release)
            return await self._unusable(raw, key, memory, system, seen)
        this = Pass(raw, key, system, moment, now, memory)
        await self._reconcile(this)
        return await self._finish(this)

    async def _unusable(
        self, raw: dict[str, Any], key: SystemKey, memory: Memory, system: TradingSystem | None, seen: Observation
    ) -> Outcome:
        """Leave a system as it is whose declaration cannot be used; but one that wants to be halted does not trade on.

        Such a declaration is not delivered, so the trader is stopped, until it can be used, unless the halt is in force
        with it already.
        """
        if memory.accepted_generation is not None:
            memory.accepted_generation = None
            memory.look_now.set()
        generation = int(raw["metadata"].get("generation", 0))
        halted = (raw.get("spec") or {}).get("trading", {}).get("halted") is True
        known = memory.view is not None and any("spec.trading.halted" in line for line in memory.view.halts or ())
        verdict = memory.halting.step(
            halted=halted,
            generation=generation,
            acknowledged=generation if known else None,
            pods_gone=False,
            now=time.monotonic(),
        )
        writes = 0
        traders = [
            child
            for child in self._cache.children_of(key)
            if child.belongs_to(memory.uid)
            and BY_NAME[child.key.kind].workload
            and child.labels.get(LABEL_COMPONENT) in {SYSTEM, TRADER}
            and child.replicas != 0
        ]
        for child in traders if verdict.stop else ():
            await self._client.scale(BY_NAME[child.key.kind], child.key.namespace, child.key.name, 0)
            writes += 1
        memory.next_at = verdict.due_at
        next_in = None if verdict.due_at is None else max(0.0, verdict.due_at - time.monotonic())
        seen = replace(seen, forced=verdict.words)
        writes += await self._report(raw, system, generation, seen, memory.written)
        return Outcome(writes, retry=False, next_in=next_in)

    def _reachable(self, key: SystemKey, uid: str) -> bool:
        return any(
            int(child.status.get("readyReplicas", 0)) > 0
            for child in self._cache.children_of(key)
            if child.belongs_to(uid)
            and BY_NAME[child.key.kind].workload
            and child.labels.get(LABEL_COMPONENT) in {SYSTEM, GATEWAY}
        )

    async def _reconcile(self, this: Pass) -> None:
        """Bring the children to what is declared, as far as it may be now."""
        spec, memory = this.system.spec, this.memory
        if spec.paused is not None and this.now < parse_instant(spec.paused.until):
            this.paused_until = parse_instant(spec.paused.until)
            this.due.append(this.paused_until)
        this.due.append(this.moment.until)
        # First of all: a halt must not wait for whatever else there is to write.
        memory.accept(this.system.metadata.generation, (this.raw.get("status") or {}).get("observedGeneration"))
        children = self._cache.children_of(this.key)
        basis = self._lay_out(this, children)
        known = memory.rest
        at_rest = known is not None and known.holds(basis, children, time.monotonic())
        if known is not None and at_rest:
            this.workloads = known.workloads
        else:
            memory.rest = None
            await self._desire(this, basis)
            this.workloads = expected(this.desired)
        this.causes = await causes(self._client, self._cache, this.key, memory, this.workloads, now=this.now)
        if not at_rest:
            await self._rollouts.watch_over(this, this.causes)
            await self._force_halt(this)
            this.workloads = expected(this.desired)
        settled = all(each.ready for each in workloads_of(children, this.workloads, this.uid))
        applier = Applier(
            self._client, self._cache, this.uid, memory.written, this.now, settled=settled, only=this.only
        )
        this.applier = applier
        if not at_rest:
            await self._apply(this, applier)
            memory.rest = self._rest(this, basis, settled=settled)

    async def _apply(self, this: Pass, applier: Applier) -> None:
        this.urgent.add(this.start_value.key)
        desired = this.desired
        if this.layout is not None and this.layout.blocked:
            # An empty volume in place of one with data would be a beginning from nothing.
            claims = {each.key for each in desired if each.key.kind == CLAIM}
            applier.found.missing |= claims
            desired = [each for each in desired if each.key not in claims]
            applier.found.failed += [words for words in [this.layout.restore.waiting] if words is not None]
            applier.found.otherwise += [words for words in [this.layout.otherwise] if words is not None]
        await applier.apply(desired, this.urgent)
        await applier.prune(self._cache.children_of(this.key), {each.key for each in this.desired}, this.spared)

    def _rest(self, this: Pass, basis: Basis, *, settled: bool) -> Rest | None:
        """Return the resting state, or None while something is held, rolling or halted."""
        if this.applier is None or this.held or this.gone_back or this.rolling or this.paused_until is not None:
            return None
        if this.system.spec.trading.halted or this.forced is not None:
            return None
        children = self._cache.children_of(this.key)
        if settled != all(each.ready for each in workloads_of(children, this.workloads, this.uid)):
            return None  # meanwhile pods went or came: other rules for Secrets and ConfigMaps hold
        secrets = this.memory.written.secrets_due(this.desired, settled=settled)
        until = min(secrets, time.monotonic() + self._settings.resync)
        return rest(basis, this.desired, children, this.applier.found, until)

    def _context(self, this: Pass, image: str | None = None) -> RenderContext:
        return RenderContext(
            image=image or self._settings.services_image,
            keyring=self.keyring(this.uid),
            image_pull_policy=self._settings.image_pull_policy,
            log_level=self._settings.services_log_level,
            moment=this.moment,
        )

    def _lay_out(self, this: Pass, children: Sequence[Observed]) -> Basis:
        """Choose the volumes; return what the objects depend on, besides what a session holds back."""
        this.image = image_of(self._settings.services_image, this.system.spec.version)
        quiesced = None if self._backups is None else self._backups.quiesced(this.key)
        if quiesced is not None:
            this.due.append(quiesced)
        this.layout = layout(
            this.system,
            children,
            quiesced=quiesced is not None,
            backup=self._restored_from(this),
        )
        if this.layout.restore.blocked:
            this.due_in.append(RESTORE_LOOK_SECONDS)
        return Basis(this.system.metadata.generation, this.moment, this.layout)

    def _restored_from(self, this: Pass) -> dict[str, Any] | None:
        source = this.system.spec.restore_from
        if source is None or self._backups is None:
            return None
        return self._backups.named(this.key.namespace, source.backup)

    async def _desire(self, this: Pass, basis: Basis) -> None:
        """Render what is to be, with the pod templates held back while they may not be changed."""
        image = this.image
        desired = self._rendered(this, basis)
        desired = await self._rollouts.as_failed(this, desired)
        if holding_now(this.system.spec, this.moment):
            desired = [await self._hold(this, each) for each in desired]
        elif this.paused_until is None:
            desired = await self._hold_for_backup(this, desired)
        another = this.held or this.gone_back
        runs = running_image(each.manifest for each in desired if another and BY_NAME[each.key.kind].workload)
        if this.paused_until is not None:
            runs = await self._running_image(this, desired)
            this.only = going_on(runs)
        if runs is not None and runs != image:
            image = runs
            desired = _replaced(desired, schedules(this.system, self._context(this, image)))
        this.desired, this.image = desired, image

    def _rendered(self, this: Pass, basis: Basis) -> list[Desired]:
        """Return the objects of a layout; kept for the next pass while passes still write."""
        known = this.memory.rendered
        if known is None or known.basis != basis:
            manifests = render_layout(this.system, self._context(this), basis.layout)
            known = this.memory.rendered = Rendered(basis, [desired_from(manifest) for manifest in manifests])
        return list(known.desired)

    async def _running_image(self, this: Pass, desired: Sequence[Desired]) -> str | None:
        """Return the image of the release that runs, whether its pods are ready or not; None where nobody knows it."""
        for each in desired:
            if not BY_NAME[each.key.kind].workload or component_of(each.manifest) not in WITH_SCHEDULER:
                continue
            known = self._cache.children.get(each.key)
            if known is None or not known.belongs_to(this.uid):
                return None
            if known.applied == each.digest:
                return released_image(each.manifest)
            observed = await self._client.get(BY_NAME[each.key.kind], each.key.namespace, each.key.name)
            return None if observed is None else released_image(observed)
        return None

    def _standing(self, desired: Desired, uid: str) -> Observed | None:
        """Return the workload of a name that is there, be it of the kind in which a former release made it."""
        kinds = (desired.key.kind, *sorted(WORKLOADS - {desired.key.kind}))
        found = (self._cache.children.get(desired.key._replace(kind=kind)) for kind in kinds)
        return next((each for each in found if each is not None and each.belongs_to(uid) and not each.deleting), None)

    async def _on_the_released_template(self, desired: Desired, there: ChildKey, *, ours: bool) -> Held:
        """Return a workload with the template that was released last; `ours`: it has no pods by our own hand."""
        observed = await self._client.get(BY_NAME[there.kind], there.namespace, there.name)
        if observed is not None and ours:
            observed = {**observed, "status": {**observed.get("status", {}), "readyReplicas": 1}}
        return hold(unmarked(desired.manifest), observed, holding=True)

    async def _hold_for_backup(self, this: Pass, desired: list[Desired]) -> list[Desired]:
        """Return the objects as they are to be now: where a new release waits for a backup, with what runs.

        The release waits only if something of the former one runs when it comes; from then on also while that has no
        pods, since the backup itself ends them.
        """
        found = (
            None if self._backups is None else upgrade_gate(self._backups, this.system, this.raw, this.image, this.now)
        )
        if self._backups is None or found is None:
            return desired
        if found.waits is None:
            this.gate = found
            return desired
        begun = row_of(this.raw.get("status") or {}) == found.row
        held = [await self._hold(this, each, ours=begun) for each in desired]
        if not this.held:
            return desired
        this.gate = await make_before(self._backups, this.system, found)
        if this.gate.until is not None:
            this.due.append(this.gate.until)
        if not begun:
            this.due_in.append(0.0)  # the status says so first
        return held

    async def _hold(self, this: Pass, desired: Desired, *, ours: bool = False) -> Desired:
        """Return a workload as it is to be now: with the pod template that was released last, if a new one waits.

        `ours`: it may have no pods by our own hand.
        """
        if desired.key in this.gone_back or not BY_NAME[desired.key.kind].workload:
            return desired
        known = self._standing(desired, this.uid)
        if known is None or (known.key == desired.key and known.applied == desired.digest):
            return desired
        held = await self._on_the_released_template(desired, known.key, ours=ours or this.memory.forcing)
        if not held.waiting:
            return desired
        this.held.append(f"{desired.key.kind} {desired.key.name}: {'; '.join(held.words)}")
        template = held.manifest["spec"]["template"]
        names = referenced_config_maps(template)
        this.spared |= {ChildKey("ConfigMap", desired.key.namespace, name) for name in names}
        return desired_from(held.manifest)

    async def _force_halt(self, this: Pass) -> None:
        """Have the trader at no replicas while a halt that it did not acknowledge is being forced."""
        component = trader_component(this.system.spec.profile)
        at, trader = next(
            (index, each)
            for index, each in enumerate(this.desired)
            if BY_NAME[each.key.kind].workload and each.manifest["metadata"]["labels"][LABEL_COMPONENT] == component
        )
        now = time.monotonic()
        verdict = this.memory.halting.step(
            halted=this.system.spec.trading.halted,
            generation=this.system.metadata.generation,
            acknowledged=self._acknowledged(this),
            pods_gone=self._pods_gone(this, trader.key),
            now=now,
        )
        if verdict.due_at is not None:
            this.due_in.append(verdict.due_at - now)
        this.forced = verdict.words
        this.memory.forcing = verdict.words is not None
        observed = self._cache.children.get(trader.key)
        if not verdict.stop and (observed is None or HALTED not in observed.annotations):
            return
        # Stopped now, or stopped before and to start again: neither waits for the end of a pause.
        this.urgent.add(trader.key)
        manifest = unmarked(trader.manifest)
        if this.paused_until is not None:
            manifest = (await self._on_the_released_template(trader, trader.key, ours=True)).manifest
        this.desired[at] = desired_from(stopped_for_halt(manifest) if verdict.stop else manifest)

    def _pods_gone(self, this: Pass, trader: ChildKey) -> bool:
        """Whether the trader has no pod, and the next one will start from the newest declaration."""
        written = self._cache.children.get(this.start_value.key)
        if written is None or written.applied != this.start_value.digest:
            return False
        observed = self._cache.children.get(trader)
        if observed is None:
            return True
        counts = observed.status
        current = int(counts.get("observedGeneration", 0)) >= observed.generation
        return current and not int(counts.get("replicas", 0))

    def _acknowledged(self, this: Pass) -> int | None:
        """Return the generation that the trader acknowledged: by its gateway's word or, before one, by the status."""
        if this.memory.view is not None:
            return this.memory.view.acknowledged.get(TRADER)
        rows = (this.raw.get("status") or {}).get("services", ())
        return next((int(row.get("generation", 0)) for row in rows if row["name"] == TRADER), None)

    def _due_work(self, this: Pass, view: GatewayView | None) -> DueWork:
        """Return what is to be done about slots, and remember when to look again."""
        created = datetime.fromisoformat(this.raw["metadata"]["creationTimestamp"])
        found = due_work(
            this.system.spec,
            began=created,
            claims=self._claims(view),
            jobs=started_jobs(self._cache.children_of(this.key), this.uid),
            before=reported((this.raw.get("status") or {}).get("tasks", ())),
            now=this.now,
        )
        if found.next_due is not None:
            this.due.append(found.next_due)
        return found

    def _training_jobs(self, this: Pass, view: GatewayView | None, context: RenderContext) -> list[Manifest]:
        """Return the Job of the models that are ordered, unless it is there; it is of the release that runs."""
        ordered, system = None if view is None else view.ordered, this.system
        if ordered is None or system.spec.training.job is None:
            return []
        key = ChildKey("Job", this.key.namespace, training_job_name(system, ordered.id))
        if key in self._cache.children:
            return []
        return [training_job(unversioned(system), context, ordered.id, ordered.targets)]

    def _claims(self, view: GatewayView | None) -> Claims | None:
        if view is None or view.slots is None:
            return None
        at = self._now() - timedelta(seconds=time.monotonic() - view.at)
        states = {job.name: job.status for job in view.slots.jobs}
        slots = view.slots
        return Claims(at, slots.since, states, dict(slots.since_by_task), dict(slots.since_by_session))

    async def _finish(self, this: Pass) -> Outcome:
        memory, applier, system = this.memory, this.applier, this.system
        if applier is None:
            raise AssertionError("finished before it was reconciled")
        found = applier.found
        workloads = workloads_of(self._cache.children_of(this.key), this.workloads, this.uid)
        view = memory.view
        due = self._due_work(this, view)
        pending = self._pending(memory)
        # Before the scheduler has this declaration, it would say that a slot of it is none.
        generation = system.metadata.generation
        informed = view is None or view.acknowledged.get(SCHEDULER, generation) >= generation
        started = this.only is None or CRON_JOB in this.only
        if memory.gateway_up and not pending and informed and started:
            context = self._context(this, this.image)
            await applier.make(slot_job(unversioned(system), context, slot) for slot in due.start)
            await applier.make(self._training_jobs(this, view, context))
        kept = await self._keep_backups(this)
        seen = Observation(
            taken=sorted(found.taken),
            otherwise=sorted(found.otherwise),
            waiting=sorted(found.waiting),
            refused=sorted(found.refused),
            failed=sorted(found.failed),
            notes=sorted([*found.notes, *([this.gate.without] if this.gate.without is not None else [])]),
            contested=sorted(found.contested),
            pending=sorted(found.pending),
            held=sorted(this.held),
            held_until=this.moment.until if this.held else None,
            held_for_backup=this.gate.waits,
            upgrade=None if this.gate.row is None else row_status(this.gate.row),
            paused_until=this.paused_until,
            paused_reason=None if system.spec.paused is None else system.spec.paused.reason,
            forced=this.forced,
            gone_back=sorted(this.gone_back.values()),
            causes=[this.causes[key] for key in sorted(this.causes)],
            unrestorable=None if this.layout is None else this.layout.restore.refused,
            moment=this.moment,
            tasks=due.tasks,
            workloads=workloads,
            view=view,
            view_pending=pending,
            backup=None if self._backups is None else self._backups.newest(this.key),
            backups=kept.seen,
            tested=None if self._backups is None else self._backups.tested(this.key),
            release=release_of(this.image),
            volume_size=volume_size(self._cache.children_of(this.key), this.uid),
            gateway=self._settings.gateway_url.format(namespace=this.key.namespace, name=this.key.name),
        )
        delivery = self._delivery_in(memory, generation)
        if delivery is not None:
            this.due_in.append(delivery)
        next_in = self._next_in(this, found.due)
        memory.next_at = None if next_in is None else time.monotonic() + next_in
        writes = 0
        if delivery is None:
            writes = await self._report(this.raw, this.system, generation, seen, memory.written)
        settled = all(each.ready for each in workloads)
        if memory.rest is not None or not found.writes:  # a status of its own is no reason for another pass
            memory.rendered = None
        return Outcome(found.writes + this.annotated + writes, found.troubled or kept.retry, settled, next_in)

    async def _keep_backups(self, this: Pass) -> Kept:
        if self._backups is None:
            return Kept(BackupsSeen())
        kept = await keep(self._backups, this.system, this.raw.get("status") or {}, this.now)
        if kept.due is not None:
            this.due.append(kept.due)
        return kept

    @staticmethod
    def _delivery_in(memory: Memory, generation: int) -> float | None:
        """Return for how many more seconds the status waits for the delivery of an edit; None: it does not wait."""
        left = memory.accepted_at + DELIVERY_SECONDS - time.monotonic()
        if left <= 0 or memory.rest is None or not memory.gateway_up or memory.view is None:
            return None
        return left if undelivered(memory.view, generation) else None

    @staticmethod
    def _next_in(this: Pass, more: Sequence[datetime]) -> float | None:
        """Return after how many seconds the time itself asks for another pass."""
        waits = [(due - this.now).total_seconds() for due in (*this.due, *more) if due < LATEST]
        return min((max(0.0, wait) for wait in (*waits, *this.due_in)), default=None)

    def _pending(self, memory: Memory) -> bool:
        since = memory.gateway_up_since
        life = VIEW_LIFE_PERIODS * self._settings.gateway_period
        return memory.view is None and (since is None or time.monotonic() - since < life)

    def _expired(self, view: GatewayView | None) -> bool:
        return view is not None and time.monotonic() - view.at > VIEW_LIFE_PERIODS * self._settings.gateway_period

    async def _report(
        self, raw: dict[str, Any], system: TradingSystem | None, generation: int, seen: Observation, written: Written
    ) -> int:
        """Write the status when it says something else than before; return the number of writes."""
        previous = raw.get("status") or {}
        wanted = status(system, generation, seen, previous, self._now())
        if wanted == previous:
            return 0
        metadata = raw["metadata"]
        reply = await self._client.apply_status(metadata["namespace"], metadata["name"], wanted)
        self._cache.take_reply(reply)
        if same_but_for_status(raw, reply):
            written.versions.add(version_of(reply))
        writes = 1
        for record in event_records(previous, wanted):
            writes += await self._tell(raw, record)
        return writes

    async def _tell(self, raw: dict[str, Any], record: EventRecord) -> int:
        try:
            path = f"/apis/events.k8s.io/v1/namespaces/{raw['metadata']['namespace']}/events"
            await self._client.create(path, event(raw, record, self._now()))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                log.info("an event could not be told: %s", error.message)
            return 0
        return 1


def declared(raw: Mapping[str, Any]) -> TradingSystem:
    """Return the declaration of a system as the API server gave it.

    Raises:
        ValidationError: when it cannot be read, though the schema let it through.

    """
    return TradingSystem.model_validate({name: raw[name] for name in raw if name != "status"})


def _replaced(desired: Sequence[Desired], others: Mapping[Key, Manifest]) -> list[Desired]:
    """Return what is desired with these objects in place of those of the same kind and name."""
    found = {Key(each.key.kind, each.key.name): each for each in map(desired_from, others.values())}
    return [found.get(Key(each.key.kind, each.key.name), each) for each in desired]


def invalid_words(error: ValidationError) -> str:
    """Return what is wrong with a declaration, field by field."""
    faults = (f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors())
    return "; ".join(faults)
