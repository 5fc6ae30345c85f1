"""What IG's confirms, activity and positions say of one order, and its transactions of money. Pure.

Three places tell of an order, and each can lack it: a confirm is gone after a minute, and may answer 404 or 405 for an
order that was filled; activity comes late and may lack closes; a position tells only of what was opened and is still
held. What one of them says is true; that all of them say nothing proves nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bellwether.broker.ig.facts import NotUnderstood, exact
from bellwether.broker.ig.words import reason_words
from bellwether.broker.values import Accepted, Adjustment, AdjustmentKind, BrokerEvent, Ended, Fill, Rejected, Stopped

_OPENED_OR_CLOSED = ("POSITION_OPENED", "POSITION_CLOSED", "POSITION_PARTIALLY_CLOSED")
_AMOUNT = re.compile(r"[0-9][0-9,]*(\.[0-9]+)?")
_WORDS: tuple[tuple[AdjustmentKind, tuple[str, ...]], ...] = (
    ("dividend", ("DIVIDEND", "DVD")),
    ("funding", ("INTEREST", "FUNDING", "BORROW", "ADMIN FEE")),
    ("commission", ("COMM",)),
    ("transfer", ("CASH IN", "CASH OUT", "TRANSFER", "DEPOSIT", "WITHDRAWAL", "CARD PAYMENT")),
)


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


def adjustments_of(rows: Iterable[Mapping[str, Any]], names: Mapping[str, str], now: datetime) -> list[Adjustment]:
    """Return an adjustment for each transaction, oldest first; `names` gives the symbol of a market's name.

    IG does not say what a cash transaction is for but in its text, so its words decide; what they do not tell is
    `other`, with the text.

    Raises:
        NotUnderstood: when an amount cannot be read: no money may be overlooked.
    """
    found: dict[str, Adjustment] = {}
    for row in rows:
        text, kind = str(row.get("instrumentName") or "")[:120], str(row.get("transactionType") or "")
        at = instant_of(row.get("dateUtc"), now)
        amount = _amount(row.get("profitAndLoss"))
        known = _kind(text, kind, cash=bool(row.get("cashTransaction")))
        symbol = next((symbol for name, symbol in names.items() if name and name in text), "")
        said = "|".join(str(row.get(key)) for key in sorted(row))
        # A reference is shared by a deal's commission, funding and close, so that the whole row is the identity; two
        # equal rows are two.
        number, digest = 1, hashlib.sha256(said.encode()).hexdigest()[:24]
        while f"ig:{digest}:{number}" in found:
            number += 1
        identity = f"ig:{digest}:{number}"
        found[identity] = Adjustment(identity, at, known, amount, symbol, text)
    return sorted(found.values(), key=lambda one: one.at)


def _kind(text: str, kind: str, *, cash: bool) -> AdjustmentKind:
    if kind == "TRADE" and not cash:
        return "realised"
    upper = text.upper()
    return next((name for name, words in _WORDS if any(word in upper for word in words)), "other")


def _amount(value: Any) -> Decimal:
    text = str(value or "").replace(" ", "")
    sign = -1 if "-" in text else 1
    digits = _AMOUNT.search(text)
    if digits is None:
        raise NotUnderstood(f"profitAndLoss: {text[:40]!r} is no amount")
    return sign * Decimal(digits[0].replace(",", ""))


def closing_price(rows: Iterable[Mapping[str, Any]], name: str, lot: int) -> Decimal | None:
    """Return the average price per share at which positions in a market were closed; None where none were."""
    value = size = Decimal(0)
    for row in rows:
        if row.get("transactionType") == "TRADE" and str(row.get("instrumentName")) == name:
            part = abs(exact(str(row.get("size")).replace(",", ""), "size"))
            value += part * exact(str(row.get("closeLevel")).replace(",", ""), "closeLevel")
            size += part
    return None if size == 0 or value <= 0 else (value / size / lot).quantize(Decimal("0.0001"))
