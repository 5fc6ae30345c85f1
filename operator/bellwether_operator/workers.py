"""One worker per system: it sleeps until its system is marked dirty, a pass is due again, or time has come to look."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any

from bellwether.render.kubernetes.configmaps import sent_spec
from bellwether_operator import telemetry
from bellwether_operator.apply.client import ApiError
from bellwether_operator.backups.in_place import is_over, restore_row_of
from bellwether_operator.gateway import GatewayClient
from bellwether_operator.gateway_view import GatewayError, GatewayView, undelivered
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import SystemKey, Version
from bellwether_operator.passes import Memory, PassEnd
from bellwether_operator.reconcile import Reconciler, declared
from bellwether_operator.settings import Settings
from bellwether_operator.when import is_echo

log = logging.getLogger(__name__)

PASSES_AT_ONCE = 20
TROUBLED_PASSES_AT_ONCE = 4
"""Passes of systems whose last one did not work have a lane of their own, so that they never hold up the others."""
LOOKS_AT_ONCE = 50
TROUBLED_LOOKS_AT_ONCE = 50
"""Looks at gateways that gave no answer the last time, to the same generation: each may take its whole time-out, with
an edit or a halt of another system waiting behind it."""
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 300.0
LAST_OUTAGE_RETRY_SECONDS = 30.0
"""When not even the status could be written: most likely the API server was unreachable for everybody."""
NOT_READY_SECONDS = 25.0
"""While pods are not ready a system is looked at this often, though no watch says anything."""


def jittered(seconds: float, share: float = 0.2) -> float:
    """Return a time within a share of the given one, so that many systems do not act in step."""
    return seconds * random.uniform(1 - share, 1 + share)  # noqa: S311 (no secret)


class Look(Enum):
    """What came of a look at a gateway."""

    READY = auto()
    """Everything is delivered and ready, or there is nothing to look at."""
    NOT_READY = auto()
    """It answered; something is not delivered or not ready yet."""
    FAILED = auto()
    """It gave no answer, or none that is one."""


class Worker:
    """Reconciles one system and talks to its gateway, in two tasks."""

    def __init__(self, key: SystemKey, pool: Workers) -> None:
        self.key = key
        self.memory = Memory()
        self._pool = pool
        self._dirty = asyncio.Event()
        self._dirty.set()
        self._causes: set[Version | None] = set()
        """What was seen since the pass under way began; None: something else."""
        self._logged = ""
        self._gateway_starts = 0
        """How often the gateway's pod came up."""
        self._unanswered: tuple[int, int | None] | None = None
        """Which pod of the gateway gave no answer to which generation, the last time it was looked at."""
        self._tasks = [
            asyncio.create_task(self._reconcile_forever(), name=f"reconcile {key.namespace}/{key.name}"),
            asyncio.create_task(self._watch_gateway(), name=f"gateway {key.namespace}/{key.name}"),
        ]

    def mark(self, cause: Version | None = None) -> None:
        """Look at the system again, because of an object as it was seen or of something else."""
        self._causes.add(cause)
        self._dirty.set()

    async def stop(self) -> None:
        """End both tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _reconcile_forever(self) -> None:
        delay = FIRST_RETRY_SECONDS
        pause = 0.0
        lane = self._pool.pass_slots
        while True:
            if await set_within(self._dirty, pause):
                delay = FIRST_RETRY_SECONDS  # something happened: what did not work may work now
            async with lane:
                self._dirty.clear()
                self._causes.clear()
                result = await self._one_pass()
            if is_echo(self._causes, self.memory.written.versions):
                self._dirty.clear()
            if result is None or result.retry:
                lane = self._pool.troubled_pass_slots
                last = LAST_RETRY_SECONDS if result is not None else LAST_OUTAGE_RETRY_SECONDS
                pause, delay = jittered(delay), min(delay * 2, last)
            else:
                lane = self._pool.pass_slots
                until = self._pool.settings.resync if result.all_ready else NOT_READY_SECONDS
                pause, delay = jittered(until), FIRST_RETRY_SECONDS
            if self.memory.next_at is not None:
                pause = min(pause, max(0.0, self.memory.next_at - time.monotonic()))

    async def _one_pass(self) -> PassEnd | None:
        """Make one pass; return None when it failed."""
        began = time.monotonic()
        was_up = self.memory.gateway_up
        try:
            result = await self._pool.reconciler.run(self.key, self.memory)
        except ApiError as error:
            telemetry.PASSES.labels("error").inc()
            self._log_once(f"pass failed: {error.message}", logging.WARNING)
            return None
        except Exception:
            # A fault of ours in one system must not end its worker, nor slow the others.
            telemetry.PASSES.labels("fault").inc()
            log.exception("pass failed by a fault of the operator", extra={"system": self.key})
            return None
        finally:
            telemetry.PASS_SECONDS.observe(time.monotonic() - began)
            self._pool.passes += 1
            self._pool.touch()
        telemetry.PASSES.labels("changed" if result.writes else "nothing").inc()
        if self.memory.gateway_up and not was_up:
            self._gateway_starts += 1
            self.memory.look_now.set()
        return result

    def _log_once(self, words: str, level: int) -> None:
        """Log a problem, and not again while it stays the same."""
        if words != self._logged:
            log.log(level, "%s", words, extra={"system": self.key})
        self._logged = words

    async def _watch_gateway(self) -> None:
        """Look at the gateway every period, at once after an edit, and sooner while something is undelivered."""
        retry = FIRST_RETRY_SECONDS
        pause = self._pool.settings.gateway_period
        while True:
            await set_within(self.memory.look_now, jittered(pause))
            self.memory.look_now.clear()
            if not self.memory.gateway_up:
                pause = self._pool.settings.gateway_period
                self._forget_when_expired()
                continue
            async with self._look_lane():
                asked = self._asked()
                found = await self._look_safely()
            self._unanswered = asked if found is Look.FAILED else None
            if found is Look.READY:
                pause, retry = self._pool.settings.gateway_period, FIRST_RETRY_SECONDS
            else:
                pause, retry = min(retry, self._pool.settings.gateway_period), retry * 2

    def _asked(self) -> tuple[int, int | None]:
        return self._gateway_starts, self.memory.accepted_generation

    def _look_lane(self) -> asyncio.Semaphore:
        """Return the lane of the next look: another pod, or another generation, is no trouble yet."""
        return self._pool.troubled_look_slots if self._unanswered == self._asked() else self._pool.look_slots

    def _forget_when_expired(self) -> None:
        if self.memory.view is not None:
            self.mark()

    async def _look_safely(self) -> Look:
        try:
            return await self._look()
        except Exception:
            # As with a pass: whatever a gateway answers must not end the watch over it.
            telemetry.GATEWAY_POLLS.labels("error").inc()
            log.exception("looking at the gateway failed by a fault of the operator", extra={"system": self.key})
            return Look.FAILED

    async def _look(self) -> Look:
        """Look once, deliver when there is something to deliver; return what came of it."""
        raw = self._pool.cache.systems.get(self.key)
        uid, generation = self.memory.uid, self.memory.accepted_generation
        if raw is None:
            return Look.READY
        client = self._pool.gateway
        try:
            view = self.memory.view  # as far as it is known already that something is to be delivered
            if view is None or generation is None or not undelivered(view, generation):
                view = await client.look(self.key, uid)
            if generation is not None and undelivered(view, generation):
                await self._deliver(raw, uid)
                view = await client.look(self.key, uid)
        except GatewayError as error:
            telemetry.GATEWAY_POLLS.labels("error").inc()
            self._log_once(str(error), logging.INFO)
            self.mark()
            return Look.FAILED
        telemetry.GATEWAY_POLLS.labels("ok").inc()
        self._logged = ""
        if self.memory.uid != uid:
            return Look.NOT_READY  # the word of a system that is gone, about a name that is another's by now
        changed = self.memory.view != view
        self.memory.view = view
        if changed:
            self.mark()
        await self._end_restore(raw, view)
        all_ready = generation is None or (not undelivered(view, generation) and all(view.ready.values()))
        return Look.READY if all_ready else Look.NOT_READY

    async def _end_restore(self, raw: dict[str, Any], view: GatewayView) -> None:
        """Say that the restore in place which the gateway shows is over, if it is; the next look shows it no more."""
        if view.restore is None or not is_over(restore_row_of(raw.get("status") or {}), view.restore):
            return
        try:
            await self._pool.gateway.end_restore(self.key, raw["metadata"]["uid"], view.restore.id)
        except GatewayError as error:
            self._log_once(str(error), logging.INFO)

    async def _deliver(self, raw: dict[str, Any], uid: str) -> None:
        system = declared(raw)
        body = {"generation": system.metadata.generation, **sent_spec(system)}
        await self._pool.gateway.deliver(self.key, uid, body)


class Workers:
    """The workers of all systems."""

    def __init__(self, settings: Settings, reconciler: Reconciler, cache: Cache, gateway: GatewayClient) -> None:
        self.settings = settings
        self.reconciler = reconciler
        self.cache = cache
        self.gateway = gateway
        self.pass_slots = asyncio.Semaphore(PASSES_AT_ONCE)
        self.troubled_pass_slots = asyncio.Semaphore(TROUBLED_PASSES_AT_ONCE)
        self.look_slots = asyncio.Semaphore(LOOKS_AT_ONCE)
        self.troubled_look_slots = asyncio.Semaphore(TROUBLED_LOOKS_AT_ONCE)
        self.last_activity = time.monotonic()
        self.passes = 0
        """How many passes were made."""
        self._workers: dict[SystemKey, Worker] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def touch(self) -> None:
        """Note that something happened: the liveness probe asks how long ago that was."""
        self.last_activity = time.monotonic()

    def worker(self, key: SystemKey) -> Worker | None:
        """Return the worker of a system, if it has one."""
        return self._workers.get(key)

    def mark(self, key: SystemKey, cause: Version | None = None) -> None:
        """Have a system looked at, because of an object as it was seen or of something else.

        The first time makes its worker, the last time ends it.
        """
        self.touch()
        worker = self._workers.get(key)
        if key not in self.cache.systems:
            if worker is not None:
                del self._workers[key]
                telemetry.note_backups(*key)
                self._end(worker.stop)
        elif worker is None:
            self._workers[key] = Worker(key, self)
        else:
            worker.mark(cause)
        telemetry.SYSTEMS.set(len(self._workers))

    def _end(self, stop: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await stop()

        task = asyncio.create_task(run())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def stop(self) -> None:
        """End all workers."""
        workers, self._workers = list(self._workers.values()), {}
        await asyncio.gather(*(worker.stop() for worker in workers), *self._ending)


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Return whether the event is set, once it is or the time has passed."""
    if seconds > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
    return event.is_set()
