"""What has to be written so that what is there contains what is desired. Pure."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum

from bellwether.change.compare import lacking
from bellwether.render.kubernetes import quantities
from bellwether.render.kubernetes.context import Manifest
from bellwether.render.kubernetes.names import (
    ANNOTATION_APPLIED,
    LABEL_INSTANCE,
    LABEL_MANAGED_BY,
    MANAGER,
    content_hash,
)
from bellwether_operator.observe.cache import ChildKey, Observed
from bellwether_operator.observe.kinds import BY_NAME, CLAIM


class Verdict(Enum):
    """What to do about one child."""

    SKIP = "skip"
    APPLY = "apply"
    REMAKE = "remake"
    """It is to be deleted and made anew, since its kind must not be edited."""
    WAIT = "wait"
    """It is a remnant of a system of the same name that was deleted; Kubernetes will remove it."""
    TAKEN = "taken"
    """Somebody else's object has the name; it is never applied over."""


@dataclass(frozen=True)
class Decision:
    """The verdict on one child, and why."""

    verdict: Verdict
    why: str = ""
    drift: str | None = None
    """The path of a field that somebody else changed."""


@dataclass(frozen=True)
class Desired:
    """One object as it is to be, with the digest of its content."""

    key: ChildKey
    digest: str
    manifest: Manifest


def desired_from(manifest: Manifest) -> Desired:
    """Return an object that is to be applied, with its digest written into it."""
    digest = content_hash(manifest, 16)
    metadata = manifest["metadata"]
    marked = {
        **manifest,
        "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), ANNOTATION_APPLIED: digest}},
    }
    return Desired(ChildKey(manifest["kind"], metadata["namespace"], metadata["name"]), digest, marked)


def decide(desired: Desired, observed: Observed | None, system_uid: str) -> Decision:
    """Return what to do about one child.

    Skipped is what was applied with this very content and still contains it; so others may add fields of their own,
    and what they change of ours is put back.
    """
    if observed is None:
        return Decision(Verdict.APPLY, "it is not there")
    strange = _stranger(desired, observed, system_uid)
    if strange is not None:
        return strange
    if observed.deleting:
        return Decision(Verdict.WAIT, "it is being deleted")
    write = Verdict.REMAKE if BY_NAME[desired.key.kind].remade else Verdict.APPLY
    if observed.applied != desired.digest:
        return Decision(write, "its content is to change")
    if observed.verified == desired.digest:
        return Decision(Verdict.SKIP)
    body = observed.body
    if body is None:
        # Not kept: it is very large, or was seen before its system. To apply it where it is changes nothing if nothing
        # differs, and the reply is compared as any other; to make it anew would be too much for a guess.
        return Decision(Verdict.APPLY, "what it contains is not known")
    where = next((each.path for each in lacking(desired.manifest, body)), None)
    return Decision(Verdict.SKIP) if where is None else Decision(write, f"{where} was changed by someone else", where)


def _stranger(desired: Desired, observed: Observed, system_uid: str) -> Decision | None:
    if observed.belongs_to(system_uid):
        return None
    if observed.owner_uid is not None:
        same_name = observed.owner_name == desired.manifest["metadata"]["labels"][LABEL_INSTANCE]
        if same_name:
            return Decision(Verdict.WAIT, "it belonged to a deleted system of the same name")
        return Decision(Verdict.TAKEN, f"it belongs to the trading system {observed.owner_name}")
    if observed.foreign_controller is not None:
        return Decision(Verdict.TAKEN, f"it belongs to {observed.foreign_controller}")
    labels = desired.manifest["metadata"]["labels"]
    adoptable = (
        observed.key.kind == CLAIM
        and observed.labels.get(LABEL_MANAGED_BY) == MANAGER
        and observed.labels.get(LABEL_INSTANCE) == labels[LABEL_INSTANCE]
    )
    return None if adoptable else Decision(Verdict.TAKEN, "it was not made by this operator")


def not_smaller(desired: Desired, observed: Observed | None) -> tuple[Desired, str | None]:
    """Return a volume claim that does not shrink what is there, and, where it would have, a sentence saying so."""
    if desired.key.kind != CLAIM or observed is None or observed.storage is None:
        return desired, None
    wanted = desired.manifest["spec"]["resources"]["requests"]["storage"]
    try:
        shrinks = quantities.mebibytes(wanted) < quantities.mebibytes(observed.storage)
    except ValueError:
        return desired, None  # a size in another unit is not ours to judge: the API server refuses what cannot be
    if not shrinks:
        return desired, None
    manifest = copy.deepcopy(desired.manifest)
    manifest["spec"]["resources"]["requests"]["storage"] = observed.storage
    del manifest["metadata"]["annotations"][ANNOTATION_APPLIED]
    note = (
        f"storage.size: {wanted} is smaller than the {observed.storage} of {desired.key.name}; a volume cannot shrink"
    )
    return desired_from(manifest), note


def to_prune(
    observed: Iterable[Observed],
    desired: Collection[ChildKey],
    system_uid: str,
    *,
    settled: bool,
    spared: Collection[ChildKey] = (),
) -> list[Observed]:
    """Return the children that are no longer desired.

    Volume claims are never among them: a change of profile loses nothing, they go with the system or stay. Nor are
    Jobs, which end by themselves. A ConfigMap waits until no pod is being replaced any more, since the old pod may
    still need it; `spared` are those that a held pod template names.
    """
    return [
        each
        for each in observed
        if each.key not in desired
        and each.key not in spared
        and each.belongs_to(system_uid)
        and each.key.kind in BY_NAME
        and each.key.kind != CLAIM
        and not BY_NAME[each.key.kind].once
        and not each.deleting
        and (settled or each.key.kind != "ConfigMap")
    ]
