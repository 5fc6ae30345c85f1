"""`bellwether serving`: how the models in service fare, drawn for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bellwether.cli.options import GatewayAccess, talks

if TYPE_CHECKING:
    from rich.console import RenderableType

CHANGED, STRONGLY = 0.1, 0.25
"""From which index on a feature is said to have changed, by custom."""


@talks
def serving(access: GatewayAccess) -> None:
    """Show how predictions fare live, by symbol beside the base rate, and how far features drifted.

    The index of drift (PSI) compares the newest decisions' features with the
    training rows: below 0.1 is no change, above 0.25 a large one.
    """
    access.show(access.client.get("/v1/serving"), drawn)


def drawn(found: dict[str, Any]) -> RenderableType:
    """Return the record by symbol, and each model's drift, the largest first."""
    from rich.console import Group
    from rich.text import Text

    from bellwether.cli.show import table_of

    right = ("sessions", "decisions", "signals", "hit rate", "base", "Brier", "its base")
    table = table_of("symbol", *right, right=right)
    for symbol, one in found["symbols"].items():
        table.add_row(
            symbol,
            str(one["sessions"]),
            str(one["decisions"]),
            str(one["signals"]),
            _interval(one["hit_rate"]),
            _share(one["base_hit_rate"]),
            _score(one["brier"]),
            _score(one["base_brier"]),
        )
    parts: list[RenderableType] = [table]
    for one in found["drift"]:
        words = one["problem"] or f"{one['rows']} decisions beside the training rows"
        parts += [Text(), Text(f"drift of model {one['version'][:12]}: {words}")]
        drift = table_of("feature", "PSI", "", right=("PSI",))
        for name, value in sorted(one["index"].items(), key=lambda item: -(item[1] or 0.0)):
            drift.add_row(name, "-" if value is None else f"{value:.3f}", _said(value))
        if one["index"]:
            parts.append(drift)
    return Group(*parts)


def _said(value: float | None) -> str:
    if value is None or value < CHANGED:
        return ""
    return "changed" if value < STRONGLY else "changed strongly"


def _interval(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "-"
    within = "" if found.get("low") is None else f" ({found['low']:.2f} to {found['high']:.2f})"
    return f"{found['value']:.2f}{within}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
