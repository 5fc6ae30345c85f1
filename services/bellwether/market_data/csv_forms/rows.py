"""One line of a file as a row of prices, or as an odd row with the reason (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from bellwether.market_data.csv_forms import dates, numbers
from bellwether.market_data.csv_forms.cells import Line
from bellwether.market_data.csv_forms.layout import PRICES, SHOWN
from bellwether.market_data.rows import OddRow, SourceRow

ORDER_SLACK = 0.01
"""A price this share outside of low and high is kept with a flag: sources round and correct prices one by one."""
NOISE = 1e-6
"""A share that comes from computing with floats, such as yfinance's adjusted prices: nothing is odd about it."""
ROUNDING = 0.011
"""In money: an amount outside of low and high that rounding each price by itself explains, of prices above 1."""

NO_TRADING = "NO_TRADING"
"""A row without any price, as Yahoo writes for days without trading: left out, and not counted as odd."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the cells of this file are read."""

    name: str
    columns: Mapping[str, int]
    order: dates.Order | None
    style: numbers.Style
    zone: ZoneInfo | None
    width: int

    def where(self, line: Line) -> str:
        """Return the place to name to people."""
        return f"{self.name}, line {line.number}"


def parse(line: Line, reading: Reading) -> SourceRow | OddRow:
    """Return what a line states."""
    where = reading.where(line)
    if line.fault:
        return OddRow(where, None, "LINE", f"{line.fault}")
    if len(line.cells) > reading.width and any(line.cells[reading.width :]):
        return OddRow(where, None, "COLUMNS", f"it has {len(line.cells)} values for {reading.width} columns")
    cells = {meaning: _cell(line, at) for meaning, at in reading.columns.items()}
    stamp = dates.stamp(cells["date"], reading.order)
    if stamp is None:
        return OddRow(where, None, "DATE", f"Date {cells['date'][:40]!r} is not a day")
    day = stamp.session(reading.zone)
    if all(numbers.missing(cells[meaning]) for meaning in PRICES):
        return OddRow(where, day, NO_TRADING, "it has no prices")
    prices = {}
    for meaning in PRICES:
        value = numbers.number(cells[meaning], reading.style)
        if value is None or value < numbers.SMALLEST_PRICE:
            return OddRow(where, day, _code(cells[meaning], value), _not_a_price(meaning, cells[meaning]))
        prices[meaning] = value
    fault, flags = _ordered(prices)
    if fault:
        return OddRow(where, day, "OHLC_ORDER", fault)
    return _whole(where, day, cells, prices, flags=flags, style=reading.style)


def _whole(
    where: str,
    day: date,
    cells: Mapping[str, str],
    prices: Mapping[str, float],
    *,
    flags: tuple[str, ...],
    style: numbers.Style,
) -> SourceRow | OddRow:
    volume = numbers.volume(cells["volume"], style)
    if numbers.missing(cells["volume"]):
        volume, flags = 0.0, (*flags, "NO_VOLUME")
    if volume is None or volume < 0.0:
        said = cells["volume"][:40]
        return OddRow(where, day, "VOLUME", f"Volume {said!r} is not a number of shares, 0 or more")
    adjusted = _optional(cells, "adjusted", style)
    if adjusted is not None and adjusted < numbers.SMALLEST_PRICE:
        adjusted, flags = None, (*flags, "NO_ADJUSTED_CLOSE")
    split = numbers.split_ratio(cells["split"]) if "split" in cells else None
    if "split" in cells and split is None:
        return OddRow(where, day, "SPLIT", f"Stock Splits {cells['split'][:40]!r} is not a ratio such as 2.0 or 2:1")
    dividend = _optional(cells, "dividend", style)
    if "dividend" in cells and dividend is None:
        if not numbers.missing(cells["dividend"]):
            return OddRow(where, day, "DIVIDEND", f"Dividends {cells['dividend'][:40]!r} is not an amount of money")
        dividend = 0.0
    if dividend is not None and dividend < 0.0:
        return OddRow(where, day, "DIVIDEND", f"Dividends {cells['dividend'][:40]!r} is below 0")
    return SourceRow(
        session=day,
        open=prices["open"],
        high=prices["high"],
        low=prices["low"],
        close=prices["close"],
        volume=volume,
        adjusted_close=adjusted,
        split=split,
        dividend=dividend,
        where=where,
        flags=flags,
    )


def _cell(line: Line, at: int) -> str:
    return line.cells[at] if at < len(line.cells) else ""


def _optional(cells: Mapping[str, str], meaning: str, style: numbers.Style) -> float | None:
    text = cells.get(meaning, "")
    return None if numbers.missing(text) else numbers.number(text, style)


def _code(text: str, value: float | None) -> str:
    if value is not None:
        return "NOT_POSITIVE"
    return "MISSING_PRICE" if numbers.missing(text) else "NOT_A_NUMBER"


def _not_a_price(meaning: str, text: str) -> str:
    if numbers.missing(text):
        return f"{SHOWN[meaning]} is missing"
    return f"{SHOWN[meaning]} {text[:40]!r} is not a number above 0"


def _ordered(prices: Mapping[str, float]) -> tuple[str, tuple[str, ...]]:
    """Return why prices cannot be those of one day, and what to flag where they nearly can."""
    low, high = prices["low"], prices["high"]
    worst, words = 0.0, ""
    for meaning in ("open", "close"):
        value = prices[meaning]
        outside = max(low - value, value - high)
        if outside > worst:
            bound = f"above High {high:g}" if value > high else f"below Low {low:g}"
            worst, words = outside, f"{SHOWN[meaning]} {value:g} is {bound}"
    if low - high > worst:
        worst, words = low - high, f"Low {low:g} is above High {high:g}"
    if worst <= 0.0:
        return "", ()
    share = worst / min(prices.values())
    if share > ORDER_SLACK:
        return words, ()
    return "", () if share < NOISE or (worst <= ROUNDING and high > 1.0) else ("OHLC_ORDER",)
