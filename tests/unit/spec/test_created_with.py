from __future__ import annotations

from typing import Any

import pytest

from bellwether.spec.created_with import created_differently, created_with, decode, encode
from bellwether.spec.models import TradingSystem


def system(name: str = "demo", calendar: str = "XNYS", currency: str = "USD", **trading: Any) -> TradingSystem:
    spec = {
        "market": {"calendar": calendar},
        "symbols": ["AAPL"],
        "trading": {"mode": "simulated", "currency": currency, **trading},
    }
    document = {"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingSystem", "metadata": {"name": name}}
    return TradingSystem.model_validate({**document, "spec": spec})


@pytest.mark.parametrize(
    ("other", "field"),
    [
        ({"name": "other"}, "metadata.name"),
        ({"calendar": "XTKS"}, "spec.market.calendar"),
        ({"currency": "JPY"}, "spec.trading.currency"),
        ({"initialCash": "7"}, "spec.trading.initialCash"),
    ],
)
def test_another_system_calendar_currency_or_cash_is_another_beginning(other: dict[str, Any], field: str) -> None:
    words = created_differently("bars.db", created_with(system()), created_with(system(**other)))
    assert words is not None
    assert words.startswith(f"bars.db was created with other values: {field} is ")


def test_whatever_else_changes_is_the_same_beginning() -> None:
    after = created_with(system(halted=True, initialCash="100000"))
    assert created_differently("bars.db", decode(encode(created_with(system(initialCash="100000")))), after) is None


@pytest.mark.parametrize("text", ["", "[]", "null", "{"])
def test_a_text_that_somebody_put_in_its_place_says_nothing(text: str) -> None:
    assert created_differently("bars.db", decode(text), created_with(system())) is None
