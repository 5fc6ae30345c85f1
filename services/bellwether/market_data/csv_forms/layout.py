"""Which column of a file means what, and whose form it is (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bellwether.market_data.csv_forms import dates, numbers
from bellwether.market_data.csv_forms.cells import FormError, Line

Prices = Literal["raw", "splitAdjusted", "adjusted"]
"""What prices are stated in: as traded; restated after later splits; restated after later splits and dividends."""

PRICES = ("open", "high", "low", "close")
NEEDED = ("date", *PRICES, "volume")
SHOWN = {
    "date": "Date",
    "open": "Open",
    "high": "High",
    "low": "Low",
    "close": "Close",
    "volume": "Volume",
    "adjusted": "Adj Close",
    "dividend": "Dividends",
    "split": "Stock Splits",
}
"""The names under which columns are reported."""
HEADER_WITHIN = 15
"""How many lines may stand before the titles."""

_MEANING = {
    "date": "date datetime timestamp day tradedate tradingdate quotedate",
    "open": "open openprice 1open",
    "high": "high highprice 2high",
    "low": "low lowprice 3low",
    "close": "close closeprice closelast closinglast closingprice 4close last lastprice price "
    "closeclosepriceadjustedforsplits",
    "adjusted": "adjclose adjustedclose adjcloseprice 5adjustedclose "
    "adjcloseadjustedclosepriceadjustedforsplitsanddividendandorcapitalgaindistributions",
    "volume": "volume vol totalvolume tradedvolume 5volume 6volume",
    "dividend": "dividends dividend dividendamount divcash 7dividendamount",
    "split": "stocksplits stocksplit splits split splitcoefficient splitfactor 8splitcoefficient",
    "ticker": "ticker symbol code",
    "period": "per period",
    "time": "time",
}
_BY_TITLE = {title: meaning for meaning, titles in _MEANING.items() for title in titles.split()}


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is to be read.

    Attributes:
        form: whose form it is, in words.
        columns: per meaning (date, open, …, dividend, split, ticker, period, time) the position of its column.
        first: position of the first line with values.
        prices: what the form says of its prices, None where it says nothing.
        firm: columns of its own say so; else it is only the custom of that form, and the declaration may know better.
        order: what the form says of 2/01/2020, None where it says nothing.
    """

    form: str
    columns: Mapping[str, int]
    first: int
    prices: Prices | None = None
    order: dates.Order | None = None
    titles: tuple[str, ...] = field(default=())
    firm: bool = True


def layout_of(lines: Sequence[Line], symbol: str, name: str) -> Layout:
    """Return how a file is to be read.

    Raises:
        FormError: when no line has titles, or a column that is needed is missing.
    """
    if not lines:
        raise FormError(f"{name}: it is empty; the first line must have titles such as Date,Open,High,Low,Close,Volume")
    stacked = _stacked(lines, symbol, name)
    if stacked is not None:
        return stacked
    for at, line in enumerate(lines[:HEADER_WITHIN]):
        meanings = _meanings(line.cells)
        if len(meanings.keys() & set(NEEDED)) >= 4:
            return _of_titles(line, meanings, at, name)
    plain = _without_titles(lines)
    if plain is not None:
        return plain
    shown = lines[0].fault or f"it has {','.join(lines[0].cells)[:120]}"
    raise FormError(
        f"{name}, line {lines[0].number}: no titles are found; {shown}; needed are "
        f"{','.join(SHOWN[meaning] for meaning in NEEDED)}"
    )


def _plain_title(title: str) -> str:
    return re.sub(r"[^a-z0-9]", "", title.lower())


def _meanings(titles: Sequence[str]) -> dict[str, int]:
    """Return the position of each meaning; an exact `close` or `volume` goes before a looser title."""
    found: dict[str, int] = {}
    for at, title in enumerate(titles):
        plain = _plain_title(title)
        meaning = _BY_TITLE.get(plain)
        if meaning is not None and (meaning not in found or plain == meaning):
            found[meaning] = at
    if "date" not in found and titles and not titles[0]:
        found["date"] = 0
    if "date" not in found and "time" in found:
        found["date"] = found.pop("time")
    return found


def _of_titles(line: Line, meanings: dict[str, int], at: int, name: str) -> Layout:
    missing = [SHOWN[meaning] for meaning in NEEDED if meaning not in meanings]
    if missing:
        titles = ",".join(title for title in line.cells if title)
        raise FormError(
            f"{name}, line {line.number}: column {missing[0]} is missing; it has {titles}, needed are "
            f"{','.join(SHOWN[meaning] for meaning in NEEDED)}"
        )
    layout = Layout("a table with titles", meanings, at + 1, titles=line.cells)
    plain = [_plain_title(title) for title in line.cells]
    return _named(layout, plain, line.cells)


def _named(layout: Layout, plain: Sequence[str], titles: Sequence[str]) -> Layout:
    """Return the layout with whose form it is, and what that form says."""
    have = set(layout.columns)
    if titles[0].startswith("<"):
        return replace(layout, form="Stooq (bulk)")
    if "closelast" in plain:
        return replace(layout, form="Nasdaq", order="monthFirst")
    if "price" in plain and "change" in plain:
        return replace(layout, form="Investing.com")
    if "splitcoefficient" in plain and "dividendamount" in plain:
        return replace(layout, form="Alpha Vantage (adjusted)", prices="raw")
    if "splitfactor" in plain and "divcash" in plain:
        return replace(layout, form="Tiingo", prices="raw")
    if [title for title in titles if title] == ["timestamp", "open", "high", "low", "close", "volume"]:
        return replace(layout, form="Alpha Vantage", prices="raw", firm=False)
    if {"dividend", "split"} <= have:
        if "adjusted" in have:
            return replace(layout, form="yfinance history(auto_adjust=False)", prices="splitAdjusted")
        return replace(layout, form="yfinance history()", prices="adjusted")
    if "adjusted" in have:
        return replace(layout, form="Yahoo's export")
    return layout


def _stacked(lines: Sequence[Line], symbol: str, name: str) -> Layout | None:
    """Return the layout of yfinance's download(): titles, symbols and the index's name on two or three lines."""
    heads = [line.cells for line in lines[:3]]
    firsts = [_plain_title(cells[0]) if cells else "" for cells in heads]
    if len(heads) < 3 or firsts[0] not in ("price", "ticker", "attributes", "symbols", ""):
        return None
    second_is_head = firsts[1] in ("ticker", "price", "symbols", "")
    if not second_is_head or numbers.number(heads[1][1] if len(heads[1]) > 1 else "") is not None:
        return None
    titles, symbols = heads[0], heads[1]
    if len(_meanings(("date", *symbols[1:]))) > len(_meanings(("date", *titles[1:]))):
        titles, symbols = symbols, titles
    first = 3 if firsts[2] in ("date", "datetime", "index") and not any(heads[2][1:]) else 2
    wanted = {_same(symbol), ""}
    held = sorted({cell for cell in symbols[1:] if cell})
    if len(held) > 1 and _same(symbol) not in {_same(cell) for cell in held}:
        raise FormError(f"{name}, line 2: it has no columns of {symbol}, but of {', '.join(held[:12])}")
    chosen = tuple(
        title if len(held) < 2 or (at < len(symbols) and _same(symbols[at]) in wanted) else ""
        for at, title in enumerate(titles)
    )
    meanings = _meanings(("date", *chosen[1:]))
    layout = _of_titles(Line(1, ("date", *chosen[1:])), meanings, first - 1, name)
    if {"dividend", "split"} <= set(meanings):
        return replace(layout, form=layout.form.replace("history(", "download(actions=True, ").replace(", )", ")"))
    if "adjusted" in meanings:
        return replace(layout, form="yfinance download(auto_adjust=False)", prices="splitAdjusted")
    return replace(layout, form="yfinance download()", prices="adjusted", firm=False)


def _without_titles(lines: Sequence[Line]) -> Layout | None:
    """Return the layout of a table without titles: [symbol,] day, open, high, low, close, volume."""
    cells = [cell for cell in lines[0].cells if cell]
    for shift in (0, 1):
        if len(cells) != 6 + shift or len(lines[0].cells) < len(cells):
            continue
        stamp = dates.stamp(cells[shift], "dayFirst") or dates.stamp(cells[shift], "monthFirst")
        if stamp is None or any(numbers.number(cell) is None for cell in cells[shift + 1 :]):
            continue
        columns = {meaning: at + shift for at, meaning in enumerate(NEEDED)}
        if shift:
            columns["ticker"] = 0
        return Layout("a table without titles", columns, 0)
    return None


def _same(symbol: str) -> str:
    return symbol.strip().upper()


def only_of(lines: Sequence[Line], layout: Layout, symbol: str, name: str) -> list[Line]:
    """Return the lines with values that are of this symbol.

    A file of one share may name it in another way (CBA for CBA.AX).

    Raises:
        FormError: when the file holds several shares, and not this one; or bars that are longer than a day.
    """
    rows = list(lines[layout.first :])
    _daily(rows, layout, name)
    at = layout.columns.get("ticker")
    if at is None:
        return rows
    held = {line.cells[at] for line in rows if len(line.cells) > at and line.cells[at]}
    if len(held) < 2:
        return rows
    if not any(_same(one) == _same(symbol) for one in held):
        raise FormError(f"{name}: it has no rows of {symbol}, but of {', '.join(sorted(held)[:12])}")
    return [line for line in rows if line.fault or (len(line.cells) > at and _same(line.cells[at]) == _same(symbol))]


def _daily(rows: Sequence[Line], layout: Layout, name: str) -> None:
    at = layout.columns.get("period")
    if at is None:
        return
    for line in rows:
        if len(line.cells) > at and line.cells[at].upper() not in ("", "D", "1D", "1440"):
            raise FormError(f"{name}, line {line.number}: its period is {line.cells[at]}: only daily bars (D) are read")
