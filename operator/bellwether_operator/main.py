"""The operator as a whole: connect, list once, then let watches drive the workers until told to stop."""

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

from bellwether_operator import telemetry
from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.collecting import collecting
from bellwether_operator.gateway import GatewayClient
from bellwether_operator.handlers import registry
from bellwether_operator.observe.cache import Cache, SystemKey
from bellwether_operator.observe.watching import Watching
from bellwether_operator.reconcile import Reconciler, utc_now
from bellwether_operator.settings import Settings
from bellwether_operator.workers import Workers, jittered

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
SILENCE_LIMIT_RESYNCS = 3
"""After so many resync periods in which nothing happened at all, not even a list, the process is taken for dead."""


class Operator:
    """One running operator."""

    def __init__(self, settings: Settings, client: Client, now: Callable[[], datetime] = utc_now) -> None:
        self.settings = settings
        self.client = client
        self.cache = Cache()
        self.gateway = GatewayClient(settings.gateway_url)
        self.workers = Workers(settings, Reconciler(settings, client, self.cache, now), self.cache, self.gateway)
        self.watching = Watching(client, self.cache, self.workers.mark, settings.watch_namespaces)
        self.listed = False
        self.http_port: int | None = None

    async def run(self, stop: asyncio.Event, carried: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` is set; call `carried` once kopf brings events."""
        async with contextlib.AsyncExitStack() as kopf_last, contextlib.AsyncExitStack() as ours:
            # kopf takes every task that began after it for its own, and waits for it as one that hangs: ours end first.
            await ours.enter_async_context(self._http())
            ours.push_async_callback(self.gateway.close)
            ours.push_async_callback(self.workers.stop)
            await self._first_list(stop)
            if stop.is_set():
                return
            carrier = await kopf_last.enter_async_context(self._kopf(carried))
            tasks = [
                asyncio.create_task(self.list_again(), name="list again"),
                asyncio.create_task(self.watching.run(), name="watch the children"),
                asyncio.create_task(stop.wait(), name="wait for the end"),
            ]
            ours.push_async_callback(_end, tasks)
            await asyncio.wait([carrier, tasks[-1]], return_when=asyncio.FIRST_COMPLETED)

    @contextlib.asynccontextmanager
    async def _kopf(self, carried: Callable[[], None]) -> AsyncIterator[asyncio.Task[None]]:
        """Run kopf while the block lasts; what it fails by is raised at the end."""
        stop, ready = asyncio.Event(), asyncio.Event()
        carrier = asyncio.create_task(
            kopf.operator(
                registry=registry(self.cache, self.workers),
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

    async def _first_list(self, stop: asyncio.Event) -> None:
        """See everything before anything is done: what was not listed yet would look as if it were missing."""
        while not stop.is_set():
            try:
                await self._list_all(set())  # all are marked below
            except ApiError as error:
                hint = (
                    " (is the TradingSystem definition installed?)"
                    if error.status == web.HTTPNotFound.status_code
                    else ""
                )
                log.warning("cannot list yet: %s%s", error.message, hint)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(jittered(RETRY_SECONDS)):
                        await stop.wait()
                continue
            for key in list(self.cache.systems):
                self.workers.mark(key)
            self.listed = True
            log.info("%d systems, %d children", len(self.cache.systems), len(self.cache.children))
            return

    async def _list_all(self, news: set[SystemKey]) -> None:
        """List every kind; add the systems of which something was not known to `news`, also where a list fails."""
        await self.watching.list_all(news)
        self.workers.touch()

    async def list_again(self) -> None:
        """List everything now and then, until cancelled: a deletion between two watches shows only there."""
        while True:
            await asyncio.sleep(jittered(self.settings.resync))
            try:
                await self._list_for_news()
            except ApiError as error:
                log.warning("cannot list: %s", error.message)
            except Exception:
                # A fault of ours must not end the lists: without them a missed deletion is never seen.
                log.exception("listing failed by a fault of the operator")

    async def _list_for_news(self) -> None:
        news: set[SystemKey] = set()
        try:
            await self._list_all(news)
        finally:
            for key in news:
                telemetry.EVENTS_MISSED.inc()
                self.workers.mark(key)

    def alive(self) -> bool:
        """Whether something happened lately: an event, a pass or a list."""
        silence = time.monotonic() - self.workers.last_activity
        return not self.listed or silence < SILENCE_LIMIT_RESYNCS * self.settings.resync

    @contextlib.asynccontextmanager
    async def _http(self) -> AsyncIterator[None]:
        """Serve /livez, /readyz and /metrics while the operator runs."""

        async def livez(_: web.Request) -> web.Response:
            return web.Response(text="ok\n") if self.alive() else web.Response(status=500, text="nothing happens\n")

        async def readyz(_: web.Request) -> web.Response:
            ready = self.listed
            return web.Response(text="ok\n" if ready else "not listed yet\n", status=200 if ready else 503)

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
