"""From the bytes of a file to what it states of one symbol (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, time
from zoneinfo import ZoneInfo

from bellwether.market_data.csv_forms import dates, numbers, series
from bellwether.market_data.csv_forms.cells import FormError, Line, delimiter_of, split_lines, text_lines
from bellwether.market_data.csv_forms.layout import PRICES, Layout, Prices, layout_of, only_of
from bellwether.market_data.csv_forms.rows import NO_TRADING, Reading, parse
from bellwether.market_data.rows import OddRow, SourceRow

MOST_ODD = 0.05
"""The share of odd rows above which a file is refused, if nothing is declared."""
_SHOWN_ODD = 3


@dataclass(frozen=True, slots=True)
class Options:
    """What the declaration says of files, and what is known beside them.

    Attributes:
        prices: what prices are stated in where the form has no columns that say it; None: as its custom is.
        order: how 2/01/2020 is read; None: as the form or the file's other days say.
        most_odd: the share of rows that may be left out; at least one row may, unless it is 0.
        zone: the exchange's time zone, None where it is not known.
        today: the last day that can have come anywhere.
    """

    today: date
    prices: Prices | None = None
    order: dates.Order | None = None
    most_odd: float = MOST_ODD
    zone: ZoneInfo | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a file states of one symbol.

    Attributes:
        form: whose form it is, in words.
        prices: what its prices are stated in, None where the adjusted closes beside them tell.
        rows: by session, each once.
        states_actions: splits and dividends have columns of their own.
        odd: the rows that were left out, by line.
    """

    form: str
    prices: Prices | None
    rows: tuple[SourceRow, ...]
    states_actions: bool
    odd: tuple[OddRow, ...]

    @property
    def split_adjusted(self) -> bool:
        """Prices are stated in the units after later splits."""
        return self.prices in ("splitAdjusted", "adjusted")


def read(content: bytes, symbol: str, name: str, options: Options) -> Found:
    """Return what a file states of a symbol.

    Raises:
        FormError: when it cannot be read as daily bars, or the declaration has to say more.
    """
    texts = text_lines(content)
    delimiter = delimiter_of(texts)
    lines = split_lines(texts, delimiter)
    layout = layout_of(lines, symbol, name)
    values = only_of(lines, layout, symbol, name)
    reading = _reading(layout, values, delimiter, name, options)
    parsed = [parse(line, reading) for line in values]
    rows = [row for row in parsed if isinstance(row, SourceRow)]
    odd = [row for row in parsed if isinstance(row, OddRow)]
    if not rows:
        raise FormError(f"{name}: it has no row with prices{_examples(odd)}")
    _once_a_day(values, rows, reading)
    rows, repeated = series.each_day_once(rows, newest_first=rows[0].session > rows[-1].session)
    rows, spikes = series.without_spikes(rows)
    odd = sorted((*odd, *repeated, *spikes), key=lambda row: _number(row.where))
    _few(odd, len(parsed), options.most_odd, name)
    series.check_past(rows, options.today, name)
    series.check_daily(rows, name)
    prices = _prices(layout, name, options)
    states = {"dividend", "split"} <= set(layout.columns)
    return Found(layout.form, prices, tuple(_restated(rows, prices, layout)), states, tuple(odd))


def _reading(layout: Layout, values: Sequence[Line], delimiter: str, name: str, options: Options) -> Reading:
    at = layout.columns["date"]
    days = [(f"line {line.number}", line.cells[at]) for line in values if at < len(line.cells)]
    order = options.order or layout.order or dates.order_of(days, name)
    if order is None:
        unclear = next(((where, text) for where, text in days if dates.needs_order(text)), None)
        if unclear is not None:
            raise FormError(
                f"{name}, {unclear[0]}: whether {unclear[1]} has the day or the month first cannot be known: set "
                "data.csv.dates to dayFirst or monthFirst"
            )
    cells = [
        line.cells[layout.columns[meaning]]
        for line in values
        for meaning in PRICES
        if layout.columns[meaning] < len(line.cells)
    ]
    style = numbers.style_of(cells, delimiter=delimiter)
    if style == "unclear":
        raise FormError(
            f"{name}: whether the comma of {cells[0]} is one of thousands cannot be known: write a point for it"
        )
    width = max(len(layout.titles), max(layout.columns.values()) + 1)
    return Reading(name, layout.columns, order, style, options.zone, width)


def _once_a_day(values: Sequence[Line], rows: Sequence[SourceRow], reading: Reading) -> None:
    """Check that rows are of days, not of hours.

    Raises:
        FormError: when most days have several times of day.
    """
    at, clock = reading.columns["date"], reading.columns.get("time")
    times: dict[date, set[time | str]] = {}
    for line in values:
        stamp = dates.stamp(line.cells[at], reading.order) if at < len(line.cells) else None
        if stamp is not None:
            said = line.cells[clock] if clock is not None and clock < len(line.cells) else stamp.at or ""
            times.setdefault(stamp.day, set()).add(said)
    if sum(len(found) > 1 for found in times.values()) * 2 > len(times) and len(rows) > 2:
        raise FormError(f"{reading.name}: its rows are of times within the day: only daily bars are read")


def _few(odd: Sequence[OddRow], count: int, most: float, name: str) -> None:
    counted = [row for row in odd if row.code not in (NO_TRADING, "REPEATED")]
    if len(counted) <= math.ceil(most * count):
        return
    raise FormError(
        f"{name}: {len(counted)} of {count} rows are odd, more than data.csv.maxOddRows {most:g} allows"
        f"{_examples(counted)}"
    )


def _examples(odd: Sequence[OddRow]) -> str:
    if not odd:
        return ""
    more = f" and {len(odd) - _SHOWN_ODD} more" if len(odd) > _SHOWN_ODD else ""
    return ": " + "; ".join(f"{row.where.rpartition(', ')[2]}: {row.message}" for row in odd[:_SHOWN_ODD]) + more


def _prices(layout: Layout, name: str, options: Options) -> Prices | None:
    firm = layout.prices if layout.firm else None
    prices = firm or options.prices or layout.prices
    if prices is None and "adjusted" not in layout.columns:
        raise FormError(
            f"{name}: {layout.form} does not say what its prices are: set data.csv.prices to raw (as traded), "
            "splitAdjusted (restated after later splits) or adjusted (after splits and dividends)"
        )
    return prices


def _restated(rows: Sequence[SourceRow], prices: Prices | None, layout: Layout) -> list[SourceRow]:
    if prices != "adjusted":
        return list(rows)
    if "dividend" in layout.columns and "adjusted" not in layout.columns:
        return series.without_dividends_taken_out(rows)
    return [replace(row, adjusted_close=row.close) for row in rows]


def _number(where: str) -> int:
    return int(where.rpartition(" ")[2])
