"""market-data: owns the bars, answers as of an instant, tells when new ones arrive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bellwether.market.declared import calendar_of
from bellwether.market.sessions import OutsideCalendar
from bellwether.market_data import store as bars_store
from bellwether.market_data.condition import alarms_of, health_of
from bellwether.market_data.known import Rules as KnownRules
from bellwether.market_data.loaded import LoadedBars, NoData, bars_of, evidence_of, recorded_of, window_of
from bellwether.market_data.loading import Announcer, Loader
from bellwether.market_data.rows import SourceError
from bellwether.market_data.series import Series
from bellwether.market_data.sources import Source, Unavailable, open_source
from bellwether.market_data.yahoo.bars import YahooBars, plan_of
from bellwether.market_data.yahoo.door import YahooDoor
from bellwether.messages import market_data as messages
from bellwether.messages.envelope import ErrorBody
from bellwether.messages.monitoring import AlarmReading
from bellwether.messages.sentiment import GetNews, News
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.spec.data import Data
from bellwether.spec.fields import parse_duration
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Transaction
from bellwether.training.recipe import RecipeError, load_recipe

ASK_SECONDS = 5.0
"""How often it looks whether bars are due at Yahoo."""
MOST_VERSIONS = 60
"""So many older versions of a symbol's bars are looked through for those that a decision used."""
WATCH_SECONDS = 30.0
"""How often a live system looks for new bars at its source."""
DEFAULT_HORIZON = 5

_log = logging.getLogger(__name__)


class MarketDataService:
    """The book in memory, and how it is filled and asked."""

    def __init__(self, context: ServiceContext, base: Path) -> None:
        self.context = context
        self.store = context.open_store(bars_store.metadata, version=bars_store.VERSION, upgrades=bars_store.UPGRADES)
        self._base = base
        self._book: LoadedBars | None = None
        self._source: tuple[Data, Source] | None = None
        self._zone: ZoneInfo | None = None
        self._loading = asyncio.Lock()
        self._loader = Loader(self.store, context.clock)
        self._announcer = Announcer(self.store, lambda: self.book, live=context.clock.live)
        self._yahoo = YahooDoor(context)

    @property
    def book(self) -> LoadedBars:
        """The book.

        Raises:
            RpcError: NOT_READY before there is a declaration.
        """
        if self._book is None:
            raise RpcError("NOT_READY", "there is no declaration yet, so no symbol is known")
        return self._book

    # Filling

    async def declared(self, system: TradingSystem) -> None:
        """Make the book that a declaration asks for; bars that are there already are not read from disk again."""
        async with self._loading:
            spec = system.spec
            book = LoadedBars(
                calendar_of(spec.market), spec.symbols, spec.predictions.margin, horizon_of(spec.predictions.model)
            )
            self._zone = book.calendar.timezone
            source = self._open_source(spec.data)
            for symbol in spec.symbols:
                await self._loader.load(book, source, self._rules_of(book), symbol)
            self._book = book

    async def refresh(self) -> None:
        """Read again what has changed at the source."""
        async with self._loading:
            source = self._open_source(self.context.declaration.current.spec.data)
            for symbol in self.book.declared:
                await self._loader.load(self.book, source, self._rules_of(self.book), symbol, only_changed=True)

    async def _follow(self, symbols: Iterable[str]) -> None:
        """Take in symbols that were declared once and are not any more: whoever holds one goes on asking for its price.

        Live, what has changed at their source is read at each question. A symbol without stored bars stays unknown.
        """
        for symbol in set(symbols) - set(self.book.declared):
            async with self._loading:
                book, source = self.book, self._open_source(self.context.declaration.current.spec.data)
                known = book.knows(symbol)
                if known and not self.context.clock.live:
                    continue
                if await self._stored(symbol):
                    await self._loader.load(book, source, self._rules_of(book), symbol, only_changed=known)

    async def _stored(self, symbol: str) -> bool:
        return await self.store.transact(lambda tx: bars_store.newest_load(tx, symbol)) is not None

    def _rules_of(self, book: LoadedBars) -> KnownRules:
        return KnownRules(book.calendar, final_delay(self.context.declaration.current.spec.data))

    def _open_source(self, data: Data) -> Source:
        if self._source is None or self._source[0] != data:
            try:
                source = open_source(data, self._base, self.context.config.csv_root, self._zone, yahoo=self._yahoo.bars)
            except SourceError as error:
                source = Unavailable(str(error))
            self._source = (data, source)
        return self._source[1]

    async def ask(self) -> None:
        """In a live system with provider yahoo: ask for bars when they are due. Ends never."""
        while self.context.clock.live:
            await self.ask_due()
            await self.ask_news_due()
            await asyncio.sleep(ASK_SECONDS)

    async def ask_due(self) -> None:
        """Ask Yahoo for what is due now, and take each symbol in as it comes."""
        source = None if self._source is None else self._source[1]
        if self._book is None or not isinstance(source, YahooBars):
            return

        async def arrived(symbol: str) -> None:
            async with self._loading:
                await self._loader.load(self.book, source, self._rules_of(self.book), symbol, only_changed=True)

        try:
            await source.ask_due(plan_of(self.context.declaration.current.spec, self.book, self.context.clock, arrived))
        except OutsideCalendar as error:
            _log.warning("yahoo is asked for nothing: %s", error)

    async def ask_news_due(self) -> None:
        """With news of Yahoo declared: ask for what is due of it."""
        if self._book is not None:
            source = None if self._source is None else self._source[1]
            await self._yahoo.ask_news_due(self.context.declaration.current.spec, self._book, source)

    async def get_news(self, request: GetNews, call: Call) -> News:
        """Return the news of Yahoo that was fetched so far."""
        return self._yahoo.found_news(request.symbols)

    async def watch(self, service: Service) -> None:
        """In a live system: read new bars as they come, and tell about each once. Ends never."""
        while self.context.clock.live:
            if self._book is not None:
                await self.refresh()
                call = service.call()
                session = self.book.calendar.previous_session(call.as_of).day
                if self._announcer.has_news(session, call):
                    with call.start_root("bars", attributes={"bellwether.session": session.isoformat()}) as inner:
                        await self._announcer.publish(session, inner)
                await self._announcer.publish_late(call)
            await asyncio.sleep(WATCH_SECONDS)

    # Answering

    async def get_market_data(self, request: messages.GetMarketData, call: Call) -> messages.MarketData:
        """Return the state of a symbol."""
        found = self.book.market_data(request.symbol, call.as_of)
        call.annotate(**{"bellwether.symbol": request.symbol, "bellwether.bar_session": found.last_session.isoformat()})
        return found

    async def get_bars(self, request: messages.GetBars, call: Call) -> messages.Bars:
        """Return the newest complete bars."""
        _check_count(request.count)
        await self._follow([request.symbol])
        found = bars_of(self.book.view(request.symbol, call.as_of).series, request, call.as_of)
        if request.revision is not None and found.revision != request.revision:
            older = await self.store.transact(lambda tx: self._with_revision(tx, request, call.as_of))
            return older or found
        return found

    def _with_revision(self, tx: Transaction, request: messages.GetBars, as_of: datetime) -> messages.Bars | None:
        """Return bars of an older version that have the asked revision, None where none has it."""
        loads = bars_store.all_loads(tx, request.symbol)[1:]
        if self.context.clock.live:
            loads.sort(key=lambda load: abs(load.known_at - as_of))
        rules = self._rules_of(self.book)
        for load in loads[:MOST_VERSIONS]:
            recorded = recorded_of(bars_store.read(tx, request.symbol, load.number), rules)
            found = bars_of(Series(recorded.bars, recorded.actions, self.book.calendar), request, as_of)
            if found.revision == request.revision:
                return found
        return None

    async def get_opening_prices(self, request: messages.GetOpeningPrices, call: Call) -> messages.OpeningPrices:
        """Return opening prices of a session that has opened."""
        await self._follow(request.symbols)
        prices = self.book.opening_prices(request.session, request.symbols, call.as_of)
        return messages.OpeningPrices(request.session, prices)

    async def get_corporate_actions(
        self, request: messages.GetCorporateActions, call: Call
    ) -> messages.CorporateActions:
        """Return splits and dividends effective before the open of a session."""
        await self._follow(request.symbols)
        return messages.CorporateActions(
            self.book.corporate_actions(request.session, request.symbols, call.as_of, request.since)
        )

    async def get_coverage(self, request: messages.GetCoverage, call: Call) -> messages.Coverage:
        """Return how far the recorded bars reach."""
        book = self.book
        found = book.coverage(request.symbols)
        asked = request.symbols or list(book.declared)
        return messages.Coverage(
            first={symbol: days[0] for symbol, days in found.items()},
            last={symbol: days[1] for symbol, days in found.items()},
            errors={
                symbol: book.errors.get(symbol) or book.hold_words(symbol) or f"{symbol} has no bars"
                for symbol in asked
                if symbol in book.errors or (symbol not in found and symbol not in book.loading)
            },
            loading={symbol: book.loading[symbol] for symbol in asked if symbol in book.loading},
        )

    async def get_freshness(self, call: Call) -> messages.Freshness:
        """Return whether the newest bars are those that can be expected."""
        return self.book.freshness(call.as_of)

    async def get_windows(self, request: messages.GetWindows, call: Call) -> messages.Windows:
        """Return state and newest bars of several symbols."""
        _check_count(request.count)
        await self._follow(request.symbols)
        found: dict[str, messages.Window] = {}
        for symbol in request.symbols:
            trace = request.traces.get(symbol)
            facts = {"bellwether.symbol": symbol}
            with call.start_span("market-data.get_windows", parent=trace, attributes=facts) as inner:
                one = found[symbol] = window_of(self.book, symbol, request, call.as_of)
                if one.market is not None:
                    inner.annotate(**{"bellwether.bar_session": one.market.last_session.isoformat()})
        return messages.Windows(found)

    async def get_evidence(self, request: messages.GetEvidence, call: Call) -> messages.Evidences:
        """Return what the quality of bars is judged by, by symbol."""
        _check_count(request.count)
        found, errors = {}, {}
        for symbol in request.symbols:
            try:
                found[symbol] = evidence_of(self.book, symbol, request.count, call.as_of, request.known.get(symbol, ""))
            except NoData as error:
                errors[symbol] = ErrorBody(error.code, error.message)
        return messages.Evidences(found, errors)

    async def publish_bars(self, request: messages.PublishBars, call: Call) -> messages.PublishedBars:
        """Publish the bars of a session that is over: one event per declared symbol that has one, by symbol.

        The event's id is a function of session, symbol and the revision of all bars up to it, so a repeated step
        publishes nothing new, and a corrected bar is news.
        """
        session = self.book.calendar.session_on(request.session)
        if session is None:
            raise RpcError("NO_SESSION", f"{self.book.calendar.name} has no session on {request.session}")
        if call.as_of < session.close:
            raise RpcError("SESSION_NOT_OVER", f"the session of {session.day} closes at {session.close.isoformat()}")
        if self.context.clock.live:
            await self.refresh()
        with call.start_root("bars", attributes={"bellwether.session": request.session.isoformat()}) as inner:
            return messages.PublishedBars(await self._announcer.publish(request.session, inner))

    def health(self) -> dict[str, Any]:
        """Return what health says besides."""
        return health_of(self._book, None if self._source is None else self._source[1])

    def alarms(self) -> list[AlarmReading]:
        """Return the alarm of bars that are older than they could be, in a live system."""
        if self._book is None or not self.context.clock.live:
            return []
        return alarms_of(self._book, self.context.clock.now())


def _check_count(count: int) -> None:
    if not 1 <= count <= messages.MOST_BARS:
        raise RpcError("INVALID_PARAMS", f"count is {count}: it must be from 1 to {messages.MOST_BARS}")


def final_delay(data: Data) -> timedelta:
    """Return how long after a close the declared source's rows are not final yet."""
    if data.provider == "csv" and data.csv is not None:
        return parse_duration(data.csv.delay)
    return parse_duration(data.yahoo.delay) if data.provider == "yahoo" else timedelta(0)


def horizon_of(model: str) -> int:
    """Return the horizon that base rates are counted over: that of the declared model's recipe."""
    try:
        return load_recipe(model).horizon_sessions
    except RecipeError as error:
        _log.warning("%s; base rates are counted over %d sessions", error, DEFAULT_HORIZON)
        return DEFAULT_HORIZON


def create(context: ServiceContext) -> Service:
    """Return the service, wired to its runtime. A relative CSV folder is taken from the declaration's file."""
    service = Service("market-data", context)
    declaration = context.config.declaration
    market = MarketDataService(context, Path.cwd() if declaration is None else declaration.parent)
    for handler in (
        market.get_market_data,
        market.get_bars,
        market.get_windows,
        market.get_opening_prices,
        market.get_corporate_actions,
        market.get_coverage,
        market.get_freshness,
        market.get_evidence,
        market.get_news,
        market.publish_bars,
    ):
        service.rpc(handler.__name__)(handler)
    service.on_declaration(market.declared)
    service.on_health(market.health)
    service.on_alarms(market.alarms)

    async def watch() -> None:
        await market.watch(service)

    service.background(watch)
    service.background(market.ask)
    return service
