"""A process that hosts services: made from its configuration, ready, and ended within its grace period.

Its own door for probes and metrics has three paths, in plain HTTP/1.1 without a framework.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time
from typing import NamedTuple

from bellwether.runtime.bus import Bus
from bellwether.runtime.clock import Clock, LiveClock, ReplayClock, monotonic
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.context import Peer, ServiceContext
from bellwether.runtime.declaration import DeclarationHolder
from bellwether.runtime.footprint import keep_small
from bellwether.runtime.metrics import metrics_text, process_text
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

READY, STOPPING = "READY=1", "STOPPING=1"
MAX_HEAD = 8 * 1024
REQUEST_SECONDS = 5.0
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

_log = logging.getLogger(__name__)


def notify(state: str, name: str) -> bool:
    """Send a state to the socket that NOTIFY_SOCKET names; return whether there is one and it took it.

    One datagram, by sd_notify(3). A name that begins with `@` is an abstract socket. Failing to send ends nothing: it
    is logged.
    """
    if not name:
        return False
    address = "\0" + name[1:] if name.startswith("@") else name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.connect(address)
            manager.sendall(state.encode())
    except OSError as error:
        _log.warning("the service manager at %s was not notified of %s: %s", name, state, error)
        return False
    return True


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


class Answer(NamedTuple):
    """One response."""

    status: int
    text: str
    content_type: str = "text/plain; charset=utf-8"


_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class HealthServer:
    """Answers GET of the paths it was given; it answers while NATS is unreachable, too."""

    def __init__(self, host: str, port: int, paths: dict[str, Callable[[], Answer]]) -> None:
        self._host = host
        self._port = port
        self._paths = paths
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port it listens on; with 0 asked for, the one that it got."""
        if self._server is None:
            return self._port
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: if the port is taken.
        """
        self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=MAX_HEAD)

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), 1.0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._answer(reader)
            body = answer.text.encode()
            head = (
                f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\n"
                f"Content-Type: {answer.content_type}\r\n"
                f"Content-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
        except (OSError, TimeoutError) as error:
            _log.debug("a probe went away: %s", error)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return Answer(400, "a request has a head that ends with an empty line\n")
        parts = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(parts) != 3:
            return Answer(400, "a request line has a method, a path and a version\n")
        if parts[0] != "GET":
            return Answer(405, "only GET is served here\n")
        path = parts[1].partition("?")[0]
        if path not in self._paths:
            return Answer(404, f"no {path}; there are {', '.join(sorted(self._paths))}\n")
        return self._paths[path]()


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
        attributes = {"service.version": config.version, "bellwether.system": config.system}
        for name in (one for one in start_order(rows) if one in factories):
            context = ServiceContext(
                row=rows[name],
                bus=connect(name),
                clock=self.clock,
                telemetry=Telemetry(name, sampling=config.sampling, attributes=attributes),
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
            # That the bus is unreachable is no reason to be started again: to be alive only the loop has to turn.
            alive = Answer(200, "alive\n")
            paths = {"/livez": lambda: alive, "/readyz": self._readyz, "/metrics": self._metrics}
            self.health = HealthServer(config.health_host, config.health_port, paths)

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
