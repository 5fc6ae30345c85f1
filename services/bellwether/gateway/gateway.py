"""What the routes work with: the peers, the feed, the trace store and the declaration of one gateway."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from bellwether.gateway.delivery import WAIT_SECONDS, Acks, Delivered, deliver, next_declaration
from bellwether.gateway.feed import Feed
from bellwether.gateway.otlp import Span
from bellwether.gateway.peers import Peers
from bellwether.gateway.problems import Problem
from bellwether.gateway.settings import GatewaySettings
from bellwether.gateway.status import SystemStatus, system_status
from bellwether.gateway.traces import TraceTables
from bellwether.messages.envelope import LIVE, decode_event
from bellwether.naming import ACKS_BUCKET, DECLARATION_BUCKET, DECLARATION_KEY, EVENT_SUBJECTS
from bellwether.runtime.bus import BusError, Message, Subscription
from bellwether.runtime.clock import monotonic
from bellwether.runtime.context import ServiceContext
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Store, Transaction
from bellwether.wiring import start_order

T = TypeVar("T")

STATUS_KEPT_SECONDS = 0.5

_log = logging.getLogger(__name__)


class Gateway:
    """One gateway: its routes call it, its service feeds it."""

    def __init__(
        self,
        context: ServiceContext,
        store: Store,
        peers: Peers,
        settings: GatewaySettings,
        own_health: Callable[[], Awaitable[dict[str, Any]]],
    ) -> None:
        self.context = context
        self.peers = peers
        self.settings = settings
        self.feed = Feed(settings.streams)
        self.acks = Acks()
        self.tables = TraceTables(limit_bytes=settings.trace_bytes, keep_ratio=settings.trace_keep_ratio)
        self.held_since = 0.0
        """When the newest hold began (monotonic)."""
        self.services = tuple(name for name in start_order(context.rows) if name in context.rows)
        self._store = store
        self._own_health = own_health
        self._delivering = asyncio.Lock()
        self._deliveries = 0
        self._status: SystemStatus | None = None
        self._status_at = float("-inf")
        self._status_lock = asyncio.Lock()
        self._events: asyncio.Future[Subscription] | None = None

    async def listen(self) -> None:
        """Take events off the bus, from the first watcher on: a fast replay sends hundreds a second."""
        self._events = self._events or asyncio.ensure_future(self.context.bus.subscribe(EVENT_SUBJECTS, self._event))
        # The next watcher waits for it, too.
        await asyncio.shield(self._events)

    def _event(self, message: Message) -> None:
        if not self.feed.watchers:
            return
        try:
            event = decode_event(message.body)
        except msgspec.DecodeError:
            return
        # `event` is what a bridge to another bus needs besides.
        about = {"id": event.id, "source_service": event.source_service, "priority": event.priority}
        data = msgspec.json.decode(event.data)
        self.feed.send(event.type, {"timestamp": event.timestamp.isoformat(), **data, "event": about})

    @property
    def system(self) -> TradingSystem:
        """The declaration in force.

        Raises:
            Problem: 503 before there is one.
        """
        if not self.context.declaration.known:
            raise Problem(503, "NO_DECLARATION", "there is no declaration yet: the bus has none, and no file was given")
        return self.context.declaration.current

    @property
    def open_reads(self) -> bool:
        """Whether the declaration in force lets everybody look, without a token."""
        declaration = self.context.declaration
        return declaration.known and declaration.current.spec.gateway.open_reads

    def declared(self, system: TradingSystem) -> None:
        """Count the acknowledgements of this system's declaration from now on."""
        self.acks.uid = system.metadata.uid

    async def load_acks(self) -> None:
        """Read what the services acknowledged before this gateway began."""

        async def load(name: str) -> None:
            try:
                found = await self.context.bus.kv_get(ACKS_BUCKET, name)
            except BusError as error:
                _log.warning("what %s acknowledged is not known yet: %s", name, error)
                return
            if found is not None:
                self.acks.take(name, found[0])

        await asyncio.gather(*map(load, self.services))

    async def with_db(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function in one transaction of the gateway's database, in the database's own thread."""

        def within(tx: Transaction) -> T:
            driver = tx.connection.connection.driver_connection
            if not isinstance(driver, sqlite3.Connection):
                raise TypeError(f"the trace store needs SQLite, not {type(driver).__name__}")
            return work(driver)

        return await self._store.transact(within)

    async def store_spans(self, spans: list[Span], now: float) -> int:
        """Write spans; `now` in seconds since 1970. Returns: how many were new."""
        return await self.with_db(lambda db: self.tables.add(db, spans, now))

    async def status(self) -> SystemStatus:
        """Return the state of the system, at most half a second old."""
        async with self._status_lock:
            if self._status is None or monotonic() - self._status_at > STATUS_KEPT_SECONDS:
                deliveries = self._deliveries
                found = await system_status(
                    self.system,
                    self.context.declaration.generation,
                    self.context.config.version,
                    self.peers,
                    acks=self.acks,
                    own_health=self._own_health,
                    names=self.services,
                )
                if deliveries != self._deliveries:
                    # What was asked before a delivery's end is no answer for whoever looks after it.
                    return found
                self._status, self._status_at = found, monotonic()
            return self._status

    async def declare(self, generation: int, spec: Mapping[str, Any], *, wait: float = WAIT_SECONDS) -> Delivered:
        """Check an edit, write it for all services, and wait until they acknowledged it.

        Raises:
            Problem: 409 or 422 as `next_declaration`; 503 when the bus is unreachable.
        """
        async with self._delivering:
            wanted = next_declaration(self.system, generation, spec)
            try:
                return await deliver(wanted, self.services, self.acks, self._put, wait=wait)
            except BusError as error:
                raise Problem(503, "UNAVAILABLE", f"NATS does not answer: {error}") from error
            finally:
                # Whoever delivers looks next, and wants to see what came of it.
                self._deliveries += 1
                self._status = None

    async def _put(self, body: bytes) -> int:
        return await self.context.bus.kv_put(DECLARATION_BUCKET, DECLARATION_KEY, body)

    async def run(self) -> str:
        """Return the present run: a replay's, or `live`."""
        if self.context.clock.live:
            return LIVE
        return (await self.peers.replay()).run
