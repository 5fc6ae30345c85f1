"""Bootstrap: bring a system's NATS server to what its topology needs, under the one identity that may."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from bellwether.runtime.bus import BusError
from bellwether.runtime.clock import monotonic
from bellwether.runtime.nats_admin import NatsAdmin
from bellwether.runtime.nats_bus import NatsBus
from bellwether.runtime.plan import bus_plan, ensure
from bellwether.service_row import ServiceRow
from bellwether.topology import NATS_STORE_BYTES, SERVICES

IDENTITY = "bootstrap"

_log = logging.getLogger(__name__)


async def bootstrap(
    url: str,
    seed: Path | str | None,
    *,
    rows: Mapping[str, ServiceRow] = SERVICES,
    timeout: float = 60.0,
    ack_wait: float = 30.0,
    max_store: int = NATS_STORE_BYTES,
) -> None:
    """Make all streams, buckets and consumers; doing it again changes nothing.

    Raises:
        TimeoutError: saying what failed last, if the server was not ready in `timeout` seconds.
    """
    bus = NatsBus(url, IDENTITY, seed)
    await bus.start()
    end = monotonic() + timeout
    failure = "it could not be reached"
    try:
        while monotonic() < end:
            if await bus.wait_connected(min(1.0, end - monotonic())):
                try:
                    await ensure(NatsAdmin(bus), bus_plan(rows, ack_wait=ack_wait, max_store=max_store))
                    _log.info("the bus holds what the topology needs")
                    return
                except BusError as error:
                    failure = str(error)
                    await asyncio.sleep(0.2)
            elif bus.last_error:
                failure = bus.last_error
    finally:
        await bus.close()
    raise TimeoutError(f"NATS at {url} was not ready within {timeout:g} s: {failure}")
