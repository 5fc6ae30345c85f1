"""How far the workloads of a system are. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bellwether.render.kubernetes.names import LABEL_COMPONENT
from bellwether_operator.apply.decide import Desired
from bellwether_operator.observe.cache import Observed
from bellwether_operator.observe.kinds import BY_NAME
from bellwether_operator.report.observation import Workload


def workloads_of(children: Sequence[Observed], desired: Sequence[Desired], uid: str) -> list[Workload]:
    """Return how far each desired workload is; one that is not there yet is not ready."""
    by_key = {child.key: child for child in children if child.belongs_to(uid)}
    found = []
    for each in desired:
        if not BY_NAME[each.key.kind].workload:
            continue
        wanted = int(each.manifest["spec"]["replicas"])
        component = each.manifest["metadata"]["labels"][LABEL_COMPONENT]
        found.append(Workload(component, wanted, _ready(by_key.get(each.key), each.digest, wanted)))
    return found


def _ready(observed: Observed | None, digest: str, wanted: int) -> bool:
    if observed is None or observed.applied != digest:
        return False
    counts = observed.status
    return (
        int(counts.get("observedGeneration", 0)) >= observed.generation
        and int(counts.get("replicas", 0)) == wanted
        and int(counts.get("readyReplicas", 0)) == wanted
        and int(counts.get("updatedReplicas", 0)) == wanted
    )
