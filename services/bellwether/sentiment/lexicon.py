"""Our own words and phrases as VADER takes them. docs/headlines.md says how well they do on sentences of our own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from bellwether.sentiment.phrases import PHRASES
from bellwether.sentiment.words import WORDS

VALENCES: Mapping[str, float] = MappingProxyType(
    {**WORDS, **{phrase.replace(" ", ""): value for phrase, value in PHRASES.items()}}
)
"""What VADER's own list is updated with."""

_LONGEST_FIRST = sorted(PHRASES, key=lambda phrase: (-len(phrase), phrase))
_JOINED = re.compile(
    r"\b(" + "|".join(phrase.replace(" ", r"[\s-]+") for phrase in _LONGEST_FIRST) + r")\b", re.IGNORECASE
)


def tokens(title: str) -> str:
    """Return a title with each phrase of the lexicon joined to one word, because VADER rates single words."""
    return _JOINED.sub(lambda found: re.sub(r"[\s-]+", "", found[0]), title)
