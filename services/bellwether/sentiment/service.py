"""sentiment: reads headlines, and says how good or bad the news about a symbol is. It keeps nothing on disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bellwether.messages.sentiment import AnalyzeSentiment, GetNews, News, SymbolSentiment
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.sentiment.csv_news import MOST_REPORTED, NewsError, read_file
from bellwether.sentiment.parsing import Parser
from bellwether.sentiment.raw import Collection, Raw, Relevance, analyze
from bellwether.sentiment.scoring import LONGEST_SOURCE, clean
from bellwether.spec.fields import parse_duration
from bellwether.spec.models import TradingSystem
from bellwether.spec.sentiment import Feed, Sentiment

_log = logging.getLogger(__name__)

READ = "read"
"""How the state of a feed begins that was read."""
FETCH_SECONDS = 600.0
"""Between two looks at the feeds."""
PULL_SECONDS = 60.0
"""Between two looks at the news that market-data fetched from Yahoo; each question looks besides."""


class SentimentService:
    """The headlines that were read since the start, and what they say."""

    def __init__(self, context: ServiceContext) -> None:
        self.context = context
        self._declared: tuple[Any, ...] | None = None
        self._news = Collection(Relevance((), {}))
        self._file: tuple[float, int] | None = None
        self._reading = asyncio.Lock()
        self._problem = ""
        self._odd: list[str] = []
        self._feeds: dict[str, str] = {}
        self._yahoo: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._parser = Parser()

    def declared(self, system: TradingSystem) -> None:
        """Start again with another source, other symbols or other names; other edits change nothing here."""
        spec, declared = system.spec, system.spec.sentiment
        wanted = (declared.provider, declared.csv, declared.feeds, declared.aliases, spec.symbols)
        if wanted == self._declared:
            return
        self._declared, self._file, self._problem, self._odd = wanted, None, "", []
        aliases = {alias.symbol: alias.names for alias in spec.sentiment.aliases}
        self._news = Collection(Relevance(spec.symbols, aliases))
        self._feeds = {feed.url: "not fetched yet" for feed in spec.sentiment.feeds}
        self._yahoo = {}
        self._changed.set()

    @property
    def _spec(self) -> Sentiment:
        if not self.context.declaration.known:
            raise RpcError("NOT_READY", "there is no declaration yet, so no source of news is known")
        return self.context.declaration.current.spec.sentiment

    async def analyze_sentiment(self, request: AnalyzeSentiment, call: Call) -> SymbolSentiment:
        """Return what the news that was available at the instant says about a symbol; without news a reason."""
        spec = self._spec
        if request.symbol not in self.context.declaration.current.spec.symbols:
            raise RpcError("UNKNOWN_SYMBOL", f"{request.symbol} is not declared")
        if spec.provider == "none":
            return SymbolSentiment(request.symbol, None, 0.0, 0.0, [], reason="NO_PROVIDER")
        if spec.provider == "csv":
            await self._read_file(spec)
        if spec.provider == "yahoo" and self.context.clock.live:
            await self._pull([request.symbol], call)
        found = analyze(request.symbol, self._news.about(request.symbol), call.as_of, parse_duration(spec.max_age))
        problem = self._problem or self._feeds_problem(spec) or self._yahoo_problem(spec, request.symbol)
        if problem and not found.headlines:
            raise RpcError("NEWS_UNAVAILABLE", problem)
        return found

    async def _read_file(self, spec: Sentiment) -> None:
        """Read the declared file when it was written since it was last read."""
        if spec.csv is None:
            return
        async with self._reading:
            try:
                path = self._path(spec.csv.file)
                about = await asyncio.to_thread(path.stat)
                if (about.st_mtime, about.st_size) == self._file:
                    return
                rows, written = await asyncio.to_thread(read_file, path)
            except (NewsError, OSError) as error:
                if str(error) != self._problem:
                    _log.warning("news: %s", error)
                self._problem = str(error)
                return
            # In a replay the file is history: a headline counts from when it was published.
            self._news.add(rows.found, written if self.context.clock.live else None)
            self._file, self._problem, self._odd = (about.st_mtime, about.st_size), "", rows.odd
            _log.info("news: %d rows of %s read, %d left out", len(rows.found), path.name, len(rows.odd))
            for words in rows.odd[:MOST_REPORTED]:
                _log.warning("news: %s", words)

    def _feeds_problem(self, spec: Sentiment) -> str:
        """Return what is wrong where not one feed could be read."""
        if spec.provider != "feeds" or any(state.startswith(READ) for state in self._feeds.values()):
            return ""
        if not self.context.clock.live:
            return "feeds have no history: a replay takes news from a file (sentiment.provider csv)"
        return "; ".join(f"{url}: {state}" for url, state in sorted(self._feeds.items()))

    def _yahoo_problem(self, spec: Sentiment, symbol: str) -> str:
        if spec.provider != "yahoo":
            return ""
        if not self.context.clock.live:
            return "Yahoo has recent news only: a replay takes news from a file (sentiment.provider csv)"
        return self._yahoo.get(symbol, "")

    async def follow_yahoo(self, service: Service) -> None:
        """In a live system with provider yahoo: take over every minute what market-data fetched. Ends never."""
        while True:
            declaration = self.context.declaration
            if self.context.clock.live and declaration.known:
                spec = declaration.current.spec
                if spec.sentiment.provider == "yahoo":
                    await self._pull(spec.symbols, service.call())
            await asyncio.sleep(PULL_SECONDS)

    async def _pull(self, symbols: Sequence[str], call: Call) -> None:
        """Take over the news of Yahoo. What market-data has not fetched, or does not answer, leaves a problem."""
        news = self._news
        try:
            reply = await call.request("market-data", "get_news", GetNews(list(symbols)), News, idempotent=True)
        except RpcError as error:
            problems = dict.fromkeys(symbols, f"market-data gives no news: {error.code}")
        else:
            problems = {symbol: found.problem for symbol, found in reply.symbols.items()}
            for found in reply.symbols.values():
                for item in found.items:
                    # Whose news Yahoo takes it for does not count: it lists articles about others, too.
                    raw = Raw(item.published, clean(item.source)[:LONGEST_SOURCE], clean(item.title))
                    if raw.title:
                        news.add([raw], item.fetched)
        if news is self._news:
            self._yahoo |= problems

    async def follow_feeds(self) -> None:
        """In a live system with provider feeds: fetch them now and every ten minutes. Ends never."""
        while True:
            self._changed.clear()
            declaration = self.context.declaration
            if self.context.clock.live and declaration.known:
                spec = declaration.current.spec.sentiment
                if spec.provider == "feeds":
                    await asyncio.gather(*(self._fetch(feed, self._news) for feed in spec.feeds))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FETCH_SECONDS):
                    await self._changed.wait()

    async def _fetch(self, feed: Feed, news: Collection) -> None:
        # httpx brings rich along: it is loaded only where there are feeds.
        from bellwether.sentiment.fetching import Reach, fetch

        config = self.context.config
        try:
            got = await fetch(feed.url, Reach(config.proxy, config.ca_bundle), private=feed.private)
            now = self.context.clock.now()
            found = await self._parser.headlines(got.body, got.content_type, feed.source or "", now)
        except NewsError as error:
            state = str(error)
        except Exception as error:
            # What a feed holds can meet any fault of the parser; it is this feed's, not the service's.
            _log.exception("news: %s cannot be read", feed.url)
            state = f"it cannot be read ({type(error).__name__})"
        else:
            news.add(found, now)
            state = f"{READ}: {len(found)} headlines"
        if news is self._news:
            if state != self._feeds.get(feed.url):
                _log.info("news: %s: %s", feed.url, state)
            self._feeds[feed.url] = state

    def _path(self, file: str) -> Path:
        config = self.context.config
        if config.news_root is None:
            return Path(file)
        found = (config.news_root / file.lstrip("/")).resolve()
        if not found.is_relative_to(config.news_root.resolve()):
            raise NewsError(f"sentiment.csv.file is {file!r}: it must lie inside of the volume")
        return found

    def health(self) -> dict[str, Any]:
        """Return what health says besides; degraded while a source cannot be read."""
        provider = self._declared[0] if self._declared else "none"
        found: dict[str, Any] = {"provider": provider}
        if provider == "none":
            return found
        broken: list[str] = []
        if provider == "feeds":
            found["feeds"] = dict(self._feeds)
            broken = [f"{url}: {state}" for url, state in sorted(self._feeds.items()) if not state.startswith(READ)]
        if provider == "yahoo":
            broken = [f"{symbol}: {problem}" for symbol, problem in sorted(self._yahoo.items()) if problem]
        if broken:
            found |= {"status": "degraded", "warning": "; ".join(broken)}
        found |= {
            "headlines_read": self._news.read,
            "about_other_firms": self._news.others,
            "rows_left_out": self._odd[:MOST_REPORTED],
        }
        if self._problem:
            found |= {"status": "degraded", "warning": self._problem}
        return found


def create(context: ServiceContext) -> Service:
    """Return the service, wired to its runtime."""
    service = Service("sentiment", context)
    sentiment = SentimentService(context)
    service.rpc("analyze_sentiment")(sentiment.analyze_sentiment)
    service.on_declaration(sentiment.declared)
    service.on_health(sentiment.health)
    service.background(sentiment.follow_feeds)

    async def follow_yahoo() -> None:
        await sentiment.follow_yahoo(service)

    service.background(follow_yahoo)
    return service
