"""How models are made again and what they have to show, as declared."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bellwether.spec.fields import Block, Duration, Ratio


class TrainingGate(Block):
    """What becomes of a model that does not pass the gate."""

    mode: Literal["report", "enforce"] = Field(
        "report",
        description="enforce: a model that did not pass the gate never serves, predictions are HOLD (MODEL_NOT_GATED); "
        "report: it serves, and status and dashboard say that it did not pass.",
    )


class Demotion(Block):
    """What becomes of a model whose live outcomes are worse than the base rate by more than luck explains."""

    mode: Literal["off", "report", "demote"] = Field(
        "report",
        description="report: an alarm (model_worse_live); demote: the version before serves again, or decisions are "
        "HOLD (MODEL_DEMOTED); off: nothing. Only of a live system.",
    )
    minimum_sessions: int = Field(
        60,
        ge=20,
        le=2000,
        description="The first look is taken after so many sessions with outcomes, but never before ten blocks of the "
        "bootstrap (110 sessions at a horizon of 5); the next ones after each further block.",
    )
    level: Ratio = Field(
        "0.01", description="How often, at most, all looks together may demote a model by luck; above 0."
    )
    margin: Ratio = Field("0", description="By how much of log loss per decision it must be worse than the base rate.")


class TrainingJob(Block):
    """The Indexed Job in which a cluster trains: index 0 is the general model, each further one a symbol."""

    parallelism: int = Field(2, ge=1, le=100, description="How many models are made at the same time.")
    retries_per_index: int = Field(
        3, ge=0, le=20, description="How often a model is tried again; one that fails stops no other."
    )
    memory_mebibytes: int = Field(768, ge=256, le=65_536, description="Memory of each pod; more ends it.")
    cpu_millis: int = Field(500, ge=50, le=64_000, description="CPU that each pod asks for, in thousandths.")
    deadline: Duration = Field(
        "6h", description="After so long the gate judges what there is, and pods that still work are ended."
    )


class Training(Block):
    """When models are made again, and what the gate does."""

    gate: TrainingGate = Field(default_factory=TrainingGate, description="The gate (docs/training.md).")
    demotion: Demotion = Field(
        default_factory=Demotion, description="What live outcomes can do to a model that serves (docs/training.md)."
    )
    job: TrainingJob | None = Field(
        None,
        description="In a cluster: train in an Indexed Job that the operator makes. Without it, and on one machine, "
        "ml-training trains in its own pod or process.",
    )
    every_sessions: int = Field(
        0,
        ge=0,
        le=500,
        description="After how many sessions ml-training makes the models again; 0: only when it is asked to.",
    )
