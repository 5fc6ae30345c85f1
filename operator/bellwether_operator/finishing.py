"""The last stage of a pass: slots that nobody started, backups by schedule, and the status."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from bellwether.change.hold import unversioned
from bellwether.change.world import CRON_JOB
from bellwether.render.kubernetes import RenderContext, release_of
from bellwether.render.kubernetes.context import Manifest
from bellwether.render.kubernetes.jobs import slot_job
from bellwether.render.kubernetes.training_jobs import training_job, training_job_name
from bellwether.spec.models import TradingSystem
from bellwether_operator import telemetry
from bellwether_operator.apply.applier import Applier
from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.backups.in_place import restore_row_of, restore_row_status
from bellwether_operator.backups.keeping import BackupStage, keep
from bellwether_operator.backups.running import Backups
from bellwether_operator.backups.upgrades import upgrade_row_status
from bellwether_operator.catching_up import Claims, DueWork, due_work, reported, started_jobs
from bellwether_operator.gateway_view import GatewayView, undelivered
from bellwether_operator.observe.cache import Cache, same_but_for_status
from bellwether_operator.observe.kinds import ChildKey, version_of
from bellwether_operator.observe.layouts import volume_size, workloads_of
from bellwether_operator.passes import Memory, Pass, PassEnd, Results
from bellwether_operator.report.events import EventRecord, event, event_records
from bellwether_operator.report.observation import BackupsSeen, Observation, Workload
from bellwether_operator.report.status import status
from bellwether_operator.settings import Settings
from bellwether_operator.when import delivery_in, next_in

log = logging.getLogger(__name__)

SCHEDULER = "scheduler"
DECIDING = ("restore", "upgrade")
"""What of a status the next pass acts by, and no pass before the API server has kept it."""
VIEW_LIFE_PERIODS = 3
"""A gateway's word counts for so many polling periods."""


class Finishing:
    """Brings a pass to its end."""

    def __init__(
        self, settings: Settings, client: Client, cache: Cache, now: Callable[[], datetime], backups: Backups | None
    ) -> None:
        self._settings = settings
        self._client = client
        self._cache = cache
        self._now = now
        self._backups = backups

    async def finish(self, this: Pass, results: Results, applier: Applier, context: RenderContext) -> PassEnd:
        """Start slots and training, keep backups, write the status; return what the pass did.

        `context` is that of the release which runs.
        """
        memory, generation = this.memory, this.system.metadata.generation
        workloads = workloads_of(self._cache.children_of(this.key), results.workloads, this.uid)
        due = self._due_work(this)
        await self._start_jobs(this, results, applier, due, context)
        kept = BackupStage(BackupsSeen())
        if self._backups is not None:
            kept = await keep(self._backups, this.system, this.raw.get("status") or {}, this.now)
        seen = self._seen(this, results, workloads, due, kept)
        delivery = self._delivery_in(memory, generation)
        at = [this.period.until, *(each for each in (this.paused_until, due.next_due, kept.due) if each is not None)]
        within = [] if delivery is None else [delivery]
        for each in results.due:
            at, within = [*at, *each.at], [*within, *each.within]
        following = next_in(at, within, this.now)
        memory.next_at = None if following is None else time.monotonic() + following
        writes = 0
        if delivery is None:
            writes = await self.report(this.raw, this.system, generation, seen, memory)
        all_ready = all(each.ready for each in workloads)
        if memory.rest is not None or not results.found.writes:  # a status of its own is no reason for another pass
            memory.rendered = None
        writes += results.found.writes + results.released.annotated + results.watched.annotated
        # The definition may be applied, which no watch over systems says.
        return PassEnd(writes, results.found.troubled or kept.retry, all_ready and not memory.unkept)

    def _seen(
        self, this: Pass, results: Results, workloads: list[Workload], due: DueWork, kept: BackupStage
    ) -> Observation:
        found, released, watched = results.found, results.released, results.watched
        gate, backups, row = released.gate, self._backups, results.laid.restore
        notes = [*found.notes, *([gate.without] if gate.without is not None else [])]
        notes += map(_unkept, this.memory.unkept)
        known = restore_row_of(this.raw.get("status") or {})
        restoring = None if row is None or known is None or not (row.under_way and known.under_way) else row.words
        paused = this.system.spec.paused
        return Observation(
            taken=sorted(found.taken),
            other_declaration=sorted(found.other_declaration),
            waiting=sorted(found.waiting),
            refused=sorted(found.refused),
            failed=sorted(found.failed),
            notes=sorted(notes),
            contested=sorted(found.contested),
            pending=sorted(found.pending),
            held=sorted(released.held),
            held_until=this.period.until if released.held else None,
            held_for_backup=gate.waits,
            upgrade=None if gate.row is None else upgrade_row_status(gate.row),
            paused_until=this.paused_until,
            paused_reason=None if paused is None else paused.reason,
            forced=results.halted.forced,
            gone_back=sorted(watched.gone_back.values()),
            causes=[results.causes[key] for key in sorted(results.causes)],
            unrestorable=results.laid.layout.restore.refused,
            restore=None if row is None else restore_row_status(row),
            restoring=restoring,
            period=this.period,
            tasks=due.tasks,
            workloads=workloads,
            view=this.memory.view,
            view_pending=self.pending(this.memory),
            backup=None if backups is None else backups.newest(this.key),
            backups=kept.seen,
            tested=None if backups is None else backups.tested(this.key),
            release=release_of(released.image),
            volume_size=volume_size(self._cache.children_of(this.key), this.uid),
            gateway=self._settings.gateway_url.format(namespace=this.key.namespace, name=this.key.name),
        )

    async def _start_jobs(
        self, this: Pass, results: Results, applier: Applier, due: DueWork, context: RenderContext
    ) -> None:
        """Make the Jobs of slots that nobody started, and of models that are ordered."""
        view, generation, only = this.memory.view, this.system.metadata.generation, results.released.only
        # Before the scheduler has this declaration, it would say that a slot of it is none.
        informed = view is None or view.acknowledged.get(SCHEDULER, generation) >= generation
        started = only is None or CRON_JOB in only
        if this.memory.gateway_up and not self.pending(this.memory) and informed and started:
            await applier.make(slot_job(unversioned(this.system), context, slot) for slot in due.start)
            await applier.make(self._training_jobs(this, view, context))

    def _due_work(self, this: Pass) -> DueWork:
        """Return what is to be done about slots, and when to look again."""
        return due_work(
            this.system.spec,
            began=datetime.fromisoformat(this.raw["metadata"]["creationTimestamp"]),
            claims=self._claims(this.memory.view),
            jobs=started_jobs(self._cache.children_of(this.key), this.uid),
            before=reported((this.raw.get("status") or {}).get("tasks", ())),
            now=this.now,
        )

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

    @staticmethod
    def _delivery_in(memory: Memory, generation: int) -> float | None:
        """Return for how many more seconds the status waits for the delivery of an edit; None: it does not wait."""
        if memory.rest is None or not memory.gateway_up or memory.view is None:
            return None
        return delivery_in(memory.accepted_at, time.monotonic()) if undelivered(memory.view, generation) else None

    def pending(self, memory: Memory) -> bool:
        """Whether this operator has only just started to ask the gateway: what was said before still counts."""
        since = memory.gateway_up_since
        life = VIEW_LIFE_PERIODS * self._settings.gateway_period
        return memory.view is None and (since is None or time.monotonic() - since < life)

    def expired(self, view: GatewayView | None) -> bool:
        """Whether a gateway's word is too old to count."""
        return view is not None and time.monotonic() - view.at > VIEW_LIFE_PERIODS * self._settings.gateway_period

    async def report(
        self, raw: dict[str, Any], system: TradingSystem | None, generation: int, seen: Observation, memory: Memory
    ) -> int:
        """Write the status when it says something else than before; return the number of writes."""
        previous = raw.get("status") or {}
        wanted = status(system, generation, seen, previous, self._now())
        metadata = raw["metadata"]
        telemetry.note_backups(metadata["namespace"], metadata["name"], wanted["conditions"])
        kept, writes = previous, 0
        if wanted != previous:
            reply = await self._client.apply_status(metadata["namespace"], metadata["name"], wanted)
            self._cache.take_reply(reply)
            if same_but_for_status(raw, reply):
                memory.written.versions.add(version_of(reply))
            kept, writes = reply["status"], 1
            for record in event_records(previous, kept):
                writes += await self._publish(raw, record)
        unkept = frozenset(wanted) - frozenset(kept)
        if unkept != memory.unkept or any(kept.get(name) != previous.get(name) for name in DECIDING):
            memory.next_at = time.monotonic()
        memory.unkept = unkept
        return writes

    async def _publish(self, raw: dict[str, Any], record: EventRecord) -> int:
        try:
            path = f"/apis/events.k8s.io/v1/namespaces/{raw['metadata']['namespace']}/events"
            await self._client.create(path, event(raw, record, self._now()))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                log.info("an event could not be reported: %s", error.message)
            return 0
        return 1


def _unkept(name: str) -> str:
    return f"status.{name} is not kept: apply the definition of TradingSystem of this release, crds/ has it"
