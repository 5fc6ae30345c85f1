"""Routes of the trace store: spans come in as OTLP over HTTP, traces go out as JSON."""

from __future__ import annotations

import re
import time
import zlib
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from bellwether.gateway.otlp import BadSpans, Span, decode_spans
from bellwether.gateway.problems import Problem
from bellwether.gateway.routing import OPERATE, READ, answer, gateway_of, read_body
from bellwether.gateway.traces import instant, newest_traces, spans_of, trace_ids

_EXPORT_BYTES = 4 * 1024 * 1024
_PROTOBUF = "application/x-protobuf"
_TRACE_ID = re.compile(r"^[0-9a-f]{8,32}$")

router = APIRouter()


@router.post("/v1/traces", dependencies=OPERATE)
async def take(request: Request) -> Response:
    """Take spans of others, as the OTLP/HTTP exporter sends them (protobuf, gzip or plain)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != _PROTOBUF:
        raise Problem(415, "UNSUPPORTED_MEDIA_TYPE", f"content type {kind or '(none)'}: send {_PROTOBUF}")
    body = await read_body(request, _EXPORT_BYTES)
    if request.headers.get("content-encoding") == "gzip":
        body = _unzipped(body)
    try:
        spans = decode_spans(body)
    except BadSpans as error:
        raise Problem(422, "INVALID_PARAMS", str(error)) from error
    await gateway_of(request).store_spans(spans, time.time())
    return Response(b"", media_type=_PROTOBUF)


def _unzipped(body: bytes) -> bytes:
    unzip = zlib.decompressobj(wbits=31)
    try:
        found = unzip.decompress(body, _EXPORT_BYTES)
    except zlib.error as error:
        raise Problem(422, "INVALID_PARAMS", f"the body is not gzip: {error}") from error
    if unzip.unconsumed_tail:
        raise Problem(413, "TOO_LARGE", f"the body has more than {_EXPORT_BYTES} bytes unpacked")
    return found


@router.get("/v1/traces", dependencies=READ)
async def traces(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    service: str | None = None,
    has_order: bool | None = None,
) -> Response:
    """Return traces, newest first."""
    gateway = gateway_of(request)
    found = await gateway.with_db(lambda db: newest_traces(db, limit=limit, service=service, has_order=has_order))
    state = await gateway.with_db(gateway.tables.state)
    return answer({"traces": found, "store": state})


@router.get("/v1/traces/{trace_id}", dependencies=READ)
async def trace(request: Request, trace_id: str) -> Response:
    """Return all spans of a trace by their start; the first digits of its id are enough while they are its alone."""
    if not _TRACE_ID.match(trace_id):
        raise Problem(
            422, "INVALID_PARAMS", f"trace id {trace_id!r}: 32 hexadecimal digits in lower case, or the first 8"
        )
    gateway = gateway_of(request)
    meant = await gateway.with_db(lambda db: trace_ids(db, trace_id))
    if not meant:
        raise Problem(404, "UNKNOWN_TRACE", f"no trace {trace_id}: it was not sampled, has not arrived yet, or is gone")
    if len(meant) > 1:
        raise Problem(409, "AMBIGUOUS_TRACE", f"several traces begin with {trace_id}: give more digits")
    spans = await gateway.with_db(lambda db: spans_of(db, meant[0]))
    return answer({"trace_id": meant[0], "spans": [span_json(span) for span in spans]})


def span_json(span: Span) -> dict[str, Any]:
    """Return a span as people and programs read it: durations in milliseconds, the start as UTC."""
    shown = {name: value for name, value in vars(span).items() if name not in ("trace_id", "end_ns")}
    return {**shown, "start": instant(span.start_ns), "duration_ms": (span.end_ns - span.start_ns) / 1e6}
