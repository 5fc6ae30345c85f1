"""Making streams, buckets and consumers on NATS: for the bootstrap identity alone."""

from __future__ import annotations

import logging
from typing import Any

from bellwether.naming import bucket_stream
from bellwether.runtime.bus import BucketPlan, BusError, ConsumerPlan, StreamPlan
from bellwether.runtime.nats_bus import NatsBus
from bellwether.runtime.nats_pull import NANOSECONDS

NOT_FOUND = 404

_log = logging.getLogger(__name__)


class NatsAdmin:
    """Brings a server to a plan."""

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
