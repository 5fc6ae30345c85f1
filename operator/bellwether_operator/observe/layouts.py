"""What was observed of a system's volumes and workloads, by component. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bellwether.change.world import Owner, owner_of
from bellwether.render.kubernetes.names import LABEL_COMPONENT
from bellwether.render.kubernetes.profiles import claims_of
from bellwether.render.kubernetes.quantities import mebibytes
from bellwether.render.kubernetes.workloads import components
from bellwether.spec.fields import SIZE_PATTERN
from bellwether.spec.models import TradingSystem
from bellwether_operator.observe.kinds import BY_NAME, CLAIM
from bellwether_operator.observe.observed import Observed

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
