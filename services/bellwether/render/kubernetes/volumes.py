"""Volume claims: made before the pods that use them, and kept without an owner where the policy is Retain.

Each says what the stores on it were created with, so that one that was kept is not taken for another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from bellwether.render.kubernetes import quantities
from bellwether.render.kubernetes.configmaps import NATS_DIRECTORY
from bellwether.render.kubernetes.context import NATS, SYSTEM, Manifest, child_name, claim_name, metadata
from bellwether.spec.created_with import ANNOTATION_CREATED_WITH, created_with, encode
from bellwether.spec.models import GROUP, TradingSystem
from bellwether.topology import SERVICES

SNAPSHOT_GROUP = "snapshot.storage.k8s.io"
SNAPSHOT_KIND = "VolumeSnapshot"
RESTORED_FROM = "restored-from"
ANNOTATION_RESTORED_FROM = f"{GROUP}/{RESTORED_FROM}"
"""On a volume claim: what it was made from, as the declaration has it."""

FILLED = "filled-from"
ANNOTATION_FILLED = f"{GROUP}/{FILLED}"
"""On a volume claim: the backup of a repository that its volume was filled from, once that is done."""

_BESIDE_A_DATABASE = ("", "-journal", "-shm", "-wal")
"""A database that was not closed is whole only together with these."""


def kept_on(component: str) -> tuple[str, ...]:
    """Return the names in the top folder of a component's volume that are its own; none: all of them are."""
    if component == SYSTEM:
        return ()
    if component == NATS:
        return (PurePosixPath(NATS_DIRECTORY).name,)
    store = SERVICES[component].store
    databases = () if store is None else tuple(store + suffix for suffix in _BESIDE_A_DATABASE)
    # Any service with a volume may keep files in the folder of its name, beside its database.
    return (component, *databases)


def made_from(claim: Manifest, snapshot: str | None, source: str | None) -> Manifest:
    """Return a claim whose volume is made from a snapshot, and that says of what this is a part; None: it is not."""
    found = dict(claim)
    if snapshot is not None:
        wanted = {"apiGroup": SNAPSHOT_GROUP, "kind": SNAPSHOT_KIND, "name": snapshot}
        found["spec"] = {**claim["spec"], "dataSource": wanted}
    if source is not None:
        metadata = claim["metadata"]
        annotations = {**metadata.get("annotations", {}), ANNOTATION_RESTORED_FROM: source}
        found["metadata"] = {**metadata, "annotations": annotations}
    return found


def snapshot_of(claim: Mapping[str, Any]) -> str | None:
    """Return the name of the VolumeSnapshot that a claim's volume is made from; None where it is made from none."""
    source = (claim.get("spec") or {}).get("dataSource") or {}
    return str(source["name"]) if source.get("kind") == SNAPSHOT_KIND else None


def volume_claim(system: TradingSystem, component: str) -> Manifest:
    """Return the claim of one component's volume."""
    storage = system.spec.storage
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": quantities.size(storage.size)}},
    }
    if storage.class_name is not None:
        spec["storageClassName"] = storage.class_name
    owned = system.spec.deletion_policy == "Delete"
    found = metadata(system, component, claim_name(child_name(system, component)), owned=owned)
    found["annotations"] = {ANNOTATION_CREATED_WITH: encode(created_with(system))}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": found, "spec": spec}
