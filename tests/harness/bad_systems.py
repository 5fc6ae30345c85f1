"""The table of resources that must be refused, for `validate()` and for a real API server alike."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bellwether.spec.validate_yaml import parse

TABLE = Path(__file__).resolve().parents[1] / "fixtures" / "bad_systems.yaml"

GOOD: dict[str, Any] = {
    "apiVersion": "bellwether.dev/v1alpha1",
    "kind": "TradingSystem",
    "metadata": {"name": "demo", "namespace": "default"},
    "spec": {
        "market": {"calendar": "XNYS"},
        "symbols": ["AAPL", "IBM"],
        "data": {"provider": "replay"},
        "clock": {"mode": "replay", "from": "2009-01-02"},
    },
}


@dataclass(frozen=True)
class BadSystem:
    """One row: the resource, what is stored before (None for a new one), and what is wrong with it."""

    name: str
    document: dict[str, Any]
    stored: dict[str, Any] | None
    problems: dict[str, str]
    rule: bool
    bound: str | None


def bad_systems() -> list[BadSystem]:
    documents, problems = parse(TABLE.read_text("utf-8"))
    assert not problems, problems
    rows = []
    for row in documents[0]:
        stored = merged(GOOD, row["stored"]) if "stored" in row else None
        rows.append(
            BadSystem(
                name=row["name"],
                document=merged(stored or GOOD, row["patch"]),
                stored=stored,
                problems=row["problems"],
                rule=bool(row.get("rule")),
                bound=row.get("bound"),
            )
        )
    return rows


def merged(base: Any, patch: Any) -> Any:
    """Return the base with the patch merged in as a JSON merge patch: blocks merge, null removes, the rest replaces."""
    if not isinstance(base, dict) or not isinstance(patch, dict):
        return copy.deepcopy(patch)
    found = copy.deepcopy(base)
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found
