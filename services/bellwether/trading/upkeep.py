"""What runs beside the desk: old decisions are forgotten, and alarms say what is wrong with the ledger.

The trader knows which decisions orders came of, so it says which may be forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, select

from bellwether.market.sessions import Calendar
from bellwether.messages.alarms import alarm
from bellwether.messages.envelope import LIVE
from bellwether.messages.monitoring import AlarmReading
from bellwether.messages.prediction import PrunedDecisions, PruneDecisions
from bellwether.runtime.call import Call
from bellwether.runtime.service import Service
from bellwether.spec.fields import parse_days
from bellwether.storage.store import Transaction
from bellwether.trading import tables
from bellwether.trading.desk import Desk
from bellwether.trading.events import OrderQueued
from bellwether.trading.following import Following
from bellwether.trading.pricing import text

SILENT_SESSIONS = 20
"""Sessions without any order after which there is an alarm."""
SILENT_BROKER = timedelta(minutes=5)
BEFORE_OPEN = timedelta(hours=1)
WINDOW = timedelta(days=90)
"""Decisions of so long a time are asked for at once, so that the names of those that stay fit into a message."""
LATER = timedelta(days=14)
"""An order is made this much later than its decision at most."""

_log = logging.getLogger(__name__)


def register_upkeep(service: Service, desk: Desk, following: Following) -> None:
    """Wire both to the runtime."""

    @service.on_prune
    async def prune() -> None:
        gone = await forget(desk, service.call())
        if gone:
            _log.info("%d decisions are no longer kept", gone)

    @service.on_alarms
    async def alarms() -> list[AlarmReading]:
        if not service.context.declaration.known or not service.context.clock.live:
            return []
        now = service.context.clock.now()
        found = await desk.store.transact(lambda tx: desk_alarms(desk, tx, now))
        silent = broker_alarm(following.trouble, following.trouble_since, now, desk.declaration.calendar)
        return found if silent is None else [*found, silent]


def broker_alarm(trouble: str, since: datetime | None, now: datetime, calendar: Calendar) -> AlarmReading | None:
    """Return the alarm of a broker that does not answer; None while it answers, or has been silent for a short time.

    Brokers are unreachable at weekends: while no session is open or near, nobody is notified, and a report stays as
    it is.
    """
    if since is None or now - since < SILENT_BROKER:
        return None
    near = calendar.session_at(now) is not None or calendar.next_session(now).open - now <= BEFORE_OPEN
    minutes = int((now - since).total_seconds()) // 60
    words = f"the broker has not answered for {minutes} minutes: {trouble}"
    return alarm("broker_unreachable", words[:500], unknown=not near)


def approval_alarm(queued: Iterable[OrderQueued]) -> AlarmReading | None:
    """Return the alarm of orders that somebody has to approve; None where none waits for that."""
    waiting = [order for order in queued if order.approval]
    if not waiting:
        return None
    symbols = ", ".join(sorted({order.symbol for order in waiting}))
    first = min(order.session for order in waiting)
    words = f"orders of {symbols} wait for approval; the first expires when session {first} opens"
    return alarm("orders_await_approval", words[:500])


def desk_alarms(desk: Desk, tx: Transaction, now: datetime) -> list[AlarmReading]:
    """Return what people have to know of the ledger: halts, a wrong sum, what waits for them, that nothing came."""
    found: list[AlarmReading] = []
    halts, book = desk.halts(tx, LIVE), desk.ledger.book(tx, LIVE)
    if halts:
        found.append(alarm("trading_halted", f"orders are halted: {'; '.join(halts)}"[:500]))
    waiting = approval_alarm(book.queued.values())
    if waiting is not None:
        found.append(waiting)
    blocked = desk.unreconciled.of(tx, LIVE)
    if blocked:
        found.append(alarm("positions_unreconciled", f"blocked: {'; '.join(blocked.values())}"[:500]))
    if book.imbalance() != 0:
        found.append(alarm("ledger_out_of_balance", f"the ledger is out of balance by {text(book.imbalance())}"))
    elif not halts and desk.rules.mode != "off":
        since = desk.ledger.newest_order_session(tx, LIVE)
        opens = desk.declaration.calendar.sessions(since, now.date()) if since is not None else []
        silent = len(opens) - 1
        if since is not None and silent >= SILENT_SESSIONS:
            found.append(alarm("no_orders", f"there was no order for {silent} sessions, the last for {since}"))
    return found


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
