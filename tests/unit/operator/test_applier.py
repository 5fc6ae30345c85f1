from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from bellwether.change.hold import going_on
from bellwether.spec.created_with import ANNOTATION_CREATED_WITH, encode
from bellwether_operator.apply.actions import Desired, desired_from
from bellwether_operator.apply.applier import Applier, Findings, Written
from bellwether_operator.apply.client import ApiError
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import BY_NAME, Kind

UID = "uid-1"
NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)


@dataclass
class Server:
    """An API server for one system's objects: says what was written."""

    writes: list[str] = field(default_factory=list)
    applied: list[dict[str, Any]] = field(default_factory=list)
    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name, as they are there; their content is what nobody may read."""
    version: int = 100

    there: dict[str, Any] | None = None
    """What is found under any name that is asked for."""

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        return self.there

    async def apply(self, kind: Kind, manifest: dict[str, Any], uid: str | None = None) -> dict[str, Any]:
        name = manifest["metadata"]["name"]
        if kind.kind == "Secret":
            there = self.secrets.get(name)
            if there is None or there["metadata"]["uid"] != uid:
                raise ApiError(409, "Conflict", "another uid")
            there["data"] = there.get("data", {}) | manifest.get("data", {})
        self.writes.append(f"apply {kind.kind} {name}")
        self.applied.append(manifest)
        return self.stored(manifest)

    async def create(self, path: str, manifest: dict[str, Any]) -> dict[str, Any]:
        name = manifest["metadata"]["name"]
        if name in self.secrets:
            raise ApiError(409, "AlreadyExists", f"{name} exists")
        self.writes.append(f"create {manifest['kind']} {name}")
        self.secrets[name] = self.stored(manifest)
        return self.secrets[name]

    async def identify(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        return {"metadata": self.secrets[name]["metadata"]}

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        self.writes.append(f"delete {kind.kind} {name}")

    def stored(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        found = copy.deepcopy(manifest)
        found["metadata"] |= {"uid": f"o{self.version}", "resourceVersion": str(self.version)}
        return found


OWNER = {"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingSystem", "name": "demo", "controller": True}


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
    applier = Applier(client, cache, UID, Written(), NOW, all_ready=True, only=going_on(running))
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

    async def apply(self, kind: Kind, manifest: dict[str, Any], uid: str | None = None) -> dict[str, Any]:
        if (kind.kind, manifest["metadata"]["name"]) == self._refused:
            raise ApiError(403, "Forbidden", "only dynamically provisioned pvc can be resized")
        return await super().apply(kind, manifest, uid)


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
    applier = Applier(client, cache, UID, Written(), NOW, all_ready=True)
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


def keys() -> Desired:
    desired = an_object("Secret", "demo-keys")
    owned = desired.manifest["metadata"] | {"ownerReferences": [OWNER | {"uid": UID}]}
    return desired_from(desired.manifest | {"metadata": owned, "data": {"seed": "b3Vycw=="}})


async def written_to(
    server: Server, written: Written, *desired: Desired, only: frozenset[str] | None = None
) -> Findings:
    client: Any = server
    applier = Applier(client, Cache(), UID, written, NOW, all_ready=False, only=only)
    await applier.apply(desired)
    return applier.found


async def test_a_secret_that_somebody_else_made_is_neither_written_to_nor_taken() -> None:
    theirs = {"metadata": {"name": "demo-keys", "uid": "theirs", "resourceVersion": "5"}, "data": {"password": "eA=="}}
    server = Server(secrets={"demo-keys": copy.deepcopy(theirs)})
    found = await written_to(server, Written(), keys())
    assert found.taken == ["Secret demo-keys exists and it was not made by the operator"]
    assert server.secrets["demo-keys"] == theirs
    assert server.writes == []


async def test_a_secret_is_made_empty_first_and_filled_by_its_uid() -> None:
    server, written = Server(), Written()
    assert (await written_to(server, written, keys())).taken == []
    assert server.writes == ["create Secret demo-keys", "apply Secret demo-keys"]
    assert (await written_to(server, Written(), keys())).taken == []  # by an operator that knows nothing yet
    assert server.writes == ["create Secret demo-keys", "apply Secret demo-keys", "apply Secret demo-keys"]


async def test_a_secret_that_somebody_put_in_place_of_ours_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    server, written = Server(), Written()
    await written_to(server, written, keys())
    theirs = {"metadata": {"name": "demo-keys", "uid": "theirs", "resourceVersion": "5"}, "data": {"password": "eA=="}}
    server.secrets["demo-keys"] = copy.deepcopy(theirs)
    monkeypatch.setattr("bellwether_operator.apply.applier.SECRET_LIFE_NOT_READY_SECONDS", 0.0)
    found = await written_to(server, written, keys())
    assert found.taken == ["Secret demo-keys exists and it was not made by the operator"]
    assert server.secrets["demo-keys"] == theirs


async def test_a_secret_of_a_deleted_system_of_the_same_name_is_waited_for() -> None:
    server = Server()
    await written_to(server, Written(), keys())
    server.secrets["demo-keys"]["metadata"]["ownerReferences"][0]["uid"] = "of another"
    found = await written_to(server, Written(), keys())
    assert found.waiting == ["Secret demo-keys: it belongs to a deleted system of the same name"]


def a_claim(size: str, *, owned: bool) -> Desired:
    manifest = copy.deepcopy(an_object("PersistentVolumeClaim", "data-demo-0").manifest)
    del manifest["metadata"]["annotations"]
    if owned:
        manifest["metadata"]["ownerReferences"] = [OWNER | {"uid": UID}]
    manifest["spec"] = {"resources": {"requests": {"storage": size}}}
    return desired_from(manifest)


@pytest.mark.parametrize("owned", [True, False], ids=["Delete to Retain", "Retain to Delete"])
async def test_the_deletion_policy_takes_effect_in_a_pause_and_the_size_does_not(owned: bool) -> None:
    server, cache = Server(), Cache()
    cache.take_child(server.stored(a_claim("1Gi", owned=owned).manifest), "PersistentVolumeClaim")
    client: Any = server
    for size in ("2Gi", "2Gi", "1Gi"):
        applier = Applier(client, cache, UID, Written(), NOW, all_ready=True, only=going_on(None))
        await applier.apply([a_claim(size, owned=not owned)])
        waits = ["PersistentVolumeClaim data-demo-0: its content is to change"] if size == "2Gi" else []
        assert applier.found.pending == waits
    (written,) = server.applied
    assert ("ownerReferences" in written["metadata"], written["spec"]) == (
        not owned,
        a_claim("1Gi", owned=True).manifest["spec"],
    )


async def test_a_kept_volume_that_another_declaration_began_is_not_taken_and_no_pod_starts_on_it() -> None:
    server, cache = Server(), Cache()

    def volume(currency: str, uid: str) -> Desired:
        manifest = copy.deepcopy(a_claim("1Gi", owned=False).manifest)
        manifest["metadata"]["labels"]["bellwether.dev/system-uid"] = uid
        facts = {"spec.trading.currency": currency}
        manifest["metadata"]["annotations"] = {ANNOTATION_CREATED_WITH: encode(facts)}
        return desired_from(manifest)

    cache.take_child(server.stored(volume("USD", "of an earlier one").manifest), "PersistentVolumeClaim")
    client: Any = server
    applier = Applier(client, cache, UID, Written(), NOW, all_ready=True)
    await applier.apply([volume("JPY", UID), an_object("StatefulSet", "demo")])
    (words,) = applier.found.other_declaration
    assert "data-demo-0 was created with other values: spec.trading.currency is JPY and was USD" in words
    assert server.writes == []
    again = Applier(client, cache, UID, Written(), NOW, all_ready=True)
    await again.apply([volume("USD", UID), an_object("StatefulSet", "demo")])
    assert server.writes == ["apply PersistentVolumeClaim data-demo-0", "apply StatefulSet demo"]


@pytest.mark.parametrize("changed", [False, True])
async def test_a_child_of_which_only_metadata_was_seen_is_read_before_anything_is_written(changed: bool) -> None:
    server, cache, wanted = Server(), Cache(), an_object("Service", "demo")
    raw = server.stored(wanted.manifest)
    raw["metadata"]["ownerReferences"] = [OWNER | {"uid": UID}]
    cache.see_child(raw, "Service", whole=False)
    server.there = {**raw, "spec": {"value": 7}} if changed else raw
    client: Any = server
    applier = Applier(client, cache, UID, Written(), NOW, all_ready=True)
    await applier.apply([wanted])
    assert server.writes == (["apply Service demo"] if changed else [])
    assert cache.children[wanted.key].verified == wanted.digest
