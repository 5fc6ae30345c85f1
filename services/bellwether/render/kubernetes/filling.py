"""Jobs that bring a system's volumes what a repository holds, while the system has no pod.

One fills a new system's volumes. The other puts a backup in the place of what a system's volumes hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bellwether.render.kubernetes import containers
from bellwether.render.kubernetes.context import (
    FILL,
    LABEL_COMPONENT,
    LABEL_INSTANCE,
    LABEL_SYSTEM_UID,
    RESTORE,
    Manifest,
    RenderContext,
    child_name,
    metadata,
)
from bellwether.render.kubernetes.pods import fill_pod_spec
from bellwether.render.kubernetes.training_jobs import failure_policy
from bellwether.render.kubernetes.workloads import claims_of
from bellwether.service_row import Resources
from bellwether.spec.backup import BackupLocation
from bellwether.spec.models import TradingSystem

_RESOURCES = Resources(100, 512)
SECONDS = 21_600
"""How long filling may take, with all its tries."""
TRIES = 6
"""How often filling is tried again, after longer and longer pauses: about ten minutes."""
RESTORE_TRIES = 100
"""How often a restore in place is: its program says itself when the time is over, since it alone knows that what is
there is as it was."""
KEPT_SECONDS = 86_400
"""How long one that has ended can be looked at; one that has failed to fill is then tried once more."""


class RestoreOrder(NamedTuple):
    """What is to take the place of what a system's volumes hold."""

    request: str
    """What the restore goes by."""
    backup: str
    location: str
    until: str
    """Until when what may pass is waited for, as a status writes it."""


def location_of(system: TradingSystem, restore: RestoreOrder) -> BackupLocation | None:
    """Return the location that a backup is restored from; None where it is declared no more."""
    backup = system.spec.backup
    known = () if backup is None else backup.repositories_in_cluster
    return next((one for one in known if one.name == restore.location), None)


def fill_container(system: TradingSystem, context: RenderContext, claims: Mapping[str, str]) -> dict[str, Any]:
    """Return the container that fills a new system's volumes from a repository.

    `claims` are the volumes of its pod by component; each is mounted in a folder of the component's name.
    """
    return _container(system, context, claims, _declared(system), FILL, "fill")


def fill_job(system: TradingSystem, context: RenderContext) -> Manifest:
    """Return the Job that fills a new system; one pod fills all volumes, so that all are of one backup."""
    claims = claims_of(system, system.spec.profile)
    container = fill_container(system, context, claims)
    spec = {"activeDeadlineSeconds": SECONDS, **_spec(system, container, claims, _declared(system), TRIES)}
    return _job(system, FILL, child_name(system, FILL), spec)


def restore_name(system: TradingSystem, request: str) -> str:
    """Return the name of the Job of a restore in place: another request has another one."""
    return f"{child_name(system, RESTORE)}-{request.lower()}"


def restore_job(system: TradingSystem, context: RenderContext, restore: RestoreOrder) -> Manifest:
    """Return the Job that puts a backup in the place of what a system's volumes hold.

    It has no deadline: ended between two renames, it would leave volumes that are of neither state.
    """
    claims, location = claims_of(system, system.spec.profile), location_of(system, restore)
    said = zip(("--request", "--backup", "--location", "--until"), restore, strict=True)
    words = [word for pair in said for word in pair]
    container = _container(system, context, claims, location, RESTORE, "restore-volumes", *words)
    spec = _spec(system, container, claims, location, RESTORE_TRIES)
    return _job(system, RESTORE, restore_name(system, restore.request), spec)


def _declared(system: TradingSystem) -> BackupLocation | None:
    restored = system.spec.restore_from
    return None if restored is None else restored.repository


def _container(
    system: TradingSystem,
    context: RenderContext,
    claims: Mapping[str, str],
    location: BackupLocation | None,
    name: str,
    *words: str,
) -> dict[str, Any]:
    environment = containers.process_environment(system, context, beside_nats=False)
    del environment["BELLWETHER_GATEWAY_TOKEN_FILE"], environment["BELLWETHER_KEYS_DIR"]
    variables, access = containers.repository_access(system, location)
    mounts = [
        containers.mount("declaration", containers.DECLARATION_DIRECTORY, read_only=True),
        containers.mount("tmp", "/tmp"),  # noqa: S108
        *(containers.mount(f"volume-{component}", f"{containers.LOOK_DIRECTORY}/{component}") for component in claims),
        *access,
    ]
    first, *rest = words
    return {
        **containers.plain_container(system, context, name, first, "--volumes", containers.LOOK_DIRECTORY, *rest),
        "env": containers.environment_of(environment | variables),
        "resources": containers.requirements(_RESOURCES),
        "volumeMounts": mounts,
    }


def _spec(
    system: TradingSystem,
    container: dict[str, Any],
    claims: Mapping[str, str],
    location: BackupLocation | None,
    tries: int,
) -> dict[str, Any]:
    component = container["name"]
    labels = {LABEL_COMPONENT: component, LABEL_INSTANCE: system.metadata.name, LABEL_SYSTEM_UID: system.metadata.uid}
    return {
        "backoffLimit": tries,
        "podFailurePolicy": failure_policy(component, "FailJob"),
        "template": {
            "metadata": {"labels": labels},
            "spec": fill_pod_spec(system, container, claims, location),
        },
        "ttlSecondsAfterFinished": KEPT_SECONDS,
    }


def _job(system: TradingSystem, component: str, name: str, spec: dict[str, Any]) -> Manifest:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata(system, component, name), "spec": spec}
