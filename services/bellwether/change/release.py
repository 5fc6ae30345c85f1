"""Which objects a system is to have now: those declared, but for what waits, was taken back, or is paused. Pure.

It is a stage of the operator's pass, and `bellwether plan` asks it for each instant at which something changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bellwether.change.hold import Held, going_on, hold, referenced_config_maps, running_image, schedules
from bellwether.change.rollouts import failure_in, gone_back
from bellwether.change.world import WORKLOADS, Key, key_of
from bellwether.render.kubernetes import Manifest, RenderContext, image_of
from bellwether.render.kubernetes.context import ANNOTATION_FAILED
from bellwether.spec.models import TradingSystem


@dataclass(frozen=True)
class Circumstances:
    """What decides, besides the objects that are declared and the workloads that are there."""

    system: TradingSystem
    context: RenderContext
    """By which the objects were rendered."""
    holding: bool = False
    """Whether new pod templates wait: a session is under way, or a backup comes first."""
    stopped: bool = False
    """Whether pods are down by our own hand: then templates wait for them too."""
    paused: bool = False


@dataclass(frozen=True)
class Release:
    """What is to be there now."""

    objects: tuple[Manifest, ...]
    image: str
    """Of the release in force, which is an older one while a newer one waits."""
    held: tuple[str, ...] = ()
    """What waits, a line per workload."""
    gone_back: Mapping[Key, str] = field(default_factory=dict)
    """Workloads that keep the pod template that ran before, as the declared one did not come up, and why."""
    still_mounted: frozenset[str] = frozenset()
    """The names of ConfigMaps that templates which are no longer declared mount."""
    only: frozenset[str] | None = None
    """In a pause, the kinds that are kept as declared all the same."""


class _Part(NamedTuple):
    manifest: Manifest
    held: Held | None = None
    """Where it is held."""
    why: str | None = None
    """Where it went back."""


def release(case: Circumstances, wanted: Sequence[Manifest], there: Mapping[Key, Manifest]) -> Release:
    """Return what is to be there now.

    Args:
        case: what else decides.
        wanted: every object, as it is declared.
        there: the workloads that are there and are not being deleted, as the API server gives them.
    """
    parts = [_part(case, each, there) for each in wanted]
    objects = tuple(each.manifest for each in parts)
    kept = [each for each in parts if each.held is not None or each.why is not None]
    templates = [each.manifest["spec"]["template"] for each in kept]
    declared = image_of(case.context.image, case.system.spec.version)
    image = _image(case, wanted, objects if kept else (), there)
    return Release(
        objects if image in {None, declared} else _with_schedules(case, objects, str(image)),
        image or declared,
        tuple(f"{_name(each.manifest)}: {'; '.join(each.held.words)}" for each in kept if each.held is not None),
        {key_of(each.manifest): each.why for each in kept if each.why is not None},
        frozenset(name for template in templates for name in referenced_config_maps(template)),
        going_on(image) if case.paused else None,
    )


def back(wanted: Manifest, there: Manifest | None) -> tuple[Manifest, str] | None:
    """Return a workload with the template that ran before, and why; None where the declared one did not fail."""
    held = gone_back(wanted, there)
    if held is None or there is None:
        return None
    failure = failure_in(there["metadata"].get("annotations") or {})
    what, why = _name(wanted), "" if failure is None else failure.why
    return held.manifest, (
        f"{what} did not come up with {'; '.join(held.words)} ({why}), and what ran before runs again. Declare "
        f"another value; to try this one once more, take the annotation {ANNOTATION_FAILED} off {what}"
    )


def standing(key: Key, there: Mapping[Key, Manifest]) -> Manifest | None:
    """Return the workload of a name that is there, be it of the kind in which a former release made it."""
    kinds = (key.kind, *sorted(WORKLOADS - {key.kind}))
    return next((there[found] for kind in kinds if (found := Key(kind, key.name)) in there), None)


def on_released_template(wanted: Manifest, there: Manifest | None, *, stopped: bool) -> Held:
    """Return a workload with the template that was released last; `stopped`: it has no pods by our own hand."""
    if there is not None and stopped:
        there = {**there, "status": {**there.get("status", {}), "readyReplicas": 1}}
    return hold(wanted, there, holding=True)


def _part(case: Circumstances, wanted: Manifest, there: Mapping[Key, Manifest]) -> _Part:
    if wanted["kind"] not in WORKLOADS:
        return _Part(wanted)
    key = key_of(wanted)
    if (taken := back(wanted, there.get(key))) is not None:
        return _Part(taken[0], why=taken[1])
    if not case.holding:
        return _Part(wanted)
    held = on_released_template(wanted, standing(key, there), stopped=case.stopped)
    return _Part(held.manifest, held) if held.waiting else _Part(wanted)


def _image(
    case: Circumstances, wanted: Iterable[Manifest], kept: Iterable[Manifest], there: Mapping[Key, Manifest]
) -> str | None:
    """Return the image of the release that runs, where it may be another than the declared one; None: nobody knows."""
    if not case.paused:
        return running_image(each for each in kept if each["kind"] in WORKLOADS)
    keys = [key_of(each) for each in wanted if each["kind"] in WORKLOADS]
    return running_image(there[key] for key in keys if key in there)


def _with_schedules(case: Circumstances, objects: tuple[Manifest, ...], image: str) -> tuple[Manifest, ...]:
    """Return the objects with the schedules of the release that goes on running while another one waits."""
    released = schedules(case.system, replace(case.context, image=image))
    return tuple(released.get(key_of(each), each) for each in objects)


def _name(workload: Manifest) -> str:
    return f"{workload['kind']} {workload['metadata']['name']}"
