"""A span while it lasts: small on purpose, because a replay makes tens of thousands of them a second.

The SDK's own span costs about ten times as much to make and end (33 microseconds against 3 on the machine this was
measured on), and half of a replay's time was spent there. So a span is kept as plain values, and written as OTLP, below
the resource and scope that the SDK encodes, only when it is sent.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags
from opentelemetry.proto.trace.v1.trace_pb2 import Status as WireStatus
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind

AttributeValue: TypeAlias = str | bool | int | float
Attributes = Mapping[str, AttributeValue]

MAX_ATTRIBUTES = 32

_SCOPE = InstrumentationScope("bellwether")
_KINDS = {kind: WireSpan.SpanKind.Value(f"SPAN_KIND_{kind.name}") for kind in SpanKind}
_LOCAL = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = _LOCAL | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK

_log = logging.getLogger(__name__)


class Remote:
    """A span of another process, or of another time: only its ids are known."""

    __slots__ = ("span_id", "trace_id")

    def __init__(self, trace_id: int, span_id: int) -> None:
        self.trace_id = trace_id
        self.span_id = span_id


class Span:
    """One span; it counts once it is ended."""

    __slots__ = (
        "_collect",
        "_ended",
        "_status",
        "attributes",
        "ended_at",
        "kind",
        "links",
        "name",
        "parent_id",
        "span_id",
        "started_at",
        "trace_id",
    )

    def __init__(
        self,
        collect: Callable[[Span], None],
        name: str,
        trace_id: int,
        *,
        parent_id: int | None,
        kind: SpanKind,
        attributes: Attributes | None,
        links: Iterable[Remote] = (),
    ) -> None:
        self._collect = collect
        self._status: str | None = None
        self._ended = False
        self.name = name
        self.trace_id = trace_id
        self.span_id = random.getrandbits(64) or 1
        self.parent_id = parent_id
        self.kind = kind
        self.attributes: dict[str, AttributeValue] = dict(attributes) if attributes else {}
        self.links = tuple(links)
        self.started_at = time.time_ns()
        self.ended_at = 0

    def set_attributes(self, attributes: Attributes) -> None:
        """Put facts on the span; what is over the limit is left out."""
        if len(self.attributes) + len(attributes) <= MAX_ATTRIBUTES:
            self.attributes.update(attributes)
            return
        for name, value in attributes.items():
            if len(self.attributes) < MAX_ATTRIBUTES or name in self.attributes:
                self.attributes[name] = value

    def fail(self, kind: str, message: str) -> None:
        """Mark the span as failed."""
        self.set_attributes({"error.type": kind})
        self._status = message

    def end(self) -> None:
        """End the span and hand it over; a second time has no effect."""
        if not self._ended:
            self._ended = True
            self.ended_at = time.time_ns()
            self._collect(self)

    def write(self, wire: WireSpan) -> None:
        """Fill an empty protobuf span as the SDK's encoder would; an attribute that protobuf cannot hold is left out.

        Fields are set in place: built from objects, as by the SDK, a span takes nine times as long (decision 0051).
        """
        wire.trace_id, wire.span_id = _trace_bytes(self.trace_id), _span_bytes(self.span_id)
        wire.flags = _LOCAL if self.parent_id is None else _REMOTE
        if self.parent_id is not None:
            wire.parent_span_id = _span_bytes(self.parent_id)
        wire.name, wire.kind = self.name, _KINDS[self.kind]
        wire.start_time_unix_nano, wire.end_time_unix_nano = self.started_at, self.ended_at
        for name, value in self.attributes.items():
            pair = wire.attributes.add()
            try:
                pair.key = name
                setattr(pair.value, _field_of(value), value)
            except (TypeError, ValueError) as error:
                del wire.attributes[-1]
                _log.warning("span %s: attribute %s is left out: %s", self.name, name, error)
        for one in self.links:
            wire.links.add(trace_id=_trace_bytes(one.trace_id), span_id=_span_bytes(one.span_id), flags=_REMOTE)
        wire.status.SetInParent()
        if self._status is not None:
            wire.status.code, wire.status.message = WireStatus.STATUS_CODE_ERROR, self._status


def frame(resource: Resource) -> ExportTraceServiceRequest:
    """Return an export without spans: the resource and the scope that they belong to, as the SDK encodes them."""
    context = SpanContext(1, 1, is_remote=False)
    request = encode_spans([ReadableSpan("", context=context, resource=resource, instrumentation_scope=_SCOPE)])
    del request.resource_spans[0].scope_spans[0].spans[:]
    return request


def _field_of(value: AttributeValue) -> str:
    """Return the field of protobuf's AnyValue that holds a value."""
    if isinstance(value, str):
        return "string_value"
    if isinstance(value, bool):
        return "bool_value"
    return "int_value" if isinstance(value, int) else "double_value"


def _trace_bytes(trace_id: int) -> bytes:
    return trace_id.to_bytes(16, "big")


def _span_bytes(span_id: int) -> bytes:
    return span_id.to_bytes(8, "big")


def traceparent(span: Span | Remote) -> str:
    """Return a span's W3C trace context."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-01"


@lru_cache(maxsize=256)
def parse_traceparent(value: str) -> Remote | None:
    """Return the span that a W3C trace context names; none when it is malformed or not sampled."""
    parts = value.split("-")
    if len(parts) != 4 or len(parts[1]) != 32 or len(parts[2]) != 16:
        return None
    try:
        trace_id, span_id, flags = int(parts[1], 16), int(parts[2], 16), int(parts[3], 16)
    except ValueError:
        return None
    if not trace_id or not span_id or not flags & 1:
        return None
    return Remote(trace_id, span_id)
