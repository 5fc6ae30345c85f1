"""The methods that every service answers, of its health to copies of what it keeps."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import psutil

from bellwether.messages.monitoring import AlarmReading
from bellwether.runtime import errors
from bellwether.runtime.call import Call
from bellwether.runtime.clock import monotonic
from bellwether.runtime.copying import Copied, Copying, CopyPart, EndCopy, EndedCopy, ReadCopy
from bellwether.runtime.errors import RpcError
from bellwether.runtime.machine import read_group
from bellwether.runtime.metrics import metrics_text
from bellwether.storage.holding import LONGEST_SECONDS

if TYPE_CHECKING:
    from bellwether.runtime.service import Service

# A settle that ends just before its caller gives up can still say what is missing.
SETTLE_MARGIN = 0.25
SOON = 0.1
"""Seconds within which most events are processed: only then it is looked whether they were before this process."""


class Settle(msgspec.Struct, frozen=True):
    """Ask to wait until events are processed, and with `durable` until what followed from them is on disk."""

    event_ids: list[str] = []
    durable: bool = True


class Settled(msgspec.Struct, frozen=True):
    """All of them are processed, and durable."""

    settled: int


class Shutdown(msgspec.Struct, frozen=True):
    """The answer to `shutdown`: the process drains and ends."""

    status: str = "shutting_down"


class Hold(msgspec.Struct, frozen=True):
    """Ask to write nothing until `let_go`, or until so many seconds are over: a volume is about to be copied."""

    id: str
    seconds: Annotated[float, msgspec.Meta(gt=0, le=LONGEST_SECONDS)] = 10.0


class LetGo(msgspec.Struct, frozen=True):
    """Let writes go on after a hold."""

    id: str


class Held(msgspec.Struct, frozen=True):
    """Whether nothing was written from the hold until now."""

    held: bool


class MetricsText(msgspec.Struct, frozen=True):
    """The figures of a service in Prometheus' text format."""

    text: str


class MethodDescription(msgspec.Struct, frozen=True):
    """One method with the JSON schemas of its parameters and result."""

    params: dict[str, Any]
    result: dict[str, Any]


class Description(msgspec.Struct, frozen=True):
    """What a service serves, listens to, publishes and keeps."""

    service: str
    version: str
    methods: dict[str, MethodDescription]
    consumes: list[str]
    publishes: dict[str, list[str]]
    store: str | None


class BuiltIns:
    """The built-in methods of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._process = psutil.Process()
        self._process.cpu_percent(None)
        self._began = monotonic()
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._machine_bytes = psutil.virtual_memory().total
        self._copying = Copying(service.context)

    def register(self) -> None:
        """Add the methods to the service."""
        built_in = (self.health, self.metrics, self.shutdown, self.settle, self.describe, self.hold, self.let_go)
        for method in (*built_in, self.begin_copy, self.read_copy, self.end_copy):
            self._service.server.add(method.__name__, method, built_in=True)

    async def health(self, call: Call) -> dict[str, Any]:
        """Say how the service is; `memory_usage` is in MiB and `cpu_usage` in percent, both of the whole `process`.

        `memory_percent` is of the limit of its container, with all that runs in there; None without a limit.
        """
        service = self._service
        found: dict[str, Any] = {
            "service": service.name,
            "status": "healthy" if service.ready else "starting",
            "uptime": round(monotonic() - self._began, 3),
            "memory_usage": round(self._process.memory_info().rss / 2**20, 1),
            "memory_percent": read_group(machine_bytes=self._machine_bytes).memory_percent,
            "cpu_usage": self._process.cpu_percent(None),
            "process": self._name,
            "last_error": service.figures.last_error,
            "handlers": sorted(service.server.methods),
            "generation": service.context.declaration.generation,
            "error_count": service.figures.failures,
        }
        for callback in service.health_callbacks:
            more = callback()
            if inspect.isawaitable(more):
                more = await more
            if found["status"] != "healthy":
                more = {name: value for name, value in more.items() if name != "status"}
            found.update(more)
        alarms: list[AlarmReading] = []
        for read in service.alarm_callbacks:
            readings = read()
            alarms.extend(await readings if inspect.isawaitable(readings) else readings)
        if alarms:
            found["alarms"] = alarms
        if service.stopping:
            found["status"] = "stopping"
        return found

    async def metrics(self, call: Call) -> MetricsText:
        """Return the service's figures."""
        return MetricsText(metrics_text([self._service.figures]))

    async def shutdown(self, call: Call) -> Shutdown:
        """Ask the process to drain and end; whatever supervises it starts it again."""
        asyncio.get_running_loop().call_soon(self._service.shutdown_requested.set)
        return Shutdown()

    async def settle(self, request: Settle, call: Call) -> Settled:
        """Wait until the events of this run are processed here, and what followed from them is published.

        It is durable, too, if that was asked for; without a group of commits it always is.

        Raises:
            RpcError: NOT_SETTLED, with the ids that were given up (`dead`) or did not come in time (`missing`).
        """
        service = self._service
        handled = service.consumer.handled
        wanted = request.event_ids
        limit = max(0.001, call.remaining - SETTLE_MARGIN)
        await handled.wait(call.run, wanted, min(limit, SOON))
        missing = handled.missing(call.run, wanted)
        if missing and service.context.store is not None:
            # This process may be younger than the events.
            for event_id in await service.context.store.claimed(call.run, missing):
                handled.done(call.run, event_id)
        await handled.wait(call.run, wanted, max(0.001, limit - SOON))
        dead = handled.dead(call.run, wanted)
        if dead:
            raise RpcError(errors.NOT_SETTLED, f"{len(dead)} events were given up: {dead[0]}", dead=dead)
        missing = handled.missing(call.run, wanted)
        if missing:
            raise RpcError(
                errors.NOT_SETTLED, f"{len(missing)} events did not come in time: {missing[0]}", missing=missing
            )
        relay = service.relay
        if relay is not None and not await (relay.checkpoint() if request.durable else relay.flush()):
            raise RpcError(errors.NOT_SETTLED, "events that followed are not published yet", missing=[])
        return Settled(len(wanted))

    async def hold(self, request: Hold, call: Call) -> Held:
        """Write nothing from now on, and bring the database into one file; a halt breaks it."""
        await self._service.context.hold(request.id, request.seconds)
        return Held(self._service.context.holding.active)

    async def let_go(self, request: LetGo, call: Call) -> Held:
        """Go on, and say whether the hold lasted until now."""
        return Held(self._service.context.holding.let_go(request.id))

    async def begin_copy(self, call: Call) -> Copied:
        """Copy what the service keeps, as it is at one instant; nobody waits for it."""
        return await self._copying.begin()

    async def read_copy(self, request: ReadCopy, call: Call) -> CopyPart:
        """Return a part of a file of the copy."""
        return await self._copying.read(request)

    async def end_copy(self, request: EndCopy, call: Call) -> EndedCopy:
        """Delete the copy."""
        self._copying.end(request.id)
        return EndedCopy(request.id)

    async def describe(self, call: Call) -> Description:
        """Say what the service serves, with JSON schemas."""
        service = self._service
        row = service.context.row
        return Description(
            service=row.name,
            version=service.context.config.version,
            methods={
                name: MethodDescription(_schema(method.params), _schema(method.result))
                for name, method in sorted(service.server.methods.items())
            },
            consumes=sorted(one.pattern for one in service.consumer.subscribers),
            publishes={event: list(row.priorities(event)) for event in row.publishes},
            store=row.store,
        )


def _schema(wanted: Any) -> dict[str, Any]:
    if wanted is None:
        return {}
    try:
        return msgspec.json.schema(wanted)
    except TypeError:
        return {"description": str(wanted)}
