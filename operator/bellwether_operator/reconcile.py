"""One pass over one system: observe, render, apply, prune, report."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from bellwether.render.kubernetes import RenderContext, derive_keyring, image_of, release_of, render
from bellwether.render.kubernetes.context import Keyring
from bellwether.render.kubernetes.names import LABEL_COMPONENT
from bellwether.spec.models import TradingSystem
from bellwether_operator import telemetry
from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.apply.decide import Decision, Desired, Verdict, decide, desired_from, not_smaller, to_prune
from bellwether_operator.gateway import GatewayView
from bellwether_operator.observe.cache import Cache, ChildKey, Observed, SystemKey, observed_from
from bellwether_operator.observe.kinds import BY_NAME
from bellwether_operator.report.events import event, transitions
from bellwether_operator.report.status import Observation, Workload, status
from bellwether_operator.settings import Settings

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Requests of one pass that are under way together."""
SECRET_LIFE_SECONDS = 3600.0
SECRET_LIFE_UNSETTLED_SECONDS = 20.0
"""After this long a Secret, which is never read, is written again; sooner while pods are not ready for want of it."""
VIEW_LIFE_PERIODS = 3
"""A gateway's word counts for so many polling periods."""


@dataclass
class Memory:
    """What one worker remembers of its system between passes; all of it can be lost without harm."""

    rendered_for: tuple[Any, ...] | None = None
    system: TradingSystem | None = None
    desired: list[Desired] = field(default_factory=list)
    secrets: dict[ChildKey, tuple[str, float]] = field(default_factory=dict)
    """Digest and time of the last write of each Secret."""
    futile: dict[ChildKey, tuple[str, int]] = field(default_factory=dict)
    """Applied, but the reply did not contain it: digest and resource version, until something changes."""
    view: GatewayView | None = None
    gateway_up: bool = False
    gateway_up_since: float | None = None
    """When this operator first saw the gateway's pod ready."""
    keyring: Keyring | None = None


@dataclass
class Findings:
    """What a pass found out while applying."""

    taken: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    writes: int = 0

    def error(self, what: str, problem: ApiError) -> None:
        """Sort a failure by whether trying again helps."""
        (self.failed if problem.transient else self.refused).append(f"{what}: {problem.message}")


@dataclass(frozen=True)
class Outcome:
    """What a pass did: how many writes, and whether it should be repeated soon."""

    writes: int
    retry: bool
    """Something did not work: again after a back-off."""
    settled: bool = True
    """False: pods are still being made; they may be waiting for a Secret that somebody deleted."""


class Reconciler:
    """Passes over systems; holds no state of its own besides the connections and the shared cache."""

    def __init__(
        self, settings: Settings, client: Client, cache: Cache, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._settings = settings
        self._client = client
        self._cache = cache
        self._now = now

    async def run(self, key: SystemKey, memory: Memory) -> Outcome:
        """Make one pass.

        Raises:
            ApiError: if not even the status could be written.

        """
        raw = self._cache.systems.get(key)
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            return Outcome(0, retry=False)
        uid, generation = raw["metadata"]["uid"], int(raw["metadata"].get("generation", 0))
        try:
            self._render(raw, memory)
        except ValidationError as error:
            memory.system = None
            seen = Observation(invalid=invalid_words(error))
            return Outcome(await self._report(raw, None, generation, seen), retry=False)
        system = memory.system
        if system is None:
            raise AssertionError("rendered without a system")
        found = Findings()
        settled = all(each.ready for each in workloads_of(self._cache.children_of(key), memory.desired, uid))
        await self._apply(memory, uid, found, settled=settled)
        await self._prune(key, memory, uid, found, settled=settled)
        return await self._finish(raw, system, memory, found)

    def _render(self, raw: dict[str, Any], memory: Memory) -> None:
        """Render into the memory, unless it was rendered from the very same."""
        metadata = raw["metadata"]
        inputs = (metadata["uid"], metadata.get("generation"), self._settings)
        if memory.rendered_for == inputs:
            return
        memory.rendered_for = None
        system = TradingSystem.model_validate({name: raw[name] for name in raw if name != "status"})
        memory.keyring = derive_keyring(self._settings.installation_seed, metadata["uid"])
        context = RenderContext(
            image=self._settings.services_image,
            keyring=memory.keyring,
            image_pull_policy=self._settings.image_pull_policy,
            log_level=self._settings.services_log_level,
        )
        memory.desired = [desired_from(manifest) for manifest in render(system, context)]
        memory.system = system
        memory.rendered_for = inputs

    async def _apply(self, memory: Memory, uid: str, found: Findings, *, settled: bool) -> None:
        """Apply what pods use, then what makes pods: a pod never starts before its volume and keys are there."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(desired: Desired) -> None:
            async with slots:
                try:
                    await self._apply_one(desired, memory, uid, found, settled=settled)
                except ApiError as error:
                    found.error(f"{desired.key.kind} {desired.key.name}", error)

        first = [each for each in memory.desired if not BY_NAME[each.key.kind].workload]
        await asyncio.gather(*(one(each) for each in first))
        if found.taken or found.refused or found.failed or found.waiting:
            return
        await asyncio.gather(*(one(each) for each in memory.desired if BY_NAME[each.key.kind].workload))

    async def _apply_one(self, desired: Desired, memory: Memory, uid: str, found: Findings, *, settled: bool) -> None:
        kind = BY_NAME[desired.key.kind]
        if not kind.observed:
            await self._apply_secret(desired, memory, found, settled=settled)
            return
        observed = self._cache.children.get(desired.key)
        if observed is None:
            # Rare: only what is to be made. An object without our labels is in no watch, and must not be overwritten
            # nor remembered: nobody would say when it goes.
            raw = await self._client.get(kind, desired.key.namespace, desired.key.name)
            observed = None if raw is None else observed_from(raw, kind.kind)
        desired, note = not_smaller(desired, observed)
        if note is not None:
            found.notes.append(note)
        verdict = decide(desired, observed, uid)
        if verdict.verdict is Verdict.APPLY and not self._futile(desired, observed, memory):
            await self._write(desired, observed, verdict, memory, found)
        elif verdict.verdict is Verdict.SKIP and observed is not None:
            observed.verified, observed.body = desired.digest, None
        elif verdict.verdict is Verdict.WAIT:
            found.waiting.append(f"{desired.key.kind} {desired.key.name}: {verdict.why}")
        elif verdict.verdict is Verdict.TAKEN:
            found.taken.append(f"{desired.key.kind} {desired.key.name} exists and {verdict.why}")

    @staticmethod
    def _futile(desired: Desired, observed: Observed | None, memory: Memory) -> bool:
        return observed is not None and memory.futile.get(desired.key) == (desired.digest, observed.resource_version)

    async def _write(
        self, desired: Desired, observed: Observed | None, decision: Decision, memory: Memory, found: Findings
    ) -> None:
        kind = BY_NAME[desired.key.kind]
        found.writes += 1
        try:
            reply = await self._client.apply(kind, desired.manifest)
        except ApiError as error:
            if observed is None or not error.invalid:
                raise
            await self._client.overwrite(kind, desired.manifest)
            reply = await self._client.apply(kind, desired.manifest)
            found.writes += 1
        self._cache.take_child(reply, kind.kind)
        now_there = self._cache.children.get(desired.key)
        if observed is not None and observed.applied == desired.digest:
            telemetry.DRIFT.labels(kind.kind).inc()
        log.info("applied %s %s: %s", kind.kind, desired.key.name, decision.why)
        memory.futile.pop(desired.key, None)
        if now_there is None or now_there.verified == desired.digest:
            return
        uid = now_there.owner_uid or ""
        again = decide(desired, now_there, uid)
        if again.verdict is Verdict.APPLY:
            memory.futile[desired.key] = (desired.digest, now_there.resource_version)
            log.warning("%s %s did not become what was applied: %s", kind.kind, desired.key.name, again.why)
        elif again.verdict is Verdict.SKIP:
            now_there.verified, now_there.body = desired.digest, None

    async def _apply_secret(self, desired: Desired, memory: Memory, found: Findings, *, settled: bool) -> None:
        """Write a Secret without ever reading one: what was written is remembered, and written again now and then."""
        digest, at = memory.secrets.get(desired.key, ("", 0.0))
        life = SECRET_LIFE_SECONDS if settled else SECRET_LIFE_UNSETTLED_SECONDS
        if digest == desired.digest and time.monotonic() - at < life:
            return
        try:
            await self._client.apply(BY_NAME[desired.key.kind], desired.manifest, force=False)
        except ApiError as error:
            # Another manager holds the entries, or another controller the object: somebody else's Secret.
            if error.reason in {"Conflict", "Invalid"}:
                found.taken.append(f"Secret {desired.key.name} exists and is somebody else's: {error.message}")
                return
            raise
        found.writes += 1
        memory.secrets[desired.key] = (desired.digest, time.monotonic())

    async def _prune(self, key: SystemKey, memory: Memory, uid: str, found: Findings, *, settled: bool) -> None:
        wanted = {each.key for each in memory.desired}
        if found.taken or found.refused or found.failed or found.waiting:
            return
        for child in to_prune(self._cache.children_of(key), wanted, uid, settled=settled):
            try:
                await self._client.delete(BY_NAME[child.key.kind], child.key.namespace, child.key.name, child.uid)
            except ApiError as error:
                found.error(f"deleting {child.key.kind} {child.key.name}", error)
            else:
                found.writes += 1
                child.deleting = True
                log.info(
                    "deleted %s %s: no longer declared", child.key.kind, child.key.name, extra={"system": key.name}
                )

    async def _finish(
        self,
        raw: dict[str, Any],
        system: TradingSystem,
        memory: Memory,
        found: Findings,
    ) -> Outcome:
        key = SystemKey(system.metadata.namespace, system.metadata.name)
        workloads = workloads_of(self._cache.children_of(key), memory.desired, system.metadata.uid)
        gateway = next((each for each in workloads if each.component in {"system", "gateway"}), None)
        memory.gateway_up = gateway is not None and gateway.ready and gateway.wanted > 0
        if memory.gateway_up and memory.gateway_up_since is None:
            memory.gateway_up_since = time.monotonic()
        expired = self._expired(memory.view)
        seen = Observation(
            taken=sorted(found.taken),
            waiting=sorted(found.waiting),
            refused=sorted(found.refused),
            failed=sorted(found.failed),
            notes=sorted(found.notes),
            workloads=workloads,
            view=None if expired else memory.view,
            view_pending=self._pending(memory),
            release=release_of(image_of(self._settings.services_image, system.spec.version)),
            gateway=self._settings.gateway_url.format(namespace=key.namespace, name=key.name),
        )
        writes = await self._report(raw, system, system.metadata.generation, seen)
        retry = bool(found.refused or found.failed or found.waiting or found.taken)
        return Outcome(found.writes + writes, retry, settled=all(each.ready for each in workloads))

    def _pending(self, memory: Memory) -> bool:
        since = memory.gateway_up_since
        life = VIEW_LIFE_PERIODS * self._settings.gateway_period
        return memory.view is None and (since is None or time.monotonic() - since < life)

    def _expired(self, view: GatewayView | None) -> bool:
        return view is not None and time.monotonic() - view.at > VIEW_LIFE_PERIODS * self._settings.gateway_period

    async def _report(
        self, raw: dict[str, Any], system: TradingSystem | None, generation: int, seen: Observation
    ) -> int:
        """Write the status when it says something else than before; return the number of writes."""
        previous = raw.get("status") or {}
        wanted = status(system, generation, seen, previous, self._now())
        if wanted == previous:
            return 0
        metadata = raw["metadata"]
        reply = await self._client.apply_status(metadata["namespace"], metadata["name"], wanted)
        self._cache.take_reply(reply)
        writes = 1
        for condition in transitions(previous.get("conditions", ()), wanted["conditions"]):
            writes += await self._tell(raw, condition)
        return writes

    async def _tell(self, raw: dict[str, Any], condition: Any) -> int:
        try:
            path = f"/apis/events.k8s.io/v1/namespaces/{raw['metadata']['namespace']}/events"
            await self._client.create(path, event(raw, condition, self._now()))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                log.info("an event could not be told: %s", error.message)
            return 0
        return 1


def workloads_of(children: Sequence[Observed], desired: Sequence[Desired], uid: str) -> list[Workload]:
    """Return how far each desired workload is; one that is not there yet is not ready."""
    by_key = {child.key: child for child in children if child.belongs_to(uid)}
    found = []
    for each in desired:
        if not BY_NAME[each.key.kind].workload:
            continue
        wanted = int(each.manifest["spec"]["replicas"])
        component = each.manifest["metadata"]["labels"][LABEL_COMPONENT]
        found.append(Workload(component, wanted, _ready(by_key.get(each.key), each.digest, wanted)))
    return found


def _ready(observed: Observed | None, digest: str, wanted: int) -> bool:
    if observed is None or observed.applied != digest:
        return False
    counts = observed.status
    return (
        int(counts.get("observedGeneration", 0)) >= observed.generation
        and int(counts.get("replicas", 0)) == wanted
        and int(counts.get("readyReplicas", 0)) == wanted
        and int(counts.get("updatedReplicas", 0)) == wanted
    )


def invalid_words(error: ValidationError) -> str:
    """Return what is wrong with a declaration, field by field."""
    faults = (f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors())
    return "; ".join(faults)
