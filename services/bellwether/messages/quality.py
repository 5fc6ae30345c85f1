"""What data-quality answers and publishes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec


class QualityFinding(msgspec.Struct, frozen=True):
    """One rule that is broken: the points it takes off 100, what was found, what would be right, in words."""

    rule: str
    points: float
    value: str
    limit: str
    message: str


class SymbolQuality(msgspec.Struct, frozen=True):
    """The quality of one symbol's bars at an instant."""

    symbol: str
    quality_score: float | None
    """0 (nothing is right) to 100; None: nothing was measured, which is not the same as 0."""
    valid: bool
    """Whether the score is known and at least `quality.minScore`."""
    findings: list[QualityFinding]
    """The costliest first."""
    revision: str = ""
    """Of the bars that were judged."""
    last_session: str | None = None
    """The session of the newest of them."""


class ValidatePredictionData(msgspec.Struct, frozen=True):
    """Ask whether the data of a prediction can be relied on.

    `data` names the `symbol`; values given beside it (`technical`, `volume`, `sentiment`, also below `market_data`) are
    checked for their bounds and against the bars.
    """

    data: dict[str, Any]


class ValidatedPredictionData(msgspec.Struct, frozen=True):
    """The judgement on a prediction's data; `issues` are the findings' sentences."""

    symbol: str
    valid: bool
    quality_score: float | None
    issues: list[str]
    findings: list[QualityFinding]
    last_session: str | None = None


class DataQualityReport(msgspec.Struct, frozen=True):
    """The quality of every declared symbol, and the mean of those that were measured (None: none was)."""

    timestamp: datetime
    overall_score: float | None
    min_score: float
    symbols: dict[str, SymbolQuality]
    unmeasured: dict[str, str]
    """Symbols of which nothing was measured, and why."""


class GetQuality(msgspec.Struct, frozen=True):
    """Ask for the scores of symbols, without raising or clearing an alert; none named: all declared."""

    symbols: list[str] = []
    traces: dict[str, str] = {}
    """W3C trace contexts by symbol: below each a span is of its symbol."""


class Quality(msgspec.Struct, frozen=True):
    """Quality by symbol; a symbol of which nothing was measured has a score of None."""

    symbols: dict[str, SymbolQuality]


class DataQualityAlert(msgspec.Struct, frozen=True):
    """The overall score fell below `quality.minScore`, or is at it again (`cleared`)."""

    state: Literal["raised", "cleared"]
    overall_score: float
    min_score: float
    symbols: dict[str, float]
    """The scores of the symbols below it, while raised."""
    issues: list[str]
    """The gravest finding of each of them."""
    alert_type: Literal["low_data_quality"] = "low_data_quality"
