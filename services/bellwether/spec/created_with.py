"""What the stores of a system were created with, which they keep for good. Pure.

A ledger in dollars that is read on as one in yen is wrong in every figure, and nothing in it would say so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from bellwether.spec.models import GROUP, TradingSystem, money

CREATED_WITH = "begun-with"
ANNOTATION_CREATED_WITH = f"{GROUP}/{CREATED_WITH}"
"""On a volume claim: what the stores on it were created with."""


def created_with(system: TradingSystem) -> dict[str, str]:
    """Return what a store of this system is created with, by the field of the declaration."""
    spec = system.spec
    return {
        "metadata.name": system.metadata.name,
        "spec.market.calendar": spec.market.calendar,
        "spec.trading.currency": spec.trading.currency,
        "spec.trading.initialCash": f"{money(spec.trading.initial_cash):f}",
    }


def differences(was: Mapping[str, str], wanted: Mapping[str, str]) -> str | None:
    """Return in words what has to be declared for a system that goes on with restored stores; None: it is."""
    differ = [name for name in was if name != "metadata.name" and was[name] != wanted[name]]
    if not differ:
        return None
    return "declare " + " and ".join(f"{name}: {was[name]} (it is {wanted[name]})" for name in differ)


def encode(facts: Mapping[str, str]) -> str:
    """Return the text that stands for what a store was created with."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"))


def decode(text: str) -> dict[str, str]:
    """Return what a text stands for; nothing where somebody put another text in its place."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def created_differently(what: str, was: Mapping[str, str], declared: Mapping[str, str]) -> str | None:
    """Return in words why a store or its volume is not this declaration's, or None when it is.

    Args:
        what: the store or the volume.
        was: what it was created with; what it does not say is no difference.
        declared: what it would be created with now.
    """
    others = [name for name, value in declared.items() if was.get(name, value) != value]
    if not others:
        return None
    differ = ", ".join(f"{name} is {declared[name]} and was {was[name]}" for name in others)
    right = " and ".join(f"{name}: {was[name]}" for name in others)
    return (
        f"{what} was created with other values: {differ}. Declare {right} to go on with it; "
        "for a new beginning, name the system otherwise or delete the volume with all that is on it"
    )
