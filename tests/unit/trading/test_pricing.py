from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest

from bellwether.trading.pricing import exact_price, quote, whole_shares
from unit.trading.making import FREE, RULES


def test_slippage_and_commission_are_to_the_account_s_cost() -> None:
    bought = quote("BUY", Decimal(10), Decimal(50), RULES)
    sold = quote("SELL", Decimal(10), Decimal(50), RULES)
    assert (bought.price, bought.value, bought.commission) == (Decimal("50.0250"), Decimal("500.25"), Decimal("5.41"))
    assert (sold.price, sold.value, sold.commission) == (Decimal("49.9750"), Decimal("499.75"), Decimal("5.40"))


@pytest.mark.parametrize("nothing", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_price_is_zero(nothing: float) -> None:
    assert exact_price(nothing) == 0


def test_a_bar_s_price_is_taken_as_it_is_written() -> None:
    assert exact_price(85.88) == Decimal("85.8800")


def test_a_fixed_value_buys_whole_shares_and_never_for_more() -> None:
    assert whole_shares(FREE, Decimal(100000), Decimal("333.34")) == 2
    assert whole_shares(FREE, Decimal(100000), Decimal("333.33")) == 3
    assert whole_shares(RULES, Decimal(100000), Decimal("333.33")) == 2
    assert whole_shares(FREE, Decimal(100000), Decimal(1001)) == 0


def test_a_fraction_of_equity_follows_equity() -> None:
    rules = replace(FREE, sizing_method="equityFraction", sizing_value=Decimal("0.1"))
    assert whole_shares(rules, Decimal(100000), Decimal(50)) == 200
    assert whole_shares(rules, Decimal(50000), Decimal(50)) == 100
    assert whole_shares(rules, Decimal(-1), Decimal(50)) == 0
    assert whole_shares(rules, Decimal(50000), Decimal(0)) == 0
