"""What sources stated of a declaration's symbols, and the same cut at an instant (pure but for `read_past`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bellwether.market.declared import calendar_of
from bellwether.market.sessions import Calendar, OutsideCalendar, load_calendar
from bellwether.market_data.intake import take_in
from bellwether.market_data.known import Rules, Stored
from bellwether.market_data.loaded import LoadedBars, Recorded
from bellwether.market_data.rows import SourceError
from bellwether.market_data.service import final_delay, horizon_of
from bellwether.market_data.sources import open_source
from bellwether.market_data.yahoo.answers import LISTED
from bellwether.messages.market_data import Bar
from bellwether.messages.sentiment import Headline
from bellwether.sentiment.csv_news import NewsError, read_file
from bellwether.sentiment.raw import Collection, Relevance
from bellwether.spec.models import TradingSystem

CALENDARS: Mapping[str, str] = {suffix: name for name, (_, suffix) in LISTED.items() if suffix}
"""The calendar of a symbol's own exchange, by its suffix; a symbol without a suffix is of the declared one."""


class PastError(Exception):
    """History cannot be read; the message says of which symbol and why."""


@dataclass(frozen=True)
class Past:
    """What was stated: by symbol the bars as traded with splits and dividends, and the headlines."""

    system: TradingSystem
    calendar: Calendar
    recorded: Mapping[str, Recorded]
    headlines: Mapping[str, Sequence[Headline]] = field(default_factory=dict)
    exchanges: Mapping[str, Calendar] = field(default_factory=dict)
    """The calendar of each symbol's own exchange, where it is not the declared one."""

    def until(self, instant: datetime) -> Past:
        """Return what had happened by an instant: bars whose session had closed at the symbol's own exchange, splits
        and dividends in effect on that day, headlines that were available."""
        return replace(
            self,
            recorded={symbol: self._cut(symbol, one, instant) for symbol, one in self.recorded.items()},
            headlines={
                symbol: [one for one in found if one.available_at <= instant]
                for symbol, found in self.headlines.items()
            },
        )

    def book(self) -> LoadedBars:
        """Return the book that market-data would make of it."""
        spec = self.system.spec
        book = LoadedBars(self.calendar, spec.symbols, spec.predictions.margin, horizon_of(spec.predictions.model))
        for symbol, recorded in self.recorded.items():
            book.put(symbol, recorded)
        return book

    def exchange(self, symbol: str) -> Calendar:
        """Return the calendar of a symbol's own exchange."""
        return self.exchanges.get(symbol, self.calendar)

    def _cut(self, symbol: str, recorded: Recorded, instant: datetime) -> Recorded:
        exchange = self.exchange(symbol)
        # Bars are in order, so those that are over are looked for from the newest one.
        bars = list(recorded.bars)
        while bars and not _over(exchange, bars[-1], instant):
            bars.pop()
        today = exchange.local_day(instant)
        return Recorded(bars, [one for one in recorded.actions if one.session <= today], {}, recorded.hold)


def _over(exchange: Calendar, bar: Bar, instant: datetime) -> bool:
    try:
        session = exchange.session_on(bar.session)
    except OutsideCalendar:
        session = None
    if session is None:
        # No session there: the day itself has to be over.
        return exchange.local_day(instant) > bar.session
    return session.close.astimezone(UTC) <= instant


def read_past(system: TradingSystem, folder: Path, exchanges: Mapping[str, str] | None = None) -> Past:
    """Return what the declared source states now of the declared symbols; files are looked for from a folder on.

    Raises:
        PastError: when a symbol's bars, or the declared headlines, cannot be had.
    """
    spec = system.spec
    calendar = calendar_of(spec.market)
    rules = Rules(calendar, final_delay(spec.data))
    recorded: dict[str, Recorded] = {}
    try:
        source = open_source(spec.data, folder, zone=calendar.timezone)
        for symbol in spec.symbols:
            loaded = source.load(symbol)
            found = take_in(Stored(), loaded, rules, datetime.now(UTC))
            bars = [bar for bar in found.bars if rules.final(bar.session, loaded.recorded_at)]
            recorded[symbol] = Recorded(bars, [known.action for known in found.added], {}, found.hold)
    except SourceError as error:
        raise PastError(str(error)) from error
    return Past(system, calendar, recorded, _headlines(system, folder), exchanges_of(system, exchanges or {}))


def exchanges_of(system: TradingSystem, given: Mapping[str, str]) -> dict[str, Calendar]:
    """Return the calendars of the symbols that are of another exchange than the declared one."""
    declared, found = system.spec.market.calendar, dict[str, Calendar]()
    for symbol in system.spec.symbols:
        suffix = next((exchange for end, exchange in CALENDARS.items() if symbol.endswith(end)), declared)
        exchange = given.get(symbol, suffix)
        if exchange != declared:
            found[symbol] = load_calendar(exchange)
    return found


def _headlines(system: TradingSystem, folder: Path) -> dict[str, Sequence[Headline]]:
    declared = system.spec.sentiment
    if declared.provider != "csv" or declared.csv is None:
        return {}
    aliases = {alias.symbol: alias.names for alias in declared.aliases}
    collection = Collection(Relevance(system.spec.symbols, aliases))
    try:
        rows, _ = read_file(folder / declared.csv.file)
    except NewsError as error:
        raise PastError(str(error)) from error
    collection.add(rows.found, None)
    return {symbol: collection.about(symbol) for symbol in system.spec.symbols}
