"""News of Yahoo, for sentiment: fetched through the same child as bars, at the same pace, and kept in memory."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bellwether.market_data.yahoo.allowance import Allowance, Hold, held
from bellwether.market_data.yahoo.answers import OF_ALL, Answer, Refused
from bellwether.market_data.yahoo.asking import Conversation, Reach, conversation
from bellwether.market_data.yahoo.bars import YahooBars
from bellwether.market_data.yahoo.due import LEAD
from bellwether.messages.sentiment import FoundNews, NewsItem
from bellwether.runtime.clock import monotonic

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
