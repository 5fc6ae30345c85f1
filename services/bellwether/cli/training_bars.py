"""The bars that `bellwether train` learns from: recorded ones by name, or those that a TradingSystem declares."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path

from bellwether.cli.client import CommandError, in_words
from bellwether.market.declared import calendar_of
from bellwether.market.sessions import load_calendar
from bellwether.market_data.actions import adjusted, splits_through
from bellwether.market_data.intake import read_statement
from bellwether.market_data.known import Rules
from bellwether.market_data.loaded import held_back
from bellwether.market_data.rows import Loaded, SourceError
from bellwether.market_data.service import final_delay
from bellwether.market_data.sources import RECORDED, RecordedBars, open_source
from bellwether.messages.market_data import Bar
from bellwether.spec.models import TradingSystem

Histories = dict[str, list[Bar]]
SP500 = "sp500-1990-2022"
DATASETS = (*sorted(RECORDED), SP500)


def dataset(name: str, before: date | None = None) -> Histories:
    """Return recorded bars by symbol, adjusted for splits; only sessions before a day where one is given.

    Raises:
        CommandError: when there is no such data set, or its package is not installed.
    """
    with in_words(SourceError):
        if name == SP500:
            found = _sp500()
        else:
            source, rules = RecordedBars(name), Rules(load_calendar("XNYS"), timedelta(0))
            found = {symbol: _taken_in(symbol, source.load(symbol), rules, print) for symbol in source.symbols}
    return cut(found, before)


def declared(system: TradingSystem, base: Path, before: date | None, say: Callable[[str], None]) -> Histories:
    """Return the bars of a declared system's source; a symbol that has none is named and left out.

    Raises:
        CommandError: when no symbol has bars, or its source is asked by a running system only.
    """
    calendar = calendar_of(system.spec.market)
    with in_words(SourceError):
        source = open_source(system.spec.data, base, None, calendar.timezone)
    found: Histories = {}
    rules = Rules(calendar, final_delay(system.spec.data))
    for symbol in sorted(system.spec.symbols):
        try:
            found[symbol] = _taken_in(symbol, source.load(symbol), rules, say)
        except SourceError as error:
            say(f"{symbol} is left out: {error}")
    if not found:
        raise CommandError(f"no symbol of {system.metadata.name} has bars")
    if system.spec.clock.from_ is not None and before is None:
        # What is replayed later must not have been learned from.
        before = date.fromisoformat(system.spec.clock.from_)
    return cut(found, before)


def cut(histories: Histories, before: date | None) -> Histories:
    """Return the bars of sessions before a day; prices may then be in units of a later split, which changes nothing."""
    if before is None:
        return histories
    found = {symbol: kept for symbol, bars in histories.items() if (kept := [b for b in bars if b.session < before])}
    if not found:
        raise CommandError(f"there are no bars of sessions before {before}")
    return found


def _taken_in(symbol: str, loaded: Loaded, rules: Rules, say: Callable[[str], None]) -> list[Bar]:
    """Return the final bars that a system would have of a statement; those from a doubt on are named and left out."""
    found = read_statement(loaded, rules.calendar)
    bars = [one.row.bar for one in found.rows if rules.final(one.row.session, loaded.recorded_at)]
    words = "it has no final bar" if found.hold is None else held_back(symbol, found.hold)
    if not bars:
        raise SourceError(words)
    if found.hold is not None:
        say(words)
    return adjusted(bars, splits_through(found.actions, bars[-1].session))


def _sp500() -> Histories:
    """Return twenty shares of the S&P 500, closing prices only, adjusted for splits and dividends."""
    spec = find_spec("skfolio")
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    if not places:
        raise CommandError(
            f"dataset {SP500} needs the package skfolio: pip install --no-deps -r requirements/evaluation.txt"
        )
    with gzip.open(Path(places[0]) / "datasets" / "data" / "sp500_dataset.csv.gz", "rt", encoding="utf-8") as stream:
        reader = csv.reader(stream)
        symbols = next(reader)[1:]
        found: Histories = {symbol: [] for symbol in symbols}
        for day, *cells in reader:
            for symbol, cell in zip(symbols, cells, strict=True):
                if cell:
                    close = float(cell)
                    found[symbol].append(Bar(date.fromisoformat(day), close, close, close, close, 0.0))
    return found
