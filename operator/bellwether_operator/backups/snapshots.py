"""VolumeSnapshots: how one is made, and what one says of itself. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bellwether.spec.models import GROUP
from bellwether.spec.trading_backup import KIND
from bellwether_operator.observe.kinds import SYSTEMS, Kind

SNAPSHOTS = Kind("snapshot.storage.k8s.io/v1", "VolumeSnapshot", "volumesnapshots", stateful=True)
LABEL_BACKUP = f"{GROUP}/backup"
LABEL_BACKUP_UID = f"{GROUP}/backup-uid"
LABEL_BY_OPERATOR = f"{GROUP}/made-for"
"""On a TradingBackup that the operator made: what for."""
_LONGEST = 63


@dataclass(frozen=True)
class Seen:
    """What a snapshot says."""

    ours: bool
    """Whether it was made for this very backup."""
    content: str = ""
    cut_at: str = ""
    """Of which instant it is; empty before the driver has cut it."""
    size: str = ""
    ready: bool = False
    error: str = ""


def snapshot_name(backup: str, claim: str) -> str:
    """Return the name of the snapshot of a claim for a backup: always the same, and within a name's length."""
    name = f"{backup}-{claim}"
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def second_name(snapshot: str) -> str:
    """Return the name of a snapshot that is made after the one of this name turned out not to be of one instant."""
    return snapshot_name(snapshot, "again")


def owner_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reference by which something goes with its backup."""
    return {"apiVersion": SYSTEMS.api_version, "kind": KIND, "name": metadata["name"], "uid": metadata["uid"]}


def snapshot(backup: Mapping[str, Any], name: str, claim: str, class_name: str) -> dict[str, Any]:
    """Return the snapshot of a claim. It belongs to the backup: deleting that deletes it."""
    metadata = backup["metadata"]
    source: dict[str, Any] = {"source": {"persistentVolumeClaimName": claim}}
    chosen = {"volumeSnapshotClassName": class_name} if class_name else {}
    return {
        "apiVersion": SNAPSHOTS.api_version,
        "kind": SNAPSHOTS.kind,
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": {LABEL_BACKUP: metadata["name"], LABEL_BACKUP_UID: metadata["uid"]},
            "ownerReferences": [owner_of(metadata)],
        },
        "spec": {**source, **chosen},
    }


def seen_of(raw: Mapping[str, Any], backup_uid: str) -> Seen:
    """Return what a snapshot says, as far as it is ours."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    ours = (metadata.get("labels") or {}).get(LABEL_BACKUP_UID) == backup_uid
    bound = str(status.get("boundVolumeSnapshotContentName") or "")
    return Seen(
        ours=ours,
        content=bound,
        # Without its content a creation time is of nothing that could be found again.
        cut_at=str(status.get("creationTime") or "") if bound else "",
        size=str(status.get("restoreSize") or ""),
        ready=bool(status.get("readyToUse")) and bool(bound),
        error=str((status.get("error") or {}).get("message") or ""),
    )
