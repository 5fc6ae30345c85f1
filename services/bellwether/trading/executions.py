"""The table of orders that were sent: what the broker is known to have made of each. Pure rows in, rows out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import select, update

from bellwether.broker.lifecycle import AT_BROKER, Progress, State
from bellwether.messages.trading import Side
from bellwether.storage.prepared import Prepared, given
from bellwether.storage.store import Transaction
from bellwether.trading import tables

_table = tables.executions
_OF_ORDER = (_table.c.run == given("of_run"), _table.c.order_id == given("of_order"))
_CHANGED = ("state", "quantity", "filled", "fills", "broker_id", "sent_at", "reason", "deadline")
_FIND = Prepared(select(_table).where(*_OF_ORDER))
_IN_FLIGHT = Prepared(
    select(_table).where(_table.c.run == given("of_run"), _table.c.state.in_(sorted(AT_BROKER))).order_by(_table.c.id)
)
_CHANGE = Prepared(update(_table).where(*_OF_ORDER).values({name: given(f"new_{name}") for name in _CHANGED}))
_ADD = Prepared.insert(_table)


class Execution(NamedTuple):
    """One order at the broker."""

    progress: Progress
    symbol: str
    side: Side
    session: date
    deadline: datetime


def find(tx: Transaction, run: str, order_id: str) -> Execution | None:
    """Return an order that was sent, or None."""
    row = _FIND.first(tx, {"of_run": run, "of_order": order_id})
    return None if row is None else _from(row)


def in_flight(tx: Transaction, run: str) -> list[Execution]:
    """Return the orders that the broker has or may have, in the order in which they were sent."""
    return [_from(row) for row in _IN_FLIGHT.rows(tx, {"of_run": run})]


def save(tx: Transaction, run: str, one: Execution) -> None:
    """Write down how far an order has come."""
    progress = one.progress
    values = {
        "state": progress.state,
        "quantity": str(progress.quantity),
        "filled": str(progress.filled),
        "fills": json.dumps(sorted(progress.fills)),
        "broker_id": progress.broker_id,
        "sent_at": "" if progress.sent_at is None else progress.sent_at.isoformat(),
        "reason": progress.reason,
        "deadline": one.deadline.isoformat(),
    }
    new = {f"new_{name}": values[name] for name in _CHANGED}
    if _CHANGE.run(tx, {"of_run": run, "of_order": progress.reference, **new}).rowcount == 0:
        row = {"run": run, "order_id": progress.reference, "symbol": one.symbol, "side": one.side}
        _ADD.run(tx, {**row, "session": one.session.isoformat(), **values})


def _from(row: Mapping[Any, Any]) -> Execution:
    state: State = row["state"]
    progress = Progress(
        reference=row["order_id"],
        quantity=Decimal(row["quantity"]),
        state=state,
        filled=Decimal(row["filled"]),
        fills=frozenset(json.loads(row["fills"])),
        broker_id=row["broker_id"],
        sent_at=datetime.fromisoformat(row["sent_at"]) if row["sent_at"] else None,
        reason=row["reason"],
    )
    deadline = datetime.fromisoformat(row["deadline"])
    return Execution(progress, row["symbol"], row["side"], date.fromisoformat(row["session"]), deadline)
