"""The page about data quality: the rules from their table, and what they find on recorded bars damaged on purpose."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

from bellwether.market_data.actions import Action, adjusted, infer_actions, splits_through
from bellwether.market_data.sources import RecordedBars
from bellwether.messages.market_data import Bar
from bellwether.messages.quality import SymbolQuality
from bellwether.quality.rules import BAR_RULES, WINDOW
from bellwether.quality.score import MISMATCH_WEIGHT, SCHEMA_WEIGHT, assess
from generate.damage import DAMAGE, evidence

DATASET = "us-2000-2013"
LEAST = 70.0
EVERY = 21
"""Clean windows begin so many sessions after each other: about one a month."""
TRIALS = 100
"""Damaged windows of each kind."""

INTRODUCTION = """\
# Data quality

Written by `make generate`; do not edit.

`data-quality` judges the newest {window} bars of each symbol by one table of rules. Each rule that is broken takes
points off 100, up to its weight; what is left is the score. Nothing measured is *unknown*, which is not 0. The score
travels in every prediction. Below `quality.minScore` ({least:g} by default) a position is not opened
(`QUALITY_TOO_LOW`), nor where the score is unknown (`QUALITY_UNKNOWN`); what is held can always be sold, and an order
by hand is not judged by it. `bellwether why SYMBOL` names the rules. `monitor_data_quality` (morning and evening)
publishes `data_quality_alert` when the mean of all symbols falls below that score, and once more when it is back.

## The rules
"""

MEASURED = """\
## What they find

Measured on the recorded bars {dataset} (AAPL, GOOG, IBM, MSFT as traded, in units after the known splits), windows of
{window} sessions.

**Clean bars.** {clean} windows, one a month for each symbol: {alarms} score below {least:g} ({share:.1f} %). Rules that
were named at all: {named}.

**Damaged bars.** {trials} windows of each kind, drawn at random (with a fixed seed), damaged on purpose. *Named*: the
rule that is meant for it is among the findings. *Stopped*: the score is below {least:g}, so nothing would be bought.
"""


@dataclass(frozen=True)
class Found:
    """How often a kind of damage was named by its rule, and how often it stops a purchase, of `TRIALS`."""

    kind: str
    rule: str
    named: int
    stopped: int


@cache
def page() -> str:
    """Return the whole page."""
    windows = _windows()
    clean = [assess(evidence(bars), LEAST) for bars in windows]
    alarms = [one for one in clean if not one.valid]
    named = Counter(finding.rule for one in clean for finding in one.findings)
    counts = ", ".join(f"`{rule}` {count} times" for rule, count in sorted(named.items())) or "none"
    parts = [
        INTRODUCTION.format(window=WINDOW, least=LEAST),
        _rules_table(),
        MEASURED.format(
            dataset=DATASET,
            window=WINDOW,
            clean=len(clean),
            alarms=len(alarms),
            share=100.0 * len(alarms) / len(clean),
            least=LEAST,
            named=counts,
            trials=TRIALS,
        ),
        _damage_table(damaged(windows)),
    ]
    return "\n".join(parts)


def damaged(windows: Sequence[Sequence[Bar]]) -> list[Found]:
    """Return what the rules make of each kind of damage."""
    found = []
    for kind, (rule, harm) in DAMAGE.items():
        rng = random.Random(kind)  # noqa: S311 - the same damage at each run
        judged = [_judged(harm(list(bars), rng), bars) for bars in rng.sample(windows, TRIALS)]
        named = sum(any(finding.rule == rule for finding in one.findings) for one in judged)
        found.append(Found(kind, rule, named, sum(not one.valid for one in judged)))
    return found


def _judged(bars: Sequence[Bar], before: Sequence[Bar]) -> SymbolQuality:
    return assess(evidence(bars, last=before[-1].session), LEAST)


def _windows() -> list[list[Bar]]:
    """Return about one window a month of each symbol, stated as of its last session."""
    source, found = RecordedBars(DATASET), []
    for symbol in source.symbols:
        rows = source.load(symbol).rows
        bars, actions = [row.bar for row in rows], infer_actions(rows).actions
        days = [bar.session for bar in bars]
        for end in range(WINDOW, len(bars), EVERY):
            found.append(_stated(bars, days, days[end], splits_through(actions, days[end])))
    return found


def _stated(bars: Sequence[Bar], days: Sequence[date], last: date, splits: Sequence[Action]) -> list[Bar]:
    count = bisect_right(days, last)
    return adjusted(bars[count - WINDOW : count], splits)


def _rules_table() -> str:
    lines = ["| rule | takes off at most | what is wrong | what to do |", "|---|---|---|---|"]
    lines += [f"| `{rule.id}` | {rule.weight:g} | {rule.meaning} | {rule.remedy} |" for rule in BAR_RULES]
    lines += [
        f"| `schema` | {SCHEMA_WEIGHT:g} | A value that a caller of `validate_prediction_data` hands in "
        "is no number, or out of its bounds. | Correct the caller. |",
        f"| `price_mismatch` | {MISMATCH_WEIGHT:g} | The `current_price` that a caller hands in is not the newest "
        "close. | Ask market-data again. |",
    ]
    return "\n".join(lines) + "\n"


def _damage_table(rows: Sequence[Found]) -> str:
    lines = ["| damage | rule | named | stopped |", "|---|---|---|---|"]
    lines += [f"| {row.kind} | `{row.rule}` | {row.named} of {TRIALS} | {row.stopped} of {TRIALS} |" for row in rows]
    return "\n".join(lines) + "\n"
