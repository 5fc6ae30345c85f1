"""What was observed of a system's volumes and workloads, by component, and how far they are. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bellwether.change.world import Owner, owner_of
from bellwether.render.kubernetes.context import LABEL_COMPONENT
from bellwether.render.kubernetes.quantities import mebibytes
from bellwether.render.kubernetes.workloads import claims_of, components, replicas_of
from bellwether.spec.fields import SIZE_PATTERN
from bellwether.spec.models import TradingSystem
from bellwether_operator.apply.actions import Desired
from bellwether_operator.observe.kinds import BY_NAME, CLAIM, ChildKey, Observed
from bellwether_operator.report.observation import Workload


class Expected(NamedTuple):
    """A workload that is to be there: its component, how many pods it is to have, and the digest of its content."""

    key: ChildKey
    component: str
    replicas: int
    digest: str


def expected(desired: Iterable[Desired]) -> tuple[Expected, ...]:
    """Return the workloads among the objects that are to be."""
    return tuple(
        Expected(
            each.key,
            each.manifest["metadata"]["labels"][LABEL_COMPONENT],
            int(each.manifest["spec"]["replicas"]),
            each.digest,
        )
        for each in desired
        if BY_NAME[each.key.kind].workload
    )


def workloads_of(children: Iterable[Observed], wanted: Sequence[Expected], uid: str) -> list[Workload]:
    """Return how far each workload is; one that is not there yet is not ready."""
    keys = {each.key for each in wanted}
    by_key = {child.key: child for child in children if child.key in keys and child.belongs_to(uid)}
    return [Workload(each.component, each.replicas, is_ready(by_key.get(each.key), each)) for each in wanted]


def is_ready(observed: Observed | None, wanted: Expected) -> bool:
    """Whether a workload has what it is to have, and all its pods are ready."""
    if observed is None or observed.applied != wanted.digest:
        return False
    counts = observed.status
    return (
        int(counts.get("observedGeneration", 0)) >= observed.generation
        and int(counts.get("replicas", 0)) == wanted.replicas
        and int(counts.get("readyReplicas", 0)) == wanted.replicas
        and int(counts.get("updatedReplicas", 0)) == wanted.replicas
    )


ByComponent = Mapping[str, Observed | None]
"""All components of a kind; None where nothing is there."""


@dataclass(frozen=True)
class Layouts:
    """A system's volumes and workloads, as far as they are there."""

    claims: ByComponent
    workloads: ByComponent
    kept: frozenset[str]
    """The names of all volume claims that are this system's, or an earlier one's of its name."""

    @property
    def running(self) -> set[str]:
        """The components that have pods."""
        found = self.workloads.items()
        return {name for name, each in found if each is not None and (each.replicas or each.status.get("replicas"))}

    @property
    def not_stopped(self) -> tuple[str, ...]:
        """The components that may still have pods; of a workload that is not there nobody says it has none."""
        return tuple(name for name, each in self.workloads.items() if each is None or not _stopped(each))


def all_up(system: TradingSystem, seen: Layouts) -> bool:
    """Whether each workload has the pods that the declaration wants, and all of them are ready."""
    return all(each is not None and _up(each, replicas_of(system, name)) for name, each in seen.workloads.items())


def _up(workload: Observed, wanted: int) -> bool:
    counts = workload.status
    seen = int(counts.get("observedGeneration", 0)) >= workload.generation
    return seen and workload.replicas == wanted == int(counts.get("readyReplicas", 0))


def look(system: TradingSystem, children: Iterable[Observed]) -> Layouts:
    """Sort what was observed of a system and of the claims that an earlier one of its name left."""
    uid, name = system.metadata.uid, system.metadata.name
    there = {each.key: each for each in children}.values()
    running = {
        each.labels.get(LABEL_COMPONENT, ""): each
        for each in there
        if BY_NAME[each.key.kind].workload and each.belongs_to(uid)
    }
    claims = {
        each.key.name: each
        for each in there
        # What belongs to a deleted system of the same name goes with it.
        if each.key.kind == CLAIM and owner_of(each, CLAIM, uid, name)[0] in {Owner.OURS, Owner.RETAINED}
    }
    return Layouts(
        {component: claims.get(each) for component, each in claims_of(system, system.spec.profile).items()},
        {component: running.get(component) for component in components(system)},
        frozenset(claims),
    )


def volume_size(children: Iterable[Observed], uid: str) -> str | None:
    """Return the largest size that a system's volume claims ask for, as the API server accepted it."""
    sizes = {each.storage for each in children if each.key.kind == CLAIM and each.belongs_to(uid)}
    stated = [size for size in sizes if size is not None and re.fullmatch(SIZE_PATTERN, size)]
    return max(stated, key=mebibytes, default=None)


def _stopped(workload: Observed) -> bool:
    """Whether a workload is to have no pod, and its controller has seen that and says that none is left."""
    return (
        workload.replicas == 0
        and int(workload.status.get("observedGeneration", 0)) >= workload.generation
        and not workload.status.get("replicas")
    )
