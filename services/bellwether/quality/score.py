"""From the evidence of a symbol to its score, and from the scores of all symbols to the overall one. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bellwether.messages.quality import QualityFinding, SymbolQuality
from bellwether.quality.evidence import Evidence
from bellwether.quality.rules import BAR_RULES, Breach, Rule

BEST = 100.0
FATAL = frozenset({"held_back", "not_finite"})
"""Rules after which nothing else can be measured."""
SCHEMA_WEIGHT = 100.0
MISMATCH_WEIGHT = 60.0
PRICE_TOLERANCE = 0.005
BOUNDS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "technical": {"current_price": (0.0, math.inf), "rsi": (0.0, 100.0), "tech_score": (0.0, 100.0)},
    "volume": {"volume_trend": (-math.inf, math.inf), "volume_quality_score": (0.0, 1.0)},
    "sentiment": {"sentiment_score": (-1.0, 1.0), "news_confidence": (0.0, 1.0), "news_quality_score": (0.0, 1.0)},
}
"""Values that a caller may hand in, and between what they must lie."""


def assess(evidence: Evidence, least: float, revision: str = "", rules: Sequence[Rule] = BAR_RULES) -> SymbolQuality:
    """Return the quality of a symbol's bars: the score and every rule that is broken, the costliest first.

    Without a bar nothing was measured, so the score is unknown (None). `least` is the score from which on it is valid.
    """
    if not evidence.bars and not evidence.held_back:
        return SymbolQuality(
            symbol=evidence.symbol, quality_score=None, valid=False, findings=[], revision=revision, last_session=None
        )
    found = []
    for rule in rules:
        breach = rule.check(evidence)
        if breach is not None:
            found.append(finding_of(rule.id, rule.weight, breach))
            if rule.id in FATAL:
                break
    return scored(
        evidence.symbol, found, least, revision, evidence.bars[-1].session.isoformat() if evidence.bars else None
    )


def scored(
    symbol: str, findings: Sequence[QualityFinding], least: float, revision: str, last_session: str | None
) -> SymbolQuality:
    """Return the score that findings leave of 100, never below 0."""
    ordered = sorted(findings, key=lambda each: (-each.points, each.rule))
    score = round(max(0.0, BEST - sum(each.points for each in ordered)), 1)
    return SymbolQuality(symbol, score, score >= least, ordered, revision, last_session)


def finding_of(rule: str, weight: float, breach: Breach) -> QualityFinding:
    """Return a breach as it is reported: the points it takes off, what was found, what would be right."""
    points = round(weight * min(1.0, max(0.0, breach.share)), 1)
    return QualityFinding(rule, points, breach.value, breach.limit, breach.message)


def check_values(data: Mapping[str, Any], last_close: float | None) -> list[QualityFinding]:
    """Return what is wrong with the values that a caller hands in for a prediction.

    Blocks and values that are not given are not judged; `current_price` must be the newest close.
    """
    found: list[QualityFinding] = []
    for block, bounds in BOUNDS.items():
        given = _block(data, block)
        if given is None:
            continue
        if not isinstance(given, Mapping):
            found.append(_schema(block, type(given).__name__, "a block of named numbers"))
            continue
        for name, (low, high) in bounds.items():
            if name in given and not _within(given[name], low, high):
                limit = f"a number of at least {low:g}" if high == math.inf else f"a number from {low:g} to {high:g}"
                found.append(_schema(f"{block}.{name}", given[name], limit))
    price = _price(data)
    if price is not None and last_close is not None and abs(price / last_close - 1.0) > PRICE_TOLERANCE:
        breach = Breach(
            1.0,
            f"{price:g}",
            f"{last_close:g}",
            f"technical.current_price is {price:g}, the newest close is {last_close:g}",
        )
        found.append(finding_of("price_mismatch", MISMATCH_WEIGHT, breach))
    return found


def overall(scores: Sequence[SymbolQuality]) -> float | None:
    """Return the mean of what was measured; unknown (None) where nothing was."""
    known = [one.quality_score for one in scores if one.quality_score is not None]
    return round(sum(known) / len(known), 1) if known else None


def _block(data: Mapping[str, Any], name: str) -> Any:
    market = data.get("market_data")
    if isinstance(market, Mapping) and name in market:
        return market[name]
    return data.get(name)


def _price(data: Mapping[str, Any]) -> float | None:
    technical = _block(data, "technical")
    price = technical.get("current_price") if isinstance(technical, Mapping) else None
    return float(price) if _within(price, 0.0, math.inf) and price else None


def _within(value: Any, low: float, high: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        return False
    return low <= value <= high


def _schema(where: str, value: Any, limit: str) -> QualityFinding:
    breach = Breach(1.0, str(value)[:80], limit, f"{where} is {str(value)[:80]!r}: it must be {limit}")
    return finding_of("schema", SCHEMA_WEIGHT, breach)
