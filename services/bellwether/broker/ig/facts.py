"""What IG says of a market, what of that speaks against trading it, and an order in IG's form. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from bellwether.broker.ig.settings import Settings
from bellwether.broker.ig.words import status_words
from bellwether.broker.values import NewOrder

ZERO = Decimal(0)
SHARES = "SHARES"
NO_EXPIRY = ("-", "DFB")


@dataclass(frozen=True)
class MarketFacts:
    """One answer of /markets; prices in the market's currency, sizes in contracts."""

    epic: str
    name: str
    kind: str
    expiry: str
    currencies: tuple[str, ...]
    status: str
    order_preference: str
    min_size: Decimal
    min_size_unit: str
    margin: Decimal
    margin_unit: str
    bid: Decimal
    offer: Decimal

    @property
    def middle(self) -> Decimal:
        """The middle of bid and offer; zero where one of them is missing."""
        return (self.bid + self.offer) / 2 if self.bid > 0 and self.offer > 0 else ZERO

    @property
    def takes_market_orders(self) -> bool:
        """Whether the market takes orders without a level."""
        return self.order_preference != "NOT_AVAILABLE"


class NotUnderstood(ValueError):
    """An answer of IG is not what its reference says; the message names the part."""


def exact(value: Any, name: str) -> Decimal:
    """Return a number of an answer as an exact one; zero for null.

    Raises:
        NotUnderstood: when it is no number.
    """
    if value is None:
        return ZERO
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise NotUnderstood(f"{name}: {str(value)[:40]!r} is no number")
    return found


def facts_of(answer: Mapping[str, Any]) -> MarketFacts:
    """Return the facts of one market's answer.

    Raises:
        NotUnderstood: when a part is missing.
    """
    try:
        instrument, rules, snapshot = answer["instrument"], answer["dealingRules"], answer["snapshot"]
        least = rules.get("minDealSize") or {}
        return MarketFacts(
            epic=str(instrument["epic"]),
            name=str(instrument["name"]),
            kind=str(instrument["type"]),
            expiry=str(instrument.get("expiry") or "-"),
            currencies=tuple(str(one["code"]) for one in instrument.get("currencies") or ()),
            status=str(snapshot["marketStatus"]),
            order_preference=str(rules.get("marketOrderPreference", "")),
            min_size=exact(least.get("value"), "minDealSize"),
            min_size_unit=str(least.get("unit", "")),
            margin=exact(instrument.get("marginFactor"), "marginFactor"),
            margin_unit=str(instrument.get("marginFactorUnit", "")),
            bid=exact(snapshot.get("bid"), "bid"),
            offer=exact(snapshot.get("offer"), "offer"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise NotUnderstood(f"IG's answer about a market has no {error}") from error


def problems(facts: MarketFacts, currency: str) -> list[str]:
    """Return what speaks against trading a market, one line each; none: it can be traded."""
    found = []
    if currency not in facts.currencies:
        traded = ", ".join(facts.currencies) or "none"
        found.append(f"it is traded in {traded}, trading.currency is {currency}")
    if facts.expiry not in NO_EXPIRY:
        found.append(f"it expires ({facts.expiry}): a position would be closed then, so take a market without expiry")
    if not facts.takes_market_orders:
        found.append("it takes no market orders (marketOrderPreference NOT_AVAILABLE)")
    if facts.kind != SHARES:
        found.append(f"it is of type {facts.kind}, no share")
    if facts.min_size_unit not in ("", "POINTS", "SHARES", "CONTRACTS"):
        found.append(f"its minimum size is in {facts.min_size_unit}, which is no number of contracts")
    return found


def remarks(facts: MarketFacts, lot_size: int) -> list[str]:
    """Return what a person should know of a market, one line each."""
    shares = "share" if lot_size == 1 else "shares"
    found = [f"one contract is {lot_size} {shares} (trading.instruments: lotSize); IG does not state it, so compare it"]
    unit = facts.min_size_unit.lower() or "contracts"
    found.append(f"the smallest order is {facts.min_size.normalize():f} ({unit})")
    if facts.margin > 0:
        unit = " %" if facts.margin_unit == "PERCENTAGE" else f" {facts.margin_unit.lower()}"
        found.append(
            f"a contract for difference on margin ({facts.margin.normalize():f}{unit}), no share: funding is charged "
            "every night, and a loss can exceed the margin"
        )
    if facts.status != "TRADEABLE":
        found.append(f"now it is {status_words(facts.status)}; orders wait until it is tradeable")
    return found


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
