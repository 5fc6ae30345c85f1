"""The Job that fills a new system's volumes from a repository, before the system has any pod."""

from __future__ import annotations

from typing import Any

from bellwether.render.kubernetes.context import Manifest, RenderContext
from bellwether.render.kubernetes.names import (
    FILL,
    LABEL_COMPONENT,
    LABEL_INSTANCE,
    LABEL_SYSTEM_UID,
    child_name,
    metadata,
)
from bellwether.render.kubernetes.pods import fill_pod_spec
from bellwether.render.kubernetes.profiles import claims_of
from bellwether.render.kubernetes.training_jobs import FUTILE
from bellwether.spec.models import TradingSystem

SECONDS = 21_600
"""How long it may take, with all its tries."""
TRIES = 6
"""How often it is tried again, after longer and longer pauses: about ten minutes."""
KEPT_SECONDS = 86_400
"""How long one that has failed can be looked at; then it is tried once more."""


def fill_job(system: TradingSystem, context: RenderContext) -> Manifest:
    """Return the Job; all volumes are filled by one pod, so that all are of one backup."""
    rules: list[dict[str, Any]] = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": FILL, "operator": "In", "values": [FUTILE]}},
    ]
    labels = {
        LABEL_COMPONENT: FILL,
        LABEL_INSTANCE: system.metadata.name,
        LABEL_SYSTEM_UID: system.metadata.uid,
    }
    spec = {
        "activeDeadlineSeconds": SECONDS,
        "backoffLimit": TRIES,
        "podFailurePolicy": {"rules": rules},
        "template": {
            "metadata": {"labels": labels},
            "spec": fill_pod_spec(system, context, claims_of(system, system.spec.profile)),
        },
        "ttlSecondsAfterFinished": KEPT_SECONDS,
    }
    found = metadata(system, FILL, child_name(system, FILL))
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": found, "spec": spec}
