"""Spans as OTLP bytes: `ExportTraceServiceRequest` of opentelemetry-proto 1.x, written field by field. Pure.

The SDK's way there makes an object of its own and two of protobuf's for each span, ten times the work; with it a
traced call cost three times one that is not. docs/decisions/0044-spans-by-hand.md has the figures.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache

from opentelemetry.trace import SpanKind

from bellwether.runtime.spans import Attributes, AttributeValue, Remote, Span

SCOPE = "bellwether"
_KINDS = {
    SpanKind.INTERNAL: 1,
    SpanKind.SERVER: 2,
    SpanKind.CLIENT: 3,
    SpanKind.PRODUCER: 4,
    SpanKind.CONSUMER: 5,
}
_ERROR = 2
# SpanFlags: it is known whether the parent is of another process, and it is.
_KNOWN, _REMOTE = 0x100, 0x200
_times = struct.Struct("<BQBQ").pack
_double = struct.Struct("<Bd").pack
_flags = struct.Struct("<HI").pack
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def encode_spans(resource: Attributes, spans: Iterable[Span]) -> bytes:
    """Return the request that holds finished spans of one service; `resource` says which service it is."""
    scope = _message(1, _text(1, SCOPE))
    scoped = scope + b"".join([_message(2, _span(span)) for span in spans])
    about = b"".join([_message(1, _attribute(name, value)) for name, value in resource.items()])
    return _message(1, _message(1, about) + _message(2, scoped))


def _span(span: Span) -> bytes:
    parts = [
        b"\x0a\x10" + span.trace_id.to_bytes(16, "big"),
        b"\x12\x08" + span.span_id.to_bytes(8, "big"),
    ]
    flags = _KNOWN
    if span.parent_id is not None:
        flags |= _REMOTE
        parts.append(b"\x22\x08" + span.parent_id.to_bytes(8, "big"))
    parts.append(_named(span.name, _KINDS[span.kind]))
    parts.append(_times(7 << 3 | _FIXED64, span.started_at, 8 << 3 | _FIXED64, span.ended_at))
    parts += [_message(9, _attribute(name, value)) for name, value in span.attributes.items()]
    parts += [_message(13, _link(link)) for link in span.links]
    failure = span.failure
    parts.append(_message(15, b"" if failure is None else _text(2, failure) + bytes((3 << 3 | _VARINT, _ERROR))))
    parts.append(_flags(_tag(16, _FIXED32), flags))
    return b"".join(parts)


def _link(link: Remote) -> bytes:
    ids = b"\x0a\x10" + link.trace_id.to_bytes(16, "big") + b"\x12\x08" + link.span_id.to_bytes(8, "big")
    return ids + bytes((6 << 3 | _FIXED32,)) + (_KNOWN | _REMOTE).to_bytes(4, "little")


@lru_cache(maxsize=512)
def _named(name: str, kind: int) -> bytes:
    return _text(5, name) + bytes((6 << 3 | _VARINT, kind))


# Types apart: True, 1 and 1.0 are equal, and are three kinds of value.
@lru_cache(maxsize=512, typed=True)
def _attribute(name: str, value: AttributeValue) -> bytes:
    """Return the `KeyValue` of an attribute."""
    if isinstance(value, bool):
        inner = bytes((2 << 3 | _VARINT, value))
    elif isinstance(value, str):
        inner = _text(1, value)
    elif isinstance(value, int):
        inner = bytes((3 << 3 | _VARINT,)) + _varint(value)
    else:
        inner = _double(4 << 3 | _FIXED64, value)
    return _text(1, name) + _message(2, inner)


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode(errors="replace"))


def _message(field: int, body: bytes) -> bytes:
    """Return a field of a length and so many bytes; the fields here are below 16."""
    length = len(body)
    if length < 0x80:
        return bytes((field << 3 | _BYTES, length)) + body
    return bytes((field << 3 | _BYTES,)) + _varint(length) + body


def _tag(field: int, kind: int) -> int:
    """Return the two bytes of a field from 16 on, as the number that little-endian packing makes them of."""
    tag = field << 3 | kind
    return (tag & 0x7F | 0x80) | (tag >> 7) << 8


def _varint(value: int) -> bytes:
    """Return a whole number in base 128; a negative one as 64 bits of two's complement."""
    left = value & 0xFFFFFFFFFFFFFFFF
    found = bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    found.append(left)
    return bytes(found)
