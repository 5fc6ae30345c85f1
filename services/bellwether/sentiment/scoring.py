"""From headlines, by VADER with words of the trade, to one score with its confidence and quality. Pure."""

from __future__ import annotations

import hashlib
import html
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from importlib.metadata import version as installed
from types import MappingProxyType
from typing import Any, NamedTuple

from bellwether.messages.sentiment import Headline
from bellwether.sentiment.phrases import PHRASES
from bellwether.sentiment.words import WORDS

LONGEST_TITLE = 300
LONGEST_SOURCE = 60
NEGATIVE, POSITIVE = -0.05, 0.05
"""Below and above which a score is called bad and good news: VADER's own limits."""
MOST_HEADLINES = 50
"""How many headlines of a symbol count: the newest."""
HALF_LIFE = timedelta(hours=24)
"""After which a headline counts half."""
ALIKE = 0.8
"""Share of common words from which two titles are the same news."""
UNNAMED_SOURCE = 0.6
"""Weight of a headline whose source is not named; one with a named source counts 1."""
SOURCES_WANTED = 3
"""Different sources from which more add nothing to quality."""

_TAG = re.compile(r"<(script|style)\b.*?(</\1\s*>|$)|<!--.*?(-->|$)|<[a-zA-Z/!][^>]*(>|$)", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r"\w+")
VALENCES: Mapping[str, float] = MappingProxyType(
    {**WORDS, **{phrase.replace(" ", ""): value for phrase, value in PHRASES.items()}}
)
"""What VADER's own list is updated with."""

_LONGEST_FIRST = sorted(PHRASES, key=lambda phrase: (-len(phrase), phrase))
_JOINED = re.compile(
    r"\b(" + "|".join(phrase.replace(" ", r"[\s-]+") for phrase in _LONGEST_FIRST) + r")\b", re.IGNORECASE
)


class Summary(NamedTuple):
    """What the headlines of a symbol say together; score None: there are none."""

    score: float | None
    confidence: float
    quality: float


def clean(text: str) -> str:
    """Return a title as one line of plain text: no tags, no scripts, no control or invisible characters."""
    shorter = text[: LONGEST_TITLE * 20]
    # A second time, because what was escaped may be a tag itself.
    plain = _TAG.sub(" ", html.unescape(_TAG.sub(" ", shorter)))
    kept = "".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in plain)
    return " ".join(kept.split())[:LONGEST_TITLE].strip()


def headline_id(source: str, title: str, published: datetime) -> str:
    """Return the id of a headline: a hash of what it says, who says it, and when."""
    return hashlib.sha256(f"{source}\n{title}\n{published.isoformat()}".encode()).hexdigest()[:16]


@cache
def _analyzer() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    made = SentimentIntensityAnalyzer()
    made.lexicon.update(VALENCES)
    return made


@cache
def version() -> str:
    """Return what scores depend on: VADER's version and a hash of our words."""
    ours = hashlib.sha256(repr(sorted(VALENCES.items())).encode()).hexdigest()[:12]
    return f"vader-{installed('vaderSentiment')}-{ours}"


def score_of(title: str) -> float:
    """Return the score of a title, -1 (bad news) to 1: VADER's compound with the finance lexicon."""
    return float(_analyzer().polarity_scores(tokens(title))["compound"])


def words_of(title: str) -> frozenset[str]:
    """Return the words of a title, for comparison."""
    return frozenset(_WORD.findall(title.casefold()))


def folded(headlines: Sequence[Headline]) -> list[Headline]:
    """Return the headlines without repetitions, oldest first; of titles that are alike the first counts."""
    kept: list[tuple[frozenset[str], Headline]] = []
    for one in sorted(headlines, key=lambda one: (one.published, one.available_at, one.id)):
        words = words_of(one.title)
        if not any(_alike(words, before) for before, _ in kept):
            kept.append((words, one))
    return [one for _, one in kept]


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return one == other or len(one & other) >= ALIKE * len(one | other)


def visible(headlines: Sequence[Headline], as_of: datetime, max_age: timedelta) -> list[Headline]:
    """Return the headlines that were available at an instant and not too old then; never a later one."""
    return [one for one in headlines if one.available_at <= as_of and one.published >= as_of - max_age]


def summary_of(headlines: Sequence[Headline], as_of: datetime) -> Summary:
    """Return score, confidence and quality of headlines that are folded and visible.

    Each counts by its age (half after `HALF_LIFE`) and whether its source is named. The score is the mean so weighted.
    Confidence (0-1) grows with the sum of the weights and falls with disagreement; quality (0-1) is the mean of how
    many sources there are, how new the newest headline is, and the share with a named source.
    """
    if not headlines:
        return Summary(None, 0.0, 0.0)
    ages = [max(as_of - one.published, timedelta(0)) / HALF_LIFE for one in headlines]
    named = [1.0 if one.source else UNNAMED_SOURCE for one in headlines]
    weights = [source * 0.5**age for source, age in zip(named, ages, strict=True)]
    total = math.fsum(weights)
    score = math.fsum(weight * one.score for weight, one in zip(weights, headlines, strict=True)) / total
    spread = math.fsum(weight * (one.score - score) ** 2 for weight, one in zip(weights, headlines, strict=True))
    agreement = max(0.0, 1.0 - math.sqrt(spread / total))
    confidence = (1.0 - math.exp(-total)) * agreement
    sources = min(len({one.source for one in headlines}), SOURCES_WANTED) / SOURCES_WANTED
    quality = (sources + 0.5 ** min(ages) + math.fsum(named) / len(named)) / 3.0
    return Summary(round(score, 4), round(confidence, 4), round(quality, 4))


def tokens(title: str) -> str:
    """Return a title with each phrase of the lexicon joined to one word, because VADER rates single words."""
    return _JOINED.sub(lambda found: re.sub(r"[\s-]+", "", found[0]), title)
