"""The trace store: tables in the gateway's own database, of bounded size.

Every function works inside a transaction that the caller opened, on the driver's own connection: spans come by the
thousand, and their statements are fixed.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, String, Table

from bellwether.gateway.otlp import Link, Span
from bellwether.storage.tables import texts

DEFAULT_LIMIT_BYTES = 256 * 1024 * 1024
SETTLING_SECONDS = 120.0
"""How long after its newest span a trace may still turn out to hold an order."""
_ROOM_AFTER_SWEEP = 0.9
_SWEEP_BATCH = 100
_ORDER_KEYS = ("order_id", "order.id")
_REFUSAL_KEY = "refusal"


def add_trace_tables(metadata: MetaData) -> None:
    """Add the tables of the trace store to a database's tables."""
    traces = Table(
        "traces",
        metadata,
        Column("trace_id", String, primary_key=True),
        *texts("name", "service", null=True),
        Column("first_ns", Integer, nullable=False),
        Column("last_ns", Integer, nullable=False),
        Column("spans", Integer, nullable=False),
        Column("services", String, nullable=False),
        Column("has_order", Boolean, nullable=False),
        Column("has_refusal", Boolean, nullable=False),
        Column("has_error", Boolean, nullable=False),
        Column("kept", Boolean, nullable=False),
        Column("arrived", Float, nullable=False),
    )
    Index("traces_newest", traces.c.last_ns)
    Index("traces_by_order", traces.c.has_order, traces.c.last_ns)
    Index("traces_to_sweep", traces.c.kept, traces.c.arrived)
    Table(
        "spans",
        metadata,
        *texts("trace_id", "span_id", key=True),
        # With a rowid: in its own tree a primary key's row may fill only a quarter of a page, and most spill over.
        Column("body", String, nullable=False),
    )


@dataclass(frozen=True)
class TraceSummary:
    """One trace in a list. Times are UTC."""

    trace_id: str
    name: str
    service: str
    start: datetime
    duration_ms: float
    spans: int
    services: list[str]
    has_order: bool
    has_refusal: bool
    has_error: bool


@dataclass(frozen=True)
class StoreState:
    """How full the store is, and what it let go."""

    traces: int
    bytes_used: int
    bytes_limit: int
    traces_removed: int


def sampled(trace_id: str, ratio: float) -> bool:
    """Whether a trace of no special interest is among the share that is kept.

    It depends on the id alone, so that every batch of a trace gets the same answer.
    """
    return int(trace_id[:8], 16) < ratio * 0x1_0000_0000


class TraceTables:
    """Spans by trace; when room is short the oldest go first, and those with orders last."""

    def __init__(self, *, limit_bytes: int = DEFAULT_LIMIT_BYTES, keep_ratio: float = 1.0) -> None:
        self._limit = limit_bytes
        self._ratio = keep_ratio
        self._removed = 0
        self._shrinking = False

    def add(self, db: sqlite3.Connection, spans: Iterable[Span], now: float) -> int:
        """Write spans; one that is there already is left as it is.

        Returns: how many were new. `now` is seconds since 1970, the order in which traces settle.
        """
        by_trace: dict[str, list[Span]] = defaultdict(list)
        for span in spans:
            by_trace[span.trace_id].append(span)
        return sum(self._add_trace(db, trace_id, found, now) for trace_id, found in by_trace.items())

    def _add_trace(self, db: sqlite3.Connection, trace_id: str, spans: Sequence[Span], now: float) -> int:
        fresh = [span for span in spans if _insert(db, span)]
        if not fresh:
            return 0
        keys = " ".join({key for span in fresh for key, value in span.attributes.items() if value})
        order, refusal = any(key in keys for key in _ORDER_KEYS), _REFUSAL_KEY in keys
        error = any(span.status == "error" for span in fresh)
        known = db.execute("SELECT services FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
        services = set(json.loads(known[0])) if known else set()
        services |= {span.service for span in fresh}
        root = next((span for span in fresh if span.parent_span_id is None), None)
        row = {
            "id": trace_id,
            "name": root.name if root else None,
            "service": root.service if root else None,
            "first": min(span.start_ns for span in fresh),
            "last": max(span.end_ns for span in fresh),
            "spans": len(fresh),
            "services": json.dumps(sorted(services)),
            "order": order,
            "refusal": refusal,
            "error": error,
            # Whatever the ratio is, these are worth keeping.
            "kept": order or refusal or error or sampled(trace_id, self._ratio),
            "now": now,
        }
        db.execute(
            "INSERT INTO traces VALUES (:id, :name, :service, :first, :last, :spans, :services, :order, :refusal,"
            " :error, :kept, :now) ON CONFLICT (trace_id) DO UPDATE SET"
            " name = coalesce(excluded.name, name), service = coalesce(excluded.service, service),"
            " first_ns = min(first_ns, excluded.first_ns), last_ns = max(last_ns, excluded.last_ns),"
            " spans = spans + excluded.spans, services = excluded.services,"
            " has_order = max(has_order, excluded.has_order), has_refusal = max(has_refusal, excluded.has_refusal),"
            " has_error = max(has_error, excluded.has_error), kept = max(kept, excluded.kept),"
            " arrived = excluded.arrived",
            row,
        )
        return len(fresh)

    def sweep(self, db: sqlite3.Connection, now: float) -> int:
        """Let go of a batch of what is not to be kept, or of the oldest while the file is over its bound.

        Traces without an order go first, whatever their age. Returns: how many traces went; call again until 0.
        """
        removed = _remove(
            db,
            "SELECT trace_id FROM traces WHERE kept = 0 AND arrived < ? LIMIT ?",
            (now - SETTLING_SECONDS, _SWEEP_BATCH),
        )
        if removed == 0:
            removed = self._shrink(db)
        self._removed += removed
        return removed

    def _shrink(self, db: sqlite3.Connection) -> int:
        """Once over the bound, go on until there is some room, a batch at a time: others wait meanwhile."""
        used = bytes_used(db)
        self._shrinking = used > (self._limit * _ROOM_AFTER_SWEEP if self._shrinking else self._limit)
        if not self._shrinking:
            return 0
        oldest = "SELECT trace_id FROM traces WHERE has_order = ? ORDER BY last_ns LIMIT ?"
        return _remove(db, oldest, (0, _SWEEP_BATCH)) or _remove(db, oldest, (1, _SWEEP_BATCH))

    def forget(self, db: sqlite3.Connection, before: datetime) -> int:
        """Remove a batch of traces without an order whose newest span is older; return how many."""
        oldest = "SELECT trace_id FROM traces WHERE has_order = 0 AND last_ns < ? ORDER BY last_ns LIMIT ?"
        gone = _remove(db, oldest, (int(before.timestamp() * 1e9), _SWEEP_BATCH))
        self._removed += gone
        return gone

    def state(self, db: sqlite3.Connection) -> StoreState:
        """Return how full the store is."""
        (traces,) = db.execute("SELECT count(*) FROM traces").fetchone()
        return StoreState(traces, bytes_used(db), self._limit, self._removed)


def newest_traces(
    db: sqlite3.Connection, *, limit: int = 50, service: str | None = None, has_order: bool | None = None
) -> list[TraceSummary]:
    """Return traces, newest first: all, those a service took part in, those with or without an order."""
    rows = db.execute(
        "SELECT trace_id, name, service, first_ns, last_ns, spans, services, has_order, has_refusal, has_error"
        " FROM traces WHERE (?1 IS NULL OR EXISTS (SELECT 1 FROM json_each(services) WHERE value = ?1))"
        " AND (?2 IS NULL OR has_order = ?2) ORDER BY last_ns DESC LIMIT ?3",
        (service, has_order, limit),
    )
    return [_summary(row) for row in rows]


def trace_ids(db: sqlite3.Connection, beginning: str) -> list[str]:
    """Return up to two traces whose id begins with these digits: two mean that it is not clear which is meant."""
    # "g" follows the last hexadecimal digit.
    rows = db.execute(
        "SELECT trace_id FROM traces WHERE trace_id >= ? AND trace_id < ? LIMIT 2", (beginning, beginning + "g")
    )
    return [str(row[0]) for row in rows]


def spans_of(db: sqlite3.Connection, trace_id: str) -> list[Span]:
    """Return a trace's spans by their start; an empty list for an unknown one."""
    rows = db.execute("SELECT body FROM spans WHERE trace_id = ?", (trace_id,))
    spans = [_from_body(trace_id, json.loads(body)) for (body,) in rows]
    return sorted(spans, key=lambda span: (span.start_ns, span.span_id))


def bytes_used(db: sqlite3.Connection) -> int:
    """Return the bytes that rows take in the file; pages that were freed are used again and do not count."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    (size,) = db.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * size)


def _insert(db: sqlite3.Connection, span: Span) -> bool:
    done = db.execute(
        "INSERT OR IGNORE INTO spans VALUES (?, ?, ?)",
        (span.trace_id, span.span_id, msgspec.json.encode(_body(span)).decode()),
    )
    return done.rowcount == 1


def _remove(db: sqlite3.Connection, query: str, parameters: tuple[Any, ...]) -> int:
    ids = db.execute(query, parameters).fetchall()
    if ids:
        db.executemany("DELETE FROM spans WHERE trace_id = ?", ids)
        db.executemany("DELETE FROM traces WHERE trace_id = ?", ids)
    return len(ids)


def instant(nanoseconds: int) -> datetime:
    """Return nanoseconds since 1970 as a time in UTC."""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _summary(row: tuple[Any, ...]) -> TraceSummary:
    trace_id, name, service, first, last, spans, services, order, refusal, error = row
    return TraceSummary(
        trace_id=trace_id,
        name=name or "(root not seen)",
        service=service or "",
        start=instant(first),
        duration_ms=(last - first) / 1e6,
        spans=spans,
        services=json.loads(services),
        has_order=bool(order),
        has_refusal=bool(refusal),
        has_error=bool(error),
    )


def _body(span: Span) -> dict[str, Any]:
    return {name: value for name, value in vars(span).items() if name != "trace_id"}


def _from_body(trace_id: str, body: dict[str, Any]) -> Span:
    links = tuple(Link(**link) for link in body.pop("links"))
    return Span(trace_id=trace_id, links=links, **body)
