"""The Service that every service is built on: it registers, starts in order, and stops without losing anything.

service = Service("prediction", context)

@service.rpc("get_prediction")
async def get_prediction(request: GetPrediction, call: Call) -> Prediction: ...

@service.on_event("market_data_updated")
async def bars_arrived(event: Event[MarketDataUpdated], call: Call) -> None: ...
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import datetime
from typing import Any, TypeVar

from bellwether.messages.envelope import LIVE, encode
from bellwether.messages.monitoring import AlarmReading
from bellwether.naming import ACKS_BUCKET, DECLARATION_BUCKET, DECLARATION_KEY
from bellwether.runtime.builtins import BuiltIns
from bellwether.runtime.bus import BusError, Subscription, stored_value
from bellwether.runtime.call import BUDGET, Call, new_request_id
from bellwether.runtime.clock import monotonic
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.declaration import Listener
from bellwether.runtime.errors import StartRefused
from bellwether.runtime.events import EventConsumer, RetryPolicy, Together
from bellwether.runtime.logs import log_lines_of
from bellwether.runtime.machine import volume_percent
from bellwether.runtime.metrics import ServiceMetrics
from bellwether.runtime.relay import Relay
from bellwether.runtime.rpc import CONCURRENCY, RpcServer
from bellwether.runtime.tasks import Wake, end_tasks
from bellwether.runtime.upkeep import FIRST_PRUNE_SECONDS, PRUNE_SECONDS, lag_alarm, prune_bus_tables, volume_alarm
from bellwether.topology import BUILT_IN_METHODS

H = TypeVar("H", bound=Callable[..., Awaitable[Any]])
HealthCallback = Callable[[], dict[str, Any] | Awaitable[dict[str, Any]]]
AlarmCallback = Callable[[], Iterable[AlarmReading] | Awaitable[Iterable[AlarmReading]]]
Hook = Callable[[], Awaitable[None]]

_log = logging.getLogger(__name__)


class Service:
    """One service of the system on one connection to the bus."""

    def __init__(
        self, name: str, context: ServiceContext, *, concurrency: int = CONCURRENCY, retry: RetryPolicy | None = None
    ) -> None:
        if name != context.row.name:
            raise StartRefused(f"service {name!r} was given the topology row of {context.row.name!r}")
        self.name = name
        self.context = context
        self.figures = ServiceMetrics(name)
        self.server = RpcServer(context, self.figures, concurrency)
        self.consumer = EventConsumer(context, self.figures, retry=retry)
        self.relay: Relay | None = None
        self.ready = False
        self.stopping = False
        self.shutdown_requested = asyncio.Event()
        self.health_callbacks: list[HealthCallback] = []
        self.alarm_callbacks: list[AlarmCallback] = []
        self._start_hooks: list[Hook] = []
        self._stop_hooks: list[Hook] = []
        self._prune_hooks: list[Hook] = []
        self._background: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch: Subscription | None = None
        self._declared = Wake(60.0)
        self._latest: bytes | None = None
        BuiltIns(self).register()
        self._count()
        if context.row.store is not None or context.row.volume:
            self.alarm_callbacks.append(self._upkeep)

    # Registering

    def rpc(self, name: str, *, urgent: bool = False) -> Callable[[H], H]:
        """Register a method: `async def (request: Struct, call: Call) -> Struct`, or without the request.

        An urgent one is answered at once, however many calls wait.
        """

        def register(handler: H) -> H:
            self.server.add(name, handler, urgent=urgent)
            return handler

        return register

    def on_event(self, pattern: str, together: Together | None = None) -> Callable[[H], H]:
        """Register the handler of an event type or pattern: `async def (event: Event[Struct], call: Call) -> None`.

        It may run more than once for one event: put the effect and `tx.claim(event.run, event.id)` into one
        transaction. `together` handles several events at once, each with its call, where they wait one behind the
        other and the service takes events in order; if it raises, nothing may have happened: each is handled alone.
        """

        def register(handler: H) -> H:
            self.consumer.add(pattern, handler, together)
            return handler

        return register

    def on_declaration(self, listener: Listener) -> Listener:
        """Call back with the declaration at the start and each newer one; an acknowledgement waits for its return."""
        self.context.declaration.listen(listener)
        return listener

    def on_health(self, callback: HealthCallback) -> HealthCallback:
        """Add fields to health; a `status` of "degraded" turns it so."""
        self.health_callbacks.append(callback)
        return callback

    def on_alarms(self, callback: AlarmCallback) -> AlarmCallback:
        """Add what the service finds wrong with its own affairs; monitoring raises, resolves and sends it.

        The types are those of `bellwether.messages.alarms`.
        """
        self.alarm_callbacks.append(callback)
        return callback

    def on_start(self, hook: Hook) -> Hook:
        """Run before the first call or event is taken; the bus may be used."""
        self._start_hooks.append(hook)
        return hook

    def on_stop(self, hook: Hook) -> Hook:
        """Run after the last call and event are finished, while bus and store are still open."""
        self._stop_hooks.append(hook)
        return hook

    def background(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], Coroutine[Any, Any, None]]:
        """Run work beside the handlers, from ready to stop; if it fails it is logged and begins again."""
        self._background.append(work)
        return work

    def call(self, *, as_of: datetime | None = None, run: str = LIVE, budget: float = BUDGET) -> Call:
        """Return a call for work that nobody's message started."""
        context = self.context
        return Call(context, as_of or context.clock.now(), run, new_request_id(), monotonic() + budget)

    # Starting

    def differences(self) -> list[str]:
        """Return where what was registered differs from the topology row, in words."""
        row = self.context.row
        found: list[str] = []
        served = {name for name, method in self.server.methods.items() if not method.built_in}
        handled = {one.pattern for one in self.consumer.subscribers}
        for verb, named, there in (("serve", set(row.serves), served), ("consume", set(row.consumes), handled)):
            found += [f"the row {verb}s {name}, which has no handler" for name in sorted(named - there)]
            found += [f"there is a handler for {name}, which the row does not {verb}" for name in sorted(there - named)]
        store = self.context.store
        if row.store is not None and store is None:
            found.append(f"the row has the store {row.store}, which was not opened")
        if store is not None and store.path.name != row.store:
            found.append(f"the store {store.path.name} was opened, the row has {row.store or 'none'}")
        missing = [name for name in BUILT_IN_METHODS if name not in self.server.methods]
        found += [f"the built-in method {name} has no handler" for name in missing]
        return found

    async def start(self) -> None:
        """Check against the topology, connect, and begin to serve; returns when ready.

        It waits as long as the bus is unreachable.

        Raises:
            StartRefused: listing every difference from the topology row.
        """
        differences = self.differences()
        if differences:
            raise StartRefused(f"{self.name} differs from its topology row: " + "; ".join(differences))
        # Several services of one process write into one log.
        with log_lines_of(self.name):
            await self._start()

    async def _start(self) -> None:
        bus = self.context.bus
        await bus.start()
        while not await bus.wait_connected(10.0):
            _log.warning("%s waits for the bus", self.name)
        self.context.telemetry.start(bus)
        if self.context.store is not None:
            self.relay = Relay(self.context.store, bus, self.figures)
            self.relay.start()
        await self._take_declaration()
        self._spawn(self._follow_declaration, "declaration")
        self._watch = await bus.kv_watch(DECLARATION_BUCKET, [DECLARATION_KEY], self._declaration_arrived)
        for hook in self._start_hooks:
            await hook()
        if self.context.store is not None and self.context.clock.live:
            self._spawn(self._prune, "prune")
        await self.server.start()
        await self.consumer.start()
        for work in self._background:
            self._spawn(work, getattr(work, "__name__", "work"))
        self.ready = True
        _log.info("%s is ready", self.name)

    def on_prune(self, hook: Hook) -> Hook:
        """Run when what is no longer kept is deleted, some minutes after the start and every six hours; only live."""
        self._prune_hooks.append(hook)
        return hook

    async def _prune(self) -> None:
        pause = FIRST_PRUNE_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = PRUNE_SECONDS
            if self.context.store is not None and self.context.declaration.known:
                await prune_bus_tables(self.context.store, self.context.declaration.current.spec.retention)
                for hook in self._prune_hooks:
                    await hook()

    def _upkeep(self) -> list[AlarmReading]:
        """Return what is wrong with its volume and its outbox."""
        found = volume_alarm(volume_percent(self.context.config.data_dir))
        return found if self.relay is None else [*found, *lag_alarm(self.relay.lag, self.relay.waiting)]

    def _count(self) -> None:
        telemetry = self.context.telemetry
        if self.context.row.store is not None or self.context.row.volume:
            folder = self.context.config.data_dir
            self.figures.gauge(
                "bellwether_volume_used_ratio",
                "How full the volume is, 0 to 1; NaN: not measured.",
                lambda: math.nan if (percent := volume_percent(folder)) is None else percent / 100,
            )
        self.figures.gauge(
            "bellwether_outbox_lag_seconds",
            "For how long nothing could be published.",
            lambda: self.relay.lag if self.relay else 0.0,
        )
        self.figures.gauge(
            "bellwether_in_flight", "Calls and events in hand.", lambda: self.server.in_flight + self.consumer.in_flight
        )
        self.figures.gauge(
            "bellwether_outbox_waiting",
            "Events that are committed and not yet published.",
            lambda: self.relay.waiting if self.relay else 0,
        )
        self.figures.total(
            "bellwether_spans_dropped", "Spans that could not be sent.", lambda: float(telemetry.dropped)
        )
        self.figures.gauge(
            "bellwether_bus_connected", "Whether the bus can be reached.", lambda: float(self.context.bus.connected)
        )

    def _spawn(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        task = asyncio.get_running_loop().create_task(self._keep(work, name), name=f"{self.name} {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        pause = 0.5
        while True:
            try:
                await work()
                return
            except Exception as error:
                _log.exception("%s: %s failed and begins again in %.1f s", self.name, name, pause)
                self.figures.failed(f"{name}: {type(error).__name__}")
            await asyncio.sleep(pause)
            pause = min(30.0, pause * 2)

    # The declaration

    async def _take_declaration(self) -> None:
        """Begin with the newest declaration: the file may be older, and a halt holds from the start."""
        waiting = f"{self.name} waits for its declaration"
        found = await stored_value(self.context.bus, DECLARATION_BUCKET, DECLARATION_KEY, waiting)
        if found is not None:
            await self.context.declaration.offer(found)
        await self.context.declaration.begin()

    def _declaration_arrived(self, key: str, value: bytes) -> None:
        self._latest = value
        self._declared.set()

    async def _follow_declaration(self) -> None:
        while True:
            await self._declared.wait()
            value, self._latest = self._latest, None
            if value is None:
                continue
            ack = await self.context.declaration.offer(value)
            if ack is None:
                continue
            try:
                await self.context.bus.kv_put(ACKS_BUCKET, self.name, encode(ack))
            except BusError as error:
                _log.warning("generation %d is applied but not acknowledged yet: %s", ack.generation, error)
                self._latest = self._latest or value

    # Stopping

    async def stop(self, grace: float = 10.0) -> None:
        """Stop within `grace` seconds: take nothing new, finish what is in hand, publish what is owed, close.

        What does not finish in time is cancelled; events among it come again.
        """
        if self.stopping:
            return
        self.stopping = True
        self.ready = False
        self.context.holding.end()
        end = monotonic() + grace
        with contextlib.suppress(BusError):
            await self.server.stop()
        await self.consumer.stop()
        try:
            async with asyncio.timeout(max(0.1, grace * 0.6)):
                await self.server.drained()
                await self.consumer.drained()
        except TimeoutError:
            _log.warning("%s: %d calls and events did not end in time", self.name, self.server.in_flight)
        self.server.abandon()
        self.consumer.abandon()
        await end_tasks(self._tasks, max(0.5, grace * 0.2))
        self._declared.stop()
        for hook in self._stop_hooks:
            try:
                async with asyncio.timeout(max(0.1, end - monotonic())):
                    await hook()
            except Exception:
                _log.exception("%s: a stop hook failed", self.name)
        if self.relay is not None:
            await self.relay.stop(max(0.1, min(5.0, (end - monotonic()) / 2)))
        await self.context.telemetry.close(max(0.1, min(1.5, (end - monotonic()) / 2)))
        if self.context.store is not None:
            await self.context.store.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.5, end - monotonic())):
                await self.context.bus.close()
        _log.info("%s has stopped", self.name)
