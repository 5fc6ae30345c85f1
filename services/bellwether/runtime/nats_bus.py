"""The bus between processes: NATS with JetStream.

A lost connection is never repaired: a new one is made, with everything subscribed anew, by the same code that made
the first. So a server that is away at the start, later, or for an hour is all one case, and it never gives up.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from bellwether.naming import bucket_stream, inbox_prefix, key_subject
from bellwether.runtime.bus import (
    MESSAGE_ID_HEADER,
    BusAway,
    BusError,
    Headers,
    NoResponder,
    PayloadTooLarge,
    RequestTimeout,
    StoredMessage,
    StreamFigures,
    check_size,
)
from bellwether.runtime.clock import monotonic
from bellwether.runtime.deadlines import LOOK_SECONDS
from bellwether.runtime.nats_client import (
    Client,
    ClientError,
    ClientSubscription,
    MaxPayloadError,
    Msg,
    SlowConsumerError,
)
from bellwether.runtime.nats_pull import NatsPull
from bellwether.runtime.tasks import end_tasks

CONNECT_SECONDS = 5.0
RECONNECT_SECONDS = 0.25
STORED_SECONDS = 5.0
SAY_AGAIN_SECONDS = 30.0
NOT_FOUND = 404
# Of one subscription; what is over it is dropped by the client, which is said and counted.
PENDING_MESSAGES = 65_536
PENDING_BYTES = 32 * 1024 * 1024
OUT_BYTES = 4 * 1024 * 1024

_EXPECTED = (ClientError, OSError, TimeoutError, ValueError, AssertionError)
"""How an attempt to connect fails while the server is away, starts, or does not let this identity in."""

_log = logging.getLogger(__name__)


class _Awaited(NamedTuple):
    """A reply that is waited for until a moment of the monotonic clock."""

    reply: asyncio.Future[Msg]
    deadline: float
    subject: str
    timeout: float


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
                raise BusAway(f"{self._bus.identity}: the connection that asked is gone")
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


class NatsBus:
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
        self.dropped = 0
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
        """Connect again and again; no failure ends it, or the bus would be away for good and nobody would know why."""
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
                    # Of what belongs to a server that is away, the words are enough; of the rest, where it was.
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
                awaited.reply.set_exception(BusAway("the connection was lost; whether it was executed is not known"))

    async def _drop_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(1.0):
                    await client.close()

    async def _client_error(self, error: Exception) -> None:
        if isinstance(error, SlowConsumerError):
            self.dropped += 1
            if self.dropped.bit_count() == 1:
                _log.error("%s is too slow for %s: %d messages dropped", self.identity, error.subject, self.dropped)
            return
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
            BusAway: if there is none.

        """
        if not self._up.is_set() or self._client is None:
            raise BusAway(f"{self.identity} has no connection to NATS")
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
            raise BusAway(f"{self.identity}: {error}") from None

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

    async def api(self, subject: str, body: dict[str, Any], timeout: float = STORED_SECONDS) -> dict[str, Any]:
        """Call the server's JetStream API; the answer may hold an `error`."""
        answer: dict[str, Any] = json.loads(await self.request(subject, json.dumps(body).encode(), timeout=timeout))
        return answer

    async def _store(self, subject: str, body: bytes, headers: Headers | None) -> dict[str, Any]:
        message = await self.ask(subject, body, STORED_SECONDS, headers)
        answer: dict[str, Any] = json.loads(message.data)
        if "error" in answer:
            raise BusError(f"{subject} was not stored: {answer['error'].get('description')}")
        return answer

    async def publish_event(
        self, subject: str, body: bytes, *, message_id: str, headers: Headers | None = None
    ) -> bool:
        """Put an event into its stream and wait until it is stored."""
        answer = await self._store(subject, body, {**(headers or {}), MESSAGE_ID_HEADER: message_id})
        return not answer.get("duplicate", False)

    async def pull(self, stream: str, consumer: str, on_arrival: Callable[[], None], *, batch: int = 64) -> NatsPull:
        """Begin to pull from a durable consumer, waiting until bootstrap has made it."""
        said = float("-inf")
        while not await self._exists(stream, consumer):
            if monotonic() - said > SAY_AGAIN_SECONDS:
                said = monotonic()
                _log.warning("%s waits for bootstrap to make the consumer %s", self.identity, consumer)
            await asyncio.sleep(0.2)
        pull = NatsPull(
            self,
            stream,
            consumer,
            inbox=f"{self._prefix}.pull.{consumer}",
            on_arrival=on_arrival,
            batch=batch,
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

    async def stream_figures(self, stream: str) -> StreamFigures:
        """Return what a stream holds."""
        answer = await self.api(f"$JS.API.STREAM.INFO.{stream}", {})
        if "error" in answer:
            raise BusError(f"stream {stream}: {answer['error'].get('description')}")
        state = answer["state"]
        return StreamFigures(state["messages"], state["bytes"], max(0, answer["config"].get("max_bytes", 0)))

    async def stream_message(self, stream: str, sequence: int) -> StoredMessage | None:
        """Return the first message of a stream from a sequence on."""
        subject = f"$JS.API.STREAM.MSG.GET.{stream}"
        answer = await self.api(subject, {"seq": max(1, sequence), "next_by_subj": ">"})
        error = answer.get("error")
        if error is not None:
            if error.get("code") == NOT_FOUND:
                return None
            raise BusError(f"stream {stream}: {error.get('description')}")
        found = answer["message"]
        # Nanoseconds are more than a datetime holds.
        stored = datetime.fromisoformat(found["time"][:19] + "+00:00")
        return StoredMessage(found["seq"], found["subject"], base64.b64decode(found.get("data", "")), stored)

    async def stream_delete(self, stream: str, sequence: int) -> bool:
        """Take one message out of a stream."""
        answer = await self.api(f"$JS.API.STREAM.MSG.DELETE.{stream}", {"seq": sequence, "no_erase": True})
        return bool(answer.get("success"))

    # Buckets

    async def kv_get(self, bucket: str, key: str) -> tuple[bytes, int] | None:
        """Return a key's value and revision, or none."""
        stream, subject = bucket_stream(bucket), key_subject(bucket, key)
        message = await self.ask(f"$JS.API.DIRECT.GET.{stream}.{subject}", b"", STORED_SECONDS)
        headers = message.headers or {}
        if headers.get("Status") or "KV-Operation" in headers:
            return None
        return message.data, int(headers["Nats-Sequence"])

    async def kv_put(self, bucket: str, key: str, value: bytes) -> int:
        """Set a key and return its revision."""
        return int((await self._store(key_subject(bucket, key), value, None))["seq"])

    async def kv_watch(self, bucket: str, keys: Sequence[str], callback: Callable[[str, bytes], None]) -> Watch:
        """Call back with what the keys hold now, at each connection, and at each change."""
        watch = Watch(self, bucket, keys, callback)
        await watch.start()
        return watch


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
