"""The operator's TradingReplays: each that has not ended is taken through its steps.

Nothing is remembered that is not in the API server. Jobs and pods are asked for only while a replay has not ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bellwether.render.kubernetes.context import Keyring, Manifest, RenderContext
from bellwether.render.kubernetes.replay_jobs import LABEL_REPLAY, replay_job, replay_name, replay_policy
from bellwether.spec.models import API_VERSION, TradingSystem
from bellwether.spec.models import KIND as SYSTEM_KIND
from bellwether.spec.trading_replay import KIND, PLURAL, TradingReplaySpec
from bellwether_operator.apply.client import Client
from bellwether_operator.following import ActionKey, Follower, Handler, create, system_key
from bellwether_operator.gateway_view import GatewayError
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import BY_NAME, JOB, PODS, Kind, SystemKey
from bellwether_operator.replays.steps import Frozen, Scene, next_step, owner_of, progress_of, status_of
from bellwether_operator.settings import Settings

log = logging.getLogger(__name__)

REPLAYS = Kind(API_VERSION, KIND, PLURAL, stateful=True)
PAGE = 100
LOOK_SECONDS = 2.0
"""How often a replay that has not ended is looked at."""
SEND_SECONDS, SEND_TRIES = 15.0, 40
"""How a gateway hears which replays are left, while it does not answer."""
_NO_KEYS = Keyring({}, {}, "")
"""Nothing that is made here holds a key: pods mount the one of the system's Secret."""
Send = Callable[[SystemKey, Sequence[str]], Awaitable[None]]
"""Tells a system's gateway the uids of the replays that exist; raises GatewayError."""


class Replays:
    """The replays of every namespace in sight."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        send: Send,
        now: Callable[[], datetime],
        *,
        settings: Settings,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Do nothing yet."""
        self._client = client
        self._cache = cache
        self._send = send
        self._now = now
        self._context = RenderContext(
            settings.services_image, _NO_KEYS, settings.image_pull_policy, settings.services_log_level
        )
        self._follower = Follower(client, REPLAYS, self._next, self._forget, look_seconds)
        self._sending: dict[SystemKey, asyncio.Task[None]] = {}

    async def run(self, scope: str | None) -> None:
        """Follow the replays of a namespace, or of all, until cancelled."""
        try:
            await self._follower.run(scope)
        finally:
            sending = list(self._sending.values())
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    def _next(self, raw: Mapping[str, Any]) -> Handler | None:
        ended = progress_of(raw).state in {"complete", "failed"}
        return None if ended or "deletionTimestamp" in raw["metadata"] else self._one_step

    async def _one_step(self, key: ActionKey, raw: dict[str, Any]) -> None:
        step = next_step(raw, progress_of(raw), await self._scene(raw))
        if step.plan is not None:
            await self._make(step.plan)
        if step.job is not None:
            for manifest in self._of_job(raw, step.job):
                await self._make(manifest)
        await self._follower.write(key, raw, status_of(step.progress, raw, self._now()))

    async def _scene(self, raw: Mapping[str, Any]) -> Scene:
        metadata = raw["metadata"]
        namespace, selector = metadata["namespace"], f"{LABEL_REPLAY}={metadata['uid']}"
        plan = await self._client.get(BY_NAME["ConfigMap"], namespace, replay_name(metadata["name"]))
        if plan is None:
            return Scene(self._now(), self._system(raw))
        # The Job before its pods: where it has ended, all of them had.
        jobs = await self._client.page(BY_NAME[JOB], namespace, selector, PAGE)
        job = next(iter(jobs.items), None)
        pods = [] if job is None else (await self._client.page(PODS, namespace, selector, PAGE)).items
        return Scene(self._now(), self._system(raw), plan, job, pods)

    def _system(self, raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
        found = self._cache.systems.get(system_key(raw))
        return None if found is None or "deletionTimestamp" in found["metadata"] else found

    def _of_job(self, raw: Mapping[str, Any], frozen: Frozen) -> list[Manifest]:
        owner = owner_of(raw)
        plain = {"apiVersion": API_VERSION, "kind": SYSTEM_KIND, "spec": frozen.declaration["spec"]}
        metadata = {"name": frozen.declaration["metadata"]["name"], "namespace": owner.namespace}
        system = TradingSystem.model_validate({**plain, "metadata": metadata})
        spec = TradingReplaySpec.model_validate(raw["spec"])
        return [replay_policy(owner, system), replay_job(owner, system, self._context, spec, frozen.variants)]

    async def _make(self, manifest: Manifest) -> None:
        await create(self._client, BY_NAME[manifest["kind"]], manifest)

    def _forget(self, raw: Mapping[str, Any]) -> None:
        """Have the gateway of a replay's system forget its report."""
        system = system_key(raw)
        running = self._sending.get(system)
        if running is not None:
            running.cancel()  # it may be about to tell of this one as of one that is there
        self._sending[system] = asyncio.create_task(self._send_left(system), name=f"replays of {system.name}")

    async def _send_left(self, system: SystemKey) -> None:
        for _ in range(SEND_TRIES):
            if system not in self._cache.systems:
                return
            left = [raw["metadata"]["uid"] for raw in self._follower.of(system)]
            try:
                await self._send(system, left)
                return
            except GatewayError as error:
                log.info("%s still has the reports of replays that are gone: %s", system.name, error)
            await asyncio.sleep(SEND_SECONDS)
