"""Why there is an order for a symbol, or why there is none: the way from bars to order, stage by stage. Pure."""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec

from bellwether.gateway.problems import Problem
from bellwether.messages.market_data import MarketData
from bellwether.messages.prediction import Prediction
from bellwether.messages.quality import SymbolQuality
from bellwether.messages.trading import Explanation

StageName = Literal["bars", "quality", "prediction", "guards", "order"]


class Stage(msgspec.Struct, frozen=True):
    """One stage: whether it let the symbol pass (None: not reached), and what it saw in words."""

    name: StageName
    passed: bool | None
    says: str


class Funnel(msgspec.Struct, frozen=True):
    """All stages of one symbol and where it stopped (None: there is an order)."""

    symbol: str
    stopped_at: StageName | None
    because: str
    stages: list[Stage]
    prediction_id: str | None = None
    trace_id: str | None = None


def funnel(
    symbol: str,
    bars: MarketData | Problem | None,
    prediction: Prediction | Problem | None,
    explanation: Explanation | Problem | None,
    *,
    quality: SymbolQuality | Problem | None = None,
    min_score: float = 0.0,
    session: date | None = None,
) -> Funnel:
    """Return the way of a symbol's newest decision; a problem stands for a service that gave no answer.

    The quality that counts is the one that the decision was made with; before the first decision, that of now. With
    a past session it is the decision for that session, and `bars` is None: those that it was made with count.
    """
    bars_then = _bars_of(prediction) if bars is None else _bars(bars)
    stages = [bars_then, _quality(prediction, quality, min_score), _prediction(prediction, session)]
    stages += after_prediction(prediction, explanation)
    stopped = next((each for how in (False, None) for each in stages if each.passed is how), None)
    made = prediction if isinstance(prediction, Prediction) else None
    return Funnel(
        symbol=symbol,
        stopped_at=stopped.name if stopped else None,
        because=stopped.says if stopped else stages[-1].says,
        stages=stages,
        prediction_id=made.prediction_id if made else None,
        trace_id=made.trace_id if made else None,
    )


def _bars(bars: MarketData | Problem) -> Stage:
    if isinstance(bars, Problem):
        return Stage("bars", False, bars.message)
    return Stage(
        "bars",
        True,
        f"bars through {bars.last_session}, close {bars.technical.current_price:.2f}, RSI {bars.technical.rsi:.0f}, "
        f"market {bars.market_context.context}",
    )


def _bars_of(prediction: Prediction | Problem | None) -> Stage:
    if not isinstance(prediction, Prediction):
        return Stage("bars", None, "not reached")
    if prediction.bar_session is None:
        return Stage("bars", False, "there were none")
    return Stage("bars", True, f"bars through {prediction.bar_session}, close {prediction.current_price:.2f}")


def _quality(
    prediction: Prediction | Problem | None, quality: SymbolQuality | Problem | None, min_score: float
) -> Stage:
    now = quality if isinstance(quality, SymbolQuality) else None
    if isinstance(prediction, Prediction):
        score, broken = prediction.quality_score, prediction.quality_issues
    elif now is not None:
        score, broken = now.quality_score, [finding.rule for finding in now.findings]
    else:
        return Stage("quality", None, quality.message if isinstance(quality, Problem) else "not measured")
    meanings = {finding.rule: finding.message for finding in now.findings} if now is not None else {}
    words = "; ".join(f"{rule}: {meanings[rule]}" if rule in meanings else rule for rule in broken)
    if score is None:
        return Stage("quality", False, "unknown: nothing was measured" + (f"; {words}" if words else ""))
    says = f"score {score:g} of 100, needed {min_score:g}" + (f"; {words}" if words else "")
    return Stage("quality", score >= min_score, says)


def _prediction(prediction: Prediction | Problem | None, session: date | None) -> Stage:
    if prediction is None:
        return Stage("prediction", False, f"nothing was predicted {f'for {session}' if session else 'yet'}")
    if isinstance(prediction, Problem):
        return Stage("prediction", False, prediction.message)
    says = (
        f"{prediction.action}: probability {prediction.probability:.3f} beside a base rate of "
        f"{prediction.base_rate:.3f}; BUY from {prediction.buy_threshold:.3f}"
    )
    missing = [name for name in prediction.fallbacks if name not in ("sentiment", "quality")]
    if missing:
        return Stage("prediction", False, f"{says}; made without {', '.join(missing)}, so it may not trade")
    if not prediction.may_trade:
        return Stage("prediction", False, f"{says}; made for looking at, not for trading")
    return Stage("prediction", prediction.action != "HOLD", says)


def after_prediction(prediction: Prediction | Problem | None, explanation: Explanation | Problem | None) -> list[Stage]:
    """Return two stages: what the guards said, and what became of the order."""
    if isinstance(explanation, Problem):
        return [Stage("guards", False, explanation.message), Stage("order", None, "not reached")]
    if not isinstance(prediction, Prediction) or explanation is None or explanation.outcome == "ignored":
        return [Stage("guards", None, "not reached"), Stage("order", None, "not reached")]
    if explanation.outcome == "unseen":
        return [Stage("guards", None, "the trader has not seen this decision yet"), Stage("order", None, "not reached")]
    order = explanation.order
    if explanation.refusals:
        said = "; ".join(
            f"{refusal.code}: value {refusal.value}, limit {refusal.limit}" for refusal in explanation.refusals
        )
        return [Stage("guards", False, said), Stage("order", None, "not reached")]
    guards = Stage("guards", True, "passed " + (", ".join(explanation.guards) or "all guards"))
    if order is None:
        return [guards, Stage("order", None, "no order was made")]
    says = f"{order.side} {order.quantity} for {order.session}: {order.status}"
    if order.fill_price is not None:
        says += f" at {order.fill_price}"
    if order.strength:
        says += f"; strength {order.strength:.3f} above the base rate"
    if order.reduction:
        says += f"; made smaller at the open, from {order.reduced_from}: {order.reduction}"
    if order.refusal:
        says += f" ({order.refusal})"
    return [guards, Stage("order", order.status in ("queued", "filled"), says)]
