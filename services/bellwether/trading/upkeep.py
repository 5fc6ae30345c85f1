"""What runs beside the desk: old decisions are forgotten, and people are told of what is wrong with the ledger."""

from __future__ import annotations

import logging
from datetime import datetime

from bellwether.messages.alarms import alarm
from bellwether.messages.envelope import LIVE
from bellwether.messages.monitoring import AlarmReading
from bellwether.runtime.service import Service
from bellwether.storage.store import Transaction
from bellwether.trading.desk import Desk
from bellwether.trading.forgetting import forget
from bellwether.trading.guards import text

SILENT_SESSIONS = 20
"""Sessions without any order after which people are told."""

_log = logging.getLogger(__name__)


def register_upkeep(service: Service, desk: Desk) -> None:
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
        return await desk.store.transact(lambda tx: desk_alarms(desk, tx, service.context.clock.now()))


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
