"""A call: what a handler knows of the work it does, and its way to ask others and to publish.

It carries the domain time, the replay run, what is left of the caller's time, and the span that further spans hang
below. It is immutable; deeper spans give a new one.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import msgspec
from opentelemetry.trace import SpanKind

from bellwether.messages import envelope
from bellwether.naming import dead_subject, event_subject, message_id, rpc_subject
from bellwether.runtime import errors
from bellwether.runtime.bus import Bus, BusError, BusUnreachable, Delivery, NoResponder, PayloadTooLarge, RequestTimeout
from bellwether.runtime.clock import monotonic
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.spans import Attributes, Span, traceparent
from bellwether.runtime.telemetry import decision_trace_id
from bellwether.service_row import ServiceRow
from bellwether.storage.store import OutboxEvent

T = TypeVar("T")

BUDGET = 30.0
CONNECT_SECONDS = 5.0
LONGEST_ERROR = 2000
"""Characters of an error that a dead letter holds."""
PAUSES = (1.0, 2.0)
"""Seconds between the tries of a call that is safe to repeat."""

_log = logging.getLogger(__name__)
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_PREFIX = os.urandom(5).hex()
_numbers = itertools.count(1)


def new_request_id() -> str:
    """Return an id that no other request of this process or another has."""
    return f"{_PREFIX}-{next(_numbers)}"


def decode_as(body: bytes | msgspec.Raw, wanted: Any) -> Any:
    """Decode JSON into a type; the decoder of each type is made once."""
    decoder = _decoders.get(wanted)
    if decoder is None:
        decoder = _decoders[wanted] = msgspec.json.Decoder(wanted)
    return decoder.decode(body)


class Call(msgspec.Struct, frozen=True):
    """One piece of work: a request, an event, or something that the service began itself."""

    context: ServiceContext
    as_of: datetime
    run: str
    request_id: str
    deadline: float
    span: Span | None = None
    watched: bool = False
    """Whether whoever does this work is cancelled at its deadline."""

    @property
    def remaining(self) -> float:
        """Seconds that are left; negative when the time is over."""
        return self.deadline - monotonic()

    @property
    def trace_context(self) -> str | None:
        """The W3C trace context to store beside a row, so that a later span can join; none if not sampled."""
        return None if self.span is None else traceparent(self.span)

    @property
    def trace_id(self) -> str | None:
        """The trace id as 32 hexadecimal digits; none if not sampled."""
        return None if self.span is None else f"{self.span.trace_id:032x}"

    def at(self, as_of: datetime, *, run: str | None = None, budget: float | None = None) -> Call:
        """Return the same work at another instant, in another run, or with other time to do it in."""
        return msgspec.structs.replace(
            self,
            as_of=as_of,
            run=self.run if run is None else run,
            deadline=self.deadline if budget is None else monotonic() + budget,
        )

    def annotate(self, **attributes: str | bool | int | float) -> None:
        """Put facts on the present span."""
        if self.span is not None:
            self.span.set_attributes(attributes)

    def mark_failed(self, error: BaseException) -> None:
        """Put an error on the present span."""
        if self.span is not None:
            mark_failed(self.span, error)

    def start_span(self, name: str, *, parent: str | None = None, attributes: Attributes | None = None) -> Spanned:
        """Work below a new span: a child of the present one, or of a stored trace context."""
        return Spanned(self, self.context.telemetry.start_span(name, parent or self.span, attributes=attributes))

    def start_root(
        self, name: str, trace_id: int | None = None, *, links: Iterable[str] = (), attributes: Attributes | None = None
    ) -> Spanned:
        """Work in a trace of its own; `links` are stored trace contexts of what led to it."""
        return Spanned(self, self.context.telemetry.start_root(name, trace_id, links=links, attributes=attributes))

    def decision_trace(self, decision_id: str) -> int:
        """Return the trace id that a decision of this run has."""
        return decision_trace_id(self.run, decision_id)

    async def request(
        self,
        peer: str,
        method: str,
        params: Any,
        result_type: type[T],
        *,
        idempotent: bool = False,
        budget: float | None = None,
    ) -> T:
        """Call a method of another service and return its result.

        It shares this call's time, domain time, run and trace; `budget` can only shorten the time. `idempotent`
        says that it is safe to repeat: then up to three tries fit into the time.

        Raises:
            RpcError: with the code of the peer's error reply, or DEADLINE_EXCEEDED, UNAVAILABLE, REQUEST_TOO_LARGE,
                INVALID_REPLY.
        """
        deadline = self.deadline if budget is None else min(self.deadline, monotonic() + budget)
        name = f"{peer}.{method}"
        near = None if self.context.peers is None else self.context.peers.get(peer)
        if near is not None and near.takes(method, params):
            answer = await near.hand_over(self, method, params, deadline)
            # What is of another type than the caller reads is spelled out for it, as on the bus.
            return answer if type(answer) is result_type else decode_as(envelope.encode(answer), result_type)
        tries = 1 + len(PAUSES) if idempotent else 1
        for number in range(1, tries + 1):
            try:
                reply = await self._try_once(peer, method, params, deadline, tries - number + 1)
                break
            except PayloadTooLarge as error:
                raise RpcError(errors.REQUEST_TOO_LARGE, f"the request to {name}: {error}") from None
            except BusError as error:
                pause = PAUSES[number - 1] if number < tries else 0.0
                if number == tries or monotonic() + pause >= deadline:
                    raise _as_rpc_error(error, name, deadline) from None
                await asyncio.sleep(pause)
        if isinstance(reply.error, envelope.ErrorBody):
            raise RpcError(reply.error.code, reply.error.message, **reply.error.detail)
        try:
            result: T = decode_as(reply.result or b"null", result_type)
        except msgspec.DecodeError as error:
            raise RpcError(errors.INVALID_REPLY, f"the reply of {name} is not what was asked for: {error}") from None
        return result

    async def _try_once(self, peer: str, method: str, params: Any, deadline: float, tries_left: int) -> envelope.Reply:
        context = self.context
        if not context.bus.connected:
            wait = min(CONNECT_SECONDS, deadline - monotonic())
            if wait <= 0 or not await context.bus.wait_connected(wait):
                raise BusUnreachable("no connection to the bus")
        left = deadline - monotonic()
        if left <= 0:
            raise RequestTimeout("no time left")
        timeout = left / tries_left
        body = envelope.encode(
            envelope.Request(
                request_id=self.request_id,
                source=context.row.name,
                budget=timeout,
                as_of=self.as_of,
                run=self.run,
                params=envelope.EMPTY if params is None else msgspec.Raw(envelope.encode(params)),
            )
        )
        headers = None if self.span is None else {envelope.TRACE_HEADER: traceparent(self.span)}
        answer = await context.bus.request(rpc_subject(peer, method), body, timeout=timeout, headers=headers)
        try:
            return envelope.decode_reply(answer)
        except msgspec.DecodeError as error:
            raise RpcError(errors.INVALID_REPLY, f"{peer}.{method} sent no reply: {error}") from None

    def event(self, event_type: str, data: Any, *, event_id: str, priority: str | None = None) -> OutboxEvent:
        """Return an event ready for `tx.outbox(...)`, with a span of its own in the trace.

        `event_id` must be a function of what happened, and unique among all events of this service in a run. It may
        be called inside a transaction. One that is larger than the bus carries becomes a dead letter when it is to be
        published: its cause has happened all the same.

        Raises:
            ValueError: if the topology does not let this service publish the type, or not with this priority.
                Without a priority it is the first that the topology names for the type.
        """
        context = self.context
        allowed = context.row.priorities(event_type)
        if not allowed or priority not in (None, *allowed):
            raise ValueError(_not_declared(context.row, event_type, priority))
        chosen = priority or allowed[0]
        trace = None
        if self.span is not None:
            attributes = {"messaging.system": "nats", "messaging.operation.type": "send"}
            span = context.telemetry.start_span(f"{event_type} publish", self.span, SpanKind.PRODUCER, attributes)
            if span is not None:
                trace = traceparent(span)
                span.end()
        body = envelope.encode(
            envelope.Event(
                id=event_id,
                type=event_type,
                timestamp=self.as_of,
                source_service=context.row.name,
                priority=chosen,
                run=self.run,
                data=data,
            )
        )
        unique = message_id(context.config.uid, self.run, event_id)
        return OutboxEvent(unique, event_subject(chosen, event_type), trace, body)

    async def publish_event(self, event_type: str, data: Any, *, event_id: str, priority: str | None = None) -> None:
        """Publish an event at once and wait until it is stored; for what no store of this service owes.

        Raises:
            ValueError: as `event`.
            RpcError: UNAVAILABLE, if it is not known to be stored when the call's time is over.
        """
        await self.context.holding.wait()
        event = self.event(event_type, data, event_id=event_id, priority=priority)
        bus, pause = self.context.bus, 0.05
        headers = None if event.trace is None else {envelope.TRACE_HEADER: event.trace}
        send: Callable[[], Awaitable[Any]]
        send = partial(bus.publish_event, event.subject, event.body, message_id=event.message_id, headers=headers)
        while True:
            try:
                await send()
                return
            except PayloadTooLarge as error:
                _log.error("event %s is a dead letter: %s", event.message_id, error)
                send = partial(bury, bus, self.context.row.name, event_type, event, f"it cannot be published: {error}")
            except BusError as error:
                # The same id again is dropped by the stream, so trying again is always safe.
                if self.remaining <= pause:
                    raise RpcError(errors.UNAVAILABLE, f"event {event_type} is not stored: {error}") from None
                await asyncio.sleep(pause)
                pause = min(2.0, pause * 2)


async def bury(
    bus: Bus, service: str, event_type: str, event: Delivery | OutboxEvent, error: str, *, attempts: int = 1
) -> None:
    """Put an event that a service gives up into the stream of dead letters; it is stored when this returns.

    Escaping can make the letter's body larger than the event was, so only what surely fits is kept of it.

    Raises:
        BusError: if it is not known to be stored; do it again, the same letter is kept once.
    """
    room = bus.max_payload // 3
    kept, cut = event.body[:room].decode(errors="replace"), len(event.body) > room
    letter = envelope.DeadLetter(service, event.subject, event.message_id, attempts, error[:LONGEST_ERROR], kept, cut)
    unique = f"{event.message_id}.dead.{service}"
    await bus.publish_event(dead_subject(service, event_type), envelope.encode(letter), message_id=unique)


def _not_declared(row: ServiceRow, event_type: str, priority: str | None) -> str:
    if event_type not in row.publishes:
        known = ", ".join(sorted(row.publishes)) or "no events"
        return f"event {event_type}: by its topology row {row.name} publishes {known}"
    allowed = " or ".join(row.priorities(event_type))
    return f"event {event_type}: by its topology row {row.name} publishes it with priority {allowed}, not {priority!r}"


def _as_rpc_error(error: BusError, name: str, deadline: float) -> RpcError:
    if isinstance(error, RequestTimeout) or monotonic() >= deadline:
        return RpcError(errors.DEADLINE_EXCEEDED, f"{name} gave no reply in time")
    if isinstance(error, NoResponder):
        return RpcError(errors.UNAVAILABLE, f"nobody serves {name} now")
    return RpcError(errors.UNAVAILABLE, f"{name} cannot be reached: {error}")


class Spanned:
    """Work below a span, which ends with it."""

    __slots__ = ("_call", "_span")

    def __init__(self, call: Call, span: Span | None) -> None:
        self._call, self._span = call, span

    def __enter__(self) -> Call:
        call = self._call
        return Call(call.context, call.as_of, call.run, call.request_id, call.deadline, self._span, call.watched)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._span is not None:
            if error is not None:
                mark_failed(self._span, error)
            self._span.end()


def mark_failed(span: Span, error: BaseException) -> None:
    """Put an error's kind on a span; its text may hold a secret unless it was raised on purpose."""
    if isinstance(error, RpcError):
        span.fail(error.code, error.message)
    else:
        span.fail(type(error).__name__, type(error).__name__)
