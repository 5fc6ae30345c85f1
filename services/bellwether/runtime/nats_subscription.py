"""What one connection after the other delivers: messages, subscriptions that outlive it, and watched keys."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bellwether.naming import key_subject
from bellwether.runtime.bus import BusError, BusUnreachable, Headers
from bellwether.runtime.nats_client import Client, ClientError, ClientSubscription, Msg

if TYPE_CHECKING:
    from bellwether.runtime.nats_bus import NatsBus

# Of one subscription; what is over it is dropped by the client, which is said and counted.
PENDING_MESSAGES = 65_536
PENDING_BYTES = 32 * 1024 * 1024

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
        self._present = await client.subscribe(
            self.subject,
            self._queue,
            cb=self._arrived,
            pending_msgs_limit=PENDING_MESSAGES,
            pending_bytes_limit=PENDING_BYTES,
        )

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
