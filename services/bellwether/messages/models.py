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


class ListModels(msgspec.Struct, frozen=True):
    """Ask for all models in service."""


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
    """A W3C trace context for each row, empty for none: below each a span tells of its row."""


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


class PutArtifact(msgspec.Struct, frozen=True):
    """Upload a part of one file of a model: a candidate, that nothing serves until the registry's book says so."""

    version: str
    name: str
    offset: int
    total: int
    content: bytes


class GetArtifact(msgspec.Struct, frozen=True):
    """Ask for a part of one file of a model, from `offset` on."""

    version: str
    name: str
    offset: int = 0


class GetRegistry(msgspec.Struct, frozen=True):
    """Ask for a part of the registry's book, from a byte on."""

    offset: int = 0


class RegistryBook(msgspec.Struct, frozen=True):
    """A part of the book as canonical JSON, the length of the whole in bytes, and its SHA-256.

    A change says by the hash what it is a change of. Where it differs from part to part the book was changed meanwhile.
    """

    content: bytes
    total: int
    hash: str


class SetRegistry(msgspec.Struct, frozen=True):
    """Change the book of hash `before`; models that this puts into service serve from then on.

    `change` is canonical JSON: the entries that are new or differ, and the trials that are new.
    """

    before: str
    change: str


class RegistryChanged(msgspec.Struct, frozen=True):
    """The hash of the book after a change."""

    hash: str


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


class GetTraining(msgspec.Struct, frozen=True):
    """Ask how training is."""


class ListRegistry(msgspec.Struct, frozen=True):
    """Ask for models of the registry, or those of one recipe: what serves or is in shadow, and the newest others.

    `limit` bounds the others, from 1 to 500.
    """

    model_name: str | None = None
    limit: int = 500


class RegisteredModel(msgspec.Struct, frozen=True):
    """One model of the registry: `stage` is candidate, shadow, serving or retired; `gate` what the gate said."""

    version: str
    model_name: str
    symbol: str | None
    stage: str
    since: datetime
    reason: str
    passed: bool | None
    """None: nobody judged it."""
    gate: str
    demoted: str = ""
    """Why its live outcomes took it out of service."""


class RegisteredModels(msgspec.Struct, frozen=True):
    """Models of the registry, the newest last, how many trials were counted, and how many models there are in all."""

    models: list[RegisteredModel]
    trials: int
    total: int = 0


class PromoteModel(msgspec.Struct, frozen=True):
    """Let a model serve; `version` may be the beginning of one."""

    version: str
    reason: str


class RollbackModel(msgspec.Struct, frozen=True):
    """Let the model serve again that served before; without a symbol, the general one."""

    model_name: str
    reason: str
    symbol: str | None = None


class ModelTrained(msgspec.Struct, frozen=True):
    """A model was made and judged."""

    model: RegisteredModel


class ModelPromoted(msgspec.Struct, frozen=True):
    """A model serves from now on; `before` is the version that served until then."""

    model: RegisteredModel
    before: str | None


class ShadowCandidate(msgspec.Struct, frozen=True):
    """Put a candidate into shadow, or with `end` take it out again; `version` may be the beginning of one."""

    version: str
    reason: str
    end: bool = False


class LiveDay(msgspec.Struct, frozen=True):
    """Sums over the realised decisions of one newest bar: `rows` of them, log losses, squared errors of the model and
    of the base rate beside it."""

    session: date
    rows: int
    model: float
    base: float
    brier: float
    base_brier: float


class LiveRecord(msgspec.Struct, frozen=True):
    """What came of the decisions that a version made, or that it was asked beside as a shadow, oldest session first."""

    version: str
    model_name: str
    role: str
    """serving or shadow."""
    horizon_sessions: int
    days: list[LiveDay]


class GetLiveRecords(msgspec.Struct, frozen=True):
    """Ask for the live records of versions."""

    versions: list[str]


class LiveRecords(msgspec.Struct, frozen=True):
    """The records of those versions that have any."""

    records: list[LiveRecord]


class LiveSummary(msgspec.Struct, frozen=True):
    """A live record in figures: per decision, beside the base rate's; `verdict` is what the declared rule says."""

    role: str
    decisions: int
    sessions: int
    first: date
    last: date
    brier: float
    base_brier: float
    log_loss: float
    base_log_loss: float
    verdict: str


class ShowModel(msgspec.Struct, frozen=True):
    """Ask for a model of the registry with its live record; `version` may be the beginning of one."""

    version: str


class ShownModel(msgspec.Struct, frozen=True):
    """A model with its live records: as what served, and as a shadow."""

    model: RegisteredModel
    live: list[LiveSummary]


class ModelDemoted(msgspec.Struct, frozen=True):
    """A model's live outcomes took it out of service; `instead` serves from now on, None: decisions are HOLD."""

    model: RegisteredModel
    instead: str | None
