"""The operator against a real API server: what is declared comes to be, and stays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.main import Operator
from bellwether_operator.observe.kinds import BY_NAME, SystemKey
from bellwether_operator.settings import Settings
from bellwether_operator.workers import Worker
from devcluster.errors import ClusterError

from .conftest import VIEW_LIFE, FakeGateway, Kube, eventually, running, system

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

        async def reported() -> dict[str, str]:
            notes = {each["reason"]: each["note"] for each in await kube.items("events.events.k8s.io")}
            return notes if {"Ready", "Halted"} <= set(notes) else {}

        notes = await eventually("the events", reported)
    assert status["observedGeneration"] == 1
    assert status["release"] == "dev-1"
    assert status["halts"] == ["latch: somebody pressed the button"]
    assert {each["name"]: each["generation"] for each in status["services"]}["prediction"] == 1
    assert set(notes) == {"Ready", "Halted"}
    assert notes["Ready"] == "Ready is True: all services run and have the declaration"
    assert notes["Halted"].startswith("SafeToTrade is False: Orders are stopped: latch: somebody pressed the button.")


@dataclass(frozen=True)
class Edit:
    """What somebody changes by hand in a child, and where to look whether it was put right."""

    kind: str
    name: str
    change: Any
    place: tuple[str, ...]


EDITS = {
    "replicas": Edit("statefulset", "demo", {"spec": {"replicas": 0}}, ("spec", "replicas")),
    "selector": Edit("service", "demo-nats", {"spec": {"selector": {"app.kubernetes.io/component": "x"}}}, ("spec",)),
    "the key of a list's entry": Edit(
        "service",
        "demo-gateway",
        {"spec": {"ports": [{"name": "http", "port": 9999, "protocol": "TCP", "targetPort": "http"}]}},
        ("spec", "ports"),
    ),
    "policy types": Edit("networkpolicy", "demo", {"spec": {"policyTypes": ["Ingress"]}}, ("spec",)),
    "owner": Edit(
        "configmap", "demo-declaration", {"metadata": {"ownerReferences": None}}, ("metadata", "ownerReferences")
    ),
    "our label": Edit(
        "service",
        "demo-nats",
        {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}},
        ("metadata", "labels"),
    ),
}


def part(found: Any, place: tuple[str, ...]) -> Any:
    for name in place:
        found = (found or {}).get(name)
    return found


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
async def test_what_is_changed_by_hand_is_put_right(kube: Kube, settings: Settings, edit: Edit) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await settled(kube)
        before = await kube.get(edit.kind, edit.name)
        assert before is not None
        await kube.patch(edit.kind, edit.name, edit.change)

        async def put_right() -> bool:
            found = await kube.get(edit.kind, edit.name)
            newer = part(found, ("metadata", "resourceVersion")) != before["metadata"]["resourceVersion"]
            return bool(newer and part(found, edit.place) == part(before, edit.place))

        await eventually(f"{edit.kind} {edit.name} as before", put_right)


async def test_fields_of_others_are_left_alone(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await settled(kube)
        await kube.label("statefulset", "demo", {"team": "quants"})
        await kube.patch("statefulset", "demo", {"spec": {"replicas": 0}})

        async def put_right() -> bool:
            return bool(((await kube.get("statefulset", "demo")) or {})["spec"]["replicas"] == 1)

        await eventually("replicas put right", put_right)
        found = await kube.get("statefulset", "demo")
    assert found is not None
    assert found["metadata"]["labels"]["team"] == "quants"


@pytest.mark.parametrize("kind", sorted(set(CHILDREN) - {"secret"}))
async def test_a_deleted_child_is_made_again(kube: Kube, settings: Settings, kind: str) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await settled(kube)
        name = sorted(CHILDREN[kind])[0]
        before = await kube.get(kind, name)
        assert before is not None
        await kube.patch(kind, name, {"metadata": {"finalizers": None}})
        await kube.delete(kind, name, wait=False)

        async def again() -> bool:
            found = await kube.get(kind, name)
            return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

        await eventually(f"a new {kind}", again)


async def test_a_secret_is_put_back_within_its_life(
    kube: Kube, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bellwether_operator.apply.applier.SECRET_LIFE_SECONDS", 1.0)
    await kube.apply(system(kube))
    async with running(replace(settings, resync=1.0)):
        await settled(kube)
        before = {name: (await kube.get("secret", name) or {})["data"] for name in CHILDREN["secret"]}
        entry = sorted(before["demo-keys"])[0]
        await kube.delete("secret", "demo-gateway-token")

        async def there() -> bool:
            found = await kube.get("secret", "demo-gateway-token")
            # It is made empty first, then written to by its uid.
            return found is not None and bool(found.get("data") == before["demo-gateway-token"])

        await eventually("the deleted Secret", there)
        await kube.patch("secret", "demo-keys", {"data": {entry: None, "more": "dGhlaXJz"}})

        async def put_back() -> bool:
            found = await kube.get("secret", "demo-keys") or {}
            return bool(found["data"] == {**before["demo-keys"], "more": "dGhlaXJz"})

        await eventually("the entry that was taken out, beside the one that was added", put_back)
        await kube.patch("secret", "demo-keys", {"data": {entry: "dGhlaXJz"}}, "--field-manager=stubborn")
        await eventually("the entry that was changed", put_back)


async def worker_of(operator: Operator, kube: Kube) -> Worker:
    async def look() -> Worker | None:
        found = operator.workers.worker(SystemKey(kube.namespace, "demo"))
        return found if found is not None and found.memory.view is not None else None

    found: Worker = await eventually("a worker that heard from the gateway", look)
    return found


async def more_passes(operator: Operator, worker: Worker) -> None:
    """Have the worker end the pass that may be under way, and then make one more from its beginning."""
    for _ in range(2):
        before = operator.workers.passes
        worker.mark()

        async def ended(before: int = before) -> bool:
            return operator.workers.passes > before

        await eventually("one more pass", ended)


async def test_a_pass_with_nothing_to_do_writes_nothing(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube))

    async def reported() -> bool:
        return bool(await kube.names("events.events.k8s.io"))

    async with running(settings) as operator:
        await settled(kube)
        await eventually("the event of becoming ready", reported)
        before = kube.operator_writes()
        assert "patch statefulsets/demo" in before
        worker = await worker_of(operator, kube)
        for _ in range(5):
            outcome = await operator.workers.reconciler.run(worker.key, worker.memory)
            assert outcome.writes == 0
        assert kube.operator_writes() == before


async def test_a_restarted_operator_writes_secrets_and_nothing_else(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube))

    async def reported() -> bool:
        return bool(await kube.names("events.events.k8s.io"))

    async with running(settings):
        await settled(kube)
        await eventually("the event of becoming ready", reported)
    before = kube.operator_writes()
    async with running(settings) as operator:
        await more_passes(operator, await worker_of(operator, kube))
        written = kube.operator_writes()[len(before) :]
    # To make one is refused, since it is there; then it is asked whose it is, by a patch that is not carried out.
    assert Counter(written) == {
        "create secrets/demo-gateway-token": 1,
        "create secrets/demo-keys": 1,
        "patch secrets/demo-gateway-token": 2,
        "patch secrets/demo-keys": 2,
    }


async def test_the_profile_of_a_system_stays_and_the_refusal_says_what_to_do(kube: Kube) -> None:
    await kube.apply(system(kube))
    with pytest.raises(ClusterError, match="`bellwether profile` makes a new system"):
        await kube.patch("tsys", "demo", {"spec": {"profile": "standard"}})


async def test_volumes_that_were_kept_of_the_other_profile_keep_a_system_from_beginning_with_nothing(
    kube: Kube, settings: Settings
) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await settled(kube)
        await kube.delete("tsys", "demo")
        await kube.apply(system(kube, profile="standard"))
        said = await kube.until_condition("demo", "Accepted", "False", "BegunOtherwise")
        assert "data-demo-0 hold what this system did with profile compact" in said["message"]
        assert await kube.names("pvc") == {"data-demo-0"}
        assert await kube.names("statefulset") == {"demo"}, "the former one's, which Kubernetes takes away"


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
        assert "ConfigMap demo-declaration exists and it was not made by the operator" in found["message"]
        await kube.until_condition("demo", "Stalled", "True", "NameTaken")
        assert (await kube.get("configmap", "demo-declaration") or {})["data"] == theirs["data"]
        assert await kube.names("statefulset") == set()
        await kube.delete("configmap", "demo-declaration")
        await kube.patch("tsys", "demo", {"spec": {"predictions": {"cacheTTL": "31m"}}})
        await kube.until_condition("demo", "Accepted", "True")


async def test_a_secret_of_somebody_else_is_left_alone_and_outlives_the_system(kube: Kube, settings: Settings) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "demo-keys", "namespace": kube.namespace},
        "stringData": {"password": "theirs", "token": "theirs, too"},
    }
    await kube.apply(theirs)
    before = await kube.get("secret", "demo-keys") or {}
    await kube.apply(system(kube))
    async with running(settings):
        found = await kube.until_condition("demo", "Accepted", "False", "NameTaken")
        assert "Secret demo-keys exists and it was not made by the operator" in found["message"]
        assert await kube.get("secret", "demo-keys") == before
        assert await kube.names("statefulset") == set()
        await kube("delete", "secret", "demo-keys")
        await kube.patch("tsys", "demo", {"spec": {"predictions": {"cacheTTL": "31m"}}})
        await kube.until_condition("demo", "Accepted", "True")


async def test_what_somebody_puts_in_place_of_ours_is_not_written_to(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await settled(kube)
    client = await Client.connect(settings.kubeconfig)
    try:
        for kind, name in (("Secret", "demo-keys"), ("ServiceAccount", "demo"), ("ConfigMap", "demo-declaration")):
            ours = await kube.get(kind, name) or {}
            await kube("delete", kind, name)
            metadata = {"name": name, "namespace": kube.namespace}
            body = {"apiVersion": "v1", "kind": kind, "metadata": metadata}
            wanted = {**body, "metadata": {**metadata, "labels": {"whose": "ours"}}}
            for there in (False, True):
                if there:
                    await kube.apply(body)
                with pytest.raises(ApiError) as refused:
                    await client.apply(BY_NAME[kind], wanted, ours["metadata"]["uid"])
                assert (refused.value.reason, refused.value.transient) == ("Conflict", True), kind
            assert "labels" not in (await kube.get(kind, name) or {})["metadata"]
    finally:
        await client.close()


async def test_large_objects_that_somebody_gives_our_labels_are_not_kept(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube))
    uid = (await kube.get("tsys", "demo") or {})["metadata"]["uid"]
    labels = {
        "app.kubernetes.io/managed-by": "bellwether",
        "app.kubernetes.io/instance": "demo",
        "bellwether.dev/system-uid": uid,
    }

    async def make(name: str) -> None:
        theirs = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": kube.namespace, "labels": labels},
        }
        await kube.create({**theirs, "data": {"x": "y" * 900_000}})

    for number in range(12):
        await make(f"theirs-{number}")
    async with running(settings) as operator:
        await settled(kube)
        await make("theirs-later")
        await kube("delete", "configmap", "demo-declaration")
        await eventually("a deleted child made again", lambda: all_there(kube))
        await kube.patch("service", "demo-nats", {"spec": {"ports": [{"name": "nats", "port": 4223}]}})
        await kube.until_condition("demo", "Ready", "True")
        kept = {key.name for key in operator.cache.children if key.kind == "ConfigMap"}
        assert "demo-declaration" in kept
        assert [name for name in kept if name.startswith("theirs")] == []
    assert len([name for name in await kube.names("configmap") if name.startswith("theirs")]) == 13


async def test_a_live_field_reaches_the_gateway_and_leaves_the_pods_alone(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await kube.apply(system(kube))
    async with running(settings) as operator:
        await settled(kube)
        before = await kube.get("statefulset", "demo")
        gateway.acknowledge = False
        await kube.patch("tsys", "demo", {"spec": {"symbols": ["AAPL", "IBM", "MSFT"]}})

        async def reported() -> bool:
            waiting = await kube.condition("demo", "Ready") or {}
            said = (waiting["status"], waiting["reason"], waiting["message"])
            return said == ("False", "Delivering", "generation 2 is not yet in force at: prediction, paper-trading")

        await eventually("who does not have generation 2", reported)
        gateway.acknowledge = True
        ready = await kube.until_condition("demo", "Ready", "True")
        token = operator.workers.reconciler.keyring(
            (before or {})["metadata"]["ownerReferences"][0]["uid"]
        ).gateway_token
        after = await kube.get("statefulset", "demo")
    assert ready["observedGeneration"] == 2
    assert gateway.declarations[-1]["generation"] == 2
    assert gateway.declarations[-1]["spec"]["symbols"] == ["AAPL", "IBM", "MSFT"]
    assert set(gateway.tokens) == {f"Bearer {token}"}
    assert before is not None
    assert after is not None
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


async def test_a_silent_gateway_makes_ready_unknown(
    kube: Kube, settings: Settings, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await settled(kube)

        def broken() -> dict[str, Any]:
            raise RuntimeError("the gateway of this test is broken")

        gateway.status = broken  # type: ignore[method-assign]
        monkeypatch.setattr(VIEW_LIFE, 3)
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
        assert ((await kube.get("tsys", "demo")) or {})["status"]["release"] == "dev-1", "v9 does not run yet"
        await kube.make_ready("demo")

        async def runs() -> bool:
            return bool(((await kube.get("tsys", "demo")) or {})["status"]["release"] == "v9")

        await eventually("the release that runs", runs)
