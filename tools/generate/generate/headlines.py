"""The page about headlines: how well VADER, with and without our words, judges sentences of our own."""

from __future__ import annotations

import csv
import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from bellwether.sentiment.phrases import PHRASES
from bellwether.sentiment.scoring import NEGATIVE, POSITIVE, score_of
from bellwether.sentiment.words import WORDS

FILE = Path(__file__).with_name("headlines.csv")
FROZEN = "0c5a16533221cb1cd2434e9bf4b5666e6fffd36cea0b417c4cf904a244fc127d"
"""SHA-256 of the file, written down before the lexicon was tuned: neither sentences nor labels were changed for it."""
CLASSES = (-1, 0, 1)
RESAMPLES = 1000
SEED = 12
Confusion = Mapping[tuple[int, int], int]
"""How often a label (first) was answered by a class (second)."""

TEXT = """\
# How headlines are judged

Written by `make generate`; do not edit.

## These are our own sentences, not the market's

{count} headlines of our own writing, about ASX firms and invented ones. None was ever published and none of the events
happened, so nothing here says that a score foretells a price. What it says is whether the score of a sentence has the
sign that a reader would give it: results, guidance, dividends, debt, regulators, courts, deals, staff, accidents,
brokers, price moves, notices that mean nothing, negations, and sentences with good and bad halves. They are in
`tools/generate/generate/headlines.csv`, which was frozen (SHA-256 `{digest}...`) before the lexicon was tuned.

Each was labelled good, bad or neither in two passes by two rules: first by whether the news is good for who holds the
share; then, in the order of a hash and without the first labels beside them, by whether the share would open higher,
lower or unchanged on it alone. The passes agree on {agreed} of {count}; Cohen's kappa is {kappa:.2f}. The first pass
counts below. It has {good} good, {bad} bad and {neither} neither.

**One author wrote the sentences and both passes**, so kappa says how steady the labels are, and not how far two people
would agree. A hash of the sentence decides its half. The lexicon ({words} words and phrases) was tuned by the mistakes
in the one half. After each round of tuning the total of the held-out half was looked at, its mistakes never. Thirty
phrases that occurred in held-out sentences only were removed afterwards; of the words and phrases that are left,
{held_only} occur in that half only. The author knew all sentences, too, and many have a mirror image in the other half,
so **the held-out figures flatter**: expect less of headlines that others wrote.

A score above {positive:g} counts as good, one below {negative:g} as bad.

| half | judge | right, % | macro F1 |
|---|---|---|---|
{rows}

In brackets: 95 % intervals of {resamples} bootstrap samples of the half's sentences. The majority class answers
"{majority}" to everything. Macro F1 is the mean of the three classes' F1: the rarest counts as much as the others.

Of the held-out half, by label and by what VADER with our lexicon makes of it:

| label | bad | neither | good |
|---|---|---|---|
{table}
"""


@dataclass(frozen=True)
class Item:
    """A sentence and its labels: -1 bad, 0 neither, 1 good."""

    title: str
    first: int
    second: int

    @property
    def held_out(self) -> bool:
        """Whether it is of the half that the lexicon was not tuned on."""
        return hashlib.sha256(f"half {self.title}".encode()).digest()[0] % 2 == 1


def read(path: Path = FILE) -> list[Item]:
    """Return the sentences.

    Raises:
        ValueError: when they are not those that were frozen.
    """
    text = path.read_bytes()
    if (found := hashlib.sha256(text).hexdigest()) != FROZEN:
        raise ValueError(f"{path}: its SHA-256 is {found}, frozen was {FROZEN}")
    rows = csv.DictReader(text.decode().splitlines())
    return [Item(row["title"], int(row["first"]), int(row["second"])) for row in rows]


def class_of(score: float) -> int:
    """Return the class of a score."""
    return (score > POSITIVE) - (score < NEGATIVE)


def confusion(items: Sequence[Item], judge: Callable[[str], int]) -> Confusion:
    """Return how often each label was answered by each class."""
    return Counter((item.first, judge(item.title)) for item in items)


def accuracy(found: Confusion) -> float:
    """Return the share of right answers."""
    return sum(times for (label, said), times in found.items() if label == said) / sum(found.values())


def macro_f1(found: Confusion) -> float:
    """Return the mean of the classes' F1; that of a class that neither label nor judge has is 0."""
    total = 0.0
    for one in CLASSES:
        right = found.get((one, one), 0)
        labelled = sum(times for (label, _), times in found.items() if label == one)
        said = sum(times for (_, answer), times in found.items() if answer == one)
        total += 2 * right / (labelled + said) if labelled + said else 0.0
    return total / len(CLASSES)


def kappa(items: Sequence[Item]) -> float:
    """Return Cohen's kappa of the two passes."""
    count = len(items)
    agreed = sum(item.first == item.second for item in items) / count
    first, second = Counter(item.first for item in items), Counter(item.second for item in items)
    chance = sum(first[one] * second[one] for one in CLASSES) / count**2
    return (agreed - chance) / (1 - chance)


def interval(found: Confusion, measure: Callable[[Confusion], float]) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile of a measure over bootstrap samples of the same size."""
    draw = random.Random(SEED)  # noqa: S311 (draws samples, keeps no secret)
    cells = sorted(found)
    weights, count = list(accumulate(found[cell] for cell in cells)), sum(found.values())
    values = sorted(measure(Counter(draw.choices(cells, cum_weights=weights, k=count))) for _ in range(RESAMPLES))
    return values[RESAMPLES * 25 // 1000], values[RESAMPLES * 975 // 1000 - 1]


def judges(items: Sequence[Item]) -> dict[str, Callable[[str], int]]:
    """Return who judges, by name; the majority class is that of the tuned half."""
    plain = SentimentIntensityAnalyzer()
    majority = majority_of(items)
    return {
        "majority class": lambda title: majority,
        "VADER alone": lambda title: class_of(float(plain.polarity_scores(title)["compound"])),
        "VADER with our lexicon": lambda title: class_of(score_of(title)),
    }


def majority_of(items: Sequence[Item]) -> int:
    """Return the most frequent label of the tuned half."""
    return Counter(item.first for item in items if not item.held_out).most_common(1)[0][0]


def in_held_out_only(entries: Iterable[str], items: Sequence[Item]) -> list[str]:
    """Return the words and phrases that occur in held-out sentences and in no other."""
    halves = [" ".join(_plain(item.title) for item in items if item.held_out is half) for half in (True, False)]
    return [entry for entry in entries if f" {entry} " in halves[0] and f" {entry} " not in halves[1]]


def page() -> str:
    """Return docs/headlines.md."""
    items = read()
    known = judges(items)
    rows = []
    for name, half in (("tuned", False), ("held out", True)):
        part = [item for item in items if item.held_out is half]
        for judge, says in known.items():
            found = confusion(part, says)
            shown = [_shown(found, accuracy, 100.0, 0), _shown(found, macro_f1, 1.0, 2)]
            rows.append(f"| {name} ({len(part)}) | {judge} | {shown[0]} | {shown[1]} |")
    held = confusion([item for item in items if item.held_out], known["VADER with our lexicon"])
    names = {-1: "bad", 0: "neither", 1: "good"}
    table = [
        f"| {names[label]} | " + " | ".join(str(held.get((label, one), 0)) for one in CLASSES) + " |"
        for label in CLASSES
    ]
    labels = Counter(item.first for item in items)
    return TEXT.format(
        count=len(items),
        digest=FROZEN[:16],
        agreed=sum(item.first == item.second for item in items),
        kappa=kappa(items),
        good=labels[1],
        bad=labels[-1],
        neither=labels[0],
        words=len(WORDS) + len(PHRASES),
        held_only=len(in_held_out_only([*WORDS, *PHRASES], items)),
        positive=POSITIVE,
        negative=NEGATIVE,
        rows="\n".join(rows),
        resamples=RESAMPLES,
        majority=names[majority_of(items)],
        table="\n".join(table),
    )


def _plain(title: str) -> str:
    """Return a title's words in lower case, each between blanks."""
    return f" {' '.join(re.findall(r'[a-z0-9]+', title.lower()))} "


def _shown(found: Confusion, measure: Callable[[Confusion], float], scale: float, digits: int) -> str:
    low, high = interval(found, measure)
    return f"{measure(found) * scale:.{digits}f} ({low * scale:.{digits}f} to {high * scale:.{digits}f})"
