"""What commands that look have in common: arguments, and how their answers are drawn."""

from __future__ import annotations

from typing import Annotated, Any

import typer

LOOK = "Look"

Count = Annotated[int, typer.Option("-l", "--lines", min=1, max=500, help="How many at most.")]
Symbol = Annotated[str, typer.Argument(help="The share, as declared: AAPL, CBA.AX.")]
MaybeSymbol = Annotated[str | None, typer.Argument(help="Only this share.")]


def shown(name: str) -> Any:
    """Return what draws an answer by a function of `show`, loaded only when something is drawn."""

    def draw(found: Any) -> Any:
        from bellwether.cli import show

        return getattr(show, name)(found)

    return draw


def shown_news(name: str) -> Any:
    """Return what draws an answer by a function of `show_news`."""

    def draw(found: Any) -> Any:
        from bellwether.cli import show_news

        return getattr(show_news, name)(found)

    return draw


def part(name: str, key: str) -> Any:
    """Return what draws one part of an answer by a function of `show`."""
    return lambda found: shown(name)(found[key])
