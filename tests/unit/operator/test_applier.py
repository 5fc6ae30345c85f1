from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bellwether.change.hold import going_on
from bellwether_operator.apply.applier import Applier, Written
from bellwether_operator.apply.client import ApiError
from bellwether_operator.apply.decide import Desired, desired_from
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import BY_NAME, Kind

UID = "uid-1"
NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)


@dataclass
class Server:
    """An API server for one system's objects: says what was written."""

    writes: list[str] = field(default_factory=list)
    version: int = 100

    async def get(self, kind: Kind, namespace: str, name: str) -> None:
        return None

    async def apply(self, kind: Kind, manifest: dict[str, Any], *, force: bool = True) -> dict[str, Any]:
        self.writes.append(f"apply {kind.kind} {manifest['metadata']['name']}")
        return self.stored(manifest)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        self.writes.append(f"delete {kind.kind} {name}")

    def stored(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        found = copy.deepcopy(manifest)
        found["metadata"] |= {"uid": f"o{self.version}", "resourceVersion": str(self.version)}
        return found


def an_object(kind: str, name: str, value: int = 1) -> Desired:
    labels = {
        "app.kubernetes.io/instance": "demo",
        "app.kubernetes.io/managed-by": "bellwether",
        "bellwether.dev/system-uid": UID,
    }
    metadata = {"name": name, "namespace": "trading", "labels": labels}
    document = {"apiVersion": BY_NAME[kind].api_version, "kind": kind, "metadata": metadata, "spec": {"value": value}}
    return desired_from(document)


async def in_a_pause(running: str | None) -> tuple[list[str], list[str]]:
    """Have a paused system's objects applied and pruned, all of them to be changed; return writes and what waits."""
    server, cache = Server(), Cache()
    kinds = ("Service", "CronJob", "PodDisruptionBudget", "StatefulSet")
    for kind in kinds:
        cache.take_child(server.stored(an_object(kind, "kept").manifest), kind)
        cache.take_child(server.stored(an_object(kind, "left-over").manifest), kind)
    wanted = [*(an_object(kind, "kept", 2) for kind in kinds), an_object("Secret", "keys")]
    client: Any = server
    applier = Applier(client, cache, UID, Written(), NOW, settled=True, only=going_on(running))
    await applier.apply(wanted)
    await applier.prune(list(cache.children.values()), {each.key for each in wanted})
    return server.writes, sorted(applier.found.pending)


async def test_in_a_pause_schedules_and_budgets_are_made_changed_and_deleted_and_nothing_else_is() -> None:
    writes, pending = await in_a_pause("registry.example/services:1")
    assert sorted(writes) == [
        "apply CronJob kept",
        "apply PodDisruptionBudget kept",
        "delete CronJob kept",
        "delete CronJob left-over",
        "delete PodDisruptionBudget left-over",
    ]
    assert pending == [
        "Service kept: its content is to change",
        "StatefulSet kept: its content is to change",
        "delete Service left-over",
        "delete StatefulSet left-over",
    ]


async def test_where_nobody_knows_what_release_runs_schedules_wait_for_the_end_of_the_pause() -> None:
    writes, pending = await in_a_pause(None)
    assert sorted(writes) == ["apply PodDisruptionBudget kept", "delete PodDisruptionBudget left-over"]
    assert {"CronJob kept: its content is to change", "delete CronJob left-over"} <= set(pending)


class Refusing(Server):
    """An API server that refuses an object."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__()
        self._refused = (kind, name)

    async def apply(self, kind: Kind, manifest: dict[str, Any], *, force: bool = True) -> dict[str, Any]:
        if (kind.kind, manifest["metadata"]["name"]) == self._refused:
            raise ApiError(403, "Forbidden", "only dynamically provisioned pvc can be resized")
        return await super().apply(kind, manifest, force=force)


def workload(name: str, **mounts: str) -> Desired:
    found = an_object("StatefulSet", name, 2).manifest
    volumes = [
        {"name": "data", "persistentVolumeClaim": {"claimName": mounts.get("claim", "data-x-0")}},
        {"name": "config", "configMap": {"name": mounts.get("config", "x")}},
    ]
    del found["metadata"]["annotations"]
    return desired_from({**found, "spec": {"template": {"spec": {"containers": [], "volumes": volumes}}}})


async def applied(server: Refusing, *wanted: Desired, there: tuple[Desired, ...] = ()) -> tuple[list[str], Applier]:
    cache = Cache()
    for each in there:
        cache.take_child(server.stored(each.manifest), each.key.kind)
    client: Any = server
    applier = Applier(client, cache, UID, Written(), NOW, settled=True)
    await applier.apply(wanted)
    await applier.prune(list(cache.children.values()), {each.key for each in wanted})
    return sorted(server.writes), applier


async def test_an_edit_reaches_the_pods_though_their_volume_cannot_grow() -> None:
    claim, left_over = an_object("PersistentVolumeClaim", "data-demo-0"), an_object("CronJob", "left-over")
    grown = an_object("PersistentVolumeClaim", "data-demo-0", 2)
    pods = workload("demo", claim="data-demo-0")
    writes, applier = await applied(
        Refusing("PersistentVolumeClaim", "data-demo-0"), grown, pods, there=(claim, left_over)
    )
    assert writes == ["apply StatefulSet demo", "delete CronJob left-over"]
    assert applier.found.refused == [
        "PersistentVolumeClaim data-demo-0: only dynamically provisioned pvc can be resized"
    ]


async def test_pods_wait_for_what_they_mount_and_is_not_there_and_others_do_not() -> None:
    config = an_object("ConfigMap", "demo-nats")
    writes, _ = await applied(
        Refusing("ConfigMap", "demo-nats"), config, workload("demo", config="demo-nats"), workload("other")
    )
    assert writes == ["apply StatefulSet other"]


async def test_no_pod_comes_before_its_network_policy() -> None:
    writes, _ = await applied(Refusing("NetworkPolicy", "demo"), an_object("NetworkPolicy", "demo"), workload("demo"))
    assert writes == []


async def test_pods_do_not_wait_for_a_schedule() -> None:
    writes, _ = await applied(Refusing("CronJob", "demo"), an_object("CronJob", "demo"), workload("demo"))
    assert writes == ["apply StatefulSet demo"]
