"""Which symbol a headline is about: by the firm's names, as whole words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

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
