"""Forgetting old decisions: the trader knows which of them orders came of, so it says which may go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, select

from bellwether.messages.envelope import LIVE
from bellwether.messages.prediction import PrunedDecisions, PruneDecisions
from bellwether.runtime.call import Call
from bellwether.spec.fields import parse_days
from bellwether.storage.store import Transaction
from bellwether.trading import tables
from bellwether.trading.desk import Desk

WINDOW = timedelta(days=90)
"""Decisions of so long a time are asked for at once, so that the names of those that stay fit into a message."""
LATER = timedelta(days=14)
"""An order is made this much later than its decision at most."""


class Named(NamedTuple):
    """A decision that an order came of, and when the order was made (UTC)."""

    prediction_id: str
    ordered_at: datetime


def questions(named: Sequence[Named], before: datetime) -> list[PruneDecisions]:
    """Return what to ask prediction for, oldest first: each names the decisions of its time that stay. Pure."""
    edges = [before]
    oldest = min((one.ordered_at for one in named), default=before)
    while edges[-1] > oldest:
        edges.append(edges[-1] - WINDOW)
    edges.reverse()
    found: list[PruneDecisions] = []
    after: datetime | None = None
    for edge in edges:
        begin = edge - WINDOW if after is None else after
        keep = sorted({one.prediction_id for one in named if begin <= one.ordered_at < edge + LATER})
        found.append(PruneDecisions(before=edge, after=after, keep=keep))
        after = edge
    return found


def _named(tx: Transaction, before: datetime) -> list[Named]:
    orders = tables.orders.c
    query = select(orders.prediction_id, orders.created_at).where(
        orders.run == LIVE, orders.prediction_id.is_not(None), orders.created_at < (before + LATER).isoformat()
    )
    return [Named(str(row.prediction_id), datetime.fromisoformat(row.created_at)) for row in tx.execute(query)]


def _forget_diary(tx: Transaction, before: datetime) -> int:
    diary = tables.decisions.c
    old = (diary.run == LIVE, diary.at < before.isoformat(), diary.order_id.is_(None))
    return int(tx.execute(delete(tables.decisions).where(*old)).rowcount)


async def forget(desk: Desk, call: Call) -> int:
    """Have old decisions forgotten that no order came of, here and by prediction; return how many prediction deleted.

    Raises:
        RpcError: prediction is unreachable; nothing was forgotten here, and the next run tries again.
    """
    before = call.as_of - parse_days(desk.declaration.system.spec.retention.decisions)
    named = await desk.store.transact(lambda tx: _named(tx, before))
    gone = 0
    for question in questions(named, before):
        answer = await call.request("prediction", "prune_decisions", question, PrunedDecisions, idempotent=True)
        gone += answer.deleted
    await desk.store.transact(lambda tx: _forget_diary(tx, before))
    return gone
