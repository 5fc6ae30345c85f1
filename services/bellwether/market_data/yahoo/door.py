"""What market-data asks Yahoo for, on one allowance and one cache: bars, and the news of the declared symbols."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from bellwether.market_data.loaded import LoadedBars
from bellwether.market_data.sources import Source
from bellwether.market_data.yahoo.answers import OF_ALL, Answer, Refused
from bellwether.market_data.yahoo.asking import Conversation, Reach, conversation
from bellwether.market_data.yahoo.bars import YahooBars, coming_slots
from bellwether.market_data.yahoo.due import LEAD, Allowance, Hold, held
from bellwether.messages.sentiment import FoundNews, News, NewsItem
from bellwether.runtime.clock import monotonic
from bellwether.runtime.context import ServiceContext
from bellwether.spec.data import YahooData
from bellwether.spec.models import TradingSystemSpec

NEWS_BATCH_SECONDS = 90.0
"""The longest that the news of all symbols may take: bars wait for it. One symbol may take as long as its bars."""
EVERY = timedelta(minutes=15)
"""How often each symbol's news is asked for; besides, once shortly before each slot."""
COUNT = 20
"""Articles that are asked for."""
MOST_KEPT = 100
"""Articles of a symbol that are kept: the newest by their time of fetching."""
FIRST_REQUESTS, REQUESTS = 3, 1
"""What a symbol takes: cookie and crumb once for each process, then the news."""
NOT_YET = "its news was not fetched from Yahoo yet"

_log = logging.getLogger(__name__)


@dataclass
class _Kept:
    asked_at: datetime | None = None
    error: str = NOT_YET
    items: dict[tuple[str, str, str], NewsItem] = field(default_factory=dict)


@dataclass
class YahooNews:
    """The news of the declared symbols, as far as it was fetched since the start."""

    reach: Reach
    now: Callable[[], datetime]
    allowance: Allowance
    """Used where bars come from elsewhere; else all requests count on the allowance of the bars."""
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _hold: Hold | None = None

    def found(self, symbol: str) -> FoundNews:
        """Return a symbol's articles, oldest fetched first; `problem` says why they may not be the newest."""
        kept = self._kept.get(symbol, _Kept())
        error = self._hold.reason if self._hold is not None else kept.error
        return FoundNews(list(kept.items.values()), kept.asked_at, error)

    async def ask_due(self, symbols: Sequence[str], slots: Sequence[datetime], bars: YahooBars | None) -> None:
        """Ask for the news that is due now, as far as the pace has room for it; returns at once where nothing is.

        Bars go first: while Yahoo is asked for nothing because of them, it is asked for no news either.
        """
        now, allowance = self.now(), self.allowance if bars is None else bars.allowance
        hold = self._hold if bars is None or bars.hold is None else bars.hold
        if hold is not None and now < hold.until:
            return
        self._kept = {symbol: self._kept.get(symbol, _Kept()) for symbol in symbols}
        due = [symbol for symbol in symbols if is_due(self._kept[symbol].asked_at, slots, now)]
        if not due or allowance.wait(monotonic(), FIRST_REQUESTS):
            return
        try:
            async with conversation(self.reach) as child:
                for number, symbol in enumerate(due):
                    if number and allowance.wait(monotonic(), REQUESTS):
                        # The rest is asked for when bars have had their turn.
                        return
                    await self._one(child, symbol, allowance)
        except Refused as error:
            self._refused(error, bars)

    async def _one(self, child: Conversation, symbol: str, allowance: Allowance) -> None:
        try:
            answer = await child.ask_news(symbol, COUNT)
        except Refused:
            allowance.spend(monotonic(), REQUESTS)
            raise
        allowance.spend(monotonic(), answer.requests)
        if answer.error in OF_ALL:
            raise Refused(answer.error, answer.message)
        self._hold = None
        kept, now = self._kept[symbol], self.now()
        kept.asked_at = now
        if answer.error:
            if answer.message != kept.error:
                _log.warning("%s: %s", symbol, answer.message)
            kept.error = answer.message
            return
        kept.error = ""
        for item, (_, _, text) in zip(items_of(answer, now), answer.news, strict=True):
            kept.items.setdefault((item.title, item.source, text), item)
        kept.items = dict(list(kept.items.items())[-MOST_KEPT:])

    def _refused(self, error: Refused, bars: YahooBars | None) -> None:
        """Ask for no news for a while; after a 429 for no bars either, since Yahoo counts both together."""
        limited = error.kind == "rate-limited"
        chance = random.random()  # noqa: S311 (spreads systems over time, keeps no secret)
        self._hold = held(self._hold, self.now(), str(error), chance, limited=limited)
        _log.warning("yahoo: news: %s", self._hold.reason)
        if limited and bars is not None:
            bars.hold_all(error)


def is_due(asked_at: datetime | None, slots: Sequence[datetime], now: datetime) -> bool:
    """Whether a symbol's news is to be asked for (pure)."""
    if asked_at is None or now >= asked_at + EVERY:
        return True
    return any(slot - LEAD <= now < slot and asked_at < slot - LEAD for slot in slots)


def items_of(answer: Answer, now: datetime) -> list[NewsItem]:
    """Return the articles of an answer, as fetched now; one without a readable time counts from now (pure)."""
    return [NewsItem(title, source, _published(text) or now, now) for title, source, text in answer.news]


def _published(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if found.tzinfo is None else found.astimezone(UTC)


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
