"""What prediction answers and publishes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec

from bellwether.messages.sentiment import Headline

Action = Literal["STRONG_BUY", "BUY", "HOLD", "SELL", "STRONG_SELL"]
BUY_ACTIONS: tuple[Action, ...] = ("STRONG_BUY", "BUY")
SELL_ACTIONS: tuple[Action, ...] = ("STRONG_SELL", "SELL")
AwareInstant = Annotated[datetime, msgspec.Meta(tz=True)]
Timeframe = Literal["current", "session", "day", "week", "all"]


class Prediction(msgspec.Struct, frozen=True):
    """One decision about one symbol. The canonical bytes beside it hold all that it was computed from."""

    prediction_id: str
    symbol: str
    timestamp: datetime
    """Domain time it was made for."""
    action: Action
    probability: float
    """Calibrated probability of a higher close after the horizon; the base rate where no model answered."""
    base_rate: float
    buy_threshold: float
    confidence: float
    model_name: str
    model_version: str
    horizon_sessions: int
    current_price: float
    """Last close, as traded; 0 where there is no market data."""
    bar_session: date | None
    target_session: date
    """The session in which an order from it would be filled."""
    valid_until: datetime
    market_data_available: bool
    sentiment_data_available: bool
    model_available: bool
    fallbacks: list[str]
    """Which inputs were missing and replaced by neutral values."""
    may_trade: bool
    """False: made for looking at, never for an order."""
    features: dict[str, float]
    trace_id: str
    quality_score: float | None = None
    """Quality of the symbol's bars, 0-100; None: nothing was measured."""
    quality_issues: list[str] = []
    """Ids of the quality rules that are broken, the costliest first."""
    sentiment_score: float = 0.0
    """What the news says, -1 to 1; 0 where `sentiment_data_available` is false."""
    news_confidence: float = 0.5
    """0-1; 0.5 where `sentiment_data_available` is false."""
    news_quality_score: float = 0.5
    """0-1; 0.5 where `sentiment_data_available` is false."""
    bad_news: list[Headline] = []
    """The negative headlines, newest first, five at most."""
    model_expires_on: date | None = None
    """From this day on, at the exchange, the model answers no more. Where that day has come, `model_available` is false
    and `model_version` still names the model. None: it never expires, or no model answered."""
    novelty: float | None = None
    """How unlike the model's training rows the features are: 99 % of those are at 1 or below. None: not asked for
    (trading.risk.maxNovelty is unset), or not known."""
    cached: bool = False
    cache_age: float = 0.0
    """Seconds since it was made, on the domain clock."""


class GeneratePredictions(msgspec.Struct, frozen=True):
    """Ask for predictions of several symbols (default: all declared)."""

    symbols: list[str] | None = None
    force_refresh: bool = False
    may_trade: bool = False
    slot: str | None = None
    """Name of the slot this batch is the effect of: the same slot gives the same ids."""


class Summary(msgspec.Struct, frozen=True):
    """Counts of a batch; `buy_rate` in percent of the successful ones."""

    total_symbols: int
    successful: int
    failed: int
    cache_hits: int
    fresh_predictions: int
    buy_rate: float


class PredictionBatch(msgspec.Struct, frozen=True):
    """Predictions and errors by symbol."""

    predictions: dict[str, Prediction]
    errors: dict[str, str]
    summary: Summary
    event_ids: list[str]
    """Ids of the `prediction_generated` events of the fresh ones, in the order of publishing."""


class GenerateSinglePrediction(msgspec.Struct, frozen=True):
    """Ask for the prediction of one symbol, made for looking at."""

    symbol: str
    force_refresh: bool = False


class GetPrediction(msgspec.Struct, frozen=True):
    """Ask for the newest prediction that is still fresh; an error NO_PREDICTION where there is none."""

    symbol: str


class GetBuyRate(msgspec.Struct, frozen=True):
    """Ask for the share of BUY and STRONG_BUY."""

    timeframe: Timeframe = "current"


class BuyRate(msgspec.Struct, frozen=True):
    """`buy_rate` in percent; None where nothing was predicted."""

    buy_rate: float | None
    total_predictions: int
    buy_signals: int
    timeframe: Timeframe
    actions: dict[Action, int] = {}
    """How many predictions have each action."""


class ClearedCache(msgspec.Struct, frozen=True):
    """How many entries no longer answer."""

    cleared_entries: int


class ListDecisions(msgspec.Struct, frozen=True):
    """Ask for decisions, newest first."""

    symbol: str | None = None
    limit: int = 50
    before: AwareInstant | None = None


class Decisions(msgspec.Struct, frozen=True):
    """Decisions, newest first."""

    decisions: list[Prediction]
    total: int


class GetDecision(msgspec.Struct, frozen=True):
    """Ask for one decision with its canonical record."""

    prediction_id: str


class DecisionOutcome(msgspec.Struct, frozen=True):
    """What came of a decision: whether the close had risen at its horizon, and the session it came out in."""

    session: date
    rose: bool


class DecisionRecord(msgspec.Struct, frozen=True):
    """A decision, the canonical record it is stored as, and the record's sha256."""

    prediction: Prediction
    canonical: dict[str, Any]
    sha256: str
    outcome: DecisionOutcome | None = None
    """None: its horizon is not over, it has no model to judge, or its bars are missing."""


class ReplayDecision(msgspec.Struct, frozen=True):
    """Ask that one decision is computed again from its stored inputs."""

    prediction_id: str


class ReplayedDecision(msgspec.Struct, frozen=True):
    """Whether the second computation gave the same bytes; if not, which keys differ."""

    prediction_id: str
    outcome: Literal["equal", "equal within 1e-6", "different"]
    differences: list[str]


class RecordOutcomes(msgspec.Struct, frozen=True):
    """Ask that realised outcomes are written for all predictions whose horizon ends by this session."""

    session: date


class RecordedOutcomes(msgspec.Struct, frozen=True):
    """How many outcomes a session brought, and the calibration so far beside the base rate's."""

    written: int
    """Those that are in, whether this call wrote them or an earlier one: asked again, the answer is the same."""
    brier: float | None
    base_rate_brier: float | None


class PredictionGenerated(msgspec.Struct, frozen=True):
    """A fresh prediction was made."""

    prediction: Prediction


class BuyRateAlert(msgspec.Struct, frozen=True):
    """More of a batch that may trade is BUY than declared as usual; `buy_rate` in percent.

    It is published once when that begins, and once more, with `resolved`, when a batch no longer is.
    """

    buy_rate: float
    total_predictions: int
    buy_signals: int
    alert_type: Literal["high_buy_rate"] = "high_buy_rate"
    resolved: bool | msgspec.UnsetType = msgspec.UNSET


class SellRateAlert(msgspec.Struct, frozen=True):
    """More of a batch that may trade is SELL than declared as usual; as `BuyRateAlert`."""

    sell_rate: float
    total_predictions: int
    sell_signals: int
    alert_type: Literal["high_sell_rate"] = "high_sell_rate"
    resolved: bool | msgspec.UnsetType = msgspec.UNSET


class PruneDecisions(msgspec.Struct, frozen=True):
    """Ask to forget the decisions made before an instant, but those that are named: orders came of them."""

    before: AwareInstant
    after: AwareInstant | None = None
    """From when on; None: from the oldest one."""
    keep: list[str] = []


class PrunedDecisions(msgspec.Struct, frozen=True):
    """How many decisions are gone."""

    deleted: int
