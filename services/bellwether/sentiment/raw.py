"""A headline as its source gives it, which symbols it is about, and the collection of those that were read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from bellwether.messages.sentiment import Headline, SymbolSentiment
from bellwether.sentiment.scoring import MOST_HEADLINES, folded, headline_id, score_of, summary_of, version, visible

MOST_KEPT = 20_000
"""Headlines that are kept: the newest by their time of publishing."""
NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "CBA.AX": ("Commonwealth Bank", "CommBank", "CBA"),
        "ANZ.AX": ("ANZ", "Australia and New Zealand Banking"),
        "NAB.AX": ("NAB", "National Australia Bank"),
        "WBC.AX": ("Westpac", "WBC"),
        "MQG.AX": ("Macquarie Group", "Macquarie Bank", "Macquarie", "MQG"),
        "COL.AX": ("Coles", "Coles Group"),
        "BHP.AX": ("BHP", "BHP Group"),
        "AAPL": ("Apple",),
        "GOOG": ("Google", "Alphabet"),
        "IBM": ("International Business Machines",),
        "MSFT": ("Microsoft",),
    }
)
"""Names that come with the product: of the seven default symbols and of the recorded bars."""
EXCHANGES: Mapping[str, str] = MappingProxyType({"AX": "ASX", "L": "LON", "HK": "HKG", "T": "TYO"})
FEWEST_LETTERS = 3
"""A shorter ticker is too often an ordinary word."""


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


def names_of(symbol: str, aliases: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what a symbol is called in headlines: its own spellings, the built-in names, and declared aliases."""
    root, _, suffix = symbol.partition(".")
    own = [symbol] if suffix or len(root) >= FEWEST_LETTERS else []
    if suffix in EXCHANGES:
        own += [f"{EXCHANGES[suffix]}:{root}", f"{EXCHANGES[suffix]}: {root}"]
    return tuple(dict.fromkeys([*own, *NAMES.get(symbol, ()), *aliases]))


def pattern_of(names: Sequence[str]) -> re.Pattern[str]:
    """Return what finds one of some names as whole words.

    Case counts, so that "Apple" is the firm and "apple" the fruit; names in capitals are found too.
    """
    spellings = sorted(
        {spelling for name in names for spelling in (name, name.upper())}, key=lambda one: (-len(one), one)
    )
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, spellings)) + r")(?!\w)")


class Relevance:
    """Finds the symbols that a headline is about."""

    def __init__(self, symbols: Sequence[str], aliases: Mapping[str, Sequence[str]]) -> None:
        self._patterns = {symbol: pattern_of(names_of(symbol, aliases.get(symbol, ()))) for symbol in symbols}

    def symbols(self, title: str, given: str = "") -> tuple[str, ...]:
        """Return the symbols that a title names; `given`, where the source says which one it is about, decides."""
        if given:
            return (given,) if given in self._patterns else ()
        return tuple(symbol for symbol, pattern in self._patterns.items() if pattern.search(title))
