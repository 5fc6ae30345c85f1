"""The Indexed Job that makes the models of one order, one index a target.

The list of targets is the order's own and never changes; the Job bears the order's id in its name, so that making it
again makes nothing. A pod only uploads candidates: ml-training alone judges them and lets them serve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bellwether.render.kubernetes.containers import training_container
from bellwether.render.kubernetes.context import Manifest, RenderContext
from bellwether.render.kubernetes.names import metadata
from bellwether.render.kubernetes.pods import training_pod
from bellwether.render.nats import TRAINING_JOB
from bellwether.spec.fields import parse_duration
from bellwether.spec.models import GROUP, TradingSystem

ANNOTATION_TARGETS = f"{GROUP}/targets"
"""On the Job, for people: which index makes the model of which symbol."""
KEPT_SECONDS = 86_400
"""How long a Job that has ended can still be looked at."""
_ID_LENGTH = 12
FUTILE = 3
"""The exit code by which the pod says that trying again cannot help."""


def training_job_name(system: TradingSystem, order: str) -> str:
    """Return the name of the Job of an order."""
    return f"{system.metadata.name}-training-{order[:_ID_LENGTH]}"


def training_job(system: TradingSystem, context: RenderContext, order: str, targets: Sequence[str | None]) -> Manifest:
    """Return the Job of an order; `targets` are symbols, None for the general model.

    Raises:
        ValueError: when the declaration asks for none.
    """
    declared = system.spec.training.job
    if declared is None:
        raise ValueError("spec.training.job is not declared: ml-training trains by itself")
    found = metadata(system, TRAINING_JOB, training_job_name(system, order))
    names = [target or "all symbols" for target in targets]
    found["annotations"] = {ANNOTATION_TARGETS: ", ".join(f"{index} {name}" for index, name in enumerate(names))}
    rules: list[dict[str, Any]] = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "FailIndex",
            "onExitCodes": {"containerName": TRAINING_JOB, "operator": "In", "values": [FUTILE]},
        },
    ]
    spec = {
        "activeDeadlineSeconds": math.ceil(parse_duration(declared.deadline).total_seconds()),
        "backoffLimitPerIndex": declared.retries_per_index,
        "completionMode": "Indexed",
        "completions": len(targets),
        # One index that fails for good stops no other.
        "maxFailedIndexes": len(targets),
        "parallelism": min(declared.parallelism, len(targets)),
        "podFailurePolicy": {"rules": rules},
        "template": training_pod(system, training_container(system, context, order, declared)),
        "ttlSecondsAfterFinished": KEPT_SECONDS,
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": found, "spec": spec}
