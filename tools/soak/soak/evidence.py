"""What a replay leaves in its databases: what must be equal between two replays, and what must hold in each."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bellwether.topology import SERVICES
from bellwether.trading.book import fold
from bellwether.trading.check import check_ledger
from bellwether.trading.events import decode

Rows = Mapping[str, str]

SHOWN = 3
"""So many differences of each kind are reported in full; the rest is counted."""
OF_THE_TRACE = ("trace_id", "traceparent")
"""A trace id is a function of the run, so it differs between two runs."""


@dataclass(frozen=True)
class Evidence:
    """Everything that a replay decided and did, by key, without its run and its traces.

    Attributes:
        decisions: SHA-256 of the canonical bytes by decision id.
        ledger: the ledger's events by their place, in order.
        equity: cash, value of positions and equity by session.
        outcomes: what came of each decision.
        slots: status and result of each slot.
        reports: what the report of each session is composed from.
    """

    decisions: Rows
    ledger: Rows
    equity: Rows
    outcomes: Rows
    slots: Rows
    reports: Rows


def gather(data: Path) -> Evidence:
    """Return what the databases in a folder hold.

    Raises:
        sqlite3.Error: if one is missing or damaged.
    """
    return Evidence(
        decisions={
            str(name): hashlib.sha256(canonical).hexdigest()
            for name, canonical in _rows(data / "decisions.db", "SELECT id, canonical FROM decisions ORDER BY id")
        },
        ledger={
            f"{seq:06d}": f"{key} at {at}: {_without_trace(text)}"
            for seq, key, at, text in _rows(
                data / "ledger.db", "SELECT seq, key, at, data FROM ledger_events ORDER BY id"
            )
        },
        equity=_keyed(data / "ledger.db", "SELECT session, cash, positions_value, equity FROM equity"),
        outcomes=_keyed(data / "decisions.db", "SELECT id, session, rose, probability, base_rate FROM outcomes"),
        slots=_keyed(data / "slots.db", "SELECT name, task, session, due, status, result FROM slots"),
        reports={
            str(session): _without_trace(rows)
            for session, rows in _rows(data / "slots.db", "SELECT session, rows FROM reports")
        },
    )


def differences(expected: Evidence, found: Evidence) -> list[str]:
    """Return in words where two replays of the same days differ; nothing when they are equal."""
    words: list[str] = []
    for field in fields(Evidence):
        words += _differ(field.name, getattr(expected, field.name), getattr(found, field.name))
    return words


def violations(data: Path) -> list[str]:
    """Return in words what does not hold in the databases of a replay that has ended."""
    found = [
        f"decision {name} is not what its hash says"
        for name, canonical, reported in _rows(data / "decisions.db", "SELECT id, canonical, sha256 FROM decisions")
        if hashlib.sha256(canonical).hexdigest() != reported
    ]
    found += _of_the_ledger(data / "ledger.db")
    found += [f"{store}: {count} events were never published" for store, count in unpublished(data).items()]
    found += _lost_events(data)
    return found


def unpublished(data: Path) -> dict[str, int]:
    """Return per database how many events it still owes to the bus, where there are any."""
    query = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
    counted = {store: next(_rows(data / store, query))[0] for store in _stores(data).values()}
    return {store: count for store, count in counted.items() if count}


def replay_state(data: Path) -> str:
    """Return the stored state of the replay, `none` before there is one."""
    path = data / "slots.db"
    if not path.exists():
        return "none"
    try:
        return str(next(_rows(path, "SELECT state FROM replay"), ("none",))[0])
    except sqlite3.OperationalError:
        # Its tables are being made, or it is being recovered just now.
        return "none"


def _of_the_ledger(path: Path) -> list[str]:
    runs = [str(row[0]) for row in _rows(path, "SELECT DISTINCT run FROM ledger_events")]
    if len(runs) != 1:
        return [f"the ledger holds {len(runs)} runs, it should be one: {', '.join(sorted(runs))}"]
    events = [decode(row[0]) for row in _rows(path, "SELECT data FROM ledger_events ORDER BY seq")]
    orders = [
        {"order_id": order, "status": status, "quantity": quantity}
        for order, status, quantity in _rows(path, "SELECT order_id, status, quantity FROM orders")
    ]
    return check_ledger(events, fold(events), orders).violations


def _lost_events(data: Path) -> list[str]:
    """Return the decisions that were stored, and whose events paper-trading has no trace of."""
    made = [f"prediction_generated-{row[0]}" for row in _rows(data / "decisions.db", "SELECT id FROM decisions")]
    taken = {row[0] for row in _rows(data / "ledger.db", "SELECT event_id FROM inbox")}
    return [f"paper-trading never took {event}" for event in made if event not in taken]


def _stores(data: Path) -> dict[str, str]:
    named = {row.name: row.store for row in SERVICES.values() if row.store is not None}
    return {name: store for name, store in named.items() if name != "gateway" and (data / store).exists()}


def _rows(path: Path, query: str) -> Iterator[tuple[Any, ...]]:
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        yield from connection.execute(query).fetchall()


def _keyed(path: Path, query: str) -> Rows:
    return {str(key): json.dumps(rest) for key, *rest in _rows(path, query)}


def _without_trace(text: str) -> str:
    def kept(values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name not in OF_THE_TRACE}

    return json.dumps(json.loads(text, object_hook=kept), sort_keys=True)


def _differ(what: str, expected: Rows, found: Rows) -> list[str]:
    words = [f"{what}: {one} is missing" for one in expected if one not in found]
    words += [f"{what}: {one} should not be there: {found[one]}" for one in found if one not in expected]
    words += [
        f"{what}: {one} is {found[one]}, not {expected[one]}"
        for one in expected
        if one in found and found[one] != expected[one]
    ]
    return _shortened(what, words)


def _shortened(what: str, words: Sequence[str]) -> list[str]:
    left = len(words) - SHOWN
    return [*words[:SHOWN], f"{what}: and {left} more"] if left > 0 else list(words)
