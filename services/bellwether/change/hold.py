"""What waits for the close: while a session is open, workloads keep the pod template that was last released. Pure.

Only pod templates wait, since they end pods. Everything else is as declared at once. In a pause it is the other way
round: only a few kinds go on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bellwether.change.compare import FieldChange, changes
from bellwether.change.world import CRON_JOB, DISRUPTION_BUDGET, Key, component_of, key_of
from bellwether.render.kubernetes import Manifest, RenderContext
from bellwether.render.kubernetes.context import ANNOTATION_START_VALUE, ANNOTATION_TEMPLATE, SYSTEM, Period
from bellwether.render.kubernetes.cronjobs import cron_jobs
from bellwether.render.kubernetes.workloads import of_kind, unpacked
from bellwether.spec.models import TradingSystem, TradingSystemSpec

_ROOT = "spec.template"
_IN_CONTAINER = re.compile(r"spec\.(?:initContainers|containers)\[([^]]+)\]\.(.+)")
_START_VALUE = f"metadata.annotations.{ANNOTATION_START_VALUE}"
_VALUE_LENGTH = 80
WITH_SCHEDULER = frozenset({SYSTEM, "scheduler"})
"""The components whose pods have the scheduler, whom the Jobs of tasks talk to."""


@dataclass(frozen=True)
class Held:
    """A workload as it is to be applied now."""

    manifest: Manifest
    waiting: tuple[FieldChange, ...] = ()
    """The fields of the pod template that wait, from the released value to the declared one; none when nothing does."""

    @property
    def words(self) -> list[str]:
        """What waits, a line per change: `image: a -> b`; a line names its container unless it holds for all."""
        return list(_lines(self.waiting, _names_of_containers(self.manifest["spec"]["template"])))


def holding_now(spec: TradingSystemSpec, period: Period) -> bool:
    """Whether new pod templates wait now: a session is under way, and the declaration wants them to wait for it."""
    return spec.rollout.policy == "WhenClosed" and spec.clock.mode == "live" and period.session is not None


def hold(desired: Manifest, observed: Mapping[str, Any] | None, *, holding: bool) -> Held:
    """Return the workload with the template that was last released, where the desired one has to wait.

    `observed` is the object as the API server gave it, at least its annotations and `status.readyReplicas`. Where it is
    of the other kind (another release made a StatefulSet of what is a Deployment now), it stays of that kind. Without a
    ready pod nothing waits, as there is nothing to protect; nor where it carries no template that can be read, since
    then nobody knows what was released. Replicas and all else outside of the template are as desired.
    """
    if not holding or observed is None or not (observed.get("status") or {}).get("readyReplicas"):
        return Held(desired)
    annotation, before = released(observed)
    kinds = (str(observed.get("kind", desired["kind"])), str(desired["kind"]))
    if before is None or (before == desired["spec"]["template"] and kinds[0] == kinds[1]):
        return Held(desired)
    held = with_template(desired, annotation, before)
    if kinds[0] == kinds[1]:
        return held
    return Held(of_kind(kinds[0], held.manifest), (FieldChange("kind", *kinds), *held.waiting))


def with_template(desired: Manifest, annotation: str, template: dict[str, Any]) -> Held:
    """Return a workload with another pod template than the desired one; `annotation` is that template, packed."""
    metadata = desired["metadata"]
    manifest = {
        **desired,
        "metadata": {**metadata, "annotations": {**metadata["annotations"], ANNOTATION_TEMPLATE: annotation}},
        "spec": {**desired["spec"], "template": template},
    }
    return Held(manifest, tuple(changes(template, desired["spec"]["template"], _ROOT)))


def released_image(observed: Mapping[str, Any]) -> str | None:
    """Return the image of the template that a workload carries; None where it carries none that can be read."""
    _, template = released(observed)
    containers = [] if template is None else template["spec"].get("containers") or []
    return next((str(each["image"]) for each in containers), None)


def running_image(workloads: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the image of the scheduler's pods: the release of which the Jobs of tasks have to be.

    `workloads` are objects as they are or are held. None where the scheduler's is not among them, or
    nobody knows what was released.
    """
    return next((released_image(each) for each in workloads if component_of(each) in WITH_SCHEDULER), None)


def going_on(running: str | None) -> frozenset[str]:
    """Return the kinds that are kept as declared in a pause, too.

    They end no pod, and time does not stand still: slots fall due, sessions open and close. `running` is the image of
    the release that runs, of which the Jobs of schedules have to be; None where nobody knows it: then schedules stay
    as they are.
    """
    return frozenset({DISRUPTION_BUDGET}) if running is None else frozenset({CRON_JOB, DISRUPTION_BUDGET})


def unversioned(system: TradingSystem) -> TradingSystem:
    """Return the system as it is of the release that the image of a context says, whatever version is declared."""
    return system.model_copy(update={"spec": system.spec.model_copy(update={"version": None})})


def schedules(system: TradingSystem, context: RenderContext) -> dict[Key, Manifest]:
    """Return the schedules of a release, that of the context's image, in place of those of the declared one.

    The Jobs of a schedule talk to the services that run.
    """
    return {key_of(each): each for each in cron_jobs(unversioned(system), context)}


def referenced_config_maps(template: Mapping[str, Any]) -> set[str]:
    """Return the names of the ConfigMaps that a pod template mounts: they stay while it is in force."""
    volumes = template["spec"].get("volumes") or []
    projected = (source for volume in volumes for source in (volume.get("projected") or {}).get("sources") or [])
    return {str(each["configMap"]["name"]) for each in (*volumes, *projected) if "configMap" in each}


def released(observed: Mapping[str, Any], name: str = ANNOTATION_TEMPLATE) -> tuple[str, dict[str, Any] | None]:
    """Return an annotation of a workload and the template in it; None where it holds none that can be read."""
    annotation = (observed["metadata"].get("annotations") or {}).get(name, "")
    try:
        return annotation, unpacked(annotation)
    except ValueError:
        return annotation, None


def _names_of_containers(template: Mapping[str, Any]) -> set[str]:
    spec = template["spec"]
    return {str(each["name"]) for kind in ("initContainers", "containers") for each in spec.get(kind) or []}


def _lines(waiting: Sequence[FieldChange], containers: set[str]) -> Iterator[str]:
    """Yield a line per change; the same change of all containers is one line without their names."""
    places: dict[tuple[str, str], list[str]] = {}
    for change in waiting:
        path = change.path.removeprefix(f"{_ROOT}.")
        container, field = (
            found.groups() if (found := _IN_CONTAINER.fullmatch(path)) else ("", path.removeprefix("spec."))
        )
        places.setdefault((field, _difference(change)), []).append(container)
    for (field, difference), names in places.items():
        if field == _START_VALUE:
            yield "spec.data: changed, and it is read at the start only"
        elif names == [""] or set(names) == containers:
            yield f"{field}: {difference}"
        else:
            yield from (f"{name} {field}: {difference}" for name in names)


def _difference(change: FieldChange) -> str:
    if change.old is None:
        return f"added {_value(change.new)}"
    if change.new is None:
        return f"removed {_value(change.old)}"
    return f"{_value(change.old)} -> {_value(change.new)}"


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= _VALUE_LENGTH else f"{text[: _VALUE_LENGTH - 3]}..."
