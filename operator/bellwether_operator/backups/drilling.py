"""Testing a backup by restoring it to scratch volumes, as its steps say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from bellwether.render.kubernetes.context import Manifest
from bellwether.render.kubernetes.looks import LABEL_LOOKED_AT, Copy, Looked, look_objects
from bellwether.spec.models import TradingSystem
from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.backups.drills import DrillStep, Scene, drill_step, outcome_written
from bellwether_operator.backups.snapshots import owner_of
from bellwether_operator.backups.status import progress_of
from bellwether_operator.observe.kinds import BY_NAME, JOB, PODS
from bellwether_operator.settings import Settings

_FEW = 10


async def drill(client: Client, settings: Settings, raw: Mapping[str, Any], now: datetime) -> DrillStep:
    """Look at the test of a backup and do what is next; return the step, whose progress the caller writes.

    Raises:
        ApiError: when the server refuses or is not reached.
    """
    before = progress_of(raw)
    if before.drill_started_at is None:
        return drill_step(before, Scene(), now)
    try:
        objects = _objects(settings, raw)
    except (ValueError, KeyError, ValidationError):
        words = "the TradingSystem of then cannot be read by this release"
        if before.verified is None:
            return DrillStep(outcome_written(before, False, "RestoreFailed", words))
        return drill_step(before, Scene(), now)
    scene, uids = await _look(client, raw, objects)
    step = drill_step(before, scene, now)
    for each in objects:
        kind, name = BY_NAME[each["kind"]], f"{each['kind']}/{each['metadata']['name']}"
        if name in step.make:
            await _make(client, each)
        elif step.clear and name in uids:
            await client.delete(kind, each["metadata"]["namespace"], each["metadata"]["name"], uids[name])
    return step


async def _make(client: Client, manifest: Manifest) -> None:
    try:
        await client.create(BY_NAME[manifest["kind"]].path(manifest["metadata"]["namespace"]), manifest)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise


async def _look(client: Client, raw: Mapping[str, Any], objects: list[Manifest]) -> tuple[Scene, dict[str, str]]:
    """Return what is there of a test, and the uids of what is this very backup's."""
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
    said = ""
    if job is not None and (job.get("status") or {}).get("conditions"):
        pods = await client.page(PODS, namespace, f"{LABEL_LOOKED_AT}={uid}", _FEW)
        said = last_words(pods.items)
    return Scene(list(uids), [name for name in names if name not in uids], job, said), uids


def last_words(pods: list[dict[str, Any]]) -> str:
    """Return what the newest of some pods said as it ended."""
    found: list[tuple[str, str]] = []
    for pod in pods:
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            ended = (container.get("state") or {}).get("terminated") or {}
            if ended.get("message"):
                found.append((str(ended.get("finishedAt", "")), str(ended["message"])))
    return max(found, default=("", ""))[1]


def _objects(settings: Settings, raw: Mapping[str, Any]) -> list[Manifest]:
    metadata, progress = raw["metadata"], progress_of(raw)
    status = raw.get("status") or {}
    former = json.loads(status.get("declaration") or "{}")
    former["metadata"] = {**former["metadata"], "namespace": metadata["namespace"], "uid": metadata["uid"]}
    system = TradingSystem.model_validate(former)
    size = system.spec.storage.size
    copies = [Copy(one.claim, one.snapshot, one.size or size) for one in progress.volumes]
    looked = Looked(
        metadata["name"],
        metadata["uid"],
        metadata["namespace"],
        owner_of(metadata),
        json.dumps(former, sort_keys=True),
        str(status.get("release", "")),
    )
    return look_objects(
        system,
        looked,
        copies,
        image=settings.services_image,
        pull_policy=settings.image_pull_policy,
        log_level=settings.services_log_level,
    )
