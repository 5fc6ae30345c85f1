"""Bootstrap: bring a system's NATS server to what its topology needs, under the one identity that may."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bellwether.naming import bucket_stream
from bellwether.runtime.bus import BucketPlan, BusError, ConsumerPlan, StreamPlan
from bellwether.runtime.clock import monotonic
from bellwether.runtime.nats_bus import NatsBus
from bellwether.runtime.nats_subscription import NANOSECONDS
from bellwether.runtime.plan import bus_plan, ensure
from bellwether.service_row import ServiceRow
from bellwether.topology import NATS_STORE_BYTES, SERVICES

IDENTITY = "bootstrap"
NOT_FOUND = 404

_log = logging.getLogger(__name__)


class NatsAdmin:
    """Brings streams, buckets and consumers of a server to a plan."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus

    async def ensure_stream(self, plan: StreamPlan) -> None:
        """Make a stream of events, or bring it to this plan."""
        await self._ensure(
            {
                "name": plan.name,
                "subjects": list(plan.subjects),
                "retention": "limits",
                "storage": "file",
                "discard": "old",
                "max_age": int(plan.max_age * NANOSECONDS),
                "max_bytes": plan.max_bytes or -1,
                "duplicate_window": int(plan.duplicate_window * NANOSECONDS),
            }
        )

    async def ensure_bucket(self, plan: BucketPlan) -> None:
        """Make a bucket, or bring it to this plan."""
        await self._ensure(
            {
                "name": bucket_stream(plan.name),
                "subjects": [f"$KV.{plan.name}.>"],
                "retention": "limits",
                "storage": "file",
                "discard": "new",
                "max_msgs_per_subject": 1,
                "max_bytes": plan.max_bytes,
                "allow_direct": True,
                "allow_rollup_hdrs": True,
                "deny_delete": True,
            }
        )

    async def ensure_consumer(self, plan: ConsumerPlan) -> None:
        """Make a durable pull consumer, or bring it to this plan; its place in the stream is kept."""
        config = {
            "durable_name": plan.name,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "replay_policy": "instant",
            "ack_wait": int(plan.ack_wait * NANOSECONDS),
            "max_ack_pending": plan.max_ack_pending,
            # Services count the attempts and write the dead letter themselves; a limit here would hide the event.
            "max_deliver": -1,
            "filter_subjects": list(plan.subjects),
        }
        await self._call(
            f"$JS.API.CONSUMER.CREATE.{plan.stream}.{plan.name}", {"stream_name": plan.stream, "config": config}
        )

    async def _ensure(self, wanted: dict[str, Any]) -> None:
        name = wanted["name"]
        answer = await self._bus.api(f"$JS.API.STREAM.INFO.{name}", {})
        if "error" in answer:
            if answer["error"].get("code") != NOT_FOUND:
                raise BusError(f"stream {name}: {answer['error'].get('description')}")
            await self._call(f"$JS.API.STREAM.CREATE.{name}", wanted)
            _log.info("made the stream %s", name)
        elif any(answer["config"].get(key) != value for key, value in wanted.items()):
            await self._call(f"$JS.API.STREAM.UPDATE.{name}", {**answer["config"], **wanted})
            _log.info("changed the stream %s", name)

    async def _call(self, subject: str, body: dict[str, Any]) -> None:
        answer = await self._bus.api(subject, body)
        if "error" in answer:
            raise BusError(f"{subject}: {answer['error'].get('description')}")


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
