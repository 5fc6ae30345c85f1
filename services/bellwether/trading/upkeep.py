"""What runs beside the desk: old decisions are forgotten, and people are told of what is wrong with the ledger."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from bellwether.market.sessions import Calendar
from bellwether.messages.alarms import alarm
from bellwether.messages.envelope import LIVE
from bellwether.messages.monitoring import AlarmReading
from bellwether.runtime.service import Service
from bellwether.storage.store import Transaction
from bellwether.trading.desk import Desk
from bellwether.trading.following import Following
from bellwether.trading.forgetting import forget
from bellwether.trading.pricing import text

SILENT_SESSIONS = 20
"""Sessions without any order after which people are told."""

SILENT_BROKER = timedelta(minutes=5)
BEFORE_OPEN = timedelta(hours=1)

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

    Brokers go away at weekends: while no session is open or near, nobody is told, and what was told stays as it is.
    """
    if since is None or now - since < SILENT_BROKER:
        return None
    near = calendar.session_at(now) is not None or calendar.next_session(now).open - now <= BEFORE_OPEN
    minutes = int((now - since).total_seconds()) // 60
    words = f"the broker has not answered for {minutes} minutes: {trouble}"
    return alarm("broker_unreachable", words[:500], unknown=not near)


def desk_alarms(desk: Desk, tx: Transaction, now: datetime) -> list[AlarmReading]:
    """Return what people have to know of the ledger: halts, a sum that is wrong, and that nothing was ordered."""
    found: list[AlarmReading] = []
    halts, book = desk.halts(tx, LIVE), desk.ledger.book(tx, LIVE)
    if halts:
        found.append(alarm("trading_halted", f"orders are halted: {'; '.join(halts)}"[:500]))
    blocked = desk.unreconciled.of(tx, LIVE)
    if blocked:
        found.append(alarm("positions_unreconciled", f"blocked: {'; '.join(blocked.values())}"[:500]))
    if book.imbalance() != 0:
        found.append(alarm("ledger_out_of_balance", f"the ledger is out of balance by {text(book.imbalance())}"))
    elif not halts and desk.rules.mode != "off":
        since = desk.ledger.newest_order_session(tx, LIVE)
        begun = desk.declaration.calendar.sessions(since, now.date()) if since is not None else []
        silent = len(begun) - 1
        if since is not None and silent >= SILENT_SESSIONS:
            found.append(alarm("no_orders", f"there was no order for {silent} sessions, the last for {since}"))
    return found
