"""The operator's TradingReplays: each that has not ended is taken through its steps.

Nothing is remembered that is not in the API server. Jobs and pods are asked for only while a replay has not ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bellwether.render.kubernetes.context import Keyring, Manifest, RenderContext
from bellwether.render.kubernetes.replay_jobs import LABEL_REPLAY, replay_job, replay_name, replay_policy
from bellwether.spec.models import API_VERSION, TradingSystem
from bellwether.spec.models import KIND as SYSTEM_KIND
from bellwether.spec.trading_replay import KIND, PLURAL, TradingReplaySpec
from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.gateway import GatewayError
from bellwether_operator.observe.cache import Cache, SystemKey
from bellwether_operator.observe.kinds import BY_NAME, JOB, PODS, Kind
from bellwether_operator.replays.status import progress_of, status_of
from bellwether_operator.replays.steps import Frozen, Progress, Scene, next_step, owner_of
from bellwether_operator.settings import Settings

log = logging.getLogger(__name__)

REPLAYS = Kind(API_VERSION, KIND, PLURAL, stateful=True)
PAGE = 100
LOOK_SECONDS = 2.0
"""How often a replay that has not ended is looked at."""
RETRY_SECONDS = 5.0
NOT_INSTALLED_SECONDS = 60.0  # until it is looked again whether the definition of TradingReplay has come
TELL_SECONDS, TELL_TRIES = 15.0, 40
"""How a gateway hears which replays are left, while it does not answer."""
_NOT_FOUND = 404
_NO_KEYS = Keyring({}, {}, "")
"""Nothing that is made here holds a key: pods mount the one of the system's Secret."""
Tell = Callable[[SystemKey, Sequence[str]], Awaitable[None]]
"""Tells a system's gateway the uids of the replays that exist; raises GatewayError."""


class ReplayKey(NamedTuple):
    """A replay's namespace and name."""

    namespace: str
    name: str


class Replays:
    """The replays of every namespace in sight."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        tell: Tell,
        now: Callable[[], datetime],
        *,
        settings: Settings,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Do nothing yet."""
        self._client = client
        self._cache = cache
        self._tell = tell
        self._now = now
        self._look_seconds = look_seconds
        self._context = RenderContext(
            settings.services_image, _NO_KEYS, settings.image_pull_policy, settings.services_log_level
        )
        self._known: dict[ReplayKey, dict[str, Any]] = {}
        self._drivers: dict[ReplayKey, asyncio.Task[None]] = {}
        self._telling: dict[SystemKey, asyncio.Task[None]] = {}

    async def list_all(self, scope: str | None) -> int | None:
        """Take what is there; return as of which version, None where the cluster does not know the kind.

        Raises:
            ApiError: when the server refuses or is not reached.

        """
        found: dict[ReplayKey, dict[str, Any]] = {}
        following = ""
        while True:
            try:
                page = await self._client.page(REPLAYS, scope, "", PAGE, following, whole=True)
            except ApiError as error:
                if error.status == _NOT_FOUND:
                    return None
                raise
            found |= {_key(raw): raw for raw in page.items}
            following = page.following
            if not following:
                break
        for key in [key for key in self._known if scope in {None, key.namespace} and key not in found]:
            self._forget(self._known.pop(key))
        self._known |= found
        return page.resource_version

    async def run(self, scope: str | None) -> None:
        """Follow the replays of a namespace, or of all, until cancelled."""
        told = ""
        try:
            while True:
                pause = RETRY_SECONDS
                try:
                    since = await self.list_all(scope)
                    if since is None:
                        pause = NOT_INSTALLED_SECONDS
                    else:
                        self._drive_all()
                        async for event in self._client.watch(REPLAYS, scope, "", since):
                            self._take(event)
                        pause = 0.0
                    told = ""
                except ApiError as error:
                    if error.message != told:
                        log.warning("replays cannot be followed: %s", error.message)
                    told = error.message
                except Exception:
                    log.exception("following replays failed by a fault of the operator")
                await asyncio.sleep(pause)
        finally:
            tasks = [*self._drivers.values(), *self._telling.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _take(self, event: Mapping[str, Any]) -> None:
        raw = event["object"]
        if event["type"] == "ERROR":
            raise ApiError(int(raw.get("code", 0)), str(raw.get("reason", "")), str(raw.get("message", "")))
        if event["type"] == "BOOKMARK":
            return
        key = _key(raw)
        if event["type"] == "DELETED":
            self._known.pop(key, None)
            self._forget(raw)
            return
        self._known[key] = dict(raw)
        self._drive_all()

    def _drive_all(self) -> None:
        for key, raw in self._known.items():
            running = self._drivers.get(key)
            if (running is None or running.done()) and _goes_on(raw):
                self._drivers[key] = asyncio.create_task(self._drive(key), name=f"replay {key.namespace}/{key.name}")

    async def _drive(self, key: ReplayKey) -> None:
        """Bring one replay to its end."""
        while (raw := self._known.get(key)) is not None and _goes_on(raw):
            try:
                await self._one_step(key, raw)
            except ApiError as error:
                log.warning("replay %s: %s", key.name, error.message)
            except Exception:
                log.exception("replay %s: a step failed by a fault of the operator", key.name)
            await asyncio.sleep(self._look_seconds)
        self._drivers.pop(key, None)

    async def _one_step(self, key: ReplayKey, raw: dict[str, Any]) -> None:
        step = next_step(raw, progress_of(raw), await self._scene(raw))
        if step.plan is not None:
            await self._make(step.plan)
        if step.job is not None:
            for manifest in self._of_job(raw, step.job):
                await self._make(manifest)
        await self._write(key, raw, step.progress)

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
        found = self._cache.systems.get(_system(raw))
        return None if found is None or "deletionTimestamp" in found["metadata"] else found

    def _of_job(self, raw: Mapping[str, Any], frozen: Frozen) -> list[Manifest]:
        owner = owner_of(raw)
        plain = {"apiVersion": API_VERSION, "kind": SYSTEM_KIND, "spec": frozen.declaration["spec"]}
        metadata = {"name": frozen.declaration["metadata"]["name"], "namespace": owner.namespace}
        system = TradingSystem.model_validate({**plain, "metadata": metadata})
        spec = TradingReplaySpec.model_validate(raw["spec"])
        return [
            replay_policy(owner, system),
            replay_job(owner, system, self._context, spec, frozen.variants),
        ]

    async def _make(self, manifest: Manifest) -> None:
        """Make an object; where one of its name exists, the next look says whose it is."""
        try:
            await self._client.create(BY_NAME[manifest["kind"]].path(manifest["metadata"]["namespace"]), manifest)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise

    async def _write(self, key: ReplayKey, raw: dict[str, Any], progress: Progress) -> None:
        wanted = status_of(progress, raw, self._now())
        if wanted != raw.get("status"):
            reply = await self._client.apply_status(key.namespace, key.name, wanted, REPLAYS)
            if key in self._known:
                self._known[key] = reply

    def _forget(self, raw: Mapping[str, Any]) -> None:
        """Have the gateway of a replay's system forget its report."""
        system = _system(raw)
        running = self._telling.get(system)
        if running is not None:
            running.cancel()  # it may be about to tell of this one as of one that is there
        self._telling[system] = asyncio.create_task(self._tell_left(system), name=f"replays of {system.name}")

    async def _tell_left(self, system: SystemKey) -> None:
        for _ in range(TELL_TRIES):
            if system not in self._cache.systems:
                return
            left = [raw["metadata"]["uid"] for raw in self._known.values() if _system(raw) == system]
            try:
                await self._tell(system, left)
                return
            except GatewayError as error:
                log.info("%s still has the reports of replays that are gone: %s", system.name, error)
            await asyncio.sleep(TELL_SECONDS)


def _goes_on(raw: Mapping[str, Any]) -> bool:
    ended = progress_of(raw).state in {"complete", "failed"}
    return not ended and "deletionTimestamp" not in raw["metadata"]


def _key(raw: Mapping[str, Any]) -> ReplayKey:
    return ReplayKey(raw["metadata"]["namespace"], raw["metadata"]["name"])


def _system(raw: Mapping[str, Any]) -> SystemKey:
    return SystemKey(raw["metadata"]["namespace"], str(raw["spec"]["system"]))
