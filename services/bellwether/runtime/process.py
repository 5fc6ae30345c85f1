"""A process that hosts services: made from its configuration, ready, and ended within its grace period."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time

from bellwether.runtime.bus import Bus
from bellwether.runtime.clock import Clock, LiveClock, ReplayClock, monotonic
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.context import Peer, ServiceContext
from bellwether.runtime.declaration import DeclarationHolder
from bellwether.runtime.footprint import keep_small
from bellwether.runtime.http import Answer, HealthServer
from bellwether.runtime.metrics import metrics_text, process_text
from bellwether.runtime.notify import READY, STOPPING, notify
from bellwether.runtime.old_sockets import OldSocket, inherited
from bellwether.runtime.service import Service
from bellwether.runtime.tasks import end_tasks
from bellwether.runtime.telemetry import Telemetry
from bellwether.service_row import ServiceRow
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES
from bellwether.wiring import start_order

Factory = Callable[[ServiceContext], Service]
Connect = Callable[[str], Bus]

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

_log = logging.getLogger(__name__)


def nats_connect(config: ProcessConfig) -> Connect:
    """Return what connects an identity to the system's NATS server with its own key."""
    from bellwether.runtime.nats_bus import NatsBus

    def connect(identity: str) -> Bus:
        seed = None if config.keys_dir is None else config.keys_dir / f"{identity}.nk"
        return NatsBus(config.nats_url, identity, seed)

    return connect


def clock_of(system: TradingSystem | None) -> Clock:
    """Return the clock that a declaration asks for; without one, the present."""
    if system is None or system.spec.clock.mode == "live" or system.spec.clock.from_ is None:
        return LiveClock()
    first = datetime.fromisoformat(str(system.spec.clock.from_)).date()
    return ReplayClock(datetime.combine(first, time(), UTC))


class Process:
    """Some services in this process, each with its own connection, started in order and stopped in reverse."""

    def __init__(
        self,
        config: ProcessConfig,
        factories: Mapping[str, Factory],
        *,
        connect: Connect | None = None,
        declaration: TradingSystem | None = None,
        rows: Mapping[str, ServiceRow] = SERVICES,
        health: bool = True,
    ) -> None:
        """Make the services; without `connect` they go to NATS, without `declaration` its file is read.

        Raises:
            StartRefused, StoreError, ValueError: saying what is wrong with a service, its store, or the declaration.
        """
        self._config = config
        self.stopping = asyncio.Event()
        if declaration is None:
            holder = DeclarationHolder.from_file("process", config.declaration)
            declaration = holder.current if holder.known else None
        self.clock = clock_of(declaration)
        connect = connect or nats_connect(config)
        self.services: dict[str, Service] = {}
        self._sockets: list[OldSocket] = []
        # Nothing in a replay has to be answered while something else runs, so services of one process hand calls over.
        replays = config.group_commit or not self.clock.live
        peers: dict[str, Peer] | None = {} if replays else None
        for name in (one for one in start_order(rows) if one in factories):
            context = ServiceContext(
                row=rows[name],
                bus=connect(name),
                clock=self.clock,
                telemetry=self._telemetry(name),
                declaration=DeclarationHolder(name, declaration),
                config=config,
                rows=rows,
                # Who asks over HTTP may go away; what its call began goes on where it came over the bus.
                peers=None if name == "gateway" else peers,
                inline=replays,
            )
            self.services[name] = factories[name](context)
        self._keeping: asyncio.Task[None] | None = None
        self.health: HealthServer | None = None
        if health:
            self.health = HealthServer(
                config.health_host,
                config.health_port,
                {"/livez": self._livez, "/readyz": self._readyz, "/metrics": self._metrics},
            )

    def _telemetry(self, name: str) -> Telemetry:
        config = self._config
        return Telemetry(
            name,
            sampling=config.sampling,
            attributes={"service.version": config.version, "bellwether.system": config.system},
        )

    def _livez(self) -> Answer:
        # That the bus is unreachable is no reason to be started again: only the loop has to turn, and it just did.
        return Answer(200, "alive\n")

    def _readyz(self) -> Answer:
        waiting = [name for name, service in self.services.items() if not service.ready]
        away = [name for name, service in self.services.items() if service.ready and not service.context.bus.connected]
        if self.stopping.is_set():
            return Answer(503, "stopping\n")
        if waiting:
            return Answer(503, f"not ready: {', '.join(waiting)}\n")
        if away:
            return Answer(503, f"no connection to the bus: {', '.join(away)}\n")
        return Answer(200, "ready\n")

    def _metrics(self) -> Answer:
        text = metrics_text([service.figures for service in self.services.values()])
        return Answer(200, text + process_text(), PROMETHEUS)

    @property
    def ready(self) -> bool:
        """Whether every service serves and reaches the bus."""
        return self._readyz().status == 200

    async def start(self) -> None:
        """Start everything; waits as long as the bus is unreachable."""
        if self.health is not None:
            await self.health.start()
        for service in self.services.values():
            await service.start()
        await self._open_sockets()
        self._keeping = asyncio.create_task(keep_small(), name="keep small")

    async def _open_sockets(self) -> None:
        given = inherited()
        for name, service in self.services.items():
            if name not in given and self._config.sockets_dir is None:
                continue
            old = OldSocket(service.server, name)
            if name in given:
                await old.take(given[name])
            elif self._config.sockets_dir is not None:
                await old.listen(self._config.sockets_dir, self._config.sockets_group)
            self._sockets.append(old)

    async def stop(self) -> None:
        """Stop within the grace period, those first that others do not need."""
        self.stopping.set()
        if self._keeping is not None:
            await end_tasks([self._keeping])
        for old in self._sockets:
            await old.close()
        end = monotonic() + self._config.grace
        left = list(self.services.values())
        while left:
            service = left.pop()
            # Each gets its share of what is left, so that one that hangs does not take the others' time.
            share = max(0.5, (end - monotonic()) / (len(left) + 1))
            try:
                async with asyncio.timeout(share + 1.0):
                    await service.stop(share)
            except Exception:
                _log.exception("%s did not stop in good order", service.name)
        if self.health is not None:
            await self.health.stop()

    async def ended(self) -> None:
        """Wait until a signal, `stopping.set()` or a service's `shutdown` asks the process to end."""
        waits = [asyncio.ensure_future(self.stopping.wait())]
        waits += [asyncio.ensure_future(service.shutdown_requested.wait()) for service in self.services.values()]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


async def serve(
    config: ProcessConfig,
    factories: Mapping[str, Factory],
    *,
    connect: Connect | None = None,
    rows: Mapping[str, ServiceRow] = SERVICES,
) -> None:
    """Run services until SIGTERM, SIGINT or a `shutdown` call; then stop them within the grace period.

    Raises:
        StartRefused, StoreError, ValueError, OSError: if they cannot start; the message says why.
    """
    process = Process(config, factories, connect=connect, rows=rows)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stopping.set)
    starting = asyncio.ensure_future(process.start())
    ended = asyncio.ensure_future(process.ended())
    try:
        await asyncio.wait([starting, ended], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            notify(READY, config.notify_socket)
            await ended
    finally:
        notify(STOPPING, config.notify_socket)
        starting.cancel()
        ended.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await starting
        await process.stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
