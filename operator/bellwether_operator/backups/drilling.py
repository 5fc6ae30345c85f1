"""Reading a backup from scratch volumes, or restoring it on one, as its steps say: to verify it, and for a drill."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from bellwether.render.kubernetes import quantities
from bellwether.render.kubernetes.context import Manifest
from bellwether.render.kubernetes.looks import LABEL_LOOKED_AT, Copy, Looked, look_objects
from bellwether.spec.backup import RestoreFrom
from bellwether.spec.models import TradingSystem
from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.backups.drills import DrillStep, Scene, drill_step, is_verifying, verify_step
from bellwether_operator.backups.repository import Place, declared_place
from bellwether_operator.backups.snapshots import owner_of
from bellwether_operator.backups.status import progress_of
from bellwether_operator.following import create
from bellwether_operator.observe.kinds import BY_NAME, JOB, PODS
from bellwether_operator.report.pods import cause_of_pod
from bellwether_operator.settings import Settings

_DECLARED = ("apiVersion", "kind", "metadata", "spec")
_FEW = 10


async def examine(
    client: Client, settings: Settings, raw: Mapping[str, Any], declared: Mapping[str, Any] | None, now: datetime
) -> DrillStep:
    """Look at what reads a backup, and do what is next; return the step, whose progress the caller writes.

    Args:
        client: of the API server.
        settings: of the operator.
        raw: the backup.
        declared: the system, where it is there: for a backup that does not hold its declaration.
        now: aware.

    Raises:
        ApiError: when the server is not reached.
    """
    before = progress_of(raw)
    verifies = is_verifying(before)
    next_step = verify_step if verifies else drill_step
    if not verifies and before.drill_started_at is None:
        return drill_step(before, Scene(), now)
    try:
        objects = _objects(settings, raw, declared, decide=not verifies)
    except (ValueError, KeyError):
        stored, words = before.stored, "the TradingSystem of then cannot be read by this release"
        if stored is not None:
            words = f"{words}, or neither it nor the present one has location {stored.location} at {stored.where}"
        return next_step(before, Scene(refused=words), now)
    scene, uids = await _look(client, raw, objects, now)
    step = next_step(before, scene, now)
    for each in objects:
        kind, name = BY_NAME[each["kind"]], f"{each['kind']}/{each['metadata']['name']}"
        if name in step.make:
            try:
                await create(client, kind, each)
            except ApiError as error:
                if error.transient:
                    raise
                words = f"{name} is refused: {error.message}"
                # A quota may have room again; what breaks a rule of its kind never will.
                noted = replace(scene, refused=words) if error.invalid else replace(scene, waits=words)
                return next_step(before, noted, now)
        elif step.clear and name in uids:
            await client.delete(kind, each["metadata"]["namespace"], each["metadata"]["name"], uids[name])
    return step


async def _look(
    client: Client, raw: Mapping[str, Any], objects: list[Manifest], now: datetime
) -> tuple[Scene, dict[str, str]]:
    """Return what is there of what reads a backup, and the uids of what is this very backup's."""
    namespace, uid = raw["metadata"]["namespace"], raw["metadata"]["uid"]
    jobs = await client.page(BY_NAME[JOB], namespace, f"{LABEL_LOOKED_AT}={uid}", _FEW)
    job = next(iter(jobs.items), None)
    uids: dict[str, str] = {}
    for each in objects:
        name = each["metadata"]["name"]
        # Jobs may be listed, not read by their names.
        there = job if each["kind"] == JOB else await client.get(BY_NAME[each["kind"]], namespace, name)
        if there is not None and (there["metadata"].get("labels") or {}).get(LABEL_LOOKED_AT) == uid:
            uids[f"{each['kind']}/{name}"] = there["metadata"]["uid"]
    names = [f"{each['kind']}/{each['metadata']['name']}" for each in objects]
    pods = [] if job is None else (await client.page(PODS, namespace, f"{LABEL_LOOKED_AT}={uid}", _FEW)).items
    causes = [cause_of_pod(pod["metadata"]["name"], pod.get("status") or {}, now) for pod in pods]
    waits = next((cause.words for cause in causes if cause is not None), "")
    return Scene(list(uids), [name for name in names if name not in uids], job, termination_message(pods), waits), uids


def termination_message(pods: list[dict[str, Any]]) -> str:
    """Return what the newest of some pods said as it ended."""
    found: list[tuple[str, str]] = []
    for pod in pods:
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            ended = (container.get("state") or {}).get("terminated") or {}
            if ended.get("message"):
                found.append((str(ended.get("finishedAt", "")), str(ended["message"])))
    return max(found, default=("", ""))[1]


def _objects(
    settings: Settings, raw: Mapping[str, Any], declared: Mapping[str, Any] | None, *, decide: bool
) -> list[Manifest]:
    metadata, progress = raw["metadata"], progress_of(raw)
    status = raw.get("status") or {}
    then, stored = json.loads(status.get("declaration") or "null"), progress.stored
    found = then or declared or {}
    if stored is not None:
        # The present one first: it says which Secret opens the repository now.
        place = Place(stored.location, stored.where)
        found = next((one for one in (declared, then) if one and declared_place(one, stored.location) == place), {})
    former = {name: found[name] for name in _DECLARED if name in found}
    former["metadata"] = {
        "name": former["metadata"]["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
    }
    system = TradingSystem.model_validate(former)
    size = system.spec.storage.size
    copies, source = [Copy(one.claim, one.snapshot, one.size or size) for one in progress.volumes], None
    if stored is not None:
        # What is fetched and what is made of it are there at once.
        copies = [Copy("scratch", None, quantities.memory(max(quantities.mebibytes(size), stored.size >> 19)))]
        (location,) = (one for one in former["spec"]["backup"]["locations"] if one["name"] == stored.location)
        wanted = {"repository": location, "system": system.metadata.name, "id": stored.id}
        source = RestoreFrom.model_validate(wanted)
    looked = Looked(
        metadata["name"],
        metadata["uid"],
        metadata["namespace"],
        owner_of(metadata),
        json.dumps(former, sort_keys=True) if decide else "",
        str(status.get("release", "")),
        source,
    )
    return look_objects(
        system,
        looked,
        copies,
        image=settings.services_image,
        pull_policy=settings.image_pull_policy,
        log_level=settings.services_log_level,
    )
