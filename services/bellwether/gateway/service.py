"""The gateway as a service: HTTP on one side, the bus on the other."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI
from sqlalchemy import MetaData

import bellwether.gateway.lean  # noqa: F401 (before FastAPI)
from bellwether.gateway.app import make_app
from bellwether.gateway.gateway import Gateway
from bellwether.gateway.otlp import BadSpans, Span, decode_spans
from bellwether.gateway.peers import Peers
from bellwether.gateway.problems import Problem
from bellwether.gateway.settings import GatewaySettings
from bellwether.gateway.traces import add_trace_tables
from bellwether.messages.trading import Account
from bellwether.naming import ACKS_BUCKET, TRACE_SUBJECTS
from bellwether.runtime.bus import Message, Subscription
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import StartRefused
from bellwether.runtime.service import Service
from bellwether.spec.fields import parse_days

BATCHES_WAITING = 1024
BYTES_WAITING = 16 * 1024 * 1024
_BATCHES_AT_ONCE = 64
_GATHER_SECONDS = 0.5
"""Five services send spans of one decision, one after the other: written together, its trace is changed once."""
_SWEEP_SECONDS = 5.0
_LOOK_SECONDS = 1.0

_log = logging.getLogger(__name__)


class SpanInbox:
    """Span batches that wait to be written: bounded, what does not fit is dropped and counted."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self.dropped_batches = 0
        self.bad_batches = 0
        self.wake = asyncio.Event()

    def offer(self, message: Message) -> None:
        """Take a batch off the bus."""
        if len(self._waiting) >= BATCHES_WAITING or self._bytes + len(message.body) > BYTES_WAITING:
            self.dropped_batches += 1
            return
        self._waiting.append(message.body)
        self._bytes += len(message.body)
        self.wake.set()

    def take(self) -> list[bytes]:
        """Return some batches, oldest first."""
        count = min(_BATCHES_AT_ONCE, len(self._waiting))
        taken = [self._waiting.popleft() for _ in range(count)]
        self._bytes -= sum(map(len, taken))
        return taken

    def decode(self, batches: list[bytes]) -> list[Span]:
        """Return the spans of batches; one that is no batch of spans is counted and left out."""
        spans: list[Span] = []
        for body in batches:
            try:
                spans += decode_spans(body)
            except BadSpans as error:
                self.bad_batches += 1
                _log.warning("spans left out: %s", error)
        return spans


KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open. Clients close one sooner (httpx after 5 s), so the server never closes it
while the next request is on its way: that request would be lost without an answer."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process: it stops its services in order."""
        yield


class HttpServer:
    """Serves one application on one address."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._host = host
        self._wanted = port
        config = uvicorn.Config(
            app,
            loop="none",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=3,
        )
        self.keep_alive_seconds = config.timeout_keep_alive
        """How long an idle connection stays open."""
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None
        self.port = 0
        """The port in use, once it has started."""

    async def start(self) -> None:
        """Begin to serve.

        Raises:
            StartRefused: if the address cannot be used, naming it.
        """
        listener = self._bind()
        self.port = listener.getsockname()[1]
        self._task = asyncio.get_running_loop().create_task(self._server.serve([listener]), name="http")

    def _bind(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._wanted))
        except OSError as error:
            listener.close()
            taken = error.errno == errno.EADDRINUSE
            said = "another program listens there" if taken else error.strerror
            raise StartRefused(f"the gateway cannot listen on {self._host}:{self._wanted}: {said}") from error
        listener.setblocking(False)
        return listener

    async def stop(self) -> None:
        """Take no more requests, let those in hand end, and close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


class GatewayService:
    """Joins a gateway to its service: subscriptions, background work, the HTTP server."""

    def __init__(self, service: Service, gateway: Gateway, settings: GatewaySettings) -> None:
        self.service = service
        self.gateway = gateway
        self.http = HttpServer(make_app(gateway, service.context.config.version), settings.host, settings.port)
        self.spans = SpanInbox()
        self._subscriptions: list[Subscription] = []
        self._seen: dict[str, Any] = {}

    async def start(self) -> None:
        """Listen to spans and acknowledgements, and begin to answer."""
        bus = self.service.context.bus
        self._subscriptions = [
            await bus.kv_watch(ACKS_BUCKET, list(self.gateway.services), self.gateway.acks.take),
            await bus.subscribe(TRACE_SUBJECTS, self.spans.offer),
        ]
        # The watch reads later; until then a restarted gateway would deny what everybody acknowledged long ago.
        await self.gateway.load_acks()
        await self.http.start()
        _log.info("the gateway answers on port %d", self.http.port)

    async def stop(self) -> None:
        """End the streams, write what is left of the spans, and close the port."""
        self.gateway.feed.close()
        await self.http.stop()
        for subscription in self._subscriptions:
            await subscription.stop()
        while batches := self.spans.take():
            await self._write(batches)

    async def write_spans(self) -> None:
        """Write spans as they come, many at once."""
        while True:
            await self.spans.wake.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            self.spans.wake.clear()
            while batches := self.spans.take():
                await self._write(batches)

    async def _write(self, batches: list[bytes]) -> None:
        now = time.time()
        tables = self.gateway.tables
        await self.gateway.with_db(lambda db: tables.add(db, self.spans.decode(batches), now))

    async def sweep(self) -> None:
        """Keep the trace store below its bound."""
        tables = self.gateway.tables
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            removed = 1
            while removed:
                removed = await self.gateway.with_db(lambda db: tables.sweep(db, time.time()))

    async def prune(self) -> None:
        """Forget traces that are older than what is kept."""
        gateway = self.gateway
        before = gateway.context.clock.now() - parse_days(gateway.context.declaration.current.spec.retention.traces)
        removed = 1
        while removed:
            removed = await gateway.with_db(lambda db: gateway.tables.forget(db, before))

    async def look(self) -> None:
        """Once a second: send watchers what is new when account or replay changed."""
        while True:
            try:
                await self._look_once()
            except Problem as problem:
                _log.debug("not looked: %s", problem)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look_once(self) -> None:
        gateway = self.gateway
        if not gateway.context.declaration.known:
            return
        if not gateway.context.clock.live:
            self._send_new("replay", await gateway.peers.replay())
        account = await gateway.peers.ask("paper-trading", "get_account", None, Account)
        self._send_new("account", account)

    def _send_new(self, kind: str, state: Any) -> None:
        if self._seen.get(kind) != state:
            self._seen[kind] = state
            self.gateway.feed.send(kind, msgspec.to_builtins(state))


def create(context: ServiceContext, settings: GatewaySettings | None = None) -> Service:
    """Return the gateway; without settings it reads them from the environment."""
    chosen = settings or GatewaySettings.from_environment()
    metadata = MetaData()
    add_trace_tables(metadata)
    store = context.open_store(metadata)
    service = Service("gateway", context)
    peers = Peers(lambda budget: service.call(budget=budget), context.clock)

    async def own_health() -> dict[str, Any]:
        found: dict[str, Any] = await service.server.methods["health"].handler(service.call())
        return found

    gateway = Gateway(context, store, peers, chosen, own_health)
    joined = GatewayService(service, gateway, chosen)
    service.on_declaration(gateway.declared)
    service.on_start(joined.start)
    service.on_stop(joined.stop)
    service.on_prune(joined.prune)
    for work in (joined.write_spans, joined.sweep, joined.look):
        service.background(work)
    service.on_health(lambda: {"http_port": joined.http.port, "watchers": gateway.feed.watchers})
    service.figures.total(
        "bellwether_span_batches_dropped",
        "Batches of spans that came faster than they could be written.",
        lambda: float(joined.spans.dropped_batches + joined.spans.bad_batches),
    )
    return service
