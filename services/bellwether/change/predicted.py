"""What a plan says, and which objects change for which changed field of a declaration. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum

from bellwether.change.compare import FieldChange, changes
from bellwether.change.steps import Drift, Step, Wait
from bellwether.change.world import CONFIG_MAP, WORKLOADS, Key, key_of
from bellwether.market.sessions import Session
from bellwether.render.kubernetes import Manifest
from bellwether.render.kubernetes.configmaps import spec_document
from bellwether.render.kubernetes.context import declaration_name
from bellwether.spec.models import LIVE_FIELDS, TradingSystem, TradingSystemSpec
from bellwether.spec.validate import Problem


class Effect(Enum):
    """How a changed field of the declaration comes into force."""

    LIVE = "live"
    """It is delivered to the running services at once; no pod is replaced for it."""
    PODS = "pods"
    """Pods are replaced, started or stopped."""
    OBJECTS = "objects"
    """Objects change, but no pod does."""
    OPERATOR = "operator"
    """It says what the operator does from now on; nothing changes for it now."""


@dataclass(frozen=True)
class Declared:
    """A field of the declaration that changes, and how the change comes into force."""

    change: FieldChange
    effect: Effect


@dataclass(frozen=True)
class Restart:
    """Pods that start, stop, or are replaced."""

    verb: str
    """start, stop or restart."""
    kind: str
    name: str
    """Of the object that keeps the pods."""
    pods: tuple[str, ...]
    """Their names; `*` stands for what Kubernetes makes up."""
    why: tuple[str, ...]
    wait: Wait | None


@dataclass(frozen=True)
class SlotChange:
    """A run of a task that is due at another time than before; None: not at all (UTC)."""

    task: str
    session: date
    old: datetime | None
    new: datetime | None


@dataclass(frozen=True)
class Plan:
    """What applying a declaration would do."""

    system: str
    namespace: str
    at: datetime
    """The instant of which it speaks."""
    time_zone: str
    """The exchange's."""
    session: Session | None = None
    """The session that is under way then; none in a replay."""
    created: bool = False
    """Whether the system is not there yet."""
    refusals: tuple[Problem, ...] = ()
    """Why nothing of it would be done; then nothing else is said."""
    declared: tuple[Declared, ...] = ()
    steps: tuple[Step, ...] = ()
    restarts: tuple[Restart, ...] = ()
    slots: tuple[SlotChange, ...] = ()
    drift: tuple[Drift, ...] = ()
    """What is not as declared now, and is put right whether or not the file is applied."""
    notes: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.refusals or self.declared or self.drift or self.steps)


Laid = Callable[[TradingSystem], Sequence[Sequence[Manifest]]]
"""Gives the objects of a system at each instant that matters."""


@dataclass(frozen=True)
class Effects:
    """What an edit of a declaration comes to."""

    declared: tuple[Declared, ...] = ()
    causes: Mapping[Key, Sequence[str]] = field(default_factory=dict)
    """By object, the changed fields of the declaration, without `spec.`, that it changes for."""


def effects_of(before: TradingSystem, after: TradingSystem, laid_out: Laid) -> Effects:
    """Return what an edit comes to: each part of the spec is judged by what it changes alone."""
    changed = changes(spec_document(before), spec_document(after), "spec")
    by_unit: dict[str, list[FieldChange]] = {}
    for change in changed:
        by_unit.setdefault(_unit_of(change.path), []).append(change)
    touched = {unit: _touched(before, after, unit, laid_out) for unit in by_unit}
    causes: dict[Key, list[str]] = {}
    for unit, objects in touched.items():
        words = by_unit[unit][0].path.removeprefix("spec.") if len(by_unit[unit]) == 1 else unit
        for key in objects:
            causes.setdefault(key, []).append(words)
    declared = ((change, _unit_of(change.path)) for change in changed)
    return Effects(tuple(Declared(change, _effect(unit, touched[unit])) for change, unit in declared), causes)


def _touched(before: TradingSystem, after: TradingSystem, unit: str, laid_out: Laid) -> dict[Key, bool]:
    """Return the objects that a part of the spec changes by itself, and of each whether pods change with it."""
    alone = before.model_copy(update={"spec": _with_unit(before.spec, after.spec, unit)})
    start_value = Key(CONFIG_MAP, declaration_name(before))  # it is rewritten with every edit
    found: dict[Key, bool] = {}
    for was, is_to_be in zip(laid_out(before), laid_out(alone), strict=True):
        old = {key_of(each): each for each in was}
        new = {key_of(each): each for each in is_to_be}
        for key in {**old, **new}:
            if old.get(key) != new.get(key) and key != start_value:
                found[key] = found.get(key, False) or _pods_of(old.get(key)) != _pods_of(new.get(key))
    return found


def _effect(unit: str, touched: Mapping[Key, bool]) -> Effect:
    if unit in LIVE_FIELDS:
        return Effect.LIVE
    if any(touched.values()):
        return Effect.PODS
    return Effect.OBJECTS if touched else Effect.OPERATOR


def _pods_of(manifest: Manifest | None) -> object:
    """Return what of a workload its pods depend on."""
    if manifest is None or manifest["kind"] not in WORKLOADS:
        return None
    return manifest["spec"]["replicas"], manifest["spec"]["template"]


def _unit_of(path: str) -> str:
    """Return the part of the spec that a path is in: its first field, and for `services` the service too."""
    parts = path.split(".")
    return ".".join(parts[1:3]) if parts[1] == "services" and len(parts) > 2 else parts[1].partition("[")[0]


def _with_unit(old: TradingSystemSpec, new: TradingSystemSpec, unit: str) -> TradingSystemSpec:
    """Return the old spec with one part of the new one."""
    head, _, service = unit.partition(".")
    field = next(name for name, info in TradingSystemSpec.model_fields.items() if (info.alias or name) == head)
    value = getattr(new, field)
    if service:
        services = dict(old.services)
        services.pop(service, None)  # type: ignore[call-overload]
        value = {**services, **{name: one for name, one in new.services.items() if name == service}}
    return old.model_copy(update={field: value})
