"""What the bus must hold for a topology: streams, buckets and consumers, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bellwether import naming
from bellwether.runtime.bus import BucketPlan, BusAdmin, ConsumerPlan, StreamPlan
from bellwether.service_row import ServiceRow
from bellwether.topology import NATS_STORE_BYTES, SERVICES
from bellwether.wiring import consumed_types

DAY = 86_400.0


class BusPlan(NamedTuple):
    """All that is made before the services start."""

    streams: tuple[StreamPlan, ...]
    buckets: tuple[BucketPlan, ...]
    consumers: tuple[ConsumerPlan, ...]


def bus_plan(
    rows: Mapping[str, ServiceRow] = SERVICES,
    *,
    ack_wait: float = 30.0,
    max_store: int = NATS_STORE_BYTES,
    one_process: bool = False,
) -> BusPlan:
    """Return the plan of a topology: one consumer per service and priority, filtered on what it consumes.

    JetStream refuses a stream whose limit is beyond its store, so the limits are shares of `max_store` (bytes): a third
    for events, a twelfth for dead letters; the rest is left for the buckets and for files that are being compacted.
    `one_process`: the bus ends with the services, so one that takes events in order may have several under way.
    """
    consumers = [
        ConsumerPlan(
            name=naming.consumer_name(row.name, priority),
            stream=naming.EVENT_STREAM,
            subjects=tuple(naming.event_subject(priority, event_type) for event_type in types),
            ack_wait=ack_wait,
            # One pending at most is what keeps the order when an event comes again after its process has died.
            max_ack_pending=1 if row.ordered and not one_process else 256,
        )
        for row in rows.values()
        for priority, types in consumed_types(row, rows).items()
    ]
    return BusPlan(
        streams=(
            StreamPlan(naming.EVENT_STREAM, (naming.EVENT_SUBJECTS,), max_age=7 * DAY, max_bytes=max_store // 3),
            StreamPlan(naming.DEAD_STREAM, (naming.DEAD_SUBJECTS,), max_age=90 * DAY, max_bytes=max_store // 12),
        ),
        buckets=(
            BucketPlan(naming.DECLARATION_BUCKET),
            BucketPlan(naming.ACKS_BUCKET),
            BucketPlan(naming.MONITORING_BUCKET),
        ),
        consumers=tuple(sorted(consumers, key=lambda one: one.name)),
    )


async def ensure(admin: BusAdmin, plan: BusPlan) -> None:
    """Make all that a plan names and bring to it what is there; doing it again changes nothing."""
    for stream in plan.streams:
        await admin.ensure_stream(stream)
    for bucket in plan.buckets:
        await admin.ensure_bucket(bucket)
    for consumer in plan.consumers:
        await admin.ensure_consumer(consumer)
