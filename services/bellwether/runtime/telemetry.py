"""Spans: made by the OpenTelemetry SDK, sent as OTLP bytes over the bus.

A trace begins only where a service says so (`start_root`) and is sampled there by its trace id; everything below
follows the `traceparent` that travels with requests and events. What is not sampled costs nothing further on: no
span, no header. The queue is bounded; what does not fit is dropped and counted, and closing never waits long.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)

from bellwether.naming import trace_subject
from bellwether.runtime.bus import Bus
from bellwether.runtime.wake import Wake

QUEUE = 512
BATCH = 128
FLUSH_SECONDS = 1.0
CLOSE_SECONDS = 1.5

AttributeValue: TypeAlias = str | bool | int | float
Attributes = Mapping[str, AttributeValue]

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_log = logging.getLogger(__name__)


def decision_trace_id(run: str, decision_id: str) -> int:
    """Return the trace id of a decision's root: the first 16 bytes of SHA-256 over run and decision id.

    It is a function of both, so that later spans (fill, outcome) can join the trace without having seen it.
    """
    digest = hashlib.sha256(f"{run}\n{decision_id}".encode()).digest()
    return int.from_bytes(digest[:16], "big")


def traceparent(span: Span) -> str:
    """Return a span's W3C trace context."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def parse_traceparent(value: str) -> SpanContext | None:
    """Return the remote span that a W3C trace context names; none when it is malformed or not sampled."""
    parts = value.split("-")
    if len(parts) != 4 or len(parts[1]) != 32 or len(parts[2]) != 16:
        return None
    try:
        trace_id, span_id, flags = int(parts[1], 16), int(parts[2], 16), int(parts[3], 16)
    except ValueError:
        return None
    if not trace_id or not span_id or not flags & 1:
        return None
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=_SAMPLED)


class _Ids(IdGenerator):
    """Random span ids; trace ids as chosen by `start_root` in the same thread just before."""

    def __init__(self) -> None:
        self.chosen = threading.local()

    def generate_span_id(self) -> int:
        return random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return int(self.chosen.trace_id)


class _Queue(SpanProcessor):
    """Collects finished spans for the sender."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def on_end(self, span: ReadableSpan) -> None:
        self._telemetry.collect(span)


class Telemetry:
    """The spans of one service."""

    def __init__(
        self, service: str, *, sampling: float = 1.0, attributes: Attributes | None = None, queue: int = QUEUE
    ) -> None:
        self.service = service
        self.sampling = sampling
        self.dropped = 0
        self.sent = 0
        self._limit = queue
        self._finished: deque[ReadableSpan] = deque()
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource({"service.name": service, "service.namespace": "bellwether", **(attributes or {})}),
            id_generator=self._ids,
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_attributes=32, max_events=16, max_links=16),
        )
        self._provider.add_span_processor(_Queue(self))
        self._tracer = self._provider.get_tracer("bellwether")
        self._bus: Bus | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = Wake(FLUSH_SECONDS)
        self._woken = False

    def start_root(
        self,
        name: str,
        trace_id: int | None = None,
        *,
        links: Iterable[str] = (),
        attributes: Attributes | None = None,
    ) -> Span | None:
        """Begin a trace; none when it is not sampled. `links` are W3C trace contexts of what led to it."""
        if self.sampling <= 0:
            return None
        chosen = trace_id or random.getrandbits(128) or 1
        if self.sampling < 1 and chosen & 0xFFFFFFFFFFFFFFFF >= self.sampling * 2**64:
            return None
        self._ids.chosen.trace_id = chosen
        contexts = (parse_traceparent(link) for link in links)
        return self._tracer.start_span(
            name,
            context=Context(),
            kind=SpanKind.INTERNAL,
            attributes=attributes,
            links=[Link(context) for context in contexts if context is not None],
        )

    def start_span(
        self,
        name: str,
        parent: Span | str | None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | None = None,
    ) -> Span | None:
        """Begin a span below a span of this process or a W3C trace context; none below nothing."""
        if parent is None:
            return None
        if isinstance(parent, str):
            remote = parse_traceparent(parent)
            if remote is None:
                return None
            parent = NonRecordingSpan(remote)
        return self._tracer.start_span(
            name, context=set_span_in_context(parent, Context()), kind=kind, attributes=attributes
        )

    def collect(self, span: ReadableSpan) -> None:
        """Queue a finished span; called from whichever thread ended it."""
        if len(self._finished) >= self._limit:
            self.dropped += 1
            return
        self._finished.append(span)
        if len(self._finished) >= BATCH and not self._woken and self._loop is not None:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
                self._loop.call_soon_threadsafe(self._wake.set)

    @property
    def waiting(self) -> int:
        """How many finished spans wait to be sent."""
        return len(self._finished)

    def start(self, bus: Bus) -> None:
        """Begin to send over a bus."""
        self._bus = bus
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._send_forever(), name=f"{self.service} spans")

    async def _send_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._woken = False
            await self.flush()

    async def flush(self) -> None:
        """Send what is queued; without a connection it stays queued."""
        while self._finished and self._bus is not None and self._bus.connected:
            batch = [self._finished.popleft() for _ in range(min(BATCH, len(self._finished)))]
            subject = trace_subject(self.service)
            try:
                # Within one process nobody may be listening; then there is no point in encoding.
                if self._bus.has_interest(subject):
                    await self._bus.publish(subject, encode_spans(batch).SerializeToString())
                self.sent += len(batch)
            except Exception as error:
                self.dropped += len(batch)
                _log.warning("%d spans dropped: %s", len(batch), error)
                return

    async def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Send what is queued, for at most `timeout` seconds, and stop; what is left counts as dropped."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._wake.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.flush(), timeout)
        self.dropped += len(self._finished)
        self._finished.clear()
        self._loop = None
