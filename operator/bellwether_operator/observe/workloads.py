"""How far the workloads of a system are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bellwether.render.kubernetes.names import LABEL_COMPONENT
from bellwether_operator.apply.decide import Desired
from bellwether_operator.observe.keys import ChildKey
from bellwether_operator.observe.kinds import BY_NAME
from bellwether_operator.observe.observed import Observed
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
