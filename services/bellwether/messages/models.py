"""What ml-model answers."""

from __future__ import annotations

from datetime import date

import msgspec


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
