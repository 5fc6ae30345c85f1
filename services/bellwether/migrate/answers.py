"""What the old or the new system answered at one instant, read into one form. Pure.

A side's raw answer is `{"predictions": {SYMBOL: {...}}, "market_data": {SYMBOL: {...}}, "sentiment": {SYMBOL: {...}},
"errors": {SYMBOL: "words"}}`; of each part there may be nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

PATHS: dict[str, tuple[str, ...]] = {
    "action": ("prediction.action", "prediction.signal", "prediction.recommendation"),
    "probability": ("prediction.probability",),
    "price": (
        *("prediction.current_price", "prediction.price", "prediction.market_data.technical.current_price"),
        "market_data.technical.current_price",
    ),
    "at": ("prediction.timestamp",),
    "bar": ("prediction.bar_session", "market_data.last_session"),
    "rsi": ("market_data.technical.rsi", "prediction.market_data.technical.rsi", "prediction.rsi"),
    "tech_score": (
        *("market_data.technical.tech_score", "prediction.market_data.technical.tech_score"),
        "prediction.tech_score",
    ),
    "volume_trend": ("market_data.volume.volume_trend", "prediction.market_data.volume.volume_trend"),
    "context": ("market_data.market_context.context", "prediction.market_data.market_context.context"),
    "sentiment_score": ("prediction.sentiment_score", "sentiment.sentiment_score"),
    "news_confidence": ("prediction.news_confidence", "sentiment.news_confidence"),
    "model": ("prediction.model_name", "prediction.model"),
    "model_version": ("prediction.model_version",),
    "market_data_available": ("prediction.market_data_available",),
    "sentiment_data_available": ("prediction.sentiment_data_available",),
}
"""Where each value is looked for, the first that is there counts. A mapping may name other places."""
INDICATORS = ("rsi", "tech_score", "volume_trend", "context")
SENTIMENT = ("sentiment_score", "news_confidence")


@dataclass(frozen=True)
class Answer:
    """One side's answer about one share. A value that was not given is None, or not in `inputs`."""

    symbol: str
    action: str | None = None
    probability: float | None = None
    price: float | None = None
    at: datetime | None = None
    bar: str | None = None
    inputs: Mapping[str, float | str] = field(default_factory=dict)
    """Indicators, sentiment and model, by name."""
    lacking: tuple[str, ...] = ()
    """Inputs that the side itself says it had not: `market data`, `sentiment`."""
    error: str | None = None
    """Why there is no prediction."""


def answers(
    raw: Mapping[str, Any], symbols: Iterable[str], paths: Mapping[str, str] | None = None
) -> dict[str, Answer]:
    """Return a side's answers by symbol; `paths` says where a value is if not in its usual place."""
    where = {name: ((paths or {})[name],) if name in (paths or {}) else usual for name, usual in PATHS.items()}
    return {symbol: _answer(raw, symbol, where) for symbol in symbols}


def _answer(raw: Mapping[str, Any], symbol: str, where: Mapping[str, tuple[str, ...]]) -> Answer:
    parts = {
        "prediction": _of(raw.get("predictions"), symbol),
        "market_data": _of(raw.get("market_data"), symbol),
        "sentiment": _of(raw.get("sentiment"), symbol),
    }
    error = _of(raw.get("errors"), symbol) or raw.get("error")
    if not isinstance(parts["prediction"], Mapping):
        return Answer(symbol, error=str(error or "there is no prediction of it"))
    given = {name: _first(parts, paths) for name, paths in where.items()}
    lacking = tuple(
        words
        for name, words in (("market_data_available", "market data"), ("sentiment_data_available", "sentiment"))
        if given[name] is False
    )
    price = _number(given["price"])
    inputs: dict[str, float | str] = {}
    for name in (*INDICATORS, *([] if "sentiment" in lacking else SENTIMENT)):
        value = given[name]
        if value is not None and not ("market data" in lacking and name in INDICATORS):
            number = _number(value)
            inputs[name] = str(value) if number is None else number
    if given["model"] is not None:
        version = f"@{given['model_version']}" if given["model_version"] else ""
        inputs["model"] = f"{given['model']}{version}"
    return Answer(
        symbol,
        action=None if given["action"] is None else str(given["action"]).upper(),
        probability=_number(given["probability"]),
        # A fallback's price is 0: no price.
        price=price if price and "market data" not in lacking else None,
        at=_instant(given["at"]),
        bar=None if given["bar"] is None else str(given["bar"])[:10],
        inputs=inputs,
        lacking=lacking,
        error=None if given["action"] is not None else str(error or "it names no action"),
    )


def _of(part: Any, symbol: str) -> Any:
    """Return what a part says of a share: by its name, or of a list the one whose `symbol` it is."""
    if isinstance(part, Mapping):
        return part.get(symbol)
    if isinstance(part, list):
        return next((one for one in part if isinstance(one, Mapping) and one.get("symbol") == symbol), None)
    return None


def _first(parts: Mapping[str, Any], paths: Iterable[str]) -> Any:
    for path in paths:
        found: Any = parts
        for key in path.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        if found is not None:
            return found
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def _instant(value: Any) -> datetime | None:
    """Return an instant, UTC; ISO text without a zone is taken as UTC."""
    number = _number(value)
    try:
        if number is not None:
            return datetime.fromtimestamp(number, UTC)
        found = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
