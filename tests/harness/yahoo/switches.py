"""The odd ways of Yahoo, each of which can be turned on while the stand-in runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

Shape = Literal["", "no-timestamp", "no-currency", "renamed", "text"]

OfNews = Literal["", "limited", "consent", "null", "empty", "renamed", "odd"]


@dataclass(frozen=True)
class Switches:
    """What is odd now; everything is off by default. Instants are relative to the clock of the stand-in."""

    symbols: tuple[str, ...] = ()
    """The symbols that the switches on charts hold for; none: all."""
    rate_limited: bool = False
    """429 on charts and news."""
    crumb_limited: bool = False
    """429 on the crumb."""
    stale_crumbs: int = 0
    """So many chart requests more are refused with 401 "Invalid Crumb"."""
    consent: bool = False
    """The consent page, as HTML with status 200, in place of every answer."""
    empty: bool = False
    """`result: []`."""
    empty_quote: bool = False
    """A result with `timestamp: []` and an empty quote."""
    delisted: bool = False
    """404 and `chart.error`: "No data found, symbol may be delisted"."""
    null_rows: int = 0
    """The rows before the last one, so many of them, are null."""
    last_row_null: bool = False
    """The newest row has no prices."""
    hundredfold: int = 0
    """The newest rows, so many of them, are stated at 100 times their price."""
    split_untold: bool = False
    """Splits are neither listed nor worked into earlier prices: the price only falls."""
    restated: float = 1.0
    """Every price and dividend is multiplied by this: history as restated for another reason than a split."""
    day_early: bool = False
    """Rows of the exchange's summer time carry an instant of the day before."""
    shape: Shape = ""
    """A changed shape of charts."""
    news: OfNews = ""
    """News: 429, the consent page, `tickerStream: null`, no article, a changed shape, odd articles among good ones."""
    down: bool = False
    """Status 500 and a page that says "Will be right back"."""
    slow: float = 0.0
    """Seconds that each answer takes."""
    broken: Literal["", "connect", "headers", "body"] = ""
    """Where each connection breaks off."""
    currency: str = ""
    """Currency in place of the share's own."""
    timezone: str = ""
    """Time zone in place of the exchange's."""
    exchange: str = ""
    """The exchange's name in place of the share's own."""
    withheld: bool = False
    """The row of the newest session is not there."""

    def holds(self, symbol: str) -> bool:
        """Whether the switches on charts hold for a symbol."""
        return not self.symbols or symbol in self.symbols

    def changed(self, values: Mapping[str, Any]) -> Switches:
        """Return these switches with others in place of some.

        Raises:
            ValueError: naming a switch that there is not, or a value that it cannot have.
        """
        known = {field.name: field for field in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"there is no switch {name!r}; there are {', '.join(known)}")
            wanted = type(getattr(self, name))
            if wanted is float and type(value) is int:
                continue
            if wanted is tuple and isinstance(value, list | tuple):
                continue
            if type(value) is not wanted:
                raise ValueError(f"switch {name}: {value!r} is not of type {wanted.__name__}")
        if values.get("shape", "") not in get_args(Shape):
            raise ValueError(f"switch shape: {values['shape']!r} is none of {', '.join(get_args(Shape))}")
        if values.get("news", "") not in get_args(OfNews):
            raise ValueError(f"switch news: {values['news']!r} is none of {', '.join(get_args(OfNews))}")
        given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return replace(self, **given)
