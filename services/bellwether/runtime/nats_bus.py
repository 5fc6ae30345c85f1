"""The bus between processes: NATS with JetStream.

A lost connection is never repaired: a new one is made, with everything subscribed again, by the same code that made
the first. So a server that is unreachable at the start, later, or for an hour is all one case, and it never gives up.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bellwether.naming import inbox_prefix
from bellwether.runtime.bus import (
    BusError,
    BusUnreachable,
    Headers,
    NoResponder,
    PayloadTooLarge,
    RequestTimeout,
    check_size,
)
from bellwether.runtime.clock import monotonic
from bellwether.runtime.nats_client import Client, ClientError, MaxPayloadError, Msg
from bellwether.runtime.nats_streams import NatsStreams
from bellwether.runtime.nats_subscription import NatsMessage, NatsPull, NatsSubscription, Watch
from bellwether.runtime.tasks import LOOK_SECONDS, end_tasks

CONNECT_SECONDS = 5.0
RECONNECT_SECONDS = 0.25
SAY_AGAIN_SECONDS = 30.0
OUT_BYTES = 4 * 1024 * 1024

_EXPECTED = (ClientError, OSError, TimeoutError, ValueError, AssertionError)
"""How an attempt to connect fails while the server is unreachable, starts, or does not let this identity in."""

_log = logging.getLogger(__name__)


class _Awaited(NamedTuple):
    """A reply that is waited for until an instant of the monotonic clock."""

    reply: asyncio.Future[Msg]
    deadline: float
    subject: str
    timeout: float


class NatsBus(NatsStreams):
    """One identity's connection to the system's NATS server."""

    def __init__(self, url: str, identity: str, seed: Path | str | None = None) -> None:
        """Take the server's URL (several: separated by commas) and the identity's nkey seed or the file of it."""
        self.identity = identity
        self._servers = url.split(",")
        self._seed = seed
        self._prefix = inbox_prefix(identity)
        self._client: Client | None = None
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._closing = False
        self._keeper: asyncio.Task[None] | None = None
        self._subscriptions: list[NatsSubscription] = []
        self._pulls: list[NatsPull] = []
        self._callbacks: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._inbox = f"{self._prefix}.{secrets.token_hex(8)}."
        self._numbers = itertools.count(1)
        self._replies: dict[str, _Awaited] = {}
        self._looking = False
        self.max_payload = 1024 * 1024
        self.last_error: str | None = None
        replies = NatsSubscription(self, f"{self._inbox}*", "", self._reply_arrived)
        self._subscriptions.append(replies)

    # The connection

    @property
    def connected(self) -> bool:
        """Whether there is a connection with everything subscribed."""
        return self._up.is_set()

    async def start(self) -> None:
        """Begin to connect."""
        if self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep_connected(), name=f"{self.identity} nats")

    async def wait_connected(self, timeout: float) -> bool:
        """Wait for a connection."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._up.wait()
        return self.connected

    def on_connected(self, callback: Callable[[], None]) -> None:
        """Call back at each connection."""
        self._callbacks.append(callback)
        if self.connected:
            callback()

    async def _keep_connected(self) -> None:
        """Connect again and again; no failure ends it, or the bus would stay unreachable and nobody would know why."""
        said = float("-inf")
        task = asyncio.current_task()
        # A cancellation that meets the end of an attempt can get lost in `wait_for`; the task still knows of it.
        while not self._closing and not (task is not None and task.cancelling()):
            try:
                await self._connect()
            except Exception as error:
                self.last_error = f"{type(error).__name__}: {error}"
                if monotonic() - said > SAY_AGAIN_SECONDS:
                    said = monotonic()
                    # Of what belongs to a server that is unreachable, the words are enough; of the rest, where it was.
                    trace = None if isinstance(error, _EXPECTED) else error
                    level = logging.WARNING if trace is None else logging.ERROR
                    words = "%s cannot reach NATS (%s); it goes on trying"
                    _log.log(level, words, self.identity, self.last_error, exc_info=trace)
                self._lost()
                await self._drop_client()
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
            said = float("-inf")
            _log.info("%s is connected to NATS", self.identity)
            await self._down.wait()
            self._lost()
            if not self._closing:
                _log.warning("%s lost its connection to NATS: %s", self.identity, self.last_error)
            await self._drop_client()

    async def _connect(self) -> None:
        client = Client()
        self._client = client
        self._down = asyncio.Event()
        down = self._down

        async def closed() -> None:
            down.set()

        options: dict[str, Any] = {}
        if isinstance(self._seed, Path):
            options["nkeys_seed"] = str(self._seed)
        elif self._seed is not None:
            options["nkeys_seed_str"] = self._seed
        async with asyncio.timeout(CONNECT_SECONDS * 2):
            await client.connect(
                self._servers,
                name=self.identity,
                error_cb=self._client_error,
                closed_cb=closed,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]
                connect_timeout=int(CONNECT_SECONDS),
                ping_interval=10,
                max_outstanding_pings=2,
                pending_size=OUT_BYTES,
                inbox_prefix=self._prefix,
                skip_subject_validation=True,
                **options,
            )
            self.max_payload = client.max_payload
            for subscription in list(self._subscriptions):
                await subscription.attach(client)
            await client.flush()
        if down.is_set():
            raise ConnectionError("the connection was closed at once")
        self._up.set()
        for pull in list(self._pulls):
            await pull.attach()
        for callback in self._callbacks:
            callback()

    def _lost(self) -> None:
        """Nobody waits for a reply that can no longer come."""
        self._up.clear()
        waiting, self._replies = self._replies, {}
        for awaited in waiting.values():
            if not awaited.reply.done():
                awaited.reply.set_exception(
                    BusUnreachable("the connection was lost; whether it was executed is not known")
                )

    async def _drop_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(1.0):
                    await client.close()

    async def _client_error(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        self.last_error = text
        if "permissions violation" in text.lower():
            _log.error("%s: %s", self.identity, text)

    async def close(self) -> None:
        """Flush and close."""
        self._closing = True
        if self._keeper is not None and not self.connected:
            await end_tasks([self._keeper])
        if self.connected and self._client is not None:
            with contextlib.suppress(ClientError, OSError, TimeoutError):
                await self._client.flush(2)
        self._down.set()
        if self._keeper is not None:
            await asyncio.wait([self._keeper], timeout=2.0)
            await end_tasks([self._keeper])
        for pull in self._pulls:
            pull.abandon()
        await end_tasks(self._tasks)
        await self._drop_client()
        self._lost()

    def client(self) -> Client:
        """Return the present connection.

        Raises:
            BusUnreachable: if there is none.
        """
        if not self._up.is_set() or self._client is None:
            raise BusUnreachable(f"{self.identity} has no connection to NATS")
        return self._client

    def spawn(self, work: Any) -> None:
        """Run work beside; it ends with the bus."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Messages

    async def publish(self, subject: str, body: bytes, headers: Headers | None = None) -> None:
        """Send a plain message."""
        await self._send(subject, body, "", headers)

    async def _send(self, subject: str, body: bytes, reply: str, headers: Headers | None) -> None:
        check_size(body, headers, self.max_payload)
        try:
            await self.client().publish(subject, body, reply, headers)  # type: ignore[arg-type]
        except MaxPayloadError:
            raise PayloadTooLarge(len(body), self.max_payload) from None
        except (ClientError, OSError) as error:
            raise BusUnreachable(f"{self.identity}: {error}") from None

    def has_interest(self, subject: str) -> bool:
        """Return true: who listens elsewhere is not known here."""
        return True

    def _reply_arrived(self, message: Msg) -> None:
        awaited = self._replies.pop(message.subject[len(self._inbox) :], None)
        if awaited is not None and not awaited.reply.done():
            awaited.reply.set_result(message)

    def _expire(self) -> None:
        """End the waits that are over: one timer looks after all of them, twenty times a second."""
        now = monotonic()
        for number in [number for number, awaited in self._replies.items() if awaited.deadline <= now]:
            awaited = self._replies.pop(number)
            if not awaited.reply.done():
                awaited.reply.set_exception(
                    RequestTimeout(f"no reply from {awaited.subject} within {awaited.timeout:.3g} s")
                )
        self._looking = bool(self._replies)
        if self._looking:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._expire)

    async def ask(self, subject: str, body: bytes, timeout: float, headers: Headers | None = None) -> Msg:
        """Send a request and return the whole reply."""
        loop = asyncio.get_running_loop()
        number = str(next(self._numbers))
        reply: asyncio.Future[Msg] = loop.create_future()
        self._replies[number] = _Awaited(reply, monotonic() + timeout, subject, timeout)
        if not self._looking:
            self._looking = True
            loop.call_later(min(timeout, LOOK_SECONDS), self._expire)
        try:
            await self._send(subject, body, self._inbox + number, headers)
            message = await reply
        finally:
            self._replies.pop(number, None)
        if message.headers and message.headers.get("Status") == "503" and not message.data:
            raise NoResponder(f"nobody serves {subject}")
        return message

    async def request(self, subject: str, body: bytes, *, timeout: float, headers: Headers | None = None) -> bytes:
        """Send a request and return the reply's body."""
        answer: bytes = (await self.ask(subject, body, timeout, headers)).data
        return answer

    async def subscribe(
        self, subject: str, callback: Callable[[NatsMessage], None], *, queue: str = ""
    ) -> NatsSubscription:
        """Deliver what fits a subject, on this connection and all later ones."""
        return await self._add(
            NatsSubscription(self, subject, queue, lambda message: callback(NatsMessage(self, message)))
        )

    async def _add(self, subscription: NatsSubscription) -> NatsSubscription:
        self._subscriptions.append(subscription)
        if self.connected:
            await subscription.attach(self.client())
            # The server knows of it before anyone here acts on being subscribed.
            with contextlib.suppress(ClientError, OSError, TimeoutError):
                await self.client().flush()
        return subscription

    def forget(self, subscription: NatsSubscription) -> None:
        """Take a subscription up on no further connection."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    # Streams

    async def pull(self, stream: str, consumer: str, on_arrival: Callable[[], None], *, batch: int = 64) -> NatsPull:
        """Begin to pull from a durable consumer, waiting until bootstrap has made it."""
        said = float("-inf")
        while not await self._exists(stream, consumer):
            if monotonic() - said > SAY_AGAIN_SECONDS:
                said = monotonic()
                _log.warning("%s waits for bootstrap to make the consumer %s", self.identity, consumer)
            await asyncio.sleep(0.2)
        pull = NatsPull(
            self, stream, consumer, inbox=f"{self._prefix}.pull.{consumer}", on_arrival=on_arrival, batch=batch
        )
        await self._add(pull.subscription)
        self._pulls.append(pull)
        await pull.attach()
        return pull

    async def _exists(self, stream: str, consumer: str) -> bool:
        try:
            answer = await self.api(f"$JS.API.CONSUMER.INFO.{stream}.{consumer}", {}, 2.0)
        except BusError:
            return False
        return "error" not in answer

    def subscription(self, subject: str, callback: Callable[[Msg], None]) -> NatsSubscription:
        """Return a subscription that is not taken up yet."""
        return NatsSubscription(self, subject, "", callback)

    async def kv_watch(self, bucket: str, keys: Sequence[str], callback: Callable[[str, bytes], None]) -> Watch:
        """Call back with what the keys hold now, at each connection, and at each change."""
        watch = Watch(self, bucket, keys, callback)
        await watch.start()
        return watch
