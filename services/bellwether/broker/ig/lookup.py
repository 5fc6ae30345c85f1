"""What IG's confirms, activity and positions say of one order, as events. Pure.

Three places tell of an order, and each can lack it: a confirm is gone after a minute, and may answer 404 or 405 for an
order that was filled; activity comes late and may lack closes; a position tells only of what was opened and is still
held. What one of them says is true; that all of them say nothing proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bellwether.broker.ig.facts import NotUnderstood, exact
from bellwether.broker.ig.words import reason_words
from bellwether.broker.values import Accepted, BrokerEvent, Ended, Fill, Rejected, Stopped

_OPENED_OR_CLOSED = ("POSITION_OPENED", "POSITION_CLOSED", "POSITION_PARTIALLY_CLOSED")


def fill_id(reference: str) -> str:
    """Return the id of an order's fill, the same wherever it is read: a market order at IG has one fill or none.

    The deal's id does not do: a closing confirm may name the opening deal's instead of its own.
    """
    return f"ig:{reference}"


def _filled(
    reference: str, at: datetime, asked: Decimal | None, *, size: Decimal, level: Decimal, broker_id: str
) -> tuple[BrokerEvent, ...]:
    events: list[BrokerEvent] = [
        Accepted(reference, at, broker_id),
        Fill(reference, at, fill_id(reference), size, level),
    ]
    if asked is None or size < asked:
        # A market order never waits for more. After a whole fill this changes nothing.
        events.append(Ended(reference, at, "cancelled", f"only {size} shares were on offer"))
    return tuple(events)


def from_confirm(
    answer: Mapping[str, Any], reference: str, lot: int, asked: Decimal | None, now: datetime
) -> tuple[BrokerEvent, ...]:
    """Return what a confirm says; nothing when it is about something else than a market order.

    Raises:
        NotUnderstood: when it is not what the reference says.
    """
    if answer.get("dealReference") not in (None, reference):
        raise NotUnderstood("a confirm of another dealReference")
    status = answer.get("dealStatus")
    if status == "REJECTED":
        reason = str(answer.get("reason") or "UNKNOWN")
        return (Rejected(reference, now, reason, reason_words(reason)),)
    if status != "ACCEPTED":
        raise NotUnderstood(f"dealStatus {str(status)[:40]!r} of a confirm")
    if answer.get("status") in ("AMENDED", "DELETED"):
        return ()
    size, level = exact(answer.get("size"), "size"), exact(answer.get("level"), "level")
    broker_id = str(answer.get("dealId") or "")
    if size <= 0 or level <= 0:
        return (Accepted(reference, now, broker_id),)
    return _filled(reference, now, asked, size=size * lot, level=level / lot, broker_id=broker_id)


def from_activity(
    rows: Iterable[Mapping[str, Any]], reference: str, lot: int, asked: Decimal | None, now: datetime
) -> tuple[BrokerEvent, ...]:
    """Return what the rows of the activity (detailed) say of a reference."""
    for row in rows:
        details = row.get("details") or {}
        if details.get("dealReference") != reference or row.get("type") not in ("POSITION", None):
            continue
        if row.get("status") == "REJECTED":
            reason = str(row.get("description") or "").rpartition(": ")[2] or "UNKNOWN"
            return (Rejected(reference, now, reason, reason_words(reason)),)
        actions = {str(action.get("actionType")) for action in details.get("actions") or ()}
        if row.get("status") != "ACCEPTED" or not actions & set(_OPENED_OR_CLOSED):
            continue
        size, level = exact(details.get("size"), "size"), exact(details.get("level"), "level")
        if size > 0 and level > 0:
            return _filled(
                reference, now, asked, size=size * lot, level=level / lot, broker_id=str(row.get("dealId") or "")
            )
    return ()


def from_positions(
    rows: Iterable[Mapping[str, Any]], reference: str, lot: int, asked: Decimal | None, now: datetime
) -> tuple[BrokerEvent, ...]:
    """Return what open positions say of the order that opened one of them."""
    for row in rows:
        position = row.get("position") or {}
        if position.get("dealReference") == reference:
            size, level = exact(position.get("size"), "size"), exact(position.get("level"), "level")
            return _filled(
                reference, now, asked, size=size * lot, level=level / lot, broker_id=str(position.get("dealId") or "")
            )
    return ()


def stops_from(
    rows: Iterable[Mapping[str, Any]], symbols: Mapping[str, tuple[str, int]], ours: Callable[[str], bool]
) -> list[Stopped]:
    """Return what IG itself closed, oldest first, from rows of the activity (detailed), which come newest first.

    Args:
        rows: of the activity.
        symbols: symbol and shares per contract by epic; rows of other epics are left out.
        ours: whether a dealReference is that of an order of ours.
    """
    found = []
    for row in rows:
        details = row.get("details") or {}
        actions = {str(action.get("actionType")) for action in details.get("actions") or ()}
        closed = actions & {"POSITION_CLOSED", "POSITION_PARTIALLY_CLOSED"}
        if row.get("channel") != "SYSTEM" or row.get("status") != "ACCEPTED" or not closed:
            continue
        if ours(str(details.get("dealReference") or "")) or str(row.get("epic")) not in symbols:
            continue
        symbol, lot = symbols[str(row.get("epic"))]
        size, level = exact(details.get("size"), "size"), exact(details.get("level"), "level")
        if size > 0 and level > 0:
            shares = size * lot
            whole = shares.to_integral_value()
            found.append(Stopped(f"ig:{row.get('dealId')}", symbol, whole if whole == shares else shares, level / lot))
    return found[::-1]


def references_of(activity: Iterable[Mapping[str, Any]], positions: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return every reference that IG is seen to know."""
    known = {str((row.get("details") or {}).get("dealReference")) for row in activity}
    known |= {str((row.get("position") or {}).get("dealReference")) for row in positions}
    return frozenset(known - {"None", ""})


def instant_of(text: Any, default: datetime) -> datetime:
    """Return an instant of an answer, UTC; the default where there is none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return default
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
