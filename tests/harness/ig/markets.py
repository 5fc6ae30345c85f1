"""The markets that the stand-in offers: share CFDs with made-up quotes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

SPREAD = Decimal("0.0005")
"""Offer above bid, as a share of the price."""


@dataclass
class Market:
    """One share CFD; prices in its currency, sizes in shares."""

    epic: str
    name: str
    currency: str = "AUD"
    price: Decimal = Decimal("100.00")
    expiry: str = "-"
    kind: str = "SHARES"
    status: str = "TRADEABLE"
    order_preference: str = "AVAILABLE_DEFAULT_OFF"
    min_size: Decimal = Decimal(1)
    min_size_unit: str = "POINTS"
    margin_factor: Decimal = Decimal(20)
    """Percent of a position's value that is held as margin."""

    @property
    def bid(self) -> Decimal:
        """What a sale gets."""
        return (self.price * (1 - SPREAD / 2)).quantize(Decimal("0.01"))

    @property
    def offer(self) -> Decimal:
        """What a purchase costs."""
        return (self.price * (1 + SPREAD / 2)).quantize(Decimal("0.01")) + Decimal("0.01")


def epic_of(symbol: str) -> str:
    """Return the made-up epic of a symbol, in the form of IG's: `AA.D.CBA.CASH.IP` for CBA.AX."""
    return f"AA.D.{symbol.partition('.')[0]}.CASH.IP"


def default_markets(symbols: Iterable[str], currency: str = "AUD") -> dict[str, Market]:
    """Return a market for each symbol, by epic, with prices that differ."""
    found = {}
    for number, symbol in enumerate(symbols):
        epic = epic_of(symbol)
        found[epic] = Market(epic, f"{symbol} Ltd", currency, price=Decimal(40 + 15 * number))
    return found
