from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from bellwether.runtime.bus import Headers
from bellwether.runtime.clock import LiveClock, ReplayClock
from bellwether.runtime.memory_bus import MemoryBroker, MemoryBus
from bellwether.runtime.spans import Remote, Span, parse_traceparent, traceparent
from bellwether.runtime.telemetry import Telemetry, decision_trace_id
from harness.parts import ROWS, Order, Price, Switches, ledger, shop
from harness.system import running
from harness.until import until


def spans_of(body: bytes) -> list[Any]:
    request = ExportTraceServiceRequest.FromString(body)
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


async def traced_order(tmp_path: Path, sampling: float) -> tuple[dict[str, Any], list[Headers | None]]:
    switches = Switches()
    builds = {"shop": partial(shop, switches=switches), "ledger": partial(ledger, switches=switches)}
    spans: dict[str, Any] = {}
    headers: list[Headers | None] = []
    async with running(builds, data_dir=tmp_path, rows=ROWS, sampling=sampling) as system:
        listener = system.context.bus
        await listener.subscribe(
            "bw.trace.>", lambda message: spans.update({span.name: span for span in spans_of(message.body)})
        )
        await listener.subscribe("bw.rpc.ledger.price", lambda message: headers.append(message.headers))
        await listener.subscribe("bw.event.>", lambda message: headers.append(message.headers))
        await system.call("shop", "order", Order("a"), Price, run="run-1")
        await system.settle("ledger", "order_taken-a", run="run-1")
    return spans, headers


async def test_the_spans_of_a_decision_are_one_tree_with_a_computable_id(tmp_path: Path) -> None:
    spans, headers = await traced_order(tmp_path, 1.0)
    root = spans["order"]
    assert root.trace_id == decision_trace_id("run-1", "a").to_bytes(16, "big")
    assert root.parent_span_id == b""
    assert spans["ledger.price"].parent_span_id == root.span_id
    assert spans["order_taken publish"].parent_span_id == root.span_id
    assert spans["order_taken process"].parent_span_id == spans["order_taken publish"].span_id
    assert all(one is not None and "traceparent" in one for one in headers)


async def test_what_is_not_sampled_leaves_no_span_and_no_header(tmp_path: Path) -> None:
    spans, headers = await traced_order(tmp_path, 0.0)
    assert spans == {}
    assert headers == [None, None]


async def test_spans_are_not_kept_while_nobody_listens_and_whoever_comes_hears_the_next() -> None:
    bus, heard = MemoryBroker().connect("x"), list[str]()
    await bus.start()
    telemetry = Telemetry("x")
    telemetry.start(bus)
    telemetry.start_root("queued before it is known that nobody listens").end()  # type: ignore[union-attr]
    await telemetry.flush()
    telemetry.start_root("let go of").end()  # type: ignore[union-attr]
    assert (telemetry.waiting, telemetry.sent, telemetry.dropped) == (0, 2, 0)
    await bus.subscribe("bw.trace.x", lambda message: heard.extend(span.name for span in spans_of(message.body)))
    telemetry.start_root("listened to").end()  # type: ignore[union-attr]
    await telemetry.close()
    assert heard == ["listened to"]


def test_sampling_follows_the_trace_id() -> None:
    telemetry = Telemetry("x", sampling=0.5)
    assert telemetry.start_root("low", 1) is not None
    assert telemetry.start_root("high", 2**64 - 1) is None
    kept = sum(telemetry.start_root("any") is not None for _ in range(400))
    assert 120 < kept < 280


def test_a_root_links_to_what_led_to_it() -> None:
    telemetry = Telemetry("x")
    cause = telemetry.start_root("ingest")
    assert cause is not None
    root: Any = telemetry.start_root("decision", 7, links=[traceparent(cause), "nonsense"])
    assert [link.trace_id for link in root.links] == [cause.trace_id]


@pytest.mark.parametrize("value", ["", "00-1-2-01", f"00-{'0' * 32}-{'1' * 16}-01", f"00-{'1' * 32}-{'1' * 16}-00"])
def test_a_bad_or_unsampled_trace_context_is_no_parent(value: str) -> None:
    assert parse_traceparent(value) is None


def by_the_sdk(span: Span, resource: Resource, status: Status) -> bytes:
    """Return the export of one span as the SDK encodes it."""

    def context(trace_id: int, span_id: int, *, remote: bool) -> SpanContext:
        return SpanContext(trace_id, span_id, is_remote=remote, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    readable = ReadableSpan(
        name=span.name,
        context=context(span.trace_id, span.span_id, remote=False),
        parent=None if span.parent_id is None else context(span.trace_id, span.parent_id, remote=True),
        resource=resource,
        attributes=span.attributes,
        links=[Link(context(one.trace_id, one.span_id, remote=True)) for one in span.links],
        kind=span.kind,
        instrumentation_scope=InstrumentationScope("bellwether"),
        status=status,
        start_time=span.started_at,
        end_time=span.ended_at,
    )
    encoded: bytes = encode_spans([readable]).SerializeToString(deterministic=True)
    return encoded


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
IDS = st.integers(1, 2**64 - 1)


SPANS = st.fixed_dictionaries(
    {
        "name": TEXT,
        "trace_id": st.integers(1, 2**128 - 1),
        "parent_id": st.none() | IDS,
        "kind": st.sampled_from(SpanKind),
        "attributes": st.dictionaries(TEXT, VALUES, max_size=5),
        "links": st.lists(st.builds(Remote, st.integers(1, 2**128 - 1), IDS), max_size=2),
    }
)


@given(SPANS, st.none() | TEXT)
def test_a_span_is_sent_as_the_sdk_would_send_it(drawn: dict[str, Any], failure: str | None) -> None:
    telemetry = Telemetry("shop", attributes={"service.version": "1"})
    span = Span(telemetry.collect, **drawn)
    if failure is not None:
        span.fail("Broken", failure)
    span.end()
    status = Status(StatusCode.UNSET) if failure is None else Status(StatusCode.ERROR, failure)
    resource = Resource({"service.name": "shop", "service.namespace": "bellwether", "service.version": "1"})
    ours = ExportTraceServiceRequest.FromString(telemetry.encode([span]))
    assert ours.SerializeToString(deterministic=True) == by_the_sdk(span, resource, status)


def test_an_attribute_that_has_no_form_is_left_out_and_the_rest_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry("shop")
    wrong: dict[str, Any] = {"large": 2**70, "list": [1], "half": "\ud800", "good": 1}
    span = telemetry.start_root("one", attributes=wrong)
    assert span is not None
    span.end()
    (sent,) = spans_of(telemetry.encode([span]))
    assert [one.key for one in sent.attributes] == ["good"]
    assert "attribute large is left out" in caplog.text


def finish(telemetry: Telemetry, count: int) -> None:
    for _ in range(count):
        span = telemetry.start_root("one")
        assert span is not None
        span.end()


async def test_spans_over_the_limit_are_dropped_and_counted(tmp_path: Path) -> None:
    telemetry = Telemetry("x", queue=10)
    finish(telemetry, 15)
    assert (telemetry.waiting, telemetry.dropped) == (10, 5)


async def test_a_full_batch_is_sent_without_waiting_for_the_clock() -> None:
    broker = MemoryBroker()
    bus = broker.connect("x")
    await bus.start()
    got: list[Any] = []
    await bus.subscribe("bw.trace.x", lambda message: got.extend(spans_of(message.body)))
    telemetry = Telemetry("x")
    telemetry.start(bus)
    finish(telemetry, 300)
    await until(lambda: len(got) >= 256)
    await telemetry.close()
    assert len(got) == 300
    assert telemetry.dropped == 0


class _StuckBus(MemoryBus):
    def has_interest(self, subject: str) -> bool:
        return True

    async def publish(self, subject: str, body: bytes, headers: Headers | None = None) -> None:
        await asyncio.Event().wait()


async def test_closing_does_not_wait_for_a_bus_that_hangs() -> None:
    bus = _StuckBus(MemoryBroker(), "x")
    await bus.start()
    telemetry = Telemetry("x")
    telemetry.start(bus)
    finish(telemetry, 3)
    began = time.monotonic()
    await telemetry.close(0.05)
    # Below the 30 s that the SDK's own exporters hang.
    assert time.monotonic() - began < 25


def test_replayed_time_follows_messages_and_never_runs_back() -> None:
    clock = ReplayClock(datetime(2009, 1, 2, tzinfo=UTC))
    clock.observe(datetime(2009, 1, 5, tzinfo=UTC))
    clock.observe(datetime(2009, 1, 3, tzinfo=UTC))
    assert clock.now() == datetime(2009, 1, 5, tzinfo=UTC)
    with pytest.raises(ValueError, match="time zone"):
        ReplayClock(datetime(2009, 1, 2))  # noqa: DTZ001
    assert LiveClock().now().tzinfo is UTC
