"""The bus as a port: what services need of it, whichever bus carries it.

`NatsBus` joins processes, `MemoryBus` the services of one process. Both carry the very same encoded bytes and keep
the same promises; one conformance suite runs against both.

- Requests and plain messages are delivered at most once.
- Events are delivered at least once to every durable consumer; a message id repeated within the stream's window is
  dropped; what is not acknowledged in time, or refused, comes again.
- Callbacks are plain functions that return at once; they run on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

Headers = Mapping[str, str]

_log = logging.getLogger(__name__)


class BusError(Exception):
    """The bus could not do what it was asked."""


class NoResponder(BusError):
    """Nobody serves the subject; the request was not delivered."""


class RequestTimeout(BusError):
    """No reply came in time; whether the request was executed is not known."""


class BusUnreachable(BusError):
    """There is no connection."""


class PayloadTooLarge(BusError):
    """The message is larger than the bus carries."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"message of {size} bytes is over the bus's limit of {limit} bytes")
        self.size = size
        self.limit = limit


MESSAGE_ID_HEADER = "Nats-Msg-Id"
_HEADER_ROOM = 8 * 1024


def check_size(body: bytes, headers: Headers | None, limit: int) -> None:
    """Refuse a message that is larger than the bus carries; headers count as NATS writes them.

    A server ends the connection over such a message, so it must not be sent.

    Raises:
        PayloadTooLarge: naming the size and the limit, both in bytes.
    """
    size = len(body)
    # What is far below the limit needs no count of its headers.
    if headers and size > limit - _HEADER_ROOM:
        size += len("NATS/1.0\r\n\r\n") + sum(len(f"{name}: {value}\r\n".encode()) for name, value in headers.items())
    if size > limit:
        raise PayloadTooLarge(size, limit)


@dataclass(frozen=True)
class StreamPlan:
    """A stream of events: what it holds and for how long (seconds, bytes); 0 means no limit."""

    name: str
    subjects: tuple[str, ...]
    max_age: float = 0.0
    max_bytes: int = 0
    duplicate_window: float = 30.0
    """How long the server remembers ids, each in 190 bytes of its memory. What comes again later is dropped by the
    consumers, which know theirs for much longer."""


@dataclass(frozen=True)
class BucketPlan:
    """A key-value bucket."""

    name: str
    max_bytes: int = 8 * 1024 * 1024


@dataclass(frozen=True)
class ConsumerPlan:
    """A durable place in a stream. After `ack_wait` seconds without a sign of life a message comes again."""

    name: str
    stream: str
    subjects: tuple[str, ...]
    ack_wait: float = 30.0
    max_ack_pending: int = 256


@dataclass(frozen=True)
class StreamFigures:
    """What a stream holds; `max_bytes` 0 means no limit."""

    messages: int
    bytes: int
    max_bytes: int


@dataclass(frozen=True)
class StoredMessage:
    """One message of a stream as it is kept."""

    sequence: int
    subject: str
    body: bytes
    time: datetime
    """When it was stored, UTC."""


class Message(Protocol):
    """A request or plain message as it arrives."""

    subject: str
    body: bytes
    headers: Headers | None

    async def respond(self, body: bytes) -> None:
        """Send the reply; without a reply subject this does nothing."""


class LocalMessage:
    """A plain message or request within one process, with the future that takes the reply."""

    __slots__ = ("_reply", "body", "headers", "subject")

    def __init__(self, subject: str, body: bytes, headers: Headers | None, reply: asyncio.Future[bytes] | None) -> None:
        self.subject = subject
        self.body = body
        self.headers = headers
        self._reply = reply

    async def respond(self, body: bytes) -> None:
        """Give the requester its reply; a requester that has gone is not an error."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(body)


class Delivery(Protocol):
    """One delivery of an event to a consumer."""

    subject: str
    body: bytes
    headers: Headers | None
    message_id: str
    attempts: int
    """How often it was delivered, this time included."""

    async def ack(self, *, confirmed: bool = False) -> None:
        """Say that it is done; confirmed: wait until the bus has recorded it."""

    async def nak(self, delay: float) -> None:
        """Ask for it again after `delay` seconds."""

    async def in_progress(self) -> None:
        """Say that it is still being worked on, which starts `ack_wait` again."""

    async def term(self) -> None:
        """Never deliver it to this consumer again."""


class Pull(Protocol):
    """A running pull on one durable consumer with a small local buffer."""

    def take(self) -> Delivery | None:
        """Return the next delivery, or none when the buffer is empty."""

    def untaken(self) -> Sequence[Delivery]:
        """Return what is in the buffer and not yet taken."""

    async def stop(self) -> None:
        """Ask for nothing more and give back what was not taken."""


class Subscription(Protocol):
    """A running subscription."""

    async def stop(self) -> None:
        """Deliver nothing more."""


class Bus(Protocol):
    """A connection of one identity to the bus."""

    @property
    def connected(self) -> bool:
        """Whether the bus can be reached now."""

    @property
    def max_payload(self) -> int:
        """The largest message that it carries, in bytes."""

    async def start(self) -> None:
        """Begin to connect; returns at once and goes on trying until the bus is closed."""

    async def wait_connected(self, timeout: float) -> bool:
        """Wait for a connection for at most `timeout` seconds; whether there is one."""

    def on_connected(self, callback: Callable[[], None]) -> None:
        """Call back at each connection and reconnection."""

    async def close(self) -> None:
        """Flush what was sent and close; unfinished deliveries go back to their consumers."""

    async def request(self, subject: str, body: bytes, *, timeout: float, headers: Headers | None = None) -> bytes:
        """Send a request and return the reply's body.

        Raises:
            NoResponder: nobody serves the subject.
            RequestTimeout: no reply within `timeout` seconds.
            BusUnreachable: there is no connection.
            PayloadTooLarge: the request is larger than the bus carries.
        """

    async def publish(self, subject: str, body: bytes, headers: Headers | None = None) -> None:
        """Send a plain message to whoever listens now."""

    def has_interest(self, subject: str) -> bool:
        """Whether anyone may be listening; true when that cannot be known."""

    async def subscribe(self, subject: str, callback: Callable[[Message], None], *, queue: str = "") -> Subscription:
        """Deliver what fits a subject; within a queue group each message goes to one member."""

    async def publish_event(
        self, subject: str, body: bytes, *, message_id: str, headers: Headers | None = None
    ) -> bool:
        """Put an event into its stream and wait until it is stored.

        Returns: False if the stream had this message id already.

        Raises:
            BusUnreachable or RequestTimeout: it is not known to be stored; publish it again with the same id.
            PayloadTooLarge: it is larger than the bus carries.
        """

    async def pull(self, stream: str, consumer: str, on_arrival: Callable[[], None], *, batch: int = 64) -> Pull:
        """Begin to pull from a durable consumer, waiting until it exists; `on_arrival` says the buffer has more."""

    async def stream_figures(self, stream: str) -> StreamFigures:
        """Return what a stream holds.

        Raises:
            BusError: if there is no such stream, or it cannot be asked.
        """

    async def stream_message(self, stream: str, sequence: int) -> StoredMessage | None:
        """Return the first message of a stream from a sequence on, or none."""

    async def stream_delete(self, stream: str, sequence: int) -> bool:
        """Take one message out of a stream; False if it was not there."""

    async def kv_get(self, bucket: str, key: str) -> tuple[bytes, int] | None:
        """Return a key's value and revision, or none."""

    async def kv_put(self, bucket: str, key: str, value: bytes) -> int:
        """Set a key; return its revision once it is stored."""

    async def kv_watch(self, bucket: str, keys: Sequence[str], callback: Callable[[str, bytes], None]) -> Subscription:
        """Call back with (key, value) for what the keys hold now and at each change.

        After a reconnection the present value is read again: the same value can come twice, and around a connection
        an older one after a newer, so values must say themselves which is newer.
        """


class BusAdmin(Protocol):
    """What only the bootstrap identity does: make the streams, buckets and consumers."""

    async def ensure_stream(self, plan: StreamPlan) -> None:
        """Make a stream, or bring it to this plan."""

    async def ensure_bucket(self, plan: BucketPlan) -> None:
        """Make a bucket, or bring it to this plan."""

    async def ensure_consumer(self, plan: ConsumerPlan) -> None:
        """Make a consumer, or bring it to this plan; its place in the stream is kept."""


async def stored_value(bus: Bus, bucket: str, key: str, waiting: str) -> bytes | None:
    """Return the value of a key, None where there is none; while the bus cannot be asked it logs what is `waiting`."""
    while True:
        try:
            found = await bus.kv_get(bucket, key)
        except NoResponder:
            # The bucket is not made yet, so nobody has written to it.
            return None
        except BusError as error:
            _log.warning("%s: %s", waiting, error)
            await asyncio.sleep(0.5)
        else:
            return None if found is None else found[0]
