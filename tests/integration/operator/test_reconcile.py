"""The operator against a real API server: what is declared comes to be, and stays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bellwether_operator.settings import Settings

from .conftest import FakeGateway, Kube, eventually, running, system

pytestmark = [pytest.mark.integration, pytest.mark.cluster]

CHILDREN = {
    "configmap": {"demo-declaration"},
    "networkpolicy": {"demo"},
    "pvc": {"data-demo-0"},
    "secret": {"demo-gateway-token", "demo-keys"},
    "service": {"demo-gateway", "demo-nats"},
    "serviceaccount": {"demo"},
    "statefulset": {"demo"},
}


async def all_there(kube: Kube) -> bool:
    return all([names <= await kube.names(kind) for kind, names in CHILDREN.items()])


async def settled(kube: Kube) -> None:
    """Wait until the system is made and, as far as the pods go, ready."""
    await eventually("all children", lambda: all_there(kube))
    await kube.make_ready("demo")
    await kube.until_condition("demo", "Ready", "True")


async def test_children_are_made_with_our_manager_and_owner(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube, deletionPolicy="Delete"))
    async with running(settings):
        await settled(kube)
        uid = (await kube.get("tsys", "demo") or {})["metadata"]["uid"]
        for kind, names in CHILDREN.items():
            for name in names:
                child = await kube.get(kind, name)
                assert child is not None
                managers = {(each["manager"], each["operation"]) for each in child["metadata"]["managedFields"]}
                assert ("bellwether", "Apply") in managers, f"{kind} {name}"
                assert [owner["uid"] for owner in child["metadata"]["ownerReferences"]] == [uid], f"{kind} {name}"


async def test_a_ready_system_says_so(kube: Kube, settings: Settings, gateway: FakeGateway) -> None:
    gateway.halts = ["latch: somebody pressed the button"]
    await kube.apply(system(kube))
    async with running(settings):
        await kube.until_condition("demo", "Ready", "False", "WaitingForNats")
        await settled(kube)
        status = (await kube.get("tsys", "demo") or {})["status"]
    assert status["observedGeneration"] == 1
    assert status["release"] == "dev-1"
    assert status["halts"] == ["latch: somebody pressed the button"]
    assert {each["name"]: each["generation"] for each in status["services"]}["prediction"] == 1
    told = json.loads(await kube("get", "events.events.k8s.io", "-o", "json"))["items"]
    assert [each["note"] for each in told] == ["Ready is True: all services run and have the declaration"]


@pytest.mark.parametrize(
    ("kind", "name", "change", "path", "right"),
    [
        ("statefulset", "demo", {"spec": {"replicas": 0}}, ("spec", "replicas"), 1),
        ("service", "demo-gateway", {"spec": {"selector": {"app.kubernetes.io/component": "x"}}}, None, "system"),
        (
            "networkpolicy",
            "demo",
            {"spec": {"policyTypes": ["Ingress"]}},
            ("spec", "policyTypes"),
            ["Ingress", "Egress"],
        ),
        ("configmap", "demo-declaration", {"metadata": {"ownerReferences": None}}, None, None),
    ],
    ids=["replicas", "selector", "policy types", "owner"],
)
async def test_what_is_changed_by_hand_is_put_right(
    kube: Kube, settings: Settings, kind: str, name: str, change: Any, path: tuple[str, ...] | None, right: Any
) -> None:
    await kube.apply(system(kube))

    async def is_right() -> bool:
        found: Any = await kube.get(kind, name)
        if kind == "configmap":
            return bool(found["metadata"].get("ownerReferences"))
        if path is None:
            return bool(found["spec"]["selector"]["app.kubernetes.io/component"] == right)
        return bool(found[path[0]][path[1]] == right)

    async with running(settings):
        await settled(kube)
        before = await kube.get(kind, name)
        await kube.patch(kind, name, change)
        await eventually(f"{kind} {name} as declared", is_right)
        after = await kube.get(kind, name)
    assert before is not None
    assert after is not None
    assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]


async def test_fields_of_others_are_left_alone(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await settled(kube)
        await kube("label", "statefulset", "demo", "team=quants")
        await kube.patch("statefulset", "demo", {"spec": {"replicas": 0}})

        async def put_right() -> bool:
            return bool(((await kube.get("statefulset", "demo")) or {})["spec"]["replicas"] == 1)

        await eventually("replicas put right", put_right)
        found = await kube.get("statefulset", "demo")
    assert found is not None
    assert found["metadata"]["labels"]["team"] == "quants"


@pytest.mark.parametrize("kind", sorted(set(CHILDREN) - {"secret"}))
async def test_a_deleted_child_is_made_anew(kube: Kube, settings: Settings, kind: str) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await settled(kube)
        name = sorted(CHILDREN[kind])[0]
        before = await kube.get(kind, name)
        assert before is not None
        await kube.patch(kind, name, {"metadata": {"finalizers": None}})
        await kube("delete", kind, name, "--wait=false")

        async def anew() -> bool:
            found = await kube.get(kind, name)
            return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

        await eventually(f"a new {kind}", anew)


async def test_a_pass_with_nothing_to_do_writes_nothing(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube))
    async with running(settings) as operator:
        await settled(kube)
        before = kube.operator_writes()
        assert "patch statefulsets/demo" in before
        worker = next(iter(operator.workers._workers.values()))
        for _ in range(5):
            outcome = await operator.workers.reconciler.run(worker.key, worker.memory)
            assert outcome.writes == 0
        assert kube.operator_writes() == before
    async with running(settings) as operator:

        async def looked() -> bool:
            return operator.listed and operator.workers.last_activity > 0 and bool(operator.workers._workers)

        await eventually("a second operator has looked", looked)
        worker = next(iter(operator.workers._workers.values()))
        await eventually("a pass", lambda: _gateway_up(worker.memory))
        written = kube.operator_writes()[len(before) :]
    assert {each for each in written if "secrets" not in each and "tradingsystems" not in each} == set()


async def _gateway_up(memory: Any) -> bool:
    return bool(memory.gateway_up)


async def test_another_profile_prunes_what_it_does_not_have_and_keeps_volumes(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await settled(kube)
        await kube.patch("tsys", "demo", {"spec": {"profile": "standard"}})

        async def standard() -> bool:
            return {"demo-nats", "demo-prediction"} <= await kube.names("statefulset")

        async def pruned() -> bool:
            return "demo" not in await kube.names("statefulset") | await kube.names("networkpolicy")

        await eventually("pods of the standard profile", standard)
        await eventually("the compact pod gone", pruned)
        claims = await kube.names("pvc")
    assert {"data-demo-0", "data-demo-nats-0", "data-demo-paper-trading-0"} <= claims


async def test_an_object_of_somebody_else_is_never_applied_over(kube: Kube, settings: Settings) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "demo-declaration", "namespace": kube.namespace},
        "data": {"system.json": "theirs"},
    }
    await kube.apply(theirs)
    await kube.apply(system(kube))
    async with running(settings):
        found = await kube.until_condition("demo", "Accepted", "False", "NameTaken")
        assert "ConfigMap demo-declaration exists and it was not made by this operator" in found["message"]
        await kube.until_condition("demo", "Stalled", "True", "NameTaken")
        assert (await kube.get("configmap", "demo-declaration") or {})["data"] == theirs["data"]
        assert await kube.names("statefulset") == set()
        await kube("delete", "configmap", "demo-declaration")
        await kube.patch("tsys", "demo", {"spec": {"predictions": {"cacheTTL": "31m"}}})
        await kube.until_condition("demo", "Accepted", "True")


async def test_a_live_field_reaches_the_gateway_and_leaves_the_pods_alone(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await kube.apply(system(kube))
    async with running(settings) as operator:
        await settled(kube)
        before = await kube.get("statefulset", "demo")
        gateway.acknowledge = False
        await kube.patch("tsys", "demo", {"spec": {"symbols": ["AAPL", "IBM", "MSFT"]}})
        waiting = await kube.until_condition("demo", "Ready", "False", "Delivering")
        assert waiting["message"] == "generation 2 is not yet in force at: prediction, paper-trading"
        gateway.acknowledge = True
        ready = await kube.until_condition("demo", "Ready", "True")
        worker = next(iter(operator.workers._workers.values()))
        token = worker.memory.keyring.gateway_token if worker.memory.keyring else ""
        after = await kube.get("statefulset", "demo")
    assert ready["observedGeneration"] == 2
    assert gateway.declarations[0]["generation"] == 2
    assert gateway.declarations[0]["spec"]["symbols"] == ["AAPL", "IBM", "MSFT"]
    assert set(gateway.tokens) == {f"Bearer {token}"}
    assert before is not None
    assert after is not None
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


async def test_a_silent_gateway_makes_ready_unknown(kube: Kube, settings: Settings, gateway: FakeGateway) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await settled(kube)

        def broken() -> dict[str, Any]:
            raise RuntimeError("the gateway of this test is broken")

        gateway.status = broken  # type: ignore[method-assign]
        await kube.until_condition("demo", "Ready", "Unknown", "GatewayUnreachable")


async def test_a_deployment_field_changes_the_pod(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await settled(kube)
        await kube.patch("tsys", "demo", {"spec": {"version": "v9"}})

        async def new_image() -> bool:
            found = await kube.get("statefulset", "demo") or {}
            image: str = found["spec"]["template"]["spec"]["containers"][0]["image"]
            return image == "localhost/bellwether/services:v9"

        await eventually("the new image", new_image)
        await kube.until_condition("demo", "Reconciling", "True", "RollingOut")
        assert ((await kube.get("tsys", "demo")) or {})["status"]["release"] == "v9"
