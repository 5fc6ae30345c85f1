"""How models are made again and what they have to show, as declared."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bellwether.spec.block import Block


class TrainingGate(Block):
    """What becomes of a model that does not pass the gate."""

    mode: Literal["report", "enforce"] = Field(
        "report",
        description="enforce: a model that did not pass the gate never serves, predictions are HOLD (MODEL_NOT_GATED); "
        "report: it serves, and status and dashboard say that it did not pass.",
    )


class Training(Block):
    """When models are made again, and what the gate does."""

    gate: TrainingGate = Field(default_factory=TrainingGate, description="The gate (docs/training.md).")
    every_sessions: int = Field(
        0,
        ge=0,
        le=500,
        description="After how many sessions ml-training makes the models again; 0: only when it is asked to.",
    )
