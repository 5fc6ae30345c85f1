"""A span while it lasts: small on purpose, because a replay makes tens of thousands of them a second.

The SDK's own span costs about ten times as much to make and end (33 microseconds against 3 on the machine this was
measured on), and half of a replay's time was spent there. So a span is kept as plain values and becomes one of the
SDK's, with its resource and scope, only when it is sent.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

AttributeValue: TypeAlias = str | bool | int | float
Attributes = Mapping[str, AttributeValue]

MAX_ATTRIBUTES = 32

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SCOPE = InstrumentationScope("bellwether")


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

    def readable(self, resource: Resource) -> ReadableSpan:
        """Return it as a finished span of the SDK."""
        parent = None
        if self.parent_id is not None:
            parent = SpanContext(self.trace_id, self.parent_id, is_remote=True, trace_flags=_SAMPLED)
        status = Status(StatusCode.UNSET) if self._status is None else Status(StatusCode.ERROR, self._status)
        return ReadableSpan(
            name=self.name,
            context=SpanContext(self.trace_id, self.span_id, is_remote=False, trace_flags=_SAMPLED),
            parent=parent,
            resource=resource,
            attributes=self.attributes,
            links=[
                Link(SpanContext(one.trace_id, one.span_id, is_remote=True, trace_flags=_SAMPLED)) for one in self.links
            ],
            kind=self.kind,
            instrumentation_scope=_SCOPE,
            status=status,
            start_time=self.started_at,
            end_time=self.ended_at,
        )


def traceparent(span: Span | Remote) -> str:
    """Return a span's W3C trace context."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-01"


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
