"""What one connection after the other delivers: subscriptions that outlive it, watched keys, and continuous pulls.

A pull asks for more while half of what it asked for is still on its way. The server answers into a private inbox with
events and with status messages: heartbeats while there is nothing, and the end of a request with how many of its events
did not come.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bellwether.naming import key_subject
from bellwether.runtime.bus import BusError, BusUnreachable, Headers
from bellwether.runtime.clock import monotonic
from bellwether.runtime.nats_client import Client, ClientError, ClientSubscription, Msg

if TYPE_CHECKING:
    from bellwether.runtime.nats_bus import NatsBus

EXPIRES = 60.0
HEARTBEAT = 10.0
SILENCE = 2.5 * HEARTBEAT
ACK_SECONDS = 5.0
RETRY_SECONDS = 0.5
NANOSECONDS = 1_000_000_000

_log = logging.getLogger(__name__)


class NatsMessage:
    """A request or plain message."""

    __slots__ = ("_bus", "_connection", "_reply", "body", "headers", "subject")

    def __init__(self, bus: NatsBus, message: Msg) -> None:
        self._bus = bus
        self._connection = message._client
        self._reply = message.reply
        self.subject: str = message.subject
        self.body: bytes = message.data
        self.headers: Headers | None = message.headers

    async def respond(self, body: bytes) -> None:
        """Send the reply, on the connection that the request came by: on another the server does not let it pass."""
        if self._reply:
            if self._bus.client() is not self._connection:
                raise BusUnreachable(f"{self._bus.identity}: the connection that asked is gone")
            await self._bus.publish(self._reply, body)


class NatsSubscription:
    """An interest that is taken up again on each connection."""

    def __init__(self, bus: NatsBus, subject: str, queue: str, callback: Callable[[Msg], None]) -> None:
        self._bus = bus
        self.subject = subject
        self._queue = queue
        self._callback = callback
        self._present: ClientSubscription | None = None

    async def attach(self, client: Client) -> None:
        """Subscribe on a new connection."""
        self._present = await client.subscribe(self.subject, self._queue, cb=self._arrived)

    async def _arrived(self, message: Msg) -> None:
        try:
            self._callback(message)
        except Exception:
            _log.exception("a subscriber of %s failed", self.subject)

    async def stop(self) -> None:
        """Deliver what is on its way and then nothing more."""
        self._bus.forget(self)
        present, self._present = self._present, None
        if present is not None:
            with contextlib.suppress(ClientError, OSError, TimeoutError):
                await present.drain()  # type: ignore[no-untyped-call]


class Watch:
    """Follows some keys of a bucket without a consumer: plain subscriptions, and a read at each connection."""

    def __init__(self, bus: NatsBus, bucket: str, keys: Sequence[str], callback: Callable[[str, bytes], None]) -> None:
        self._bus = bus
        self._bucket = bucket
        self._keys = list(keys)
        self._callback = callback
        self._subscriptions: list[NatsSubscription] = []
        self._stopped = False

    async def start(self) -> None:
        """Subscribe and read."""
        for key in self._keys:
            self._subscriptions.append(await self._bus.subscribe(key_subject(self._bucket, key), self._changed))
        self._bus.on_connected(lambda: self._bus.spawn(self._read()))

    def _changed(self, message: NatsMessage) -> None:
        if "KV-Operation" not in (message.headers or {}):
            self._callback(message.subject.split(".", 2)[2], message.body)

    async def _read(self) -> None:
        for key in self._keys:
            while not self._stopped and self._bus.connected:
                try:
                    found = await self._bus.kv_get(self._bucket, key)
                except BusError:
                    # The bucket is not made yet, or the connection went: the next one reads again.
                    await asyncio.sleep(0.5)
                    continue
                if found is not None and not self._stopped:
                    self._callback(key, found[0])
                break

    async def stop(self) -> None:
        """Call back no more."""
        self._stopped = True
        for subscription in self._subscriptions:
            await subscription.stop()


class NatsDelivery:
    """One delivery of an event."""

    __slots__ = ("_ack", "_bus", "attempts", "body", "headers", "message_id", "subject")

    def __init__(self, bus: NatsBus, message: Msg) -> None:
        self._bus = bus
        self._ack: str = message.reply
        self.subject: str = message.subject
        self.body: bytes = message.data
        self.headers: Headers | None = message.headers
        self.message_id: str = (message.headers or {}).get("Nats-Msg-Id", "")
        # $JS.ACK.<stream>.<consumer>.<delivered>..., or with domain and account before the stream.
        tokens = message.reply.split(".")
        self.attempts = int(tokens[4] if len(tokens) == 9 else tokens[6])

    async def ack(self, *, confirmed: bool = False) -> None:
        """Done; confirmed: the server answers once it is recorded."""
        if confirmed:
            await self._bus.ask(self._ack, b"+ACK", ACK_SECONDS)
        else:
            await self._bus.publish(self._ack, b"+ACK")

    async def nak(self, delay: float) -> None:
        """Refused: it comes again after the delay."""
        body = b"-NAK" if delay <= 0 else b"-NAK " + json.dumps({"delay": int(delay * NANOSECONDS)}).encode()
        await self._bus.publish(self._ack, body)

    async def in_progress(self) -> None:
        """Start its time again."""
        await self._bus.publish(self._ack, b"+WPI")

    async def term(self) -> None:
        """Given up, and recorded as such before this returns."""
        await self._bus.ask(self._ack, b"+TERM", ACK_SECONDS)


class NatsPull:
    """The pull of one lane."""

    def __init__(
        self, bus: NatsBus, stream: str, consumer: str, *, inbox: str, on_arrival: Callable[[], None], batch: int
    ) -> None:
        self._bus = bus
        self._consumer = consumer
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = inbox
        self._on_arrival = on_arrival
        self._batch = batch
        self._buffer: deque[NatsDelivery] = deque()
        self._coming = 0
        self._heard = monotonic()
        self._stopping = False
        self._watchdog: asyncio.TimerHandle | None = None
        self.subscription: NatsSubscription = bus.subscription(inbox, self._arrived)

    async def attach(self) -> None:
        """Begin again on a connection; what was asked for on the last one will not come."""
        # Deliveries of the last connection are still good: their acknowledgement subject belongs to the consumer.
        self._coming = 0
        self._heard = monotonic()
        self._refill()
        if self._watchdog is None:
            self._watch()

    def _watch(self) -> None:
        self._watchdog = asyncio.get_running_loop().call_later(HEARTBEAT / 2, self._watch)
        if self._coming and monotonic() - self._heard > SILENCE and self._bus.connected:
            _log.warning("consumer %s has been silent for %.0f s; asking again", self._consumer, SILENCE)
            self._coming = 0
            self._heard = monotonic()
        self._refill()

    def _refill(self) -> None:
        held = self._coming + len(self._buffer)
        if self._stopping or not self._bus.connected or held > self._batch // 2:
            return
        more = self._batch - held
        self._coming += more
        self._bus.spawn(self._ask(more))

    async def _ask(self, more: int) -> None:
        body = {"batch": more, "expires": int(EXPIRES * NANOSECONDS), "idle_heartbeat": int(HEARTBEAT * NANOSECONDS)}
        try:
            await self._bus.client().publish(self._next, json.dumps(body).encode(), reply=self._inbox)
        except Exception as error:
            # The watchdog or the next connection asks again.
            self._coming = max(0, self._coming - more)
            _log.debug("asking for events of %s: %s", self._consumer, error)

    def _arrived(self, message: Msg) -> None:
        self._heard = monotonic()
        headers = message.headers
        if headers and "Status" in headers and not message.reply.startswith("$JS.ACK."):
            self._status(headers)
            return
        self._coming = max(0, self._coming - 1)
        self._buffer.append(NatsDelivery(self._bus, message))
        self._refill()
        if not self._stopping:
            self._on_arrival()

    def _status(self, headers: Headers) -> None:
        status = headers["Status"]
        if status == "100":
            return
        left = headers.get("Nats-Pending-Messages")
        self._coming = max(0, self._coming - int(left)) if left else 0
        if status in ("404", "408"):
            self._refill()
            return
        # 409: the consumer was changed or the server goes; 503: it does not exist now.
        _log.info("consumer %s: %s %s", self._consumer, status, headers.get("Description", ""))
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._refill)

    def take(self) -> NatsDelivery | None:
        """Return the next delivery, or none."""
        if not self._buffer:
            return None
        delivery = self._buffer.popleft()
        self._refill()
        return delivery

    def untaken(self) -> Sequence[NatsDelivery]:
        """Return what is in the buffer."""
        return tuple(self._buffer)

    async def stop(self) -> None:
        """Ask for nothing more; what is in the buffer or on its way goes back."""
        self._stopping = True
        await self.subscription.stop()
        while self._buffer:
            with contextlib.suppress(BusError):
                await self._buffer.popleft().nak(0)
        self.abandon()

    def abandon(self) -> None:
        """End without a word to the server."""
        self._stopping = True
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
