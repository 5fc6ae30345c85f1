"""What has to be written so that what is there contains what is desired. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from bellwether.change import world
from bellwether.change.compare import lacking
from bellwether.change.world import Owner, owner_of
from bellwether.render.kubernetes.context import ANNOTATION_APPLIED, LABEL_INSTANCE, Manifest, content_hash
from bellwether.spec.created_with import CREATED_WITH
from bellwether_operator.observe.kinds import BY_NAME, CLAIM, ChildKey, Observed

_MOUNTED = frozenset({CLAIM, "ConfigMap", "Secret"})
_BESIDE_PODS = frozenset({"CronJob", "PodDisruptionBudget"})


class ActionKind(Enum):
    """What to do about one child."""

    SKIP = "skip"
    APPLY = "apply"
    REMAKE = "remake"
    """It is to be deleted and made again, since its kind must not be edited."""
    WAIT = "wait"
    """It is a remnant of a system of the same name that was deleted; Kubernetes will remove it."""
    TAKEN = "taken"
    """Somebody else's object has the name; it is never applied over."""
    OTHER_DECLARATION = "otherwise"
    """It is a volume whose stores were created with something else than is declared; nothing reads them."""


@dataclass(frozen=True)
class ChildAction:
    """What to do about one child, and why."""

    kind: ActionKind
    why: str = ""
    drift: str | None = None
    """The path of a field that somebody else changed."""
    unread: bool = False
    """Whether it rests on nothing, as nobody knows what the object contains."""


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


def action_for(desired: Desired, observed: Observed | None, system_uid: str) -> ChildAction:
    """Return what to do about one child.

    Skipped is what was applied with this very content and still contains it; so others may add fields of their own,
    and what they change of ours is put back.
    """
    if observed is None:
        return ChildAction(ActionKind.APPLY, "it is not there")
    strange = _stranger(desired, observed, system_uid)
    if strange is not None:
        return strange
    if observed.deleting:
        return ChildAction(ActionKind.WAIT, "it is being deleted")
    other_declaration = world.not_its_volume(desired.manifest, observed.annotations.get(CREATED_WITH))
    if other_declaration is not None:
        return ChildAction(ActionKind.OTHER_DECLARATION, other_declaration)
    write = ActionKind.REMAKE if BY_NAME[desired.key.kind].remade else ActionKind.APPLY
    if observed.applied != desired.digest:
        return ChildAction(write, "its content is to change")
    if observed.verified == desired.digest:
        return ChildAction(ActionKind.SKIP)
    body = observed.body
    if body is None:
        # Not kept: only its metadata was watched, it is very large, or it was seen before its system. It is read before
        # anything is written; where it is gone by then it is applied.
        return ChildAction(ActionKind.APPLY, "what it contains is not known", unread=True)
    where = next((each.path for each in lacking(desired.manifest, body)), None)
    if where is None:
        return ChildAction(ActionKind.SKIP)
    return ChildAction(write, f"{where} was changed by someone else", where)


def _stranger(desired: Desired, observed: Observed, system_uid: str) -> ChildAction | None:
    name = desired.manifest["metadata"]["labels"][LABEL_INSTANCE]
    owner, why = owner_of(observed, observed.key.kind, system_uid, name)
    if owner is Owner.REMNANT:
        return ChildAction(ActionKind.WAIT, why)
    return ChildAction(ActionKind.TAKEN, why) if owner is Owner.STRANGER else None


def not_smaller(desired: Desired, observed: Observed | None) -> tuple[Desired, str | None]:
    """Return a volume claim that does not shrink what is there, and, where it would have, a sentence saying so."""
    if desired.key.kind != CLAIM or observed is None:
        return desired, None
    claim, words = world.not_smaller(desired.manifest, observed.storage)
    if words is None:
        return desired, None
    return desired_from(unmarked(claim)), words


def handed_over(desired: Desired, observed: Observed | None, system_uid: str) -> Desired | None:
    """Return a volume claim as it is but with the owner that it is to have; None where there is nothing to do."""
    if observed is None:
        return None
    claim = world.handed_over(desired.manifest, observed, observed.storage, system_uid)
    if claim is None:
        return None
    return desired_from(unmarked(claim))


def unmarked(manifest: Manifest) -> Manifest:
    """Return an object without the digest that was written into it, so that another one can be."""
    metadata = manifest["metadata"]
    annotations = {name: value for name, value in metadata["annotations"].items() if name != ANNOTATION_APPLIED}
    rest = {name: value for name, value in metadata.items() if name != "annotations"}
    return {**manifest, "metadata": {**rest, "annotations": annotations} if annotations else rest}


def needs(workload: Desired, missing: Collection[ChildKey]) -> bool:
    """Whether a workload has to wait for something that is missing.

    Pods mount claims, ConfigMaps and Secrets by name, and wait for those alone. Schedules and disruption budgets are
    nothing to them; all else (account, services, network policies) has to be there before any pod is.
    """
    named = names_in(workload.manifest["spec"].get("template") or {})
    return any(key.name in named if key.kind in _MOUNTED else key.kind not in _BESIDE_PODS for key in missing)


def names_in(part: object) -> set[str]:
    """Return every text in a part of an object: whatever it names is among them."""
    if isinstance(part, str):
        return {part}
    inner = part.values() if isinstance(part, Mapping) else part if isinstance(part, list) else ()
    return {name for each in inner for name in names_in(each)}


def to_prune(
    observed: Iterable[Observed],
    desired: Collection[ChildKey],
    system_uid: str,
    *,
    all_ready: bool,
    still_mounted: Collection[ChildKey] = (),
) -> list[Observed]:
    """Return the children that are no longer desired.

    Volume claims are never among them: they go with the system or stay. Nor are
    Jobs, which end by themselves. A ConfigMap waits until no pod is being replaced any more, since the old pod may
    still need it; `still_mounted` are those that a held pod template names.
    """
    return [
        each
        for each in observed
        if each.key not in desired
        and each.key not in still_mounted
        and each.belongs_to(system_uid)
        and each.key.kind in BY_NAME
        and each.key.kind != CLAIM
        and not BY_NAME[each.key.kind].once
        and not each.deleting
        and (all_ready or each.key.kind != "ConfigMap")
    ]
