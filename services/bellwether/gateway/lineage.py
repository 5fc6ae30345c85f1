"""What a stored decision came from and what came of it, in words (pure)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from bellwether.gateway.funnel import after_prediction
from bellwether.gateway.problems import Problem
from bellwether.messages.market_data import Bars
from bellwether.messages.models import ProbabilityParts
from bellwether.messages.prediction import BUY_ACTIONS, DecisionRecord, Prediction
from bellwether.messages.trading import Explanation

StepName = Literal["bars", "features", "model", "news", "action", "quality", "guards", "order", "outcome"]


class Step(msgspec.Struct, frozen=True):
    """One step of the way from bars to outcome, in words."""

    name: StepName
    says: str


class Lineage(msgspec.Struct, frozen=True):
    """The steps in order, and what each feature did to the probability (None: no model answered, or it is gone)."""

    steps: list[Step]
    parts: ProbabilityParts | None


def lineage(
    record: DecisionRecord,
    bars: Bars | Problem | None,
    parts: ProbabilityParts | Problem | None,
    explanation: Explanation | Problem,
) -> Lineage:
    """Return where a decision came from. `bars` are those that its instant would be answered with today."""
    made, inputs = record.prediction, record.canonical["inputs"]
    guards, order = after_prediction(made, explanation)
    return Lineage(
        [
            Step("bars", _bars(made, inputs, bars)),
            Step("features", _features(parts)),
            Step("model", _model(made, inputs, parts)),
            Step("news", _news(inputs)),
            Step("action", _action(made, record.canonical["outcome"])),
            Step("quality", _quality(inputs)),
            Step("guards", guards.says),
            Step("order", order.says),
            Step("outcome", _outcome(record)),
        ],
        parts if isinstance(parts, ProbabilityParts) else None,
    )


def _bars(made: Prediction, inputs: dict[str, Any], now: Bars | Problem | None) -> str:
    revision, market = inputs["bars_revision"], inputs["market"]
    if revision is None or market is None:
        return f"none: {inputs['missing'].get('market_data', 'market-data gave none')}"
    says = f"through {made.bar_session}, close {made.current_price:.2f}, version {revision[:12]}"
    if inputs["stale_sessions"]:
        says += f", {inputs['stale_sessions']} sessions old"
    if isinstance(now, Bars):
        same = now.revision == revision
        says += " (still the newest version)" if same else f" (restated since: today's version is {now.revision[:12]})"
    others = inputs.get("basket") or {}
    if others:
        named = ", ".join(f"{symbol} {one[:12]}" for symbol, one in sorted(others.items()))
        says += f"; the market's own state from {named}"
    return says


def _features(parts: ProbabilityParts | Problem | None) -> str:
    if parts is None:
        return "no model was asked"
    if isinstance(parts, Problem):
        return f"what moved the probability is not known: {parts.message}"
    if parts.kind == "unknown":
        return "an earlier release made the model and kept no record of its training rows: train it again to see parts"
    strongest = [one for one in parts.parts if one.contribution][:3]
    if not strongest:
        return "none moved the probability: the model's scores do not tell outcomes apart, so it says the base rate"
    named = ", ".join(f"{one.feature} {one.value:.4g} ({one.contribution:+.4f})" for one in strongest)
    if parts.kind == "exact":
        return f"{named}: exact shares of the log odds, coefficient x standardised value"
    return f"{named}: what the log odds lose with the training median in its place; such parts do not add up"


def _model(made: Prediction, inputs: dict[str, Any], parts: ProbabilityParts | Problem | None) -> str:
    model = inputs["model"]
    if model is None:
        return f"none: {inputs['missing'].get('model', 'no model answered')}"
    says = (
        f"{made.model_name} {made.model_version[:12]} says {model['probability']:.4f} that the close is higher in "
        f"{made.horizon_sessions} sessions; the base rate is {made.base_rate:.4f}"
    )
    if isinstance(parts, ProbabilityParts) and parts.novelty is not None:
        like = "like" if parts.novelty <= 1.0 else "UNLIKE"
        says += f"; inputs are {like} its training rows ({parts.novelty:.2f}; 99 % of those are at 1 or below)"
    return says


def _news(inputs: dict[str, Any]) -> str:
    news, weight = inputs.get("news"), inputs.get("news_weight")
    if news is None:
        return f"none: {inputs['missing'].get('sentiment', 'no source is declared')}"
    says = f"{news['score']:+.2f} of {news['count']} headlines, confidence {news['confidence']:.2f}"
    if weight is None:
        return f"{says}; it did not move the probability"
    moved = weight["weight"] * news["score"] * news["confidence"]
    return (
        f"{says}; it moved the log odds by {moved:+.4f} (weight {weight['weight']:g}, of {weight['outcomes']} outcomes)"
    )


def _action(made: Prediction, outcome: dict[str, Any]) -> str:
    margin = outcome["margin"]
    says = (
        f"{made.action}: {made.probability:.4f} is {made.probability - made.base_rate:+.4f} from the base rate; "
        f"BUY from {made.base_rate + margin:.4f}, SELL up to {made.base_rate - margin:.4f}"
    )
    return says if made.may_trade else f"{says}; it may not trade"


def _quality(inputs: dict[str, Any]) -> str:
    quality = inputs["quality"]
    if quality is None:
        return f"none: {inputs['missing'].get('quality', 'data-quality gave none')}"
    score = "unknown" if quality["score"] is None else f"{quality['score']:g} of 100"
    return score + (f"; broken: {', '.join(quality['rules'])}" if quality["rules"] else "")


def _outcome(record: DecisionRecord) -> str:
    made, known = record.prediction, record.outcome
    if known is None:
        return "not known: no model answered" if not made.model_available else "not known yet"
    says = (
        f"the close of {known.session} was {'higher' if known.rose else 'not higher'} than that of {made.bar_session}"
    )
    if made.action == "HOLD":
        return says
    right = known.rose == (made.action in BUY_ACTIONS)
    return f"{says}: {made.action} was {'right' if right else 'wrong'}"
