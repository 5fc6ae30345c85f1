"""Spans are written as the SDK's own encoder writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as encoded_by_sdk
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from bellwether.runtime.otlp import SCOPE, encode_spans
from bellwether.runtime.spans import AttributeValue, Remote, Span

RESOURCE: dict[str, AttributeValue] = {
    "service.name": "prediction",
    "service.namespace": "bellwether",
    "service.instance": 3,
}
SAMPLED = TraceFlags(TraceFlags.SAMPLED)

trace_ids = st.integers(1, 2**128 - 1)
span_ids = st.integers(1, 2**64 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
values: st.SearchStrategy[AttributeValue] = st.one_of(
    st.booleans(), texts, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)
)


class Facts(NamedTuple):
    """What a span is made of."""

    name: str
    trace_id: int
    parent_id: int | None
    kind: SpanKind
    attributes: dict[str, AttributeValue]
    links: list[tuple[int, int]]
    failure: str | None


facts = st.builds(
    Facts,
    texts,
    trace_ids,
    st.none() | span_ids,
    st.sampled_from(SpanKind),
    st.dictionaries(texts, values, max_size=5),
    st.lists(st.tuples(trace_ids, span_ids), max_size=2),
    st.none() | texts,
)


def span_of(given: Facts) -> Span:
    """Return a finished span."""
    span = Span(
        lambda _: None,
        given.name,
        given.trace_id,
        parent_id=given.parent_id,
        kind=given.kind,
        attributes=given.attributes,
        links=[Remote(*one) for one in given.links],
    )
    if given.failure is not None:
        span.fail("ValueError", given.failure)
    span.end()
    return span


def readable(span: Span) -> ReadableSpan:
    """Return a span as one of the SDK's."""

    def context(trace_id: int, span_id: int, *, remote: bool) -> SpanContext:
        return SpanContext(trace_id, span_id, is_remote=remote, trace_flags=SAMPLED)

    status = Status(StatusCode.UNSET) if span.failure is None else Status(StatusCode.ERROR, span.failure)
    return ReadableSpan(
        name=span.name,
        context=context(span.trace_id, span.span_id, remote=False),
        parent=None if span.parent_id is None else context(span.trace_id, span.parent_id, remote=True),
        resource=Resource({**RESOURCE}),
        attributes=span.attributes,
        links=[Link(context(one.trace_id, one.span_id, remote=True)) for one in span.links],
        kind=span.kind,
        instrumentation_scope=InstrumentationScope(SCOPE),
        status=status,
        start_time=span.started_at,
        end_time=span.ended_at,
    )


@given(st.lists(facts, min_size=1, max_size=4))
def test_spans_are_written_as_the_sdk_writes_them(drawn: Sequence[Facts]) -> None:
    made = [span_of(one) for one in drawn]
    ours = ExportTraceServiceRequest.FromString(encode_spans(RESOURCE, made))
    assert ours == encoded_by_sdk([readable(span) for span in made])


def test_equal_numbers_of_different_types_stay_apart() -> None:
    whole: list[dict[str, AttributeValue]] = [{"a": True, "b": 1, "c": 1.0}, {"a": 1.0, "b": True}]
    found = []
    for attributes in whole:
        span = span_of(Facts("one", 1, None, SpanKind.INTERNAL, attributes, [], None))
        (one,) = ExportTraceServiceRequest.FromString(encode_spans(RESOURCE, [span])).resource_spans
        found.append([each.value.WhichOneof("value") for each in one.scope_spans[0].spans[0].attributes])
    assert found == [["bool_value", "int_value", "double_value"], ["double_value", "bool_value"]]
