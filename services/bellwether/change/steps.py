"""From what is there to what is wanted, object by object, as the operator would go. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from bellwether.change import world
from bellwether.change.compare import FieldChange, changes, lacking
from bellwether.render.kubernetes import Manifest
from bellwether.render.kubernetes.context import ANNOTATION_TEMPLATE
from bellwether.render.kubernetes.volumes import ANNOTATION_RESTORED_FROM
from bellwether.spec.models import TradingSystem

Action: TypeAlias = Literal["create", "change", "remake", "replace", "adopt", "delete"]
"""remake: a schedule is deleted and made again, never edited; replace: another one by another name, since it
is named by its content; adopt: a volume that outlived an earlier system is taken over."""

_TEMPLATE = "spec.template"
_PACKED = f"metadata.annotations.{ANNOTATION_TEMPLATE}"
"""The pod template once more, packed: it says nothing that the template does not."""


@dataclass(frozen=True)
class Wait:
    """Until when (UTC) something waits, and for what: the session's close, or the end of a pause."""

    until: datetime
    for_: Literal["session", "paused"]


@dataclass(frozen=True)
class Step:
    """What is done with one object."""

    action: Action
    kind: str
    name: str
    component: str
    fields: tuple[FieldChange, ...] = ()
    because: tuple[str, ...] = ()
    """The fields of the declaration, without `spec.`, for which it is done; none when it follows from none of them."""
    wait: Wait | None = None
    """None: at once."""
    replaces: str | None = None
    """The name of the object in whose place it comes; that one goes when no pod uses it any more."""
    replicas: tuple[int, int] = (0, 0)
    """Of a workload: how many pods it has, and how many it is to have."""
    source: str | None = None
    """Of a new volume: the backup or snapshots that it is made from."""

    @property
    def pods(self) -> tuple[Literal["start", "stop", "restart"] | None, tuple[str, ...]]:
        """What it does to pods, and to which; `*` stands for the part of a name that Kubernetes makes up."""
        has, wants = self.replicas
        names = tuple(f"{self.name}-{i}" for i in range(max(has, wants)))
        names = names if self.kind == "StatefulSet" else (f"{self.name}-*",)
        if has and not wants:
            return "stop", names
        if wants and not has:
            return "start", names
        if has and any(change.path.startswith(_TEMPLATE) for change in self.fields):
            return "restart", names
        return None, ()


@dataclass(frozen=True)
class Drift:
    """An object that is not as the stored declaration wants it; the operator puts it right."""

    problem: Literal["missing", "changed"]
    kind: str
    name: str
    fields: tuple[FieldChange, ...] = ()
    """From what is there to what is put back."""


@dataclass
class Phase:
    """What is there, and under which circumstances the next objects come; it goes on with each step."""

    system: TradingSystem
    wait: Wait | None
    causes: Mapping[world.Key, Sequence[str]]
    there: dict[world.Key, world.ExistingObject] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def suppose(self, was: Iterable[Manifest]) -> None:
        """Take it that everything is there as it was declared."""
        for manifest in was:
            self.there[world.key_of(manifest)] = world.supposed(manifest)

    @property
    def workloads(self) -> dict[world.Key, Manifest]:
        """What keeps the system's own pods running, as it is there."""
        return {
            key: thing.raw
            for key, thing in self.there.items()
            if key.kind in world.WORKLOADS and world.owner_in(thing.raw, self.system)[0] is world.Owner.OURS
        }

    def observe(self, observed: Iterable[Manifest], was: Iterable[Manifest]) -> list[Drift]:
        """Take what is there; return in what it differs from what the operator makes of the stored declaration.

        Secrets are never read: those that the stored declaration has are taken to be there.
        """
        seen = self._ours(observed)
        drift: list[Drift] = []
        other_hand = False
        for manifest in was:
            key = world.key_of(manifest)
            raw = seen.pop(key, None)
            former = _of_former_kind(key, seen) if raw is None else None
            if former is not None:
                other_hand = True
                self.there[former] = world.ExistingObject(seen.pop(former))
            elif key.kind == world.SECRET:
                self.there[key] = world.supposed(manifest)
            elif raw is None:
                drift.append(Drift("missing", key.kind, key.name))
                self.there[key] = world.supposed(manifest)
            else:
                wanted, _ = fitted(manifest, raw)
                if world.applied_digest(raw) != world.digest_of(wanted):
                    other_hand = True
                    self.there[key] = world.ExistingObject(raw)
                    continue
                fields = tuple(lacking(wanted, raw))
                drift += [Drift("changed", key.kind, key.name, fields)] if fields else []
                self.there[key] = world.supposed(wanted, raw.get("status") or {})
        self.there |= {key: world.ExistingObject(raw) for key, raw in seen.items()}
        if other_hand:
            self.notes.append(
                "some objects are not as this version makes them of the stored declaration: the operator does not run, "
                "has not come to it yet, or is of another version"
            )
        return drift

    def _ours(self, observed: Iterable[Manifest]) -> dict[world.Key, Manifest]:
        found = {}
        for raw in observed:
            if raw["kind"] == world.JOB:  # it ends by itself
                continue
            owner, words = world.owner_in(raw, self.system)
            if world.is_going(raw) and owner is not world.Owner.STRANGER:
                owner, words = world.Owner.REMNANT, "it is being deleted"
            if owner in {world.Owner.OURS, world.Owner.RETAINED}:
                found[world.key_of(raw)] = raw
            elif owner is world.Owner.REMNANT:
                self.notes.append(f"{raw['kind']} {raw['metadata']['name']} has to go first: {words}")
        return found


def fitted(manifest: Manifest, there: Manifest) -> tuple[Manifest, str | None]:
    """Return an object as it is applied over what is there, and words where that is less than was wanted."""
    return world.not_smaller(manifest, world.requested(there)) if manifest["kind"] == world.CLAIM else (manifest, None)


def step_through(phase: Phase, wanted: Sequence[Manifest], still_mounted: Collection[str] = ()) -> list[Step]:
    """Return what is done so that everything wanted is there and nothing else, and take it as done.

    `spared` are the names of ConfigMaps that stay although nothing that is declared mounts them.
    """
    keys = {world.key_of(each) for each in wanted}
    steps = [step for each in wanted if (step := _toward(phase, each, keys)) is not None]
    return steps + _prune(phase, keys, still_mounted)


def _of_former_kind(key: world.Key, there: Collection[world.Key]) -> world.Key | None:
    """Return the workload of the same name that another release made, of another kind; None where there is none."""
    kinds = world.WORKLOADS - {key.kind} if key.kind in world.WORKLOADS else ()
    return next((found for kind in kinds if (found := world.Key(kind, key.name)) in there), None)


def _toward(phase: Phase, manifest: Manifest, keys: Collection[world.Key]) -> Step | None:
    """Return the step that makes one object as wanted, and take it as done; None when it is."""
    key = world.key_of(manifest)
    thing = phase.there.get(key)
    if thing is None:
        return _made(phase, manifest, keys)
    wanted, note = fitted(manifest, thing.raw)
    if note is not None:
        phase.notes.append(note)
    status = thing.raw.get("status") or {}
    phase.there[key] = world.supposed(wanted, status)
    if world.owner_in(thing.raw, phase.system)[0] is world.Owner.RETAINED:
        grown = tuple(change for change in lacking(wanted, thing.raw) if change.path.startswith("spec."))
        return _step(phase, "adopt", manifest, fields=grown)
    if world.applied_digest(thing.raw) == world.digest_of(wanted):
        return None
    found = lacking(wanted, thing.raw) if thing.base is None else changes(thing.base, wanted)
    fields = tuple(change for change in found if change.path != _PACKED)
    if not fields:
        return None
    replicas = (_replicas(thing.raw), _replicas(wanted))
    return _step(
        phase, "remake" if key.kind == world.CRON_JOB else "change", manifest, fields=fields, replicas=replicas
    )


def _made(phase: Phase, manifest: Manifest, keys: Collection[world.Key]) -> Step:
    """Return the step that makes a new object, be it in the place of one that is named by another content."""
    phase.there[world.key_of(manifest)] = world.supposed(manifest)
    old = _predecessor(phase, manifest, keys)
    if old is None:
        return _step(phase, "create", manifest, replicas=(0, _replicas(manifest)))
    thing = phase.there.pop(old)
    named = {**manifest, "metadata": {**manifest["metadata"], "name": old.name}}
    fields = lacking(named, thing.raw) if thing.base is None else changes(thing.base, named)
    return _step(phase, "replace", manifest, fields=tuple(fields), replaces=old.name)


def _predecessor(phase: Phase, manifest: Manifest, keys: Collection[world.Key]) -> world.Key | None:
    """Return the object that has the same part as a new one which is named by its content."""
    if not manifest.get("immutable"):
        return None
    for key, thing in phase.there.items():
        same = key.kind == manifest["kind"] and world.component_of(thing.raw) == world.component_of(manifest)
        if same and key not in keys and thing.raw.get("immutable"):
            return key
    return None


def _prune(phase: Phase, keys: Collection[world.Key], still_mounted: Collection[str]) -> list[Step]:
    """Return what becomes of objects that are no longer wanted; what is spared stays for now."""
    steps = []
    for key, thing in list(phase.there.items()):
        if key in keys or world.owner_in(thing.raw, phase.system)[0] is not world.Owner.OURS:
            continue
        if key.kind != world.CLAIM and (key.kind != world.CONFIG_MAP or key.name not in still_mounted):
            steps.append(_step(phase, "delete", thing.raw, replicas=(_replicas(thing.raw), 0)))
            del phase.there[key]
    return steps


def _step(
    phase: Phase,
    action: Action,
    manifest: Manifest,
    *,
    fields: tuple[FieldChange, ...] = (),
    replaces: str | None = None,
    replicas: tuple[int, int] = (0, 0),
) -> Step:
    key = world.key_of(manifest)
    because = tuple(phase.causes.get(key, ()))
    source = (manifest["metadata"].get("annotations") or {}).get(ANNOTATION_RESTORED_FROM)
    component = world.component_of(manifest)
    return Step(
        action,
        key.kind,
        key.name,
        component,
        fields,
        because,
        phase.wait,
        replaces,
        replicas,
        source if action == "create" else None,
    )


def _replicas(manifest: Manifest) -> int:
    return int(manifest["spec"].get("replicas", 1)) if manifest["kind"] in world.WORKLOADS else 0
