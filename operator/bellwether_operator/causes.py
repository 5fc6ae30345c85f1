"""Why the pods of a system do not run: from their statuses and, where there is no pod, from the Events of its maker."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import CLAIM, ChildKey, Observed, SystemKey
from bellwether_operator.observe.layouts import Expected, is_ready
from bellwether_operator.observe.pods import Pod
from bellwether_operator.passes import Memory
from bellwether_operator.report.pods import Cause, cause_of_events, cause_of_pod, waits_for_volume

PATIENCE_SECONDS = 10.0
"""So long pods may be missing before anybody asks for Events, which are not watched."""


async def causes(
    client: Client, cache: Cache, system: SystemKey, memory: Memory, workloads: Sequence[Expected], *, now: datetime
) -> dict[ChildKey, Cause]:
    """Return by workload why its pods do not run; those that may still come up are not among them.

    Events that cannot be read are taken for none.
    """
    children = {each.key: each for each in cache.children_of(system)}
    late = {
        each.key: children[each.key]
        for each in workloads
        if each.replicas and each.key in children and not is_ready(children[each.key], each)
    }
    if not late:
        memory.late_since = None
        return {}
    if memory.late_since is None:
        memory.late_since = time.monotonic()
    asked = time.monotonic() - memory.late_since >= PATIENCE_SECONDS
    claims = [each for each in children.values() if each.key.kind == CLAIM]
    found = {}
    for key, workload in late.items():
        pods = [pod for pod in cache.pods.of(system) if made_by(pod, workload)]
        reported = (cause_of_pod(pod.name, pod.status, now) for pod in pods if not pod.deleting)
        cause = next((one for one in reported if one is not None), None)
        if asked and (not pods or (cause is not None and waits_for_volume(cause))):
            cause = await _cause_in_events(client, workload, claims) or cause
        if cause is not None:
            found[key] = cause
    return found


def made_by(pod: Pod, workload: Observed) -> bool:
    """Whether a pod is one of a workload's; a Deployment's are made by a ReplicaSet that bears its name."""
    kind, name, uid = pod.controller
    if workload.key.kind == "StatefulSet":
        return (kind, uid) == ("StatefulSet", workload.uid)
    return kind == "ReplicaSet" and name.rpartition("-")[0] == workload.key.name


async def _cause_in_events(client: Client, workload: Observed, claims: Iterable[Observed]) -> Cause | None:
    """Return what Events say of a workload without pods, or of volume claims without volumes."""
    namespace = workload.key.namespace
    events: list[Mapping[str, Any]] = []
    try:
        if workload.key.kind == "StatefulSet":
            events += await client.events_about(namespace, "involvedObject.uid", workload.uid)
        else:
            reported = await client.events_about(namespace, "involvedObject.kind", "ReplicaSet")
            events += [one for one in reported if one["involvedObject"]["name"].rpartition("-")[0] == workload.key.name]
        for claim in claims:
            if claim.status.get("phase") == "Pending":
                events += await client.events_about(namespace, "involvedObject.uid", claim.uid)
    except ApiError:
        return None
    return cause_of_events(events)
