"""An order in IG's form, and why one must not be sent. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bellwether.broker.ig.facts import MarketFacts
from bellwether.broker.ig.settings import Settings
from bellwether.broker.values import NewOrder


def refusal_of(order: NewOrder, lot: int, held: Decimal) -> str:
    """Return why an order must not be sent, with so many contracts held; empty: it may."""
    if order.quantity % lot:
        return "SIZE_INCREMENT"
    if order.side == "SELL" and order.quantity / lot > held:
        # It would net what is held and open a short position with the rest.
        return "EXCEEDS_HOLDING"
    return ""


def ticket_of(order: NewOrder, facts: MarketFacts, lot: int, settings: Settings) -> dict[str, Any]:
    """Return the body of POST /positions/otc, version 2."""
    stop = None if order.stop_distance is None or order.side == "SELL" else float(order.stop_distance * lot)
    return {
        "currencyCode": settings.currency,
        "dealReference": order.reference,
        "direction": order.side,
        "epic": facts.epic,
        "expiry": facts.expiry,
        # IG takes a stop only together with a position of its own.
        "forceOpen": stop is not None,
        "guaranteedStop": False,
        "orderType": "MARKET",
        "size": float(order.quantity / lot),
        "stopDistance": stop,
        "timeInForce": "EXECUTE_AND_ELIMINATE"
        if order.partial or settings.time_in_force == "EXECUTE_AND_ELIMINATE"
        else "FILL_OR_KILL",
    }
