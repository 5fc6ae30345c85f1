from __future__ import annotations

import gzip
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sqlalchemy import MetaData, create_engine

from bellwether.gateway.otlp import BadSpans, Link, Span, decode_spans
from bellwether.gateway.traces import (
    SETTLING_SECONDS,
    TraceTables,
    add_trace_tables,
    bytes_used,
    newest_traces,
    sampled,
    spans_of,
    trace_ids,
)
from unit.gateway.conftest import AUTHORIZED, IN_MODULES_LOOP, Opened


@pytest.fixture
def db(tmp_path: Path) -> sqlite3.Connection:
    metadata = MetaData()
    add_trace_tables(metadata)
    engine = create_engine(f"sqlite:///{tmp_path / 'traces.db'}")
    metadata.create_all(engine)
    engine.dispose()
    return sqlite3.connect(tmp_path / "traces.db")


def trace_number(number: int) -> str:
    return f"{number:08x}" + "ab" * 12


def span(number: int, name: str = "decision", parent: str | None = None, **changed: Any) -> Span:
    values: dict[str, Any] = {
        "trace_id": trace_number(number),
        "span_id": f"{abs(hash(name)) % 2**63:016x}",
        "parent_span_id": parent,
        "name": name,
        "service": "prediction",
        "kind": "internal",
        "start_ns": number * 1_000_000_000,
        "end_ns": number * 1_000_000_000 + 5_000_000,
    }
    return Span(**(values | changed))


def wire(number: int = 1) -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "market-data"
    made = resource.scope_spans.add().spans.add()
    made.trace_id = bytes.fromhex(trace_number(number))
    made.span_id = b"12345678"
    made.name = "get_market_data"
    made.kind = 2
    made.start_time_unix_nano = 1_000
    made.end_time_unix_nano = 3_000
    made.attributes.add(key="symbol").value.string_value = "AAPL"
    made.attributes.add(key="count").value.int_value = 3
    made.attributes.add(key="parts").value.array_value.values.add().double_value = 0.5
    made.links.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    made.status.code = 2
    made.status.message = "no bars"
    return bytes(request.SerializeToString())


def test_otlp_bytes_become_spans() -> None:
    (found,) = decode_spans(wire())
    assert found == Span(
        trace_id=trace_number(1),
        span_id=b"12345678".hex(),
        parent_span_id=None,
        name="get_market_data",
        service="market-data",
        kind="server",
        start_ns=1_000,
        end_ns=3_000,
        attributes={"symbol": "AAPL", "count": 3, "parts": [0.5]},
        links=(Link((b"t" * 16).hex(), (b"s" * 8).hex()),),
        status="error",
        status_message="no bars",
    )


def test_bytes_that_are_no_export_are_refused() -> None:
    with pytest.raises(BadSpans, match="not an OTLP trace export"):
        decode_spans(b"\xff\xff\xff")


def test_a_span_without_a_valid_id_is_refused() -> None:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name="odd", trace_id=b"short")
    with pytest.raises(BadSpans, match="span 'odd': a trace id has 16 bytes"):
        decode_spans(request.SerializeToString())


def test_spans_of_one_trace_come_together_whatever_batch_they_came_in(db: sqlite3.Connection) -> None:
    tables = TraceTables()
    child = span(1, "fill", parent=span(1).span_id, service="paper-trading", attributes={"order_id": "bw-1"})
    assert tables.add(db, [child], 1.0) == 1
    assert tables.add(db, [span(1), child], 2.0) == 1
    (found,) = newest_traces(db)
    assert (found.name, found.service, found.spans, found.services) == (
        "decision",
        "prediction",
        2,
        ["paper-trading", "prediction"],
    )
    assert found.has_order
    assert not found.has_error
    assert {one.name for one in spans_of(db, trace_number(1))} == {"decision", "fill"}
    assert next(one for one in spans_of(db, trace_number(1)) if one.name == "fill") == child


def test_traces_are_listed_newest_first_by_service_and_order(db: sqlite3.Connection) -> None:
    tables = TraceTables()
    tables.add(db, [span(1), span(2, attributes={"bellwether.order_id": "x"}), span(3, service="scheduler")], 0.0)
    assert [one.trace_id for one in newest_traces(db)] == [trace_number(number) for number in (3, 2, 1)]
    assert [one.trace_id for one in newest_traces(db, has_order=True)] == [trace_number(2)]
    assert [one.trace_id for one in newest_traces(db, service="scheduler")] == [trace_number(3)]
    assert len(newest_traces(db, limit=2)) == 2


def test_the_first_digits_of_an_id_find_it(db: sqlite3.Connection) -> None:
    TraceTables().add(db, [span(0x1234_5678), span(0x1234_56FF)], 0.0)
    assert trace_ids(db, "12345678") == [trace_number(0x1234_5678)]
    assert len(trace_ids(db, "123456")) == 2
    assert trace_ids(db, "ff") == []


def test_what_is_not_to_be_kept_goes_once_it_has_settled(db: sqlite3.Connection) -> None:
    tables = TraceTables(keep_ratio=0.0)
    plain, order = span(1), span(2, attributes={"order_id": "o"})
    refusal, error = span(3, attributes={"refusal": "HALTED"}), span(4, status="error")
    tables.add(db, [plain, order, refusal, error], now=0.0)
    assert tables.sweep(db, SETTLING_SECONDS - 1) == 0
    assert tables.sweep(db, SETTLING_SECONDS + 1) == 1
    assert {one.trace_id for one in newest_traces(db)} == {trace_number(number) for number in (2, 3, 4)}
    assert spans_of(db, trace_number(1)) == []


def test_a_trace_that_gets_its_order_late_is_kept(db: sqlite3.Connection) -> None:
    tables = TraceTables(keep_ratio=0.0)
    tables.add(db, [span(1)], now=0.0)
    tables.add(db, [span(1, "fill", attributes={"order_id": "o"})], now=SETTLING_SECONDS - 1)
    assert tables.sweep(db, SETTLING_SECONDS * 3) == 0


def test_the_share_that_is_kept_is_the_one_asked_for() -> None:
    kept = sum(sampled(f"{number * 2654435761 % 2**32:08x}" + "0" * 24, 0.25) for number in range(4_000))
    assert 900 < kept < 1_100
    assert all(sampled(trace_number(number), 1.0) for number in (0, 2**32 - 1))
    assert not any(sampled(trace_number(number), 0.0) for number in (0, 2**32 - 1))


def test_when_room_is_short_the_oldest_go_and_those_with_orders_last(db: sqlite3.Connection) -> None:
    limit = 1_000_000
    tables = TraceTables(limit_bytes=limit)
    text = "x" * 1_000
    for number in range(2_000):
        order = {"order_id": "o"} if number % 20 == 0 else {}
        tables.add(db, [span(number, attributes={"text": text, **order})], float(number))
    db.commit()
    assert bytes_used(db) > limit
    while tables.sweep(db, 0.0):
        pass
    db.commit()
    assert bytes_used(db) <= limit
    left = newest_traces(db, limit=5_000)
    assert sum(one.has_order for one in left) == 100
    plain = [int(one.trace_id[:8], 16) for one in left if not one.has_order]
    assert plain
    assert min(plain) > 1_000
    assert tables.state(db).traces_removed == 2_000 - len(left)


async def test_spans_of_others_are_taken_and_given_back(gateway: Opened) -> None:
    headers = {**AUTHORIZED, "Content-Type": "application/x-protobuf"}
    assert (await gateway.http.post("/v1/traces", content=wire(), headers=headers)).status_code == 200
    zipped = {**headers, "Content-Encoding": "gzip"}
    assert (await gateway.http.post("/v1/traces", content=gzip.compress(wire(2)), headers=zipped)).status_code == 200
    listed = (await gateway.http.get("/v1/traces?service=market-data")).json()
    assert len(listed["traces"]) == 2
    assert listed["store"]["traces"] == 2
    (one,) = (await gateway.http.get(f"/v1/traces/{trace_number(1)}")).json()["spans"]
    assert one["name"] == "get_market_data"
    assert one["duration_ms"] == 0.002
    assert one["status"] == "error"
    assert one["links"] == [{"trace_id": (b"t" * 16).hex(), "span_id": (b"s" * 8).hex()}]


@IN_MODULES_LOOP
@pytest.mark.parametrize(
    ("content", "kind", "status", "words"),
    [
        (b"{}", "application/json", 415, "send application/x-protobuf"),
        (b"\xff\xff", "application/x-protobuf", 422, "not an OTLP trace export"),
        (b"\0" * 4_200_000, "application/x-protobuf", 413, "more than 4194304 bytes"),
    ],
)
async def test_what_is_no_export_is_refused(
    standing: Opened, content: bytes, kind: str, status: int, words: str
) -> None:
    headers = {**AUTHORIZED, "Content-Type": kind}
    reply = await standing.http.post("/v1/traces", content=content, headers=headers)
    assert reply.status_code == status
    assert words in reply.json()["error"]["message"]


@IN_MODULES_LOOP
async def test_an_unknown_or_odd_trace_id_is_reported(standing: Opened) -> None:
    assert (await standing.http.get("/v1/traces/" + "0" * 32)).status_code == 404
    assert (await standing.http.get("/v1/traces/XYZ")).status_code == 422
