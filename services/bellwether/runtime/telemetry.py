"""Spans: sent as OTLP bytes over the bus, the same as the SDK would send.

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
from collections import deque
from collections.abc import Iterable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanKind

from bellwether.naming import trace_subject
from bellwether.runtime.bus import Bus
from bellwether.runtime.spans import Attributes, Remote, Span, frame, parse_traceparent
from bellwether.runtime.tasks import Wake, end_tasks

QUEUE = 512
BATCH = 128
FLUSH_SECONDS = 1.0
CLOSE_SECONDS = 1.5

_log = logging.getLogger(__name__)


def decision_trace_id(run: str, decision_id: str) -> int:
    """Return the trace id of a decision's root: the first 16 bytes of SHA-256 over run and decision id.

    It is a function of both, so that later spans (fill, outcome) can join the trace without having seen it.
    """
    digest = hashlib.sha256(f"{run}\n{decision_id}".encode()).digest()
    return int.from_bytes(digest[:16], "big")


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
        self._finished: deque[Span] = deque()
        self._resource = Resource({"service.name": service, "service.namespace": "bellwether", **(attributes or {})})
        self._frame: ExportTraceServiceRequest | None = None
        self._bus: Bus | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = Wake(FLUSH_SECONDS)
        self._woken = False
        self._subject = trace_subject(service)
        self._heard = True
        """Whether anyone listened when spans were last sent: within one process it can be that nobody does."""

    def start_root(
        self, name: str, trace_id: int | None = None, *, links: Iterable[str] = (), attributes: Attributes | None = None
    ) -> Span | None:
        """Begin a trace; none when it is not sampled. `links` are W3C trace contexts of what led to it."""
        if self.sampling <= 0:
            return None
        chosen = trace_id or random.getrandbits(128) or 1
        if self.sampling < 1 and chosen & 0xFFFFFFFFFFFFFFFF >= self.sampling * 2**64:
            return None
        causes = (parse_traceparent(link) for link in links)
        return Span(
            self.collect,
            name,
            chosen,
            parent_id=None,
            kind=SpanKind.INTERNAL,
            attributes=attributes,
            links=[cause for cause in causes if cause is not None],
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
        above: Span | Remote | None = parse_traceparent(parent) if isinstance(parent, str) else parent
        if above is None:
            return None
        return Span(self.collect, name, above.trace_id, parent_id=above.span_id, kind=kind, attributes=attributes)

    def collect(self, span: Span) -> None:
        """Queue a finished span, or let go of it where nobody listens; called from whichever thread ended it."""
        # Kept for a batch that nobody gets, spans of all services would only take the processor's caches.
        if not self._heard and self._bus is not None and not self._bus.has_interest(self._subject):
            self.sent += 1
            return
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
            try:
                self._heard = self._bus.has_interest(self._subject)
                if self._heard:
                    await self._bus.publish(self._subject, self.encode(batch))
                self.sent += len(batch)
            except Exception as error:
                self.dropped += len(batch)
                _log.warning("%d spans dropped: %s", len(batch), error)
                return

    def encode(self, batch: Iterable[Span]) -> bytes:
        """Return finished spans as one OTLP export."""
        if self._frame is None:
            self._frame = frame(self._resource)
        request = ExportTraceServiceRequest()
        request.CopyFrom(self._frame)
        spans = request.resource_spans[0].scope_spans[0].spans
        for span in batch:
            span.write(spans.add())
        encoded: bytes = request.SerializeToString()
        return encoded

    async def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Send what is queued, for at most `timeout` seconds, and stop; what is left counts as dropped."""
        if self._task is not None:
            await end_tasks([self._task], timeout)
            self._task = None
        self._wake.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.flush()
        self.dropped += len(self._finished)
        self._finished.clear()
        self._loop = None
