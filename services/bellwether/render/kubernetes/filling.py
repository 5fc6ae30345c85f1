"""The Job that fills a new system's volumes from a repository, before the system has any pod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bellwether.render.kubernetes import containers
from bellwether.render.kubernetes.context import (
    FILL,
    LABEL_COMPONENT,
    LABEL_INSTANCE,
    LABEL_SYSTEM_UID,
    Manifest,
    RenderContext,
    child_name,
    metadata,
)
from bellwether.render.kubernetes.pods import fill_pod_spec
from bellwether.render.kubernetes.training_jobs import failure_policy
from bellwether.render.kubernetes.workloads import claims_of
from bellwether.service_row import Resources
from bellwether.spec.models import TradingSystem

_RESOURCES = Resources(100, 512)
SECONDS = 21_600
"""How long it may take, with all its tries."""
TRIES = 6
"""How often it is tried again, after longer and longer pauses: about ten minutes."""
KEPT_SECONDS = 86_400
"""How long one that has failed can be looked at; then it is tried once more."""


def fill_container(system: TradingSystem, context: RenderContext, claims: Mapping[str, str]) -> dict[str, Any]:
    """Return the container that fills a new system's volumes from a repository.

    `claims` are the volumes of its pod by component; each is mounted in a folder of the component's name.
    """
    environment = containers.process_environment(system, context, beside_nats=False)
    del environment["BELLWETHER_GATEWAY_TOKEN_FILE"], environment["BELLWETHER_KEYS_DIR"]
    restored = system.spec.restore_from
    variables, access = containers.repository_access(system, None if restored is None else restored.repository)
    mounts = [
        containers.mount("declaration", containers.DECLARATION_DIRECTORY, read_only=True),
        containers.mount("tmp", "/tmp"),  # noqa: S108
        *(containers.mount(f"volume-{component}", f"{containers.LOOK_DIRECTORY}/{component}") for component in claims),
        *access,
    ]
    return {
        **containers.plain_container(system, context, FILL, "fill", "--volumes", containers.LOOK_DIRECTORY),
        "env": containers.environment_of(environment | variables),
        "resources": containers.requirements(_RESOURCES),
        "volumeMounts": mounts,
    }


def fill_job(system: TradingSystem, context: RenderContext) -> Manifest:
    """Return the Job; all volumes are filled by one pod, so that all are of one backup."""
    claims = claims_of(system, system.spec.profile)
    labels = {LABEL_COMPONENT: FILL, LABEL_INSTANCE: system.metadata.name, LABEL_SYSTEM_UID: system.metadata.uid}
    spec = {
        "activeDeadlineSeconds": SECONDS,
        "backoffLimit": TRIES,
        "podFailurePolicy": failure_policy(FILL, "FailJob"),
        "template": {
            "metadata": {"labels": labels},
            "spec": fill_pod_spec(system, fill_container(system, context, claims), claims),
        },
        "ttlSecondsAfterFinished": KEPT_SECONDS,
    }
    found = metadata(system, FILL, child_name(system, FILL))
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": found, "spec": spec}
