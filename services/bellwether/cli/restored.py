"""What to declare for a TradingBackup of a cluster to be restored: it is printed, nobody applies it here. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bellwether.cli.client import CommandError
from bellwether.render.kubernetes.context import SYSTEM, claim_name
from bellwether.render.kubernetes.volumes import SNAPSHOT_GROUP, SNAPSHOT_KIND
from bellwether.spec.trading_backup import KIND as BACKUP

Document = dict[str, Any]
_VERSION = f"{SNAPSHOT_GROUP}/v1"


def restoring_documents(backup: Mapping[str, Any], name: str) -> list[Document]:
    """Return the TradingSystem that is restored from a backup of its namespace, under a name.

    Raises:
        CommandError: if the backup cannot be restored.
    """
    return [_system(backup, name, _of_repository(backup) or {"backup": backup["metadata"]["name"]})]


def documents_with_profile(system: Mapping[str, Any], profile: str, name: str) -> list[Document]:
    """Return a backup of a system, and the system with another profile that is made from it, under a name.

    The operator makes the second one's volumes once the backup is complete.

    Args:
        system: the TradingSystem as the API server gives it.
        profile: to be declared.
        name: of the new system.

    Raises:
        CommandError: if it has that profile, or cannot be made into it.
    """
    metadata, spec = system["metadata"], system["spec"]
    former, namespace = metadata["name"], metadata["namespace"]
    if spec["profile"] == profile:
        raise CommandError(f"{former} has profile {profile} already")
    if profile == "compact":
        raise CommandError(
            f"--to compact: {former} has a volume per service, and snapshots of several make no single one; only from "
            "compact to standard a system is made from a backup"
        )
    if name == former:
        raise CommandError(f"--as {name}: name the new system otherwise, {former} goes on until you delete it")
    backup = f"{name}-from-{former}"
    return [
        {
            "apiVersion": system["apiVersion"],
            "kind": BACKUP,
            "metadata": {"name": backup, "namespace": namespace},
            "spec": {"system": former},
        },
        {
            "apiVersion": system["apiVersion"],
            "kind": system["kind"],
            "metadata": {"name": name, "namespace": namespace},
            "spec": {**spec, "profile": profile, "restoreFrom": {"backup": backup}},
        },
    ]


def documents_by_handles(
    backup: Mapping[str, Any], contents: Mapping[str, Mapping[str, Any]], name: str
) -> list[Document]:
    """Return what restores a backup when its namespace is gone: snapshots by their handles, and the TradingSystem.

    Args:
        backup: the TradingBackup.
        contents: its VolumeSnapshotContents by name.
        name: of the new system.

    Raises:
        CommandError: if the backup cannot be restored, or a content is gone or would go with the namespace.
    """
    if _of_repository(backup) is not None:
        return restoring_documents(backup, name)  # it is outside the namespace already
    namespace, former = backup["metadata"]["namespace"], backup["spec"]["system"]
    documents: list[Document] = []
    snapshots = []
    for volume in _complete(backup)["volumes"]:
        found = contents.get(volume["content"])
        handle = ((found or {}).get("status") or {}).get("snapshotHandle")
        if found is None or not handle:
            raise CommandError(f"VolumeSnapshotContent {volume['content']} of {volume['claim']} is gone")
        if found["spec"]["deletionPolicy"] != "Retain":
            raise CommandError(
                f"VolumeSnapshotContent {volume['content']} is deleted together with its namespace: set its "
                "spec.deletionPolicy to Retain first"
            )
        kept, snapshot = f"{name}-{volume['content']}"[:253], f"{name}-{volume['claim']}"[:253]
        documents.append(
            {
                "apiVersion": _VERSION,
                "kind": f"{SNAPSHOT_KIND}Content",
                "metadata": {"name": kept},
                "spec": {
                    "deletionPolicy": "Retain",
                    "driver": found["spec"]["driver"],
                    "source": {"snapshotHandle": handle},
                    "volumeSnapshotRef": {"name": snapshot, "namespace": namespace},
                },
            }
        )
        documents.append(
            {
                "apiVersion": _VERSION,
                "kind": SNAPSHOT_KIND,
                "metadata": {"name": snapshot, "namespace": namespace},
                "spec": {"source": {"volumeSnapshotContentName": kept}},
            }
        )
        snapshots.append({"component": component_of_claim(volume["claim"], former), "snapshot": snapshot})
    return [*documents, _system(backup, name, {"snapshots": snapshots})]


def component_of_claim(claim: str, system: str) -> str:
    """Return the component whose volume a claim of a system has."""
    if claim == claim_name(system):
        return SYSTEM
    head, tail = claim_name(f"{system}-\0").split("\0")
    return claim.removeprefix(head).removesuffix(tail)


def _of_repository(backup: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what restores a backup that is in a repository; None where it is of volume snapshots."""
    stored = _complete(backup).get("repository")
    if not stored:
        return None
    declaration = json.loads(_complete(backup).get("declaration") or "{}")
    locations = ((declaration.get("spec") or {}).get("backup") or {}).get("locations") or ()
    location = next((one for one in locations if one["name"] == stored["location"]), {"name": stored["location"]})
    return {"repository": location, "system": backup["spec"]["system"], "id": stored["id"]}


def _complete(backup: Mapping[str, Any]) -> Mapping[str, Any]:
    status = backup.get("status") or {}
    conditions: list[Mapping[str, Any]] = list(status.get("conditions") or ())
    complete: Mapping[str, Any] = next((each for each in conditions if each["type"] == "Complete"), {})
    if complete.get("status") != "True":
        name, words = backup["metadata"]["name"], complete.get("message") or "it has not started"
        raise CommandError(f"TradingBackup {name} is not complete: {words}")
    found: Mapping[str, Any] = status
    return found


def _system(backup: Mapping[str, Any], name: str, source: Mapping[str, Any]) -> Document:
    text = _complete(backup).get("declaration", "")
    if not text:
        raise CommandError(
            f"TradingBackup {backup['metadata']['name']} does not hold the TradingSystem, which was too long: take "
            f"your own file, with spec.restoreFrom: {json.dumps(source)}"
        )
    found = json.loads(text)
    metadata = {"name": name, "namespace": backup["metadata"]["namespace"]}
    spec = {**found["spec"], "restoreFrom": dict(source)}
    return {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": metadata, "spec": spec}


def contents_of(backup: Mapping[str, Any]) -> Sequence[str]:
    """Return the names of a backup's VolumeSnapshotContents."""
    return [str(volume["content"]) for volume in _complete(backup)["volumes"]]
