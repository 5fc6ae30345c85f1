"""The table of orders that were sent: what the broker is known to have made of each. Pure rows in, rows out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import insert, select, update

from bellwether.broker.lifecycle import AT_BROKER, Progress, State
from bellwether.messages.trading import Side
from bellwether.storage.store import Transaction
from bellwether.trading import tables

_table = tables.executions
_IN_FLIGHT = "SELECT 1 FROM executions WHERE run = ? AND state IN ('sending', 'working', 'partially_filled', 'unknown')"


class Execution(NamedTuple):
    """One order at the broker."""

    progress: Progress
    symbol: str
    side: Side
    session: date
    deadline: datetime


def find(tx: Transaction, run: str, order_id: str) -> Execution | None:
    """Return an order that was sent, or None."""
    query = select(_table).where(_table.c.run == run, _table.c.order_id == order_id)
    row = tx.execute(query).mappings().first()
    return None if row is None else _from(row)


def in_flight(tx: Transaction, run: str) -> list[Execution]:
    """Return the orders that the broker has or may have, in the order in which they were sent."""
    if tx.driver.execute(_IN_FLIGHT, (run,)).fetchone() is None:
        return []
    query = select(_table).where(_table.c.run == run, _table.c.state.in_(sorted(AT_BROKER))).order_by(_table.c.id)
    return [_from(row) for row in tx.execute(query).mappings()]


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
    where = (_table.c.run == run, _table.c.order_id == progress.reference)
    if tx.execute(update(_table).where(*where).values(values)).rowcount == 0:
        row = {"run": run, "order_id": progress.reference, "symbol": one.symbol, "side": one.side}
        tx.execute(insert(_table), {**row, "session": one.session.isoformat(), **values})


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
