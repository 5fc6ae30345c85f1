"""The Indexed Job that makes the models of one order, one index a target.

The list of targets is the order's own and never changes; the Job bears the order's id in its name, so that making it
again makes nothing. A pod only uploads candidates: ml-training alone judges them and lets them serve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bellwether.render.kubernetes.containers import (
    KEYS_DIRECTORY,
    client_environment,
    mount,
    plain_container,
    requirements,
)
from bellwether.render.kubernetes.context import Manifest, RenderContext, metadata
from bellwether.render.kubernetes.pods import training_pod
from bellwether.render.nats import TRAINING_JOB
from bellwether.service_row import Resources
from bellwether.spec.fields import parse_duration
from bellwether.spec.models import GROUP, TradingSystem
from bellwether.spec.trading_replay import ReplayJob
from bellwether.spec.training import TrainingJob

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


def training_container(
    system: TradingSystem, context: RenderContext, order: str, declared: TrainingJob
) -> dict[str, Any]:
    """Return the container that makes one model of an order; Kubernetes tells it which, by the index of its pod."""
    # /tmp is a volume of this pod alone.
    environment = client_environment(system, context, BELLWETHER_ORDER=order, TMPDIR="/tmp")  # noqa: S108
    return {
        **plain_container(system, context, TRAINING_JOB, "train-target"),
        "env": environment,
        "resources": requirements(Resources(declared.cpu_millis, declared.memory_mebibytes)),
        "volumeMounts": [mount("keys", KEYS_DIRECTORY, read_only=True), mount("tmp", "/tmp")],  # noqa: S108
    }


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
    template = training_pod(system, training_container(system, context, order, declared))
    spec = indexed(TRAINING_JOB, declared, len(targets), template)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": found,
        "spec": {**spec, "ttlSecondsAfterFinished": KEPT_SECONDS},
    }


def indexed(
    container: str, declared: TrainingJob | ReplayJob, completions: int, template: dict[str, Any]
) -> dict[str, Any]:
    """Return the spec of a Job with so many indexes, of which one that fails for good stops no other."""
    return {
        "activeDeadlineSeconds": math.ceil(parse_duration(declared.deadline).total_seconds()),
        "backoffLimitPerIndex": declared.retries_per_index,
        "completionMode": "Indexed",
        "completions": completions,
        "maxFailedIndexes": completions,
        "parallelism": min(declared.parallelism, completions),
        "podFailurePolicy": failure_policy(container, "FailIndex"),
        "template": template,
    }


def failure_policy(container: str, futile: str) -> dict[str, Any]:
    """Return what a Job makes of failed pods: an eviction counts as none, and a futile try has the action `futile`."""
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": futile, "onExitCodes": {"containerName": container, "operator": "In", "values": [FUTILE]}},
        ]
    }
