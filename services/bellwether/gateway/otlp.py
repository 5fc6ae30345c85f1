"""Spans out of OTLP bytes, as plain values."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

Status = Literal["unset", "ok", "error"]
_STATUS: dict[int, Status] = {0: "unset", 1: "ok", 2: "error"}
_KIND = {0: "unspecified", 1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


class BadSpans(ValueError):
    """The bytes are not an OTLP trace export; the message says what is wrong."""


@dataclass(frozen=True)
class Link:
    """Another span that this one has to do with, without being its child."""

    trace_id: str
    span_id: str


@dataclass(frozen=True)
class Span:
    """One finished span. Ids are hexadecimal, times nanoseconds since 1970 UTC."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    service: str
    kind: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    status: Status = "unset"
    status_message: str = ""


def decode_spans(body: bytes) -> list[Span]:
    """Return the spans of one export request.

    Raises:
        BadSpans: if the bytes are no such request, or a span has no valid id.
    """
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise BadSpans(f"not an OTLP trace export in protobuf: {error}") from error
    spans: list[Span] = []
    for resource in request.resource_spans:
        service = str(_attributes(resource.resource.attributes).get("service.name", "unknown"))
        for scope in resource.scope_spans:
            spans += [_span(wire, service) for wire in scope.spans]
    return spans


def _span(wire: WireSpan, service: str) -> Span:
    if len(wire.trace_id) != 16 or len(wire.span_id) != 8:
        raise BadSpans(
            f"span {wire.name!r}: a trace id has 16 bytes and a span id 8, not {len(wire.trace_id)} and "
            f"{len(wire.span_id)}"
        )
    return Span(
        trace_id=wire.trace_id.hex(),
        span_id=wire.span_id.hex(),
        parent_span_id=wire.parent_span_id.hex() or None,
        name=wire.name,
        service=service,
        kind=_KIND.get(wire.kind, "unspecified"),
        start_ns=wire.start_time_unix_nano,
        end_ns=max(wire.end_time_unix_nano, wire.start_time_unix_nano),
        attributes=_attributes(wire.attributes),
        links=tuple(Link(link.trace_id.hex(), link.span_id.hex()) for link in wire.links),
        status=_STATUS.get(wire.status.code, "unset"),
        status_message=wire.status.message,
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_value(item) for item in value.array_value.values]
    if which == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    if which == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return getattr(value, which) if which else None
