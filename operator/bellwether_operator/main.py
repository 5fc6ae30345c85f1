"""The operator as a whole: connect, list once, then let watches drive the workers until asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

import kopf
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bellwether.render.kubernetes import derive_keyring
from bellwether_operator import telemetry
from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.backups.running import Backups
from bellwether_operator.collecting import collecting
from bellwether_operator.gateway import GatewayClient
from bellwether_operator.handlers import registry
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import SystemKey
from bellwether_operator.observe.watching import Watching
from bellwether_operator.reconcile import Reconciler, utc_now
from bellwether_operator.replays.running import Replays
from bellwether_operator.settings import Settings
from bellwether_operator.workers import Workers, jittered, set_within

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
LAST_RETRY_SECONDS = 30.0
SILENCE_LIMIT_RESYNCS = 3
"""After so many resync periods in which nothing happened at all, not even a list, the process is taken for dead."""


class Operator:
    """One running operator."""

    def __init__(self, settings: Settings, client: Client, now: Callable[[], datetime] = utc_now) -> None:
        self.settings = settings
        self.client = client
        self.cache = Cache()
        self.gateway = GatewayClient(settings.gateway_url, self._token_of)
        self.backups = Backups(
            client, self.cache, self._mark, now, settings=settings, holder=self.gateway, keeper=self.gateway
        )
        reconciler = Reconciler(settings, client, self.cache, now, backups=self.backups)
        self.workers = Workers(settings, reconciler, self.cache, self.gateway)
        self.replays = Replays(client, self.cache, self._send_replays, now, settings=settings)
        self.watching = Watching(client, self.cache, self.workers.mark, settings.watch_namespaces)
        self._seen = asyncio.Event()
        """Set once there is a namespace of which all was seen."""
        self.http_port: int | None = None

    async def run(self, stop: asyncio.Event, carried: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` is set; call `carried` once kopf brings events."""
        async with contextlib.AsyncExitStack() as kopf_last, contextlib.AsyncExitStack() as ours:
            # kopf takes every task that began after it for its own, and waits for it as one that hangs: ours end first.
            await ours.enter_async_context(self._http())
            ours.push_async_callback(self.gateway.close)
            ours.push_async_callback(self.workers.stop)
            ended = asyncio.create_task(stop.wait(), name="wait for the end")
            seen = asyncio.create_task(self._seen.wait(), name="wait for the first list")
            scopes = [self._look_after(scope) for scope in self.watching.scopes]
            ours.push_async_callback(_end, [ended, seen, *map(asyncio.create_task, scopes)])
            # Not before: kopf looks only once for the definition of systems.
            await asyncio.wait([ended, seen], return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                carrier = await kopf_last.enter_async_context(self._kopf(carried))
                await asyncio.wait([carrier, ended], return_when=asyncio.FIRST_COMPLETED)

    @contextlib.asynccontextmanager
    async def _kopf(self, carried: Callable[[], None]) -> AsyncIterator[asyncio.Task[None]]:
        """Run kopf while the block lasts; what it fails by is raised at the end."""
        stop, ready = asyncio.Event(), asyncio.Event()
        carrier = asyncio.create_task(
            kopf.operator(
                registry=registry(self.cache, self.workers, self.watching.listed),
                standalone=True,
                clusterwide=not self.settings.watch_namespaces,
                namespaces=self.settings.watch_namespaces,
                stop_flag=stop,
                ready_flag=ready,
            ),
            name="kopf",
        )
        waiting = asyncio.create_task(ready.wait(), name="wait for kopf")
        try:
            await asyncio.wait([carrier, waiting], return_when=asyncio.FIRST_COMPLETED)
            carried()
            yield carrier
        finally:
            stop.set()
            await _end([waiting])
            await carrier

    async def _look_after(self, scope: str | None) -> None:
        """Follow one watched namespace, or all, until cancelled."""
        await self._first_list(scope)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.watching.run(scope), name="watch the children")
            group.create_task(self.list_again(scope), name="list again")
            group.create_task(self.backups.run(scope), name="follow the backups")
            group.create_task(self.replays.run(scope), name="follow the replays")

    async def _first_list(self, scope: str | None) -> None:
        """See everything before anything is done: what was not listed yet would look as if it were missing."""
        delay = RETRY_SECONDS
        while not await self._list(scope, set()):  # all are marked below
            await asyncio.sleep(jittered(delay))
            delay = min(2 * delay, LAST_RETRY_SECONDS)
        try:
            # Before any pass: a system whose volumes are being cut gets no pods by a restart of the operator.
            await self.backups.list_all(scope)
        except ApiError as error:
            log.warning("backups are not known yet: %s", error.message)
        self._mark_all(scope)
        self._seen.set()
        log.info("%d systems, %d children", len(self.cache.systems), len(self.cache.children))

    async def list_again(self, scope: str | None) -> None:
        """List everything now and then, until cancelled: a deletion between two watches shows only there.

        So it is when a namespace can be watched again, and its systems are looked at.
        """
        recovered, delay = self.watching.recovered[scope], 0.0
        while True:
            if await set_within(recovered, jittered(delay or self.settings.resync)):
                recovered.clear()
                self._mark_all(scope)
            news: set[SystemKey] = set()
            works = await self._list(scope, news)
            delay = 0.0 if works else min(2 * delay or RETRY_SECONDS, LAST_RETRY_SECONDS)
            for key in news:
                telemetry.EVENTS_MISSED.inc()
                self.workers.mark(key)

    async def _list(self, scope: str | None, news: set[SystemKey]) -> bool:
        """List every kind in a namespace, and return whether that worked; as to `news` see Watching.list_all."""
        troubles, what = self.watching.troubles, "cannot list"
        self.workers.touch()
        try:
            await self.watching.list_all(scope, news)
        except ApiError as error:
            missing = error.status == web.HTTPNotFound.status_code
            hint = " (is the TradingSystem definition installed?)" if missing else ""
            troubles.note(scope, what, error.message + hint)
            return False
        except Exception as error:
            # A fault of ours must not end the lists: without them a missed deletion is never seen.
            log.exception("listing failed by a fault of the operator")
            troubles.note(scope, what, f"a fault of the operator: {type(error).__name__}")
            return False
        troubles.clear(scope, what)
        self.workers.touch()
        return True

    async def _send_replays(self, system: SystemKey, uids: Sequence[str]) -> None:
        raw = self.cache.systems.get(system)
        if raw is not None:
            await self.gateway.retain_replays(system, raw["metadata"]["uid"], uids)

    def _token_of(self, uid: str) -> str:
        return derive_keyring(self.settings.installation_seed, uid).gateway_token

    def _mark(self, system: SystemKey) -> None:
        self.workers.mark(system)

    def _mark_all(self, scope: str | None) -> None:
        for key in list(self.cache.systems):
            if scope in {None, key.namespace}:
                self.workers.mark(key)

    def alive(self) -> bool:
        """Whether something happened lately: an event, a pass, or a try to list.

        Not whether that worked: to start again helps nobody whose API server, namespace or rights are gone.
        """
        return time.monotonic() - self.workers.last_activity < SILENCE_LIMIT_RESYNCS * self.settings.resync

    @contextlib.asynccontextmanager
    async def _http(self) -> AsyncIterator[None]:
        """Serve /livez, /readyz and /metrics while the operator runs."""

        async def livez(_: web.Request) -> web.Response:
            return web.Response(text="ok\n") if self.alive() else web.Response(status=500, text="nothing happens\n")

        async def readyz(_: web.Request) -> web.Response:
            # One namespace that fails does not make the others wait, nor a rollout of the operator.
            ready = self.watching.any_listed
            text = ("ok\n" if ready else "nothing was listed yet\n") + self.watching.troubles.words()
            return web.Response(text=text, status=200 if ready else 503)

        async def metrics(_: web.Request) -> web.Response:
            return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

        application = web.Application()
        application.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)])
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, self.settings.http_host, self.settings.http_port)
        await site.start()
        self.http_port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def serve(settings: Settings) -> None:
    """Run one operator until SIGTERM or SIGINT."""
    stop = asyncio.Event()

    def heed_signals() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)

    heed_signals()
    client = await Client.connect(settings.kubeconfig)
    try:
        async with collecting(settings.resync):
            await Operator(settings, client).run(stop, heed_signals)  # again, since kopf puts its own in their place
    finally:
        await client.close()
