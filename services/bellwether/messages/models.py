"""What ml-model answers."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

import msgspec

from bellwether.messages.reporting import OutcomeDay


class LoadModel(msgspec.Struct, frozen=True):
    """Ask for the model of a symbol, or the general one where the symbol has none."""

    model_name: str
    symbol: str | None = None


class ModelInfo(msgspec.Struct, frozen=True):
    """A model in service: `version` is the sha256 of its manifest, `base_rate` the share of the positive class."""

    model_name: str
    version: str
    symbol: str | None
    features: list[str]
    horizon_sessions: int
    trained_from: date
    trained_through: date
    """The last session whose bar was seen in training, labels included."""
    base_rate: float
    metrics: dict[str, float]
    """Held-out metrics; each stands beside its `base_rate_` or `climatology_` peer."""
    gated: bool
    """Whether it passed the training gate."""
    gate: str = ""
    """What the gate said, in words."""
    expires_on: date | None = None
    """From this day on, at the exchange, it opens no position; None: never."""
    expired: bool = False
    """Whether that day has come; in a replay each prediction judges it by its own day."""
    demoted: str = ""
    """Why its live outcomes took it out of service; then it answers nothing (MODEL_DEMOTED)."""


def expiry_words(model: ModelInfo) -> str:
    """Return which model expires or has expired, and when, in words."""
    whose = f"{model.model_name} {model.version[:12]}" + (f" of {model.symbol}" if model.symbol else "")
    verb = "expired" if model.expired else "expires"
    return f"model {whose} {verb} on {model.expires_on}: it learned from sessions through {model.trained_through}"


class Models(msgspec.Struct, frozen=True):
    """Models in service."""

    models: list[ModelInfo]


class Predict(msgspec.Struct, frozen=True):
    """Ask for the calibrated probability that the close rises over the model's horizon. Features go by name."""

    model_name: str
    features: dict[str, float]
    symbol: str | None = None
    version: str | None = None
    """Ask this very version, whether it serves or not (a decision is being computed again)."""


class ShadowModel(msgspec.Struct, frozen=True):
    """A model in shadow: its version, by which it is asked, and the features that it wants."""

    version: str
    model_name: str
    features: list[str]


class Probability(msgspec.Struct, frozen=True, omit_defaults=True):
    """`probability` 0-1 of a higher close after `horizon_sessions`; `confidence` 0-1 is its distance from a coin."""

    probability: float
    confidence: float
    model_name: str
    version: str
    horizon_sessions: int
    base_rate: float | None = None
    """Share of higher closes in the very sessions the probability was calibrated by: what it is to be compared with.
    None in the answer of a model that an earlier release made."""
    expires_on: date | None = None
    """From this day on, at the exchange, the model answers no more; None: never. No part of a decision's record."""
    shadow: ShadowModel | None = None
    """What is to be asked beside, for its live record only. No part of a decision's record."""
    novelty: float | None = None
    """How unlike the training rows the row is (99 % of those are at 1 or below), where trading.risk.maxNovelty asks;
    None: nobody asks, or the model has no record of its rows. No part of a decision's record."""


class PredictMany(msgspec.Struct, frozen=True):
    """Ask for several probabilities at once; each row is scored by itself, so the answers are those of `Predict`."""

    rows: list[Predict]
    traces: list[str] = []
    """A W3C trace context for each row, empty for none: below each a span is of its row."""


class Predicted(msgspec.Struct, frozen=True):
    """The probability of one row, or the error of `Predict`."""

    probability: Probability | None
    code: str = ""
    message: str = ""
    detail: dict[str, Any] = {}


class Predictions(msgspec.Struct, frozen=True):
    """The answers in the order of the rows."""

    rows: list[Predicted]


class ExplainProbability(msgspec.Struct, frozen=True):
    """Ask what each feature did to the probability that a version of a model gives for one row."""

    version: str
    features: dict[str, float]
    symbol: str | None = None


class ProbabilityPart(msgspec.Struct, frozen=True):
    """What one feature did, in log odds of the calibrated probability; `usual` is what its value is compared with."""

    feature: str
    value: float
    usual: float
    contribution: float
    standardised: float | None = None
    """(value - mean) / standard deviation of what a linear estimator learned from."""
    coefficient: float | None = None
    """Of the standardised value, calibration included."""


class ProbabilityParts(msgspec.Struct, frozen=True):
    """What the features did to a probability, the strongest first.

    exact: the model is linear, and log_odds = at_usual + the sum of contributions. replaced: each contribution is what
    is lost with the training median in that feature's place; they do not add up. unknown: an earlier release made the
    model, without a record of its training rows.
    """

    kind: Literal["exact", "replaced", "unknown"]
    log_odds: float
    at_usual: float
    """Log odds of a row at the usual values."""
    parts: list[ProbabilityPart]
    novelty: float | None
    """How unlike the training rows the row is: 99 % of those are at 1 or below."""


class GetServingRecord(msgspec.Struct, frozen=True):
    """Ask how decisions of the present run fared by symbol, and with which features models were asked."""

    symbols: list[str]


class ServedRows(msgspec.Struct, frozen=True):
    """The features of the newest decisions that a version made: of each its values, the newest first."""

    version: str
    values: dict[str, list[float]]


class ServingRecord(msgspec.Struct, frozen=True):
    """Outcomes by symbol and session, and the newest features by version of model."""

    horizon_sessions: int
    outcomes: dict[str, list[OutcomeDay]]
    rows: list[ServedRows]


class GetDrift(msgspec.Struct, frozen=True):
    """Ask how far the values of features lie from a version's training rows."""

    version: str
    values: dict[str, list[float]]


class Drift(msgspec.Struct, frozen=True):
    """The population stability index by feature; None without values. `problem` says why there is none at all."""

    index: dict[str, float | None]
    problem: str = ""


class TrainModel(msgspec.Struct, frozen=True):
    """Ask for models of a recipe to be made again; without a name, of the declared one."""

    model_name: str | None = None
    reason: str = "asked for"


class OpenOrder(msgspec.Struct, frozen=True):
    """An order of models that is not closed: its id, its frozen targets (None: all symbols), how many are done."""

    id: str
    targets: list[str | None]
    done: int


class TrainingState(msgspec.Struct, frozen=True):
    """How training is: `status` is training_started, training, idle or failed; `progress` its newest line."""

    status: str
    model_name: str = ""
    progress: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    versions: list[str] = []
    error: str = ""
    order: OpenOrder | None = None
    """What a Job is to make; None: nothing is ordered."""
