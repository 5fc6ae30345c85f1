"""market-data: owns the bars, answers as of a moment, tells when new ones arrive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bellwether.market.declared import calendar_of
from bellwether.market.sessions import OutsideCalendar
from bellwether.market_data import store as bars_store
from bellwether.market_data.evidence import evidence_of
from bellwether.market_data.intake import take_in
from bellwether.market_data.known import Rules as KnownRules
from bellwether.market_data.loaded import LoadedBars, NoData, held_back, recorded_of
from bellwether.market_data.rows import Loaded, NotYet, SourceError
from bellwether.market_data.series import Series
from bellwether.market_data.sources import Source, Unavailable, open_source
from bellwether.market_data.windows import bars_of, window_of
from bellwether.market_data.yahoo.allowance import Allowance
from bellwether.market_data.yahoo.asking import Reach
from bellwether.market_data.yahoo.bars import YahooBars, coming_slots, plan_of
from bellwether.market_data.yahoo.headlines import NOT_YET, YahooNews
from bellwether.messages.alarms import alarm
from bellwether.messages.envelope import ErrorBody
from bellwether.messages.market_data import (
    MOST_BARS,
    Bars,
    CorporateActions,
    Coverage,
    Evidences,
    Freshness,
    GetBars,
    GetCorporateActions,
    GetCoverage,
    GetEvidence,
    GetFreshness,
    GetMarketData,
    GetOpeningPrices,
    GetWindows,
    MarketData,
    MarketDataUpdated,
    OpeningPrices,
    PublishBars,
    PublishedBars,
    Window,
    Windows,
)
from bellwether.messages.monitoring import AlarmReading
from bellwether.messages.sentiment import FoundNews, GetNews, News
from bellwether.naming import symbol_token
from bellwether.runtime.call import Call, ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.spec.data import Data, YahooData
from bellwether.spec.fields import parse_duration
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import Transaction
from bellwether.training.recipe import RecipeError, load_recipe

ASK_SECONDS = 5.0
"""How often it looks whether bars are due at Yahoo."""
NEWS_BATCH_SECONDS = 90.0
"""The longest that the news of all symbols may take: bars wait for it. One symbol may take as long as its bars."""
MOST_ANNOUNCED = 20
"""So many sessions of one statement are announced, the newest."""
MOST_TOLD = 20
"""So many odd rows of a symbol are told one by one."""
MOST_VERSIONS = 60
"""So many older versions of a symbol's bars are looked through for those that a decision used."""
WATCH_SECONDS = 30.0
"""How often a live system looks for new bars at its source."""
DEFAULT_HORIZON = 5

LATE = timedelta(hours=3)
"""How long after a close a bar may take until people are told that it is missing."""

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
        self._told: set[str] = set()
        self.news: YahooNews | None = None

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
                await self._load(book, source, symbol)
            self._book = book

    async def refresh(self) -> None:
        """Read again what has changed at the source."""
        async with self._loading:
            source = self._open_source(self.context.declaration.current.spec.data)
            for symbol in self.book.declared:
                await self._load(self.book, source, symbol, only_changed=True)

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
                    await self._load(book, source, symbol, only_changed=known)

    async def _stored(self, symbol: str) -> bool:
        return await self.store.transact(lambda tx: bars_store.newest_load(tx, symbol)) is not None

    async def _load(self, book: LoadedBars, source: Source, symbol: str, *, only_changed: bool = False) -> None:
        """Read a symbol's bars from the source if they changed, take them in, and answer from them from then on."""
        known = await self.store.transact(lambda tx: bars_store.newest_load(tx, symbol))
        previous = book.errors.pop(symbol, None)
        try:
            fingerprint = await asyncio.to_thread(source.fingerprint, symbol)
            if known is None or fingerprint != known.fingerprint:
                await self._take_in(book, symbol, await asyncio.to_thread(source.load, symbol))
            elif only_changed:
                book.loading.pop(symbol, None)
                return
        except NotYet as error:
            book.loading[symbol] = str(error)
            if known is None or only_changed:
                return
        except SourceError as error:
            book.loading.pop(symbol, None)
            book.errors[symbol] = str(error)
            if str(error) != previous:
                _log.warning("%s", error)
            if known is None or only_changed:
                return
        stored = await self.store.transact(lambda tx: bars_store.read(tx, symbol))
        book.put(symbol, recorded_of(stored, self._rules_of(book)))
        book.loading.pop(symbol, None)

    async def _take_in(self, book: LoadedBars, symbol: str, loaded: Loaded) -> None:
        """Store what a statement changes, as the newest versions, and tell what is odd about it."""
        live, rules = self.context.clock.live, self._rules_of(book)
        now = self.context.clock.now() if live else datetime.now(UTC)
        stored = await self.store.transact(lambda tx: bars_store.read(tx, symbol))
        try:
            intake = await asyncio.to_thread(take_in, stored, loaded, rules, now)
        except (ArithmeticError, ValueError) as error:
            _log.exception("%s: %s cannot be taken in", symbol, loaded.source)
            raise SourceError(f"{loaded.source}: its rows cannot be taken in ({error!r}); stored bars stay") from error
        late = [bar.session for bar in intake.bars if rules.final(bar.session, loaded.recorded_at)]

        def write(tx: Transaction) -> None:
            bars_store.write(tx, symbol, loaded, intake, now)
            if live and stored.bars:
                bars_store.to_announce(tx, symbol, late[-MOST_ANNOUNCED:])

        await self.store.transact(write)
        book.odd[symbol] = [f"{one.where}: {one.message}" for one in intake.odd] + list(intake.notes)
        _log.info("%s: %d rows read, %d bars are new or corrected", symbol, len(loaded.rows), len(intake.bars))
        for words in book.odd[symbol][:MOST_TOLD]:
            _log.warning("%s: %s", symbol, words)
        if intake.hold is not None and intake.hold != stored.hold:
            _log.warning("%s", held_back(symbol, intake.hold))
        elif intake.hold is None and stored.hold is not None:
            _log.info("%s is held back no longer", symbol)

    def _rules_of(self, book: LoadedBars) -> KnownRules:
        return KnownRules(book.calendar, final_delay(self.context.declaration.current.spec.data))

    def _open_source(self, data: Data) -> Source:
        if self._source is None or self._source[0] != data:
            try:
                source = open_source(data, self._base, self.context.config.csv_root, self._zone, yahoo=self._open_yahoo)
            except SourceError as error:
                source = Unavailable(str(error))
            self._source = (data, source)
        return self._source[1]

    def _open_yahoo(self, declared: YahooData) -> YahooBars:
        return YahooBars(declared, self.context.files / "yahoo", self._reach(), self.context.clock.now)

    def _reach(self) -> Reach:
        config = self.context.config
        return Reach(self.context.files / "yahoo" / "cache", config.proxy, config.ca_bundle)

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
                await self._load(self.book, source, symbol, only_changed=True)

        try:
            await source.ask_due(plan_of(self.context.declaration.current.spec, self.book, self.context.clock, arrived))
        except OutsideCalendar as error:
            _log.warning("yahoo is asked for nothing: %s", error)

    async def ask_news_due(self) -> None:
        """With news of Yahoo declared: ask for what is due of it, bars first."""
        source = None if self._source is None else self._source[1]
        if self._book is None:
            return
        spec = self.context.declaration.current.spec
        if spec.sentiment.provider != "yahoo":
            self.news = None
            return
        if self.news is None:
            reach = replace(self._reach(), batch_seconds=NEWS_BATCH_SECONDS)
            self.news = YahooNews(reach, self.context.clock.now, Allowance(spec.data.yahoo.requests_per_minute))
        coming = coming_slots(spec, self._book, self.context.clock.now())
        await self.news.ask_due(spec.symbols, coming, source if isinstance(source, YahooBars) else None)

    async def get_news(self, request: GetNews, call: Call) -> News:
        """Return the news of Yahoo that was fetched so far; nobody is asked for it now."""
        news = self.news
        unknown = FoundNews([], None, NOT_YET)
        return News({name: unknown if news is None else news.found(name) for name in request.symbols})

    async def watch(self, service: Service) -> None:
        """In a live system: read new bars as they come, and tell about each once. Ends never."""
        while self.context.clock.live:
            if self._book is not None:
                await self.refresh()
                call = service.call()
                session = self.book.calendar.previous_session(call.as_of).day
                fresh = [event_id for event_id, _ in self._events(session, call) if event_id not in self._told]
                if fresh:
                    with call.start_root("bars", attributes={"bellwether.session": session.isoformat()}) as inner:
                        await self._publish(session, inner)
                await self._publish_late(call)
            await asyncio.sleep(WATCH_SECONDS)

    async def _publish_late(self, call: Call) -> None:
        """Tell about bars of older sessions that came or were corrected; what is told once is forgotten."""
        for symbol, session in await self.store.transact(bars_store.unannounced):
            found = [one for one in self._events(session, call) if one[1].symbol == symbol and one[0] not in self._told]
            for event_id, update in found:
                attributes = {"bellwether.session": session.isoformat()}
                with call.start_root("bars", attributes=attributes) as inner:
                    await inner.publish_event("market_data_updated", update, event_id=event_id)
                self._told.add(event_id)
            await self.store.transact(partial(bars_store.announced, symbol=symbol, session=session))

    # Answering

    async def get_market_data(self, request: GetMarketData, call: Call) -> MarketData:
        """Return the state of a symbol."""
        try:
            found = self.book.market_data(request.symbol, call.as_of)
        except NoData as error:
            raise RpcError(error.code, str(error), symbol=request.symbol) from error
        call.annotate(**{"bellwether.symbol": request.symbol, "bellwether.bar_session": found.last_session.isoformat()})
        return found

    async def get_bars(self, request: GetBars, call: Call) -> Bars:
        """Return the newest complete bars."""
        _check_count(request.count)
        await self._follow([request.symbol])
        try:
            view = self.book.view(request.symbol, call.as_of)
        except NoData as error:
            raise RpcError(error.code, str(error), symbol=request.symbol) from error
        found = bars_of(view.series, request, call.as_of)
        if request.revision is not None and found.revision != request.revision:
            older = await self.store.transact(lambda tx: self._with_revision(tx, request, call.as_of))
            found = older or found
        return found

    def _with_revision(self, tx: Transaction, request: GetBars, as_of: datetime) -> Bars | None:
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

    async def get_opening_prices(self, request: GetOpeningPrices, call: Call) -> OpeningPrices:
        """Return opening prices of a session that has opened."""
        await self._follow(request.symbols)
        try:
            return OpeningPrices(
                request.session, self.book.opening_prices(request.session, request.symbols, call.as_of)
            )
        except NoData as error:
            raise RpcError(error.code, str(error)) from error

    async def get_corporate_actions(self, request: GetCorporateActions, call: Call) -> CorporateActions:
        """Return splits and dividends effective before the open of a session."""
        await self._follow(request.symbols)
        try:
            return CorporateActions(
                self.book.corporate_actions(request.session, request.symbols, call.as_of, request.since)
            )
        except NoData as error:
            raise RpcError(error.code, str(error)) from error

    async def get_coverage(self, request: GetCoverage, call: Call) -> Coverage:
        """Return how far the recorded bars reach."""
        book = self.book
        found = book.coverage(request.symbols)
        asked = request.symbols or list(book.declared)
        return Coverage(
            first={symbol: days[0] for symbol, days in found.items()},
            last={symbol: days[1] for symbol, days in found.items()},
            errors={
                symbol: book.errors.get(symbol) or book.hold_words(symbol) or f"{symbol} has no bars"
                for symbol in asked
                if symbol in book.errors or (symbol not in found and symbol not in book.loading)
            },
            loading={symbol: book.loading[symbol] for symbol in asked if symbol in book.loading},
        )

    async def get_freshness(self, request: GetFreshness, call: Call) -> Freshness:
        """Return whether the newest bars are those that can be expected."""
        try:
            return self.book.freshness(call.as_of)
        except OutsideCalendar as error:
            raise RpcError("OUTSIDE_CALENDAR", str(error)) from error

    async def get_windows(self, request: GetWindows, call: Call) -> Windows:
        """Return state and newest bars of several symbols."""
        _check_count(request.count)
        await self._follow(request.symbols)
        found: dict[str, Window] = {}
        for symbol in request.symbols:
            trace = request.traces.get(symbol)
            facts = {"bellwether.symbol": symbol}
            with call.start_span("market-data.get_windows", parent=trace, attributes=facts) as inner:
                one = found[symbol] = window_of(self.book, symbol, request, call.as_of)
                if one.market is not None:
                    inner.annotate(**{"bellwether.bar_session": one.market.last_session.isoformat()})
        return Windows(found)

    async def get_evidence(self, request: GetEvidence, call: Call) -> Evidences:
        """Return what the quality of bars is judged by, by symbol."""
        _check_count(request.count)
        found, errors = {}, {}
        for symbol in request.symbols:
            try:
                known = request.known.get(symbol, "")
                found[symbol] = evidence_of(self.book, symbol, request.count, call.as_of, known)
            except NoData as error:
                errors[symbol] = ErrorBody(error.code, str(error))
            except OutsideCalendar as error:
                raise RpcError("OUTSIDE_CALENDAR", str(error)) from error
        return Evidences(found, errors)

    async def publish_bars(self, request: PublishBars, call: Call) -> PublishedBars:
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
            return PublishedBars(await self._publish(request.session, inner))

    async def _publish(self, session: date, call: Call) -> list[str]:
        events = self._events(session, call)
        for event_id, update in events:
            await call.publish_event("market_data_updated", update, event_id=event_id)
            if self.context.clock.live:
                self._told.add(event_id)
        return [event_id for event_id, _ in events]

    def _events(self, session: date, call: Call) -> list[tuple[str, MarketDataUpdated]]:
        found: list[tuple[str, MarketDataUpdated]] = []
        book = self.book
        for symbol in sorted(book.declared):
            try:
                series = book.series(symbol)
            except NoData:
                continue
            if series.bar_on(session) is None:
                continue
            revision = series.unadjusted(call.as_of).revision
            event_id = f"bars-{symbol_token(symbol)}-{session:%Y%m%d}-{revision[:16]}"
            found.append((event_id, MarketDataUpdated(symbol, session, revision)))
        return found

    def health(self) -> dict[str, Any]:
        """Return what health says besides; degraded while a declared symbol has no bars."""
        if self._book is None:
            return {"status": "degraded", "warning": "there is no declaration yet"}
        book = self._book
        errors = {symbol: error for symbol, error in book.errors.items() if symbol in book.declared}
        held = {symbol: words for symbol in book.declared if (words := book.hold_words(symbol)) is not None}
        odd = {symbol: rows[:MOST_TOLD] for symbol, rows in book.odd.items() if rows and symbol in book.declared}
        found: dict[str, Any] = {
            "symbols": len(book.declared),
            "source_errors": errors,
            "held_back": held,
            "odd_rows": odd,
        }
        source = None if self._source is None else self._source[1]
        if isinstance(source, YahooBars):
            found["yahoo"] = source.describe()
        waiting = [book.loading[symbol] for symbol in book.declared if symbol in book.loading]
        if waiting:
            found |= {"status": "degraded", "warning": waiting[0]}
        if errors or held:
            found["status"] = "degraded"
            found["warning"] = next(iter((errors | held).values()))
        return found

    def alarms(self) -> list[AlarmReading]:
        """Return the alarm of bars that are older than they could be."""
        if self._book is None or not self.context.clock.live:
            return []
        try:
            now = self.context.clock.now()
            found, due = self._book.freshness(now), self._book.freshness(now - LATE).expected
        except OutsideCalendar as error:
            return [alarm("data_stale", str(error)[:500])]
        stale = [one for one in found.symbols if not one.fresh and (one.last_session is None or one.last_session < due)]
        names = ", ".join(one.symbol for one in stale)
        return [alarm("data_stale", f"no bar of {due} yet for {names}"[:500])] if stale else []


def _check_count(count: int) -> None:
    if not 1 <= count <= MOST_BARS:
        raise RpcError("INVALID_PARAMS", f"count is {count}: it must be from 1 to {MOST_BARS}")


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
