"""What the volumes of a restored system are made from, or why they cannot be made yet, or ever. Pure.

Only claims that are not there yet are made from a snapshot. One that is there says itself what it was made from, so
nothing depends on a backup any more once it was restored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kubernetes import utils
from pydantic import ValidationError

from bellwether.render.kubernetes.context import SYSTEM, claim_name
from bellwether.render.kubernetes.volumes import FILLED, RESTORED_FROM
from bellwether.spec.created_with import created_with, differences
from bellwether.spec.models import TradingSystem
from bellwether.spec.trading_backup import KIND
from bellwether_operator.backups.status import progress_of
from bellwether_operator.backups.steps import Progress
from bellwether_operator.observe.kinds import Observed

ByComponent = Mapping[str, Observed | None]


@dataclass(frozen=True)
class Restore:
    """What claims are made from."""

    sources: tuple[tuple[str, str], ...] = ()
    """By component, the VolumeSnapshot."""
    waiting: str | None = None
    """Why the claims that are missing cannot be made yet."""
    refused: str | None = None
    """Why they cannot be made as declared."""
    filling: bool = False
    """Whether claims are made empty, and filled by a Job before there is any pod."""
    filled: bool = False
    """Whether the Job has ended well: then the claims are marked."""

    @property
    def blocked(self) -> bool:
        """Whether no volume and no pod is to be made now."""
        return self.waiting is not None or self.refused is not None


def restore_of(
    system: TradingSystem,
    claims: ByComponent,
    backup: Mapping[str, Any] | None,
    job: Observed | None = None,
    said: str = "",
) -> Restore:
    """Return what the claims of a profile are made from.

    Args:
        system: the declaration.
        claims: all components with a volume of the profile in force; None where the claim is not there.
        backup: the TradingBackup that the declaration names; None where there is none of that name.
        job: that fills the claims from a repository; None where it is not there.
        said: what its newest pod said as it failed.
    """
    there = {name: claim for name, claim in claims.items() if claim is not None}
    known = tuple((name, claim.source) for name, claim in there.items() if claim.source is not None)
    wanted = system.spec.restore_from
    if wanted is None:
        return Restore(known)
    strange = [claim.key.name for claim in there.values() if claim.annotations.get(RESTORED_FROM) != str(wanted)]
    if strange:
        words = f"{', '.join(strange)} is there and was not made from {wanted}"
        return Restore(known, refused=f"{words}: delete it with all that is on it, or name the system otherwise")
    if wanted.repository is not None:
        return _from_repository(str(wanted), claims, known, job, said)
    if len(there) == len(claims):
        return Restore(known)
    if wanted.snapshots is not None:
        given = {each.component: each.snapshot for each in wanted.snapshots}
        unknown = sorted(given.keys() - claims.keys())
        if unknown:
            words = f"restoreFrom.snapshots: profile {system.spec.profile} has no volume of {', '.join(unknown)}"
            return Restore(known, refused=f"{words}; it has those of {', '.join(claims)}")
        return Restore(tuple({**given, **dict(known)}.items()))
    if backup is None:
        return Restore(known, waiting=f"there is no {KIND} {wanted.backup} in this namespace")
    return _from_backup(system, claims, backup, dict(known))


def _from_backup(
    system: TradingSystem, claims: ByComponent, backup: Mapping[str, Any], known: Mapping[str, str]
) -> Restore:
    name, progress = backup["metadata"]["name"], progress_of(backup)
    rest = tuple(known.items())
    if progress.state == "running":
        return Restore(rest, waiting=f"{KIND} {name} is not complete yet: {progress.message}")
    if progress.state != "complete":
        return Restore(rest, refused=f"{KIND} {name} is not complete: {progress.message}")
    former = str(backup["spec"]["system"])
    if progress.stored is not None:
        words = f"{KIND} {name} is in a repository: declare restoreFrom.repository, system {former}, id"
        words = f"{words} {progress.stored.id}, as `bellwether restore {name} --as {system.metadata.name}` prints it"
        return Restore(rest, refused=words)
    kept = {volume.claim: volume.snapshot for volume in progress.volumes}
    whole = kept.get(_claim(former, SYSTEM))
    # One volume that has all of it: each component gets a copy, and keeps what is its own.
    sources = {component: kept.get(_claim(former, component), whole) for component in claims}
    left = [] if whole is not None else sorted(kept.keys() - {_claim(former, component) for component in claims})
    if left:
        words = f"{KIND} {name} has volumes that profile {system.spec.profile} does not: {', '.join(left)}"
        return Restore(rest, refused=f"{words}; declare profile standard")
    if (unlike := _unlike(system, backup)) is not None:
        return Restore(rest, refused=f"{KIND} {name}: {unlike}")
    if (small := _too_small(system, progress)) is not None:
        return Restore(rest, refused=f"{KIND} {name}: {small}")
    made = {component: snapshot for component, snapshot in sources.items() if snapshot is not None}
    return Restore(tuple({**made, **known}.items()))


def _from_repository(
    source: str, claims: ByComponent, known: tuple[tuple[str, str], ...], job: Observed | None, said: str
) -> Restore:
    marked = [each.key.name for each in claims.values() if each is not None and FILLED in each.annotations]
    if len(marked) == len(claims):
        return Restore(known)
    missing = [component for component, each in claims.items() if each is None]
    if marked and missing:
        words = f"{', '.join(marked)} was filled from {source}, and the volume of {', '.join(missing)} is gone"
        return Restore(known, refused=f"{words}: restore it under another name")
    ended = {each["type"] for each in _conditions(job) if each.get("status") == "True"}
    if "Complete" in ended:
        return Restore(known, waiting="the volumes are filled, pods come next", filling=True, filled=True)
    if "Failed" in ended and job is not None:
        words = f"it cannot be restored from {source}: {said or 'its Job failed'}"
        again = f"put it right, then delete Job {job.key.name} for another try; nothing was started"
        return Restore(known, refused=f"{words}; {again}", filling=True)
    words = f"the volumes are filled from {source}"
    return Restore(known, waiting=f"{words}; tried again after: {said}" if said else words, filling=True)


def _conditions(job: Observed | None) -> Sequence[Mapping[str, Any]]:
    return [] if job is None else list(job.status.get("conditions") or ())


def _claim(system: str, component: str) -> str:
    return claim_name(system if component == SYSTEM else f"{system}-{component}")


def _unlike(system: TradingSystem, backup: Mapping[str, Any]) -> str | None:
    """Return in words how the stores were created differently; None where that is not known."""
    text = str((backup.get("status") or {}).get("declaration", ""))
    try:
        former = json.loads(text)
        former["metadata"] |= {"namespace": system.metadata.namespace, "uid": "former"}
        was = created_with(TradingSystem.model_validate(former))
    except (ValueError, KeyError, TypeError, ValidationError):
        return None  # the stores themselves say so
    return differences(was, created_with(system))


def _too_small(system: TradingSystem, progress: Progress) -> str | None:
    try:
        size = _bytes(system.spec.storage.size)
        large = [volume for volume in progress.volumes if volume.size and _bytes(volume.size) > size]
    except ValueError:
        return None
    if not large:
        return None
    needed = ", ".join(f"{volume.claim} needs {volume.size}" for volume in large)
    return f"storage.size {system.spec.storage.size} is too little: {needed}"


_bytes: Callable[[str], int | Decimal] = utils.parse_quantity
