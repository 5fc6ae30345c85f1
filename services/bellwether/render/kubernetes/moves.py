"""Moves between profiles: which volume holds what, and the Job that copies the volumes of one profile to another's.

Which profile is in force, and how far a move has come, is the operator's to judge; see
docs/decisions/0013-profile-change.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, get_args

from bellwether.render.kubernetes.configmaps import NATS_DIRECTORY
from bellwether.render.kubernetes.containers import DATA_DIRECTORY
from bellwether.render.kubernetes.context import Manifest, RenderContext
from bellwether.render.kubernetes.names import MOVE, NATS, SYSTEM, child_name, metadata
from bellwether.render.kubernetes.networkpolicies import closed_policy
from bellwether.render.kubernetes.pods import move_pod
from bellwether.service_row import ServiceRow
from bellwether.spec.models import GROUP, TradingSystem
from bellwether.topology import SERVICES

Profile = Literal["compact", "standard"]
PROFILES: tuple[Profile, ...] = get_args(Profile)

MOVED_IN = "moved-in"
STOPPED = "stopped"
ATTEMPT = "attempt"
ANNOTATION_MOVED_IN = f"{GROUP}/{MOVED_IN}"
"""On a volume claim: the number of the move that filled it; 0 where a system began with it."""
ANNOTATION_STOPPED = f"{GROUP}/{STOPPED}"
"""On the Job: which stopped workloads it copies from."""
ANNOTATION_ATTEMPT = f"{GROUP}/{ATTEMPT}"
"""On the Job: under what circumstances it tries; it is tried anew when they are others."""
NOTHING_MOVED_IN = "none"
"""Stands in place of the number on a claim that was made for a move and that no move has filled yet."""
_TRIES = 4
"""Further tries, over about three minutes: for a volume that is still growing, or a pod that is still ending."""
FUTILE = 3
"""The exit code by which the pod says that trying again cannot help."""


@dataclass(frozen=True)
class Holding:
    """What one volume holds, as names in its top folder."""

    databases: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class MoveJob:
    """One Job that copies the volumes of one profile to those of another."""

    number: int
    source: Profile
    target: Profile
    stopped: str
    """Which stopped workloads it copies from, as a hash: those that ran again in between have another."""
    attempt: str
    """Under what circumstances it tries, as a hash."""


def profile_of(component: str) -> Profile | None:
    """Return the profile that a workload or a volume of this component is part of; None where it is of neither."""
    if component == SYSTEM:
        return "compact"
    return "standard" if component == NATS or component in SERVICES else None


def holdings(profile: Profile, rows: Mapping[str, ServiceRow] = SERVICES) -> dict[str, Holding]:
    """Return what the volumes of a profile hold, by component."""
    held = {NATS: Holding(folders=(str(PurePosixPath(NATS_DIRECTORY).relative_to(DATA_DIRECTORY)),))}
    held |= {row.name: _holding(row) for row in rows.values() if row.needs_volume}
    return {SYSTEM: _together(held.values())} if profile == "compact" else held


def _holding(row: ServiceRow) -> Holding:
    # Any service with a volume may keep files in the folder of its name, beside its database.
    return Holding(databases=() if row.store is None else (row.store,), folders=(row.name,))


def _together(parts: Iterable[Holding]) -> Holding:
    found = list(parts)
    return Holding(
        databases=tuple(name for part in found for name in part.databases),
        folders=tuple(name for part in found for name in part.folders),
    )


def at_profile(system: TradingSystem, profile: Profile) -> TradingSystem:
    """Return the system as it would be with another profile."""
    if system.spec.profile == profile:
        return system
    return system.model_copy(update={"spec": system.spec.model_copy(update={"profile": profile})})


def move_name(system: TradingSystem, number: int) -> str:
    """Return the name of the Job of a move."""
    return f"{child_name(system, MOVE)}-{number}"


def move_policy(system: TradingSystem) -> Manifest:
    """Return the policy that keeps the pod of a move from talking to anybody."""
    return closed_policy(system, MOVE)


def move_job(system: TradingSystem, context: RenderContext, job: MoveJob) -> Manifest:
    """Return the Job of a move.

    It has no deadline: how long copying takes depends on how much there is. An eviction is not counted as a try. The
    next pod starts only when the one before it is gone.
    """
    found = metadata(system, MOVE, move_name(system, job.number))
    found["annotations"] = {ANNOTATION_ATTEMPT: job.attempt, ANNOTATION_STOPPED: job.stopped}
    arguments = ["--number", str(job.number), "--from", job.source, "--to", job.target]
    futile = {"containerName": MOVE, "operator": "In", "values": [FUTILE]}
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": futile},
    ]
    spec = {
        "backoffLimit": _TRIES,
        "podFailurePolicy": {"rules": rules},
        "podReplacementPolicy": "Failed",
        "template": move_pod(system, context, arguments, list(holdings(job.source)), list(holdings(job.target))),
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": found, "spec": spec}


def with_moved_in(claim: Manifest, value: str) -> Manifest:
    """Return a volume claim that says by which move it was filled."""
    found = claim["metadata"]
    return {**claim, "metadata": {**found, "annotations": {**found.get("annotations", {}), ANNOTATION_MOVED_IN: value}}}
