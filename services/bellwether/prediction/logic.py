"""From inputs to a decision: a pure function, and the one spelling of both as bytes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec

from bellwether.messages.canonical import canonical_bytes
from bellwether.messages.market_data import MarketData
from bellwether.messages.models import Probability
from bellwether.messages.prediction import BUY_ACTIONS, Action, Prediction
from bellwether.messages.sentiment import Headline, SymbolSentiment
from bellwether.naming import symbol_token

FALLBACK_BASE_RATE = 0.5
FALLBACK_MARGIN = 0.2
"""Without market data the market counts as neutral and a BUY would need 0.70; there is none without a real price."""
SENTIMENT = "sentiment"
MARKET_DATA = "market_data"
STALE = "market_data_stale"
MODEL = "model"
QUALITY = "quality"
NO_SENTIMENT, NO_CONFIDENCE = 0.0, 0.5
"""What stands for the news where there is none; flagged as missing, and never a reason to refuse an order."""
MOST_HEADLINES = 20
"""Headlines that a record keeps: the newest."""
MOST_BAD = 5
"""Negative headlines that a prediction carries to the guards: the newest."""
NEGATIVE = -0.05
"""The score from which VADER calls a text negative."""


class Market(msgspec.Struct, frozen=True):
    """What market-data said, without the instant it was asked at."""

    current_price: float
    rsi: float
    tech_score: float
    volume_trend: float
    volume_quality_score: float
    context: str
    base_rate: float
    margin: float
    last_session: date
    revision: str


class Quality(msgspec.Struct, frozen=True):
    """What data-quality said of the symbol's bars: the score (0-100) and the rules that are broken."""

    score: float | None
    """None: nothing was measured."""
    rules: list[str]
    revision: str
    """Of the bars that were judged."""


class News(msgspec.Struct, frozen=True, omit_defaults=True):
    """What sentiment said of the symbol, with the headlines behind it, newest first."""

    score: float
    confidence: float
    quality: float
    count: int
    """Headlines that the score was made of; the newest of them are kept."""
    headlines: list[Headline]
    version: str = ""
    """Of the word lists by which headlines were scored."""


class NewsWeight(msgspec.Struct, frozen=True):
    """How much the news moves the log odds of the model's probability."""

    weight: float
    outcomes: int
    """Of so many earlier decisions it was learnt."""
    through: date
    """The last session that is in it."""


class Inputs(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that a decision is computed from. None says that an input was not there."""

    symbol: str
    as_of: datetime
    slot: str | None
    target_session: date
    valid_until: datetime
    trade_asked: bool
    model_name: str
    market: Market | None
    stale_sessions: int
    """Sessions that have closed since the newest bar's."""
    bars_revision: str | None
    features: dict[str, float]
    model: Probability | None
    quality: Quality | None
    missing: dict[str, str]
    """Why an input is missing, by its name: the code of the error."""
    news: News | None = None
    """Left out of the bytes where there is none, so that records from before there was news stay equal."""
    basket: dict[str, str] | None = None
    """Revisions of the other symbols' bars, by symbol, where features look at the market's own state."""
    news_weight: NewsWeight | None = None
    """None: the news does not move the probability."""


class Expiry(NamedTuple):
    """Which model answered, or has expired, and from which day on it answers no more (None: never)."""

    version: str = ""
    on: date | None = None
    novelty: float | None = None
    """How unlike its training rows the features are, where that was asked for."""


NO_EXPIRY = Expiry()


class Decision(msgspec.Struct, frozen=True):
    """What was decided."""

    action: Action
    probability: float
    base_rate: float
    margin: float
    buy_threshold: float
    confidence: float
    current_price: float
    fallbacks: list[str]
    may_trade: bool
    reasons: list[str]


def market_of(data: MarketData) -> Market:
    """Return what a decision keeps of market-data's answer."""
    return Market(
        current_price=data.technical.current_price,
        rsi=data.technical.rsi,
        tech_score=data.technical.tech_score,
        volume_trend=data.volume.volume_trend,
        volume_quality_score=data.volume.volume_quality_score,
        context=data.market_context.context,
        base_rate=data.market_context.base_rate,
        margin=data.market_context.margin,
        last_session=data.last_session,
        revision=data.revision,
    )


def news_of(answer: SymbolSentiment) -> News | None:
    """Return what a decision keeps of sentiment's answer; None where it has no news."""
    if answer.sentiment_score is None:
        return None
    return News(
        score=answer.sentiment_score,
        confidence=answer.news_confidence,
        quality=answer.news_quality_score,
        count=len(answer.headlines),
        headlines=answer.headlines[:MOST_HEADLINES],
        version=answer.version,
    )


def moved(probability: float, weight: float, news: float) -> float:
    """Return a probability whose log odds are moved by weight x news; 0 and 1 stay."""
    if not 0.0 < probability < 1.0:
        return probability
    odds = math.log(probability / (1.0 - probability)) + weight * news
    return 1.0 / (1.0 + math.exp(-odds)) if odds >= 0.0 else math.exp(odds) / (1.0 + math.exp(odds))


def action_of(probability: float, base_rate: float, margin: float) -> Action:
    """Return the action for a calibrated probability p beside the symbol's base rate b and the margin m.

    BUY at p >= b + m, STRONG_BUY at p >= b + 2 m, SELL at p <= b - m, STRONG_SELL at p <= b - 2 m, else HOLD. A
    probability that says no more than the base rate is HOLD whatever the margin.
    """
    if probability == base_rate:
        return "HOLD"
    if probability > base_rate:
        if probability >= base_rate + 2.0 * margin:
            return "STRONG_BUY"
        return "BUY" if probability >= base_rate + margin else "HOLD"
    if probability <= base_rate - 2.0 * margin:
        return "STRONG_SELL"
    return "SELL" if probability <= base_rate - margin else "HOLD"


def decide(inputs: Inputs) -> Decision:
    """Return the decision: a function of the inputs alone.

    Missing inputs are replaced by neutral values and named in `fallbacks`. Without a real and current price, or without
    a model, the decision is HOLD or at least may not trade.
    """
    market, model = inputs.market, inputs.model
    fallbacks = [] if inputs.news is not None else [SENTIMENT]
    base_rate = _base_rate(market, model)
    margin = FALLBACK_MARGIN if market is None else market.margin
    price = 0.0 if market is None else market.current_price
    if market is None:
        fallbacks.append(MARKET_DATA)
    elif inputs.stale_sessions > 0:
        fallbacks.append(STALE)
    if model is None:
        fallbacks.append(MODEL)
    if inputs.quality is None or inputs.quality.score is None:
        fallbacks.append(QUALITY)
    probability = base_rate if model is None else _with_news(model, inputs)
    action: Action = "HOLD" if market is None or model is None else action_of(probability, base_rate, margin)
    usable = market is not None and model is not None and inputs.stale_sessions <= 0 and price > 0.0
    return Decision(
        action=action,
        probability=probability,
        base_rate=base_rate,
        margin=margin,
        buy_threshold=base_rate + margin,
        confidence=0.0 if model is None else _confidence(model, probability),
        current_price=price,
        fallbacks=fallbacks,
        may_trade=inputs.trade_asked and usable,
        reasons=_reasons(inputs, action, probability, base_rate, margin),
    )


def _with_news(model: Probability, inputs: Inputs) -> float:
    if inputs.news is None or inputs.news_weight is None:
        return model.probability
    return moved(model.probability, inputs.news_weight.weight, inputs.news.score * inputs.news.confidence)


def _confidence(model: Probability, probability: float) -> float:
    return model.confidence if probability == model.probability else abs(probability - 0.5) * 2.0


def _base_rate(market: Market | None, model: Probability | None) -> float:
    """Return what a probability is compared with: the model's own, of the sessions that it was calibrated by."""
    if model is not None and model.base_rate is not None:
        return model.base_rate
    return FALLBACK_BASE_RATE if market is None else market.base_rate


def _reasons(inputs: Inputs, action: Action, probability: float, base_rate: float, margin: float) -> list[str]:
    found = [f"probability {probability:.4f}, base rate {base_rate:.4f}, margin {margin:.4f}: {action}"]
    if inputs.market is not None:
        found.append(f"market {inputs.market.context}, last close of {inputs.market.last_session}")
    quality = inputs.quality
    if quality is not None:
        score = "unknown" if quality.score is None else f"{quality.score:g}"
        broken = f": {', '.join(quality.rules)}" if quality.rules else ""
        found.append(f"data quality {score}{broken}")
    news = inputs.news
    if news is not None:
        found.append(f"news {news.score:g} of {news.count} headlines, confidence {news.confidence:g}")
    weight = inputs.news_weight
    if weight is not None and inputs.model is not None:
        found.append(
            f"news moves the model's {inputs.model.probability:.4f}: weight {weight.weight:g}, learnt of "
            f"{weight.outcomes} outcomes through {weight.through}"
        )
    if inputs.stale_sessions > 0:
        found.append(f"{inputs.stale_sessions} sessions have closed since the newest bar: it may not trade")
    found += [f"{name} is missing: {code}" for name, code in sorted(inputs.missing.items())]
    if not inputs.trade_asked:
        found.append("made for looking at: it may not trade")
    return found


def canonical_record(inputs: Inputs, outcome: Decision, code_version: str) -> bytes:
    """Return the canonical bytes of a decision; run, trace id and wall times are never part of them."""
    return canonical_bytes(
        {
            "code_version": code_version,
            "inputs": inputs,
            "model_version": None if inputs.model is None else inputs.model.version,
            "outcome": outcome,
        }
    )


def decision_id(slot: str | None, as_of: datetime, symbol: str) -> str:
    """Return the id of a decision: a function of the slot, or else the instant, and the symbol; never of the run."""
    when = slot if slot is not None else f"at-{as_of:%Y%m%dT%H%M%S}{as_of.microsecond:06d}"
    token = symbol_token(symbol)
    if "-" in symbol or token != symbol.lower().replace(".", "-"):
        # Two symbols can have the same token; then the id tells them apart.
        token += "-" + hashlib.sha256(symbol.encode()).hexdigest()[:6]
    return f"{when}-{token}"


def prediction_of(
    decision: str, inputs: Inputs, outcome: Decision, trace_id: str, expiry: Expiry = NO_EXPIRY
) -> Prediction:
    """Return the prediction as callers see it."""
    model, market, news = inputs.model, inputs.market, inputs.news
    return Prediction(
        prediction_id=decision,
        symbol=inputs.symbol,
        timestamp=inputs.as_of,
        action=outcome.action,
        probability=outcome.probability,
        base_rate=outcome.base_rate,
        buy_threshold=outcome.buy_threshold,
        confidence=outcome.confidence,
        model_name=inputs.model_name,
        model_version=expiry.version if model is None else model.version,
        horizon_sessions=0 if model is None else model.horizon_sessions,
        current_price=outcome.current_price,
        bar_session=None if market is None else market.last_session,
        target_session=inputs.target_session,
        valid_until=inputs.valid_until,
        market_data_available=market is not None,
        sentiment_data_available=news is not None,
        model_available=model is not None,
        fallbacks=outcome.fallbacks,
        may_trade=outcome.may_trade,
        features=inputs.features,
        trace_id=trace_id,
        quality_score=None if inputs.quality is None else inputs.quality.score,
        quality_issues=[] if inputs.quality is None else inputs.quality.rules,
        sentiment_score=NO_SENTIMENT if news is None else news.score,
        news_confidence=NO_CONFIDENCE if news is None else news.confidence,
        news_quality_score=NO_CONFIDENCE if news is None else news.quality,
        bad_news=[] if news is None else [one for one in news.headlines if one.score <= NEGATIVE][:MOST_BAD],
        model_expires_on=expiry.on,
        novelty=expiry.novelty,
    )


def buy_rate(actions: Mapping[str, Action] | list[Action]) -> tuple[float, int]:
    """Return the share of BUY and STRONG_BUY in percent, and their number; 0 % where there is none."""
    return rate_of(BUY_ACTIONS, list(actions.values()) if isinstance(actions, Mapping) else actions)


def rate_of(wanted: Sequence[Action], given: Sequence[Action]) -> tuple[float, int]:
    """Return the share of some actions in percent, and their number; 0 % where there is none."""
    found = sum(action in wanted for action in given)
    return (round(100.0 * found / len(given), 4) if given else 0.0), found


def in_turn(predictions: Mapping[str, Prediction]) -> list[str]:
    """Return the symbols in the order in which their predictions are published: the strongest first, then by symbol.

    What is limited by number goes to those that come first, so that must not be the alphabet's choice.
    """
    return sorted(
        predictions, key=lambda symbol: (-abs(predictions[symbol].probability - predictions[symbol].base_rate), symbol)
    )


def differences(stored: Any, again: Any, path: str = "") -> tuple[list[str], float]:
    """Return where two plain values differ, as dotted keys, and the largest difference among numbers.

    The difference is infinite where values that are not both numbers differ.
    """
    if isinstance(stored, dict) and isinstance(again, dict):
        found: list[str] = []
        largest = 0.0
        for key in sorted(stored.keys() | again.keys()):
            deeper, size = differences(stored.get(key), again.get(key), f"{path}.{key}" if path else str(key))
            found += deeper
            largest = max(largest, size)
        return found, largest
    if stored == again:
        return [], 0.0
    if isinstance(stored, float) and isinstance(again, float):
        return [path], abs(stored - again)
    return [path], float("inf")
