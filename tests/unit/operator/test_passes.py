"""Passes of one system over a picture that a server in memory feeds."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bellwether.render.kubernetes.workloads import of_kind
from bellwether_operator.apply.client import ApiError
from bellwether_operator.layout import render_layout
from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import BY_NAME, Kind, SystemKey, Version
from bellwether_operator.passes import Memory
from bellwether_operator.reconcile import Reconciler
from bellwether_operator.settings import Settings
from bellwether_operator.when import DELIVERY_SECONDS
from harness.statuses import NOW, view

KEY = SystemKey("trading", "demo")
UID = "uid-1"
IN_SESSION = datetime(2026, 11, 23, 1, tzinfo=UTC)  # noon in Sydney
AFTER_IT = datetime(2026, 11, 23, 7, tzinfo=UTC)
SEED = b"not secret: a seed for tests only"


class Server:
    """Keeps what is applied, and counts it; its watch tells the cache at once."""

    def __init__(self) -> None:
        self.cache = Cache()
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.written: list[str] = []
        self.beside: dict[tuple[str, str], dict[str, str]] = {}
        """Annotations that were written beside what is applied; an apply leaves them."""
        self.events: list[dict[str, Any]] = []
        self.version = 10
        self.deletes = False

    def _keep(self, kind: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self.version += 1
        raw = copy.deepcopy(dict(manifest))
        raw["metadata"] |= {"uid": f"uid of {raw['metadata']['name']}", "resourceVersion": str(self.version)}
        before = self.objects.get((kind, raw["metadata"]["name"]), {})
        raw["status"] = before.get("status", {})
        changed = raw.get("spec") != before.get("spec")
        raw["metadata"]["generation"] = before.get("metadata", {}).get("generation", 0) + changed
        for name, text in self.beside.get((kind, raw["metadata"]["name"]), {}).items():
            raw["metadata"]["annotations"][name] = text
        self.objects[kind, raw["metadata"]["name"]] = raw
        return raw

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        return self.objects.get((kind.kind, name))

    async def apply(self, kind: Kind, manifest: Mapping[str, Any], uid: str | None = None) -> dict[str, Any]:
        self.written.append(f"{kind.kind} {manifest['metadata']['name']}")
        return self._keep(kind.kind, manifest)

    async def annotate(
        self, kind: Kind, namespace: str, name: str, annotations: Mapping[str, str | None]
    ) -> dict[str, Any]:
        self.written.append(f"annotations of {kind.kind} {name}")
        found = {**self.beside.get((kind.kind, name), {}), **annotations}
        self.beside[kind.kind, name] = {each: text for each, text in found.items() if text is not None}
        raw = copy.deepcopy(self.objects[kind.kind, name])
        kept = raw["metadata"]["annotations"]
        raw["metadata"]["annotations"] = {each: text for each, text in kept.items() if each not in annotations}
        return self._keep(kind.kind, raw)

    async def events_about(self, namespace: str, field: str, value: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["involvedObject"]["uid"] == value]

    async def apply_status(self, namespace: str, name: str, status: Mapping[str, Any]) -> dict[str, Any]:
        self.written.append("status")
        self.version += 1
        raw = self.cache.systems[KEY]
        raw["metadata"]["resourceVersion"] = str(self.version)
        return {**raw, "status": status}

    async def create(self, path: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self.written.append(f"{manifest['kind']}: {manifest.get('reason', '')}")
        return self._keep(manifest["kind"], manifest)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        if not self.deletes:
            raise ApiError(403, "Forbidden", "nothing is deleted here")
        self.written.append(f"delete {kind.kind} {name}")
        self.version += 1
        raw = self.objects.pop((kind.kind, name))
        raw["metadata"]["resourceVersion"] = str(self.version)
        self.cache.drop_child(raw, kind.kind)

    def declare(self, generation: int, **spec: Any) -> None:
        """A person applies the system."""
        self.version += 1
        raw = self.cache.systems.get(KEY) or {}
        metadata = {
            "name": KEY.name,
            "namespace": KEY.namespace,
            "uid": UID,
            "generation": generation,
            "creationTimestamp": "2026-11-20T00:00:00Z",
            "resourceVersion": str(self.version),
        }
        spec = {"symbols": ["CBA.AX"], "profile": "compact", "trading": {"mode": "simulated"}, **spec}
        document = {"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingSystem", "metadata": metadata}
        self.cache.take_system({**raw, **document, "spec": spec})

    def edit(self, kind: str, name: str, **changes: Any) -> None:
        """Somebody else changes a child, and the watch tells of it."""
        raw = self.objects[kind, name] | changes
        self.version += 1
        raw["metadata"] = {**raw["metadata"], "resourceVersion": str(self.version)}
        self.objects[kind, name] = raw
        self.cache.see_child(raw, kind)

    def run_pods(self) -> None:
        """A kubelet runs the pods of every workload."""
        for kind, name in list(self.objects):
            if kind in BY_NAME and BY_NAME[kind].workload:
                status = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas"), 1)
                status["observedGeneration"] = self.objects[kind, name]["metadata"]["generation"]
                self.edit(kind, name, status=status)


class World:
    """A system that was made and runs, its gateway heard of, and how often it was rendered since."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **spec: Any) -> None:
        self.server = Server()
        self.memory = Memory()
        self.rendered = 0
        self.at = NOW
        settings = Settings("localhost/services:1", SEED)
        api: Any = self.server
        self.reconciler = Reconciler(settings, api, self.server.cache, self.now)
        self.server.declare(1, **spec)

        def counted(*arguments: Any) -> Any:
            self.rendered += 1
            return render_layout(*arguments)

        monkeypatch.setattr("bellwether_operator.reconcile.render_layout", counted)

    def now(self) -> datetime:
        return self.at

    def hear(self, generation: int) -> None:
        """The gateway says that every service has the declaration of a generation."""
        self.memory.view = replace(view(generation), at=time.monotonic())

    async def come_up(self) -> None:
        await self.run()
        self.server.run_pods()
        self.hear(1)
        await self.run()
        await self.run()
        assert self.condition("Ready") == ("True", 1)
        self.server.written.clear()
        self.rendered = 0

    async def run(self) -> list[str]:
        """Make a pass; return what it wrote."""
        before = len(self.server.written)
        await self.reconciler.run(KEY, self.memory)
        return self.server.written[before:]

    def condition(self, kind: str) -> tuple[str, int]:
        found = self._condition(kind)
        return found["status"], found["observedGeneration"]

    def message(self, kind: str) -> str:
        return str(self._condition(kind)["message"])

    def _condition(self, kind: str) -> dict[str, Any]:
        conditions = self.server.cache.systems[KEY]["status"]["conditions"]
        found: dict[str, Any] = next(each for each in conditions if each["type"] == kind)
        return found

    @property
    def due_at_once(self) -> bool:
        """Whether the last pass asked for another one without a pause."""
        return self.memory.next_at is not None and self.memory.next_at <= time.monotonic()

    def replicas(self) -> int:
        return int(self.server.objects["StatefulSet", "demo"]["spec"]["replicas"])


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_a_pass_over_the_very_same_renders_nothing_and_writes_nothing(world: World) -> None:
    await world.come_up()
    assert await world.run() == []
    assert world.rendered == 0


async def test_a_word_of_the_gateway_is_reported_without_rendering(world: World) -> None:
    await world.come_up()
    assert world.memory.view is not None
    world.memory.view = replace(world.memory.view, ready={"prediction": False})
    assert await world.run() == ["status", "Event: ServicesNotReady"]
    assert world.rendered == 0
    assert world.condition("Ready") == ("False", 1)


async def test_what_somebody_changes_in_a_child_is_put_back(world: World) -> None:
    await world.come_up()
    world.server.edit("Service", "demo-gateway", spec={"ports": []})
    assert await world.run() == ["Service demo-gateway"]
    assert world.rendered == 1


async def test_a_child_that_goes_is_made_again(world: World) -> None:
    await world.come_up()
    raw = world.server.objects.pop(("Service", "demo-gateway"))
    world.server.version += 1
    world.server.cache.drop_child(
        {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(world.server.version)}}, "Service"
    )
    assert await world.run() == ["Service demo-gateway"]


async def test_a_secret_is_written_again_in_time_although_nothing_changed(world: World) -> None:
    await world.come_up()
    secrets = world.memory.written.secrets
    assert secrets
    assert world.memory.rest is not None
    for key, written in secrets.items():
        secrets[key] = written._replace(at=written.at - 4000)
    world.memory.rest = replace(world.memory.rest, until=0.0)
    assert sorted(await world.run()) == sorted(f"Secret {key.name}" for key in secrets)


async def test_all_is_compared_again_after_a_resync_at_the_latest(world: World) -> None:
    await world.come_up()
    assert world.memory.rest is not None
    left = world.memory.rest.until - time.monotonic()
    assert 0 < left <= Settings("", b"").resync


async def test_a_halted_system_is_looked_at_as_a_whole_in_every_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, trading={"mode": "simulated", "halted": True})
    await world.come_up()
    await world.run()
    assert world.memory.rest is None


async def test_an_edit_that_the_services_take_at_once_is_one_write_of_the_status_and_no_event(world: World) -> None:
    await world.come_up()
    world.server.declare(2, symbols=["CBA.AX", "BHP.AX"])
    assert await world.run() == ["ConfigMap demo-declaration"]
    assert world.condition("Ready") == ("True", 1)
    world.hear(2)
    assert await world.run() == ["status"]
    assert world.condition("Ready") == ("True", 2)
    assert world.rendered == 1


async def test_an_edit_that_is_not_delivered_in_time_is_reported(world: World) -> None:
    await world.come_up()
    world.server.declare(2, symbols=["CBA.AX", "BHP.AX"])
    await world.run()
    assert world.memory.next_at is not None
    assert world.memory.next_at - time.monotonic() <= DELIVERY_SECONDS
    world.memory.accepted_at -= DELIVERY_SECONDS
    assert "status" in await world.run()
    assert world.condition("Ready") == ("False", 2)
    assert world.condition("Reconciling") == ("True", 2)


async def test_an_edit_that_cannot_be_applied_is_reported_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.come_up()

    async def refuse(kind: Kind, manifest: Mapping[str, Any], uid: str | None = None) -> dict[str, Any]:
        raise ApiError(403, "Forbidden", "no more ConfigMaps here")

    monkeypatch.setattr(world.server, "apply", refuse)
    world.server.declare(2, symbols=["CBA.AX", "BHP.AX"])
    assert "status" in await world.run()
    assert world.condition("Stalled") == ("True", 2)


async def test_pods_that_go_during_a_pass_leave_it_unsettled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.come_up()
    apply = world.server.apply

    async def apply_while_the_pod_goes(kind: Kind, manifest: Mapping[str, Any], uid: str | None = None) -> Any:
        reply = await apply(kind, manifest, uid)
        world.server.edit("StatefulSet", "demo", status={"replicas": 1, "readyReplicas": 0})
        return reply

    monkeypatch.setattr(world.server, "apply", apply_while_the_pod_goes)
    world.server.edit("Service", "demo-gateway", spec={"ports": []})
    await world.run()
    assert world.memory.rest is None


async def test_a_declaration_is_handed_on_before_anything_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.come_up()
    world.memory.look_now.clear()
    seen: list[tuple[bool, int | None]] = []
    apply = world.server.apply

    async def watched(kind: Kind, manifest: Mapping[str, Any], uid: str | None = None) -> Any:
        seen.append((world.memory.look_now.is_set(), world.memory.accepted_generation))
        return await apply(kind, manifest, uid)

    monkeypatch.setattr(world.server, "apply", watched)
    world.server.declare(2, trading={"mode": "simulated", "halted": True})
    await world.run()
    assert seen[0] == (True, 2)


async def test_the_reply_to_a_status_is_no_news_unless_it_shows_what_somebody_else_wrote(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.come_up()
    world.hear(1)
    assert world.memory.view is not None
    world.memory.view = replace(world.memory.view, ready={"prediction": False})
    assert "status" in await world.run()
    assert Version(UID, world.server.version - 1) in world.memory.written.versions  # an Event came after it

    apply_status = world.server.apply_status

    async def beside_an_edit(namespace: str, name: str, status: Mapping[str, Any]) -> dict[str, Any]:
        reply = await apply_status(namespace, name, status)
        return {**reply, "spec": {**reply["spec"], "symbols": ["BHP.AX"]}}

    monkeypatch.setattr(world.server, "apply_status", beside_an_edit)
    world.hear(1)
    assert "status" in await world.run()
    assert world.memory.written.versions == set()


def test_edits_in_quick_succession_put_a_status_off_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("bellwether_operator.passes.time.monotonic", lambda: now[0])
    memory = Memory(UID)
    memory.accept(1, None)
    for generation, reported, at in ((2, 1, 101.0), (3, 1, 101.0), (4, 1, 101.0), (5, 4, 105.0)):
        now[0] = 100.0 + generation - 1 if generation < 5 else 105.0
        memory.accept(generation, reported)
        assert (memory.accepted_generation, memory.accepted_at) == (generation, at)


def as_a_former_release_made_it(server: Server) -> None:
    """Have the gateway be a StatefulSet, as releases made it that kept its traces on a volume."""
    raw = server.objects.pop(("Deployment", "demo-gateway"))
    server.version += 1
    gone = {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(server.version)}}
    server.cache.drop_child(gone, "Deployment")
    former = of_kind("StatefulSet", raw)
    metadata = {**former["metadata"], "uid": "former"}
    server.objects["StatefulSet", "demo-gateway"] = {**former, "metadata": metadata, "status": raw["status"]}
    server.edit("StatefulSet", "demo-gateway")


async def test_a_gateway_that_a_former_release_made_a_stateful_set_is_replaced_at_the_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, profile="standard")
    await world.come_up()
    as_a_former_release_made_it(world.server)
    world.server.deletes = True
    world.at = IN_SESSION
    await world.run()
    assert ("Deployment", "demo-gateway") not in world.server.objects
    assert ("StatefulSet", "demo-gateway") in world.server.objects
    assert world.condition("RolloutPending") == ("True", 1)
    assert world.condition("Ready") == ("True", 1)
    world.at = AFTER_IT
    world.server.written.clear()
    wrote = await world.run()
    assert {"Deployment demo-gateway", "delete StatefulSet demo-gateway"} <= set(wrote)
    assert ("PersistentVolumeClaim", "data-demo-gateway-0") not in world.server.objects
    world.server.run_pods()
    await world.run()
    assert world.condition("RolloutPending") == ("False", 1)
    assert world.condition("Ready") == ("True", 1)
