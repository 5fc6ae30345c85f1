"""Where bars come from: recorded bars that come with the product, and files of your own.

Only the standard library reads them: no process of the system imports pandas for it.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, assert_never
from zoneinfo import ZoneInfo

from bellwether.market_data.csv_files import CsvFiles
from bellwether.market_data.rows import Loaded, SourceError, SourceRow
from bellwether.messages.market_data import PRICE_SLACK
from bellwether.spec.data import Data, YahooData

PRICE_COLUMNS = ("Open", "High", "Low", "Close")
YAHOO_COLUMNS = ("Date", *PRICE_COLUMNS, "Adj Close", "Volume")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Recorded bars: the package that carries them, the file in it, its symbols, and when they were recorded."""

    package: str
    file: str
    symbols: tuple[str, ...]
    recorded_at: datetime


RECORDED = {
    "us-2000-2013": Dataset(
        "bokeh_sampledata", "_data/stocks.csv.gz", ("AAPL", "GOOG", "IBM", "MSFT"), datetime(2013, 3, 2, tzinfo=UTC)
    )
}


class Source(Protocol):
    """One provider of bars."""

    def fingerprint(self, symbol: str) -> str:
        """Return a hash of what the source has now: the same hash means nothing new.

        Raises:
            SourceError: when the symbol cannot be had.
        """

    def load(self, symbol: str) -> Loaded:
        """Return all rows of a symbol.

        Raises:
            SourceError: when they cannot be had.
        """


class RecordedBars:
    """Daily bars recorded in a package of sample data, found without importing that package."""

    def __init__(self, dataset: str) -> None:
        if dataset not in RECORDED:
            raise SourceError(f"dataset {dataset!r} is not known: use one of {', '.join(sorted(RECORDED))}")
        self._data = RECORDED[dataset]
        self._dataset = dataset
        package = self._data.package
        found = find_spec(package)
        places = list(found.submodule_search_locations or []) if found is not None else []
        if not places:
            raise SourceError(f"dataset {dataset} needs the package {package}, which is not installed")
        self._path = Path(places[0]) / self._data.file
        self._digest: str | None = None
        # Rows that were parsed and not taken yet: one parse serves all symbols, and none is kept once it is stored.
        self._waiting: dict[str, tuple[SourceRow, ...]] = {}

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that the dataset has."""
        return self._data.symbols

    def fingerprint(self, symbol: str) -> str:
        """Return the hash of the recorded file."""
        self._known(symbol)
        if self._digest is None:
            self._digest = hashlib.sha256(self._path.read_bytes()).hexdigest()
        return self._digest

    def load(self, symbol: str) -> Loaded:
        """Return all rows of a symbol."""
        self._known(symbol)
        if symbol not in self._waiting:
            with gzip.open(self._path, "rt", encoding="utf-8", newline="") as stream:
                self._waiting = read_recorded(stream, str(self._path.name), self._data.symbols)
        return Loaded(
            rows=self._waiting.pop(symbol),
            source=f"recorded:{self._dataset}",
            fingerprint=self.fingerprint(symbol),
            recorded_at=self._data.recorded_at,
        )

    def _known(self, symbol: str) -> None:
        if symbol not in self._data.symbols:
            raise SourceError(
                f"symbol {symbol} is not in the recorded bars {self._dataset}: it has {', '.join(self._data.symbols)}"
            )


class Unavailable:
    """A provider that this build cannot serve; every question is answered with the reason."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def fingerprint(self, symbol: str) -> str:
        """Refuse with the reason."""
        raise SourceError(f"{symbol}: {self._reason}")

    def load(self, symbol: str) -> Loaded:
        """Refuse with the reason."""
        raise SourceError(f"{symbol}: {self._reason}")


def open_source(
    data: Data,
    base: Path,
    volume: Path | None = None,
    zone: ZoneInfo | None = None,
    *,
    yahoo: Callable[[YahooData], Source] | None = None,
) -> Source:
    """Return the declared provider; a relative folder is taken from `base`, with a volume from its root.

    `zone` is the exchange's: files may state instants of another zone. `yahoo` makes the source that asks Yahoo;
    without it that provider is refused.

    Raises:
        SourceError: when the declaration does not say enough, or the recorded bars are not installed.
    """
    if data.provider == "replay":
        return RecordedBars(data.replay.dataset)
    if data.provider == "csv":
        if data.csv is None:
            raise SourceError("provider csv needs data.csv.directory")
        folder = base / data.csv.directory if volume is None else volume / data.csv.directory.lstrip("/")
        return CsvFiles(data.csv, folder, zone)
    if data.provider == "yahoo":
        if yahoo is None:
            raise SourceError("provider yahoo is asked by a running system only")
        return yahoo(data.yahoo)
    assert_never(data.provider)


def read_recorded(lines: Iterable[str], name: str, symbols: Iterable[str]) -> dict[str, tuple[SourceRow, ...]]:
    """Return the rows of these symbols from a table with a Ticker column, ordered by session."""
    found: dict[str, list[SourceRow]] = {symbol: [] for symbol in symbols}
    for where, row in _rows(lines, name, ("Ticker", *YAHOO_COLUMNS)):
        if row["Ticker"] in found:
            found[row["Ticker"]].append(_parse(where, row))
    for symbol, rows in found.items():
        if not rows:
            raise SourceError(f"{name}: it has no row of {symbol}")
        rows.sort(key=lambda row: row.session)
    return {symbol: tuple(rows) for symbol, rows in found.items()}


def _rows(lines: Iterable[str], name: str, columns: tuple[str, ...]) -> Iterator[tuple[str, Mapping[str, str]]]:
    reader = csv.reader(lines)
    try:
        header = [title.strip() for title in next(reader)]
    except StopIteration as error:
        raise SourceError(f"{name}: it is empty; the first line must be {','.join(columns)}") from error
    missing = [column for column in columns if column not in header]
    if missing:
        raise SourceError(
            f"{name}, line 1: column {missing[0]} is missing; it has {','.join(header)}, needed are {','.join(columns)}"
        )
    for cells in reader:
        if not cells:
            continue
        where = f"{name}, line {reader.line_num}"
        if len(cells) != len(header):
            raise SourceError(f"{where}: {len(cells)} values for {len(header)} columns")
        yield where, {title: cell.strip() for title, cell in zip(header, cells, strict=True)}


def _parse(where: str, row: Mapping[str, str]) -> SourceRow:
    try:
        day = date.fromisoformat(row["Date"])
    except ValueError as error:
        raise SourceError(f"{where}, column Date: {row['Date']!r} is not a day; write it as 2009-01-02") from error
    prices = {column: _number(where, row, column, positive=True) for column in PRICE_COLUMNS}
    low, high = prices["Low"] - PRICE_SLACK, prices["High"] + PRICE_SLACK
    for column in ("Open", "Close"):
        if not low <= prices[column] <= high:
            raise SourceError(
                f"{where}, column {column}: {row[column]} is not between Low {row['Low']} and High {row['High']}"
            )
    adjusted = row["Adj Close"].lower()
    return SourceRow(
        session=day,
        open=prices["Open"],
        high=prices["High"],
        low=prices["Low"],
        close=prices["Close"],
        volume=_number(where, row, "Volume", positive=False),
        where=where,
        adjusted_close=None if adjusted in ("null", "") else _number(where, row, "Adj Close", positive=True),
    )


def _number(where: str, row: Mapping[str, str], column: str, *, positive: bool) -> float:
    text = row[column]
    wanted = "a number above 0" if positive else "a number of shares, 0 or more"
    try:
        value = float(text)
    except ValueError as error:
        raise SourceError(f"{where}, column {column}: {text!r} is not {wanted}") from error
    if not math.isfinite(value) or value < 0.0 or (positive and value == 0.0):
        raise SourceError(f"{where}, column {column}: {text!r} is not {wanted}")
    return value
