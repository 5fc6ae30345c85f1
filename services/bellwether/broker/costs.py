"""What an order costs: slippage on the price, commission on the value. Prices to 1/10000, commission to 1/100."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal

from bellwether.messages.trading import Side

PRICE_STEP = Decimal("0.0001")
CENT = Decimal("0.01")
ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Costs:
    """Declared costs: money per filled order, shares of the traded value, share by which a price is worse."""

    commission_per_order: Decimal
    commission_rate: Decimal
    slippage_rate: Decimal


@dataclass(frozen=True, slots=True)
class Quote:
    """What an order costs: `price` per share with slippage, `value` of all shares, `commission`."""

    price: Decimal
    value: Decimal
    commission: Decimal


def with_slippage(side: Side, price: Decimal, costs: Costs) -> Decimal:
    """Return the price that is paid or got; rounding is to the account's cost, like slippage."""
    if side == "BUY":
        return (price * (ONE + costs.slippage_rate)).quantize(PRICE_STEP, ROUND_UP)
    return (price * (ONE - costs.slippage_rate)).quantize(PRICE_STEP, ROUND_DOWN)


def costs_of(side: Side, quantity: Decimal, price: Decimal, costs: Costs) -> Quote:
    """Return what an order costs at this market price."""
    paid = with_slippage(side, price, costs)
    value = paid * quantity
    commission = (costs.commission_per_order + value * costs.commission_rate).quantize(CENT, ROUND_UP)
    return Quote(price=paid, value=value, commission=commission)
