"""A headline as its source gives it, and the collection of those that were read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from bellwether.messages.sentiment import Headline, SymbolSentiment
from bellwether.sentiment.relevance import Relevance
from bellwether.sentiment.scoring import MOST_HEADLINES, folded, headline_id, score_of, summary_of, version, visible

MOST_KEPT = 20_000
"""Headlines that are kept: the newest by their time of publishing."""


class Raw(NamedTuple):
    """A headline as its source gives it; `symbol` empty where the source does not say which share it is about."""

    published: datetime
    source: str
    title: str
    symbol: str = ""


class Collection:
    """The headlines that were read, each with the instant at which it was first available."""

    def __init__(self, relevance: Relevance) -> None:
        self._relevance = relevance
        self._first: dict[str, datetime] = {}
        self._by_symbol: dict[str, list[Headline]] = {}
        self.read = 0
        self.others = 0
        """Headlines about none of the declared symbols."""

    def add(self, found: Iterable[Raw], fetched: datetime | None) -> None:
        """Take in headlines that are not known yet; `fetched` None: each was available when it was published."""
        for raw in found:
            # The same headline may come for two symbols.
            identifier = headline_id(raw.source, raw.title, raw.published)
            key = f"{identifier} {raw.symbol}"
            if key in self._first:
                continue
            self._first[key] = raw.published
            self.read += 1
            symbols = self._relevance.symbols(raw.title, raw.symbol)
            if not symbols:
                self.others += 1
                continue
            available = raw.published if fetched is None else max(raw.published, fetched)
            made = Headline(identifier, raw.title, raw.source, raw.published, available, score_of(raw.title))
            for symbol in symbols:
                self._by_symbol.setdefault(symbol, []).append(made)
        self._forget()

    def _forget(self) -> None:
        if len(self._first) <= MOST_KEPT:
            return
        newest = sorted(self._first.items(), key=lambda item: item[1])[-MOST_KEPT:]
        self._first, oldest = dict(newest), newest[0][1]
        for symbol, headlines in self._by_symbol.items():
            self._by_symbol[symbol] = [one for one in headlines if one.published >= oldest]

    def about(self, symbol: str) -> Sequence[Headline]:
        """Return every kept headline about a symbol."""
        return self._by_symbol.get(symbol, ())


def analyze(symbol: str, headlines: Sequence[Headline], as_of: datetime, max_age: timedelta) -> SymbolSentiment:
    """Return what the headlines about a symbol say at an instant."""
    seen = visible(headlines, as_of, max_age)
    distinct = folded(seen)
    used = distinct[-MOST_HEADLINES:]
    summary = summary_of(used, as_of)
    return SymbolSentiment(
        symbol=symbol,
        sentiment_score=summary.score,
        news_confidence=summary.confidence,
        news_quality_score=summary.quality,
        headlines=used[::-1],
        duplicates=len(seen) - len(distinct),
        reason="" if used else "NO_NEWS",
        version=version(),
    )
