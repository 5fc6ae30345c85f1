"""The bus within one process: the promises of NATS without a server.

Messages are the same encoded bytes as on NATS, so a service cannot tell the two apart and decision bytes are equal
over both. The stream keeps no history: an event lives until every consumer that wanted it has it, and the window for
repeated ids ends after its time or after `WINDOW_IDS` ids, whichever comes first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from bellwether.naming import subject_matches
from bellwether.runtime.bus import (
    MESSAGE_ID_HEADER,
    BucketPlan,
    BusUnreachable,
    ConsumerPlan,
    Headers,
    LocalMessage,
    NoResponder,
    RequestTimeout,
    StoredMessage,
    StreamFigures,
    StreamPlan,
    check_size,
)
from bellwether.runtime.memory_stream import MemoryConsumer, MemoryPull, Stored

MAX_PAYLOAD = 1024 * 1024
WINDOW_IDS = 5_000

_log = logging.getLogger(__name__)


class MemorySubscription:
    """One interest in a subject pattern."""

    __slots__ = ("_broker", "callback", "pattern", "queue")

    def __init__(
        self, broker: MemoryBroker, pattern: str, callback: Callable[[LocalMessage], None], queue: str
    ) -> None:
        self._broker = broker
        self.pattern = pattern
        self.callback = callback
        self.queue = queue

    async def stop(self) -> None:
        """Deliver nothing more."""
        self._broker.remove(self)


class _Stream:
    def __init__(self, plan: StreamPlan) -> None:
        self.plan = plan
        self.sequence = 0
        self.seen: OrderedDict[str, float] = OrderedDict()
        self.consumers: dict[str, MemoryConsumer] = {}

    def repeated(self, message_id: str) -> bool:
        """Whether the id came within the window; if not, remember it."""
        now = time.monotonic()
        seen = self.seen
        horizon = now - self.plan.duplicate_window
        while seen and (len(seen) > WINDOW_IDS or next(iter(seen.values())) < horizon):
            seen.popitem(last=False)
        if message_id in seen:
            return True
        seen[message_id] = now
        return False


class MemoryBroker:
    """What a NATS server is to processes: the subjects, streams and buckets that connections share."""

    def __init__(self) -> None:
        self._subscriptions: list[MemorySubscription] = []
        self._matches: dict[str, tuple[list[MemorySubscription], dict[str, list[MemorySubscription]]]] = {}
        self._turn = 0
        self._streams: dict[str, _Stream] = {}
        self._holding: dict[str, list[_Stream]] = {}
        """Which streams hold a subject. There are as many subjects of events as types and priorities."""
        self._consumer_made = asyncio.Event()
        self._buckets: dict[str, dict[str, tuple[bytes, int]]] = {}

    def connect(self, identity: str) -> MemoryBus:
        """Return a connection of one identity."""
        return MemoryBus(self, identity)

    # Subjects

    def add(self, subscription: MemorySubscription) -> None:
        """Begin to deliver to a subscription."""
        self._subscriptions.append(subscription)
        self._matches.clear()

    def remove(self, subscription: MemorySubscription) -> None:
        """Stop delivering to a subscription."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self._matches.clear()

    def receivers(self, subject: str) -> list[MemorySubscription]:
        """Return who gets one message: everyone outside a queue group and one member of each group."""
        found = self._matches.get(subject)
        if found is None:
            if len(self._matches) > 10_000:
                self._matches.clear()
            found = self._matches[subject] = self._match(subject)
        single, groups = found
        if not groups:
            return single
        self._turn += 1
        return [*single, *(members[self._turn % len(members)] for members in groups.values())]

    def _match(self, subject: str) -> tuple[list[MemorySubscription], dict[str, list[MemorySubscription]]]:
        single: list[MemorySubscription] = []
        groups: dict[str, list[MemorySubscription]] = {}
        for subscription in self._subscriptions:
            if subject_matches(subscription.pattern, subject):
                if subscription.queue:
                    groups.setdefault(subscription.queue, []).append(subscription)
                else:
                    single.append(subscription)
        return single, groups

    def deliver(self, message: LocalMessage) -> int:
        """Hand a message to its receivers and return how many there were."""
        receivers = self.receivers(message.subject)
        for subscription in receivers:
            try:
                subscription.callback(message)
            except Exception:
                _log.exception("a subscriber of %s failed", subscription.pattern)
        return len(receivers)

    # Streams

    def store(self, subject: str, body: bytes, message_id: str, headers: Headers | None) -> bool:
        """Put an event into the streams that want its subject; False if its id was there already."""
        streams = self._holding.get(subject)
        if streams is None:
            streams = self._holding[subject] = [
                stream
                for stream in self._streams.values()
                if any(subject_matches(pattern, subject) for pattern in stream.plan.subjects)
            ]
        if not streams:
            raise NoResponder(f"no stream holds {subject}")
        for stream in streams:
            if stream.repeated(message_id):
                return False
            stream.sequence += 1
            event = Stored(stream.sequence, subject, body, headers, message_id)
            for consumer in stream.consumers.values():
                if consumer.wants(subject):
                    consumer.offer(event)
        return True

    def ensure_stream(self, plan: StreamPlan) -> None:
        """Make a stream or change its plan."""
        self._holding.clear()
        if plan.name in self._streams:
            self._streams[plan.name].plan = plan
        else:
            self._streams[plan.name] = _Stream(plan)

    def ensure_consumer(self, plan: ConsumerPlan) -> None:
        """Make a consumer or change its plan."""
        consumers = self._streams[plan.stream].consumers
        if plan.name in consumers:
            consumers[plan.name].plan = plan
        else:
            consumers[plan.name] = MemoryConsumer(plan)
        self._consumer_made.set()
        self._consumer_made = asyncio.Event()

    async def consumer(self, stream: str, name: str) -> MemoryConsumer:
        """Return a consumer, waiting until it was made."""
        while stream not in self._streams or name not in self._streams[stream].consumers:
            await self._consumer_made.wait()
        return self._streams[stream].consumers[name]

    # Buckets

    def ensure_bucket(self, plan: BucketPlan) -> None:
        """Make a bucket."""
        self._buckets.setdefault(plan.name, {})

    def bucket(self, name: str) -> dict[str, tuple[bytes, int]]:
        """Return a bucket's keys with value and revision."""
        try:
            return self._buckets[name]
        except KeyError:
            raise NoResponder(f"no bucket {name}") from None


class MemoryBus:
    """One identity's connection to a `MemoryBroker`; also its admin."""

    def __init__(self, broker: MemoryBroker, identity: str) -> None:
        self._broker = broker
        self.identity = identity
        self.max_payload = MAX_PAYLOAD
        self._open = False
        self._subscriptions: list[MemorySubscription] = []
        self._pulls: list[MemoryPull] = []
        self._callbacks: list[Callable[[], None]] = []

    @property
    def connected(self) -> bool:
        """Whether it was started and not closed."""
        return self._open

    async def start(self) -> None:
        """Open the connection."""
        self._open = True
        for callback in self._callbacks:
            callback()

    async def wait_connected(self, timeout: float) -> bool:
        """Return at once: there is nothing to wait for."""
        return self._open

    def on_connected(self, callback: Callable[[], None]) -> None:
        """Call back when the connection opens."""
        self._callbacks.append(callback)
        if self._open:
            callback()

    async def close(self) -> None:
        """Close; what was taken and not finished goes back to its consumer."""
        self._open = False
        for subscription in list(self._subscriptions):
            await subscription.stop()
        self._subscriptions.clear()
        for pull in self._pulls:
            pull.abandon()
        self._pulls.clear()

    def _check(self, body: bytes, headers: Headers | None = None) -> None:
        if not self._open:
            raise BusUnreachable(f"{self.identity} is not connected")
        check_size(body, headers, self.max_payload)

    async def request(self, subject: str, body: bytes, *, timeout: float, headers: Headers | None = None) -> bytes:
        """Send a request to one responder and return its reply."""
        self._check(body, headers)
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[bytes] = loop.create_future()
        if not self._broker.deliver(LocalMessage(subject, body, headers, reply)):
            raise NoResponder(f"nobody serves {subject}")
        timer = loop.call_later(timeout, _expire, reply, subject, timeout)
        try:
            return await reply
        finally:
            timer.cancel()

    async def publish(self, subject: str, body: bytes, headers: Headers | None = None) -> None:
        """Send a plain message."""
        self._check(body, headers)
        self._broker.deliver(LocalMessage(subject, body, headers, None))

    def has_interest(self, subject: str) -> bool:
        """Whether anyone listens."""
        return bool(self._broker.receivers(subject))

    async def subscribe(
        self, subject: str, callback: Callable[[LocalMessage], None], *, queue: str = ""
    ) -> MemorySubscription:
        """Deliver what fits a subject to the callback."""
        subscription = MemorySubscription(self._broker, subject, callback, queue)
        self._broker.add(subscription)
        self._subscriptions.append(subscription)
        return subscription

    async def publish_event(
        self, subject: str, body: bytes, *, message_id: str, headers: Headers | None = None
    ) -> bool:
        """Put an event into its stream; plain subscribers see it too, as on NATS."""
        self._check(body, {**(headers or {}), MESSAGE_ID_HEADER: message_id})
        fresh = self._broker.store(subject, body, message_id, headers)
        if self._broker.receivers(subject):
            self._broker.deliver(LocalMessage(subject, body, headers, None))
        return fresh

    async def pull(self, stream: str, consumer: str, on_arrival: Callable[[], None], *, batch: int = 64) -> MemoryPull:
        """Begin to pull from a durable consumer, waiting until it exists."""
        found = await self._broker.consumer(stream, consumer)
        pull = MemoryPull(found, on_arrival, batch)
        self._pulls.append(pull)
        found.attach(pull)
        return pull

    async def stream_figures(self, stream: str) -> StreamFigures:
        """Return nothing held: what every consumer had is not kept within a process."""
        return StreamFigures(0, 0, 0)

    async def stream_message(self, stream: str, sequence: int) -> StoredMessage | None:
        """Return none: nothing is kept."""
        return None

    async def stream_delete(self, stream: str, sequence: int) -> bool:
        """Return that it was not there."""
        return False

    async def kv_get(self, bucket: str, key: str) -> tuple[bytes, int] | None:
        """Return a key's value and revision, or none."""
        self._check(b"")
        return self._broker.bucket(bucket).get(key)

    async def kv_put(self, bucket: str, key: str, value: bytes) -> int:
        """Set a key and return its revision."""
        self._check(value)
        keys = self._broker.bucket(bucket)
        revision = max((known for _, known in keys.values()), default=0) + 1
        keys[key] = (value, revision)
        self._broker.deliver(LocalMessage(f"$KV.{bucket}.{key}", value, None, None))
        return revision

    async def kv_watch(
        self, bucket: str, keys: Sequence[str], callback: Callable[[str, bytes], None]
    ) -> MemorySubscription:
        """Call back with what the keys hold now and at each change."""
        prefix = f"$KV.{bucket}."

        def changed(message: LocalMessage) -> None:
            key = message.subject[len(prefix) :]
            if key in keys:
                callback(key, message.body)

        subscription = await self.subscribe(f"{prefix}>", changed)
        present = self._broker.bucket(bucket)
        for key in keys:
            if key in present:
                callback(key, present[key][0])
        return subscription

    async def ensure_stream(self, plan: StreamPlan) -> None:
        """Make a stream or change its plan."""
        self._broker.ensure_stream(plan)

    async def ensure_bucket(self, plan: BucketPlan) -> None:
        """Make a bucket."""
        self._broker.ensure_bucket(plan)

    async def ensure_consumer(self, plan: ConsumerPlan) -> None:
        """Make a consumer or change its plan."""
        self._broker.ensure_consumer(plan)


def _expire(reply: asyncio.Future[bytes], subject: str, timeout: float) -> None:
    if not reply.done():
        reply.set_exception(RequestTimeout(f"no reply from {subject} within {timeout:.3g} s"))
