"""Prices, costs and sizes, exactly: prices and costs to 1/10000, commission to 1/100 of the currency."""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from bellwether.broker.costs import CENT, ONE, PRICE_STEP, Quote, costs_of, with_slippage
from bellwether.messages.trading import Side
from bellwether.trading.rules import Rules

__all__ = ["CENT", "ONE", "PRICE_STEP", "ZERO", "Quote", "exact_price", "most_shares", "quote", "text", "whole_shares"]

ZERO = Decimal(0)


def text(number: Decimal) -> str:
    """Return an amount without exponent or trailing zeros."""
    plain = f"{number:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def exact_price(price: float) -> Decimal:
    """Return a bar's price to 1/10000, zero for what is no price (zero, negative, not a number)."""
    if not math.isfinite(price) or price <= 0:
        return ZERO
    return Decimal(repr(price)).quantize(PRICE_STEP, ROUND_HALF_UP)


def quote(side: Side, quantity: Decimal, price: Decimal, rules: Rules) -> Quote:
    """Return what an order costs at this market price: slippage and rounding are always to the account's cost."""
    return costs_of(side, quantity, price, rules.costs)


def whole_shares(rules: Rules, equity: Decimal, price: Decimal) -> Decimal:
    """Return how many whole shares the sizing rule buys at this price with slippage; 0 when it is not one."""
    if price <= 0:
        return ZERO
    money = rules.sizing_value if rules.sizing_method == "fixedValue" else equity * rules.sizing_value
    if money <= 0:
        return ZERO
    paid = with_slippage("BUY", price, rules.costs)
    return (money / paid).quantize(ONE, ROUND_DOWN)


def most_shares(money: Decimal, price: Decimal, rules: Rules, *, with_commission: bool) -> Decimal:
    """Return the most whole shares whose purchase costs no more than `money`: their value, or that and commission."""
    paid = with_slippage("BUY", price, rules.costs)
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
