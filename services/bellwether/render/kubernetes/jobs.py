"""Jobs that have a slot run: each asks the scheduler for it, and ends when it is done or known to be missed.

There are two kinds. A CronJob makes a Job for a minute, and the Job's own name tells it which. The operator makes a Job
for a slot that nothing started, and says its name. A number of eight digits may be a day or minutes since 1970, so the
one is never taken for the other: each comes in a variable of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from bellwether.market.slots import TASK_BUDGET, Slot
from bellwether.render.kubernetes.context import LABEL_SLOT, LABEL_TASK, Manifest, RenderContext, metadata
from bellwether.render.kubernetes.pods import job_pod
from bellwether.render.nats import JOB
from bellwether.spec.models import TradingSystem

SLOT_VARIABLE = "BELLWETHER_SLOT"
TASK_VARIABLE = "BELLWETHER_TASK"
JOB_VARIABLE = "BELLWETHER_JOB"
KEPT_SECONDS = 86_400
"""How long a Job that has ended can still be looked at."""
_STARTS = 4
"""How often a client that fell over is started again; waiting for the scheduler is its own affair."""
_TO_BEGIN = timedelta(minutes=1)
"""For the pod to begin: the client, which can say why, gives up before the cluster ends it."""


def slot_job(system: TradingSystem, context: RenderContext, slot: Slot) -> Manifest:
    """Return the Job for a due slot that nothing started: `<system>-<task>-<YYYYMMDD>`, of the system's own."""
    name = f"{system.metadata.name}-{dashed(slot.name)}"
    found = metadata(system, JOB, name)
    labels = {LABEL_TASK: slot.task, LABEL_SLOT: slot.name}
    found["labels"] |= labels
    environment = [{"name": SLOT_VARIABLE, "value": slot.name}]
    spec = _spec(system, context, environment, labels, slot.useful_until - slot.due)
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": found, "spec": spec}


def minute_job(system: TradingSystem, context: RenderContext, task: str, useful_for: timedelta) -> dict[str, Any]:
    """Return the template of the Jobs that a CronJob makes for a task; `useful_for` counts from its minute on."""
    labels = {LABEL_TASK: task}
    job_name = {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}}
    environment: list[dict[str, Any]] = [
        {"name": JOB_VARIABLE, "valueFrom": job_name},
        {"name": TASK_VARIABLE, "value": task},
    ]
    return {
        "metadata": {"labels": {**metadata(system, JOB, "")["labels"], **labels}},
        "spec": _spec(system, context, environment, labels, useful_for),
    }


def dashed(text: str) -> str:
    """Return a task's or slot's name as a part of a Kubernetes name: tasks have no dashes, so none meets another."""
    return text.replace("_", "-")


def _spec(
    system: TradingSystem,
    context: RenderContext,
    environment: Sequence[dict[str, Any]],
    labels: dict[str, str],
    useful_for: timedelta,
) -> dict[str, Any]:
    patience = math.ceil((useful_for + TASK_BUDGET).total_seconds())
    return {
        "activeDeadlineSeconds": patience + int(_TO_BEGIN.total_seconds()),
        "backoffLimit": _STARTS,
        "template": job_pod(system, context, environment, labels, patience),
        "ttlSecondsAfterFinished": KEPT_SECONDS,
    }
