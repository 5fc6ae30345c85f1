"""What sentiment answers."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Headline(msgspec.Struct, frozen=True):
    """One headline that was available at the instant asked about."""

    id: str
    """Hash of source, title and time of publishing."""
    title: str
    source: str
    """Who published it; empty where nobody said."""
    published: datetime
    available_at: datetime
    """When it could first be known here: the later of publishing and first fetching."""
    score: float
    """-1 (bad news) to 1 (good news)."""


class AnalyzeSentiment(msgspec.Struct, frozen=True):
    """Ask what the news about a symbol says, as of the request."""

    symbol: str


class SymbolSentiment(msgspec.Struct, frozen=True):
    """What the news about a symbol says at an instant."""

    symbol: str
    sentiment_score: float | None
    """-1 (bad news) to 1 (good news); None: there is no news, which is not the same as neutral news."""
    news_confidence: float
    """0-1: grows with the number of headlines, their newness and agreement; 0 without news."""
    news_quality_score: float
    """0-1: sources, newness, and whether sources are named; 0 without news."""
    headlines: list[Headline]
    """Those it was made of, newest first."""
    duplicates: int = 0
    """Headlines that repeat one of them."""
    reason: str = ""
    """Why there is no score."""
    version: str = ""
    """Of the word lists by which headlines were scored."""


class NewsItem(msgspec.Struct, frozen=True):
    """One article of Yahoo; nothing of it is cleaned yet."""

    title: str
    source: str
    published: datetime
    """As Yahoo states it; the time of fetching where it states none."""
    fetched: datetime
    """When it was first fetched."""


class FoundNews(msgspec.Struct, frozen=True):
    """What was fetched of a symbol's news."""

    items: list[NewsItem]
    asked_at: datetime | None = None
    """When Yahoo last answered for it."""
    problem: str = ""
    """Why there may be newer news; empty where all is well."""


class GetNews(msgspec.Struct, frozen=True):
    """Ask market-data, which alone talks to Yahoo, for the news that it fetched."""

    symbols: list[str]


class News(msgspec.Struct, frozen=True):
    """What was fetched, by symbol."""

    symbols: dict[str, FoundNews]
