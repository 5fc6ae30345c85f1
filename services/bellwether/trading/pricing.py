"""Prices, costs and sizes, exactly: prices and costs to 1/10000, commission to 1/100 of the currency."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, ROUND_UP, Decimal

from bellwether.messages.trading import Side
from bellwether.trading.rules import Rules

PRICE_STEP = Decimal("0.0001")
CENT = Decimal("0.01")
ONE = Decimal(1)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Quote:
    """What an order costs: `price` per share with slippage, `value` of all shares, `commission`."""

    price: Decimal
    value: Decimal
    commission: Decimal


def exact_price(price: float) -> Decimal:
    """Return a bar's price to 1/10000, zero for what is no price (zero, negative, not a number)."""
    if not math.isfinite(price) or price <= 0:
        return ZERO
    return Decimal(repr(price)).quantize(PRICE_STEP, ROUND_HALF_UP)


def quote(side: Side, quantity: Decimal, price: Decimal, rules: Rules) -> Quote:
    """Return what an order costs at this market price: slippage and rounding are always to the account's cost."""
    if side == "BUY":
        paid = (price * (ONE + rules.slippage_rate)).quantize(PRICE_STEP, ROUND_UP)
    else:
        paid = (price * (ONE - rules.slippage_rate)).quantize(PRICE_STEP, ROUND_DOWN)
    value = paid * quantity
    commission = (rules.commission_per_order + value * rules.commission_rate).quantize(CENT, ROUND_UP)
    return Quote(price=paid, value=value, commission=commission)


def whole_shares(rules: Rules, equity: Decimal, price: Decimal) -> Decimal:
    """Return how many whole shares the sizing rule buys at this price with slippage; 0 when it is not one."""
    if price <= 0:
        return ZERO
    money = rules.sizing_value if rules.sizing_method == "fixedValue" else equity * rules.sizing_value
    if money <= 0:
        return ZERO
    paid = (price * (ONE + rules.slippage_rate)).quantize(PRICE_STEP, ROUND_UP)
    return (money / paid).quantize(ONE, ROUND_DOWN)


def most_shares(money: Decimal, price: Decimal, rules: Rules, *, with_commission: bool) -> Decimal:
    """Return the most whole shares whose purchase costs no more than `money`: their value, or that and commission."""
    paid = (price * (ONE + rules.slippage_rate)).quantize(PRICE_STEP, ROUND_UP)
    rate = ONE + rules.commission_rate if with_commission else ONE
    free = money - rules.commission_per_order if with_commission else money
    if free <= 0 or paid <= 0:
        return ZERO
    found = (free / (paid * rate)).quantize(ONE, ROUND_DOWN)
    while found > 0:
        cost = quote("BUY", found, price, rules)
        # The commission is rounded up to a cent, so that one share less may be what the money pays for.
        if cost.value + (cost.commission if with_commission else ZERO) <= money:
            break
        found -= 1
    return found
