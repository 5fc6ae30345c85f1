"""What commands that look have in common: arguments, and how their answers are drawn."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer

LOOK = "Look"

Count = Annotated[int, typer.Option("-l", "--lines", min=1, max=500, help="How many at most.")]
Symbol = Annotated[str, typer.Argument(help="The share, as declared: AAPL, CBA.AX.")]
MaybeSymbol = Annotated[str | None, typer.Argument(help="Only this share.")]


def shown(name: str, module: str = "show") -> Any:
    """Return what draws an answer by a function of a module beside, loaded only when something is drawn."""

    def draw(found: Any) -> Any:
        return getattr(importlib.import_module(f"bellwether.cli.{module}"), name)(found)

    return draw


def part(name: str, key: str, module: str = "show") -> Any:
    """Return what draws one part of an answer in that way."""
    return lambda found: shown(name, module)(found[key])
