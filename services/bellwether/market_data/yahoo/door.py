"""What market-data asks Yahoo for, on one allowance and one cache: the source of bars, and news."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bellwether.market_data.loaded import LoadedBars
from bellwether.market_data.sources import Source
from bellwether.market_data.yahoo.allowance import Allowance
from bellwether.market_data.yahoo.asking import Reach
from bellwether.market_data.yahoo.bars import YahooBars, coming_slots
from bellwether.market_data.yahoo.headlines import NOT_YET, YahooNews
from bellwether.messages.sentiment import FoundNews, News
from bellwether.runtime.context import ServiceContext
from bellwether.spec.data import YahooData
from bellwether.spec.models import TradingSystemSpec

NEWS_BATCH_SECONDS = 90.0
"""The longest that the news of all symbols may take: bars wait for it. One symbol may take as long as its bars."""


class YahooDoor:
    """The ways to Yahoo of one market-data."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self.news: YahooNews | None = None

    def bars(self, declared: YahooData) -> YahooBars:
        """Return the source of bars that a declaration asks for."""
        context = self._context
        return YahooBars(declared, context.files / "yahoo", self._reach(), context.clock.now)

    def _reach(self) -> Reach:
        config = self._context.config
        return Reach(self._context.files / "yahoo" / "cache", config.proxy, config.ca_bundle)

    async def ask_news_due(self, spec: TradingSystemSpec, book: LoadedBars, source: Source | None) -> None:
        """With news of Yahoo declared: ask for what is due of it, bars first."""
        if spec.sentiment.provider != "yahoo":
            self.news = None
            return
        clock = self._context.clock
        if self.news is None:
            reach = replace(self._reach(), batch_seconds=NEWS_BATCH_SECONDS)
            self.news = YahooNews(reach, clock.now, Allowance(spec.data.yahoo.requests_per_minute))
        coming = coming_slots(spec, book, clock.now())
        await self.news.ask_due(spec.symbols, coming, source if isinstance(source, YahooBars) else None)

    def found_news(self, symbols: Sequence[str]) -> News:
        """Return the news that was fetched so far; nobody is asked for it now."""
        news, unknown = self.news, FoundNews([], None, NOT_YET)
        return News({name: unknown if news is None else news.found(name) for name in symbols})
