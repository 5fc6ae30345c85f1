"""What outlives a system, and what survives the operator's own death."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from bellwether_operator.observe.kinds import CHILD_KINDS
from bellwether_operator.settings import Settings
from devcluster.errors import ClusterError

from .conftest import IMAGE, Kube, eventually, running, system
from .test_reconcile import all_there, settled

pytestmark = [pytest.mark.integration, pytest.mark.cluster]

ROOT = Path(__file__).parents[3]


async def collect_garbage(kube: Kube, gone: str) -> None:
    """Delete what the garbage collector would: everything whose owner is gone (no controllers run here)."""
    for kind in (each.plural for each in CHILD_KINDS):
        for name in await kube.names(kind):
            found = await kube.get(kind, name)
            owners = (found or {}).get("metadata", {}).get("ownerReferences", [])
            if any(owner["uid"] == gone for owner in owners):
                await kube.delete(kind, name, wait=False)


@pytest.mark.parametrize(("policy", "owners"), [("Retain", 0), ("Delete", 1)])
async def test_volumes_have_an_owner_only_where_they_may_go(
    kube: Kube, settings: Settings, policy: str, owners: int
) -> None:
    await kube.apply(system(kube, deletionPolicy=policy))
    async with running(settings):
        await settled(kube)
        claim = await kube.get("pvc", "data-demo-0")
        assert claim is not None
        assert len(claim["metadata"].get("ownerReferences", [])) == owners
        other = "Delete" if policy == "Retain" else "Retain"
        await kube.patch("tsys", "demo", {"spec": {"deletionPolicy": other}})

        async def changed() -> bool:
            found = await kube.get("pvc", "data-demo-0") or {}
            return bool(len(found["metadata"].get("ownerReferences", [])) == 1 - owners)

        await eventually(f"the owner after {other}", changed)


async def test_retain_that_is_set_during_a_pause_keeps_the_volume(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube, deletionPolicy="Delete", storage={"size": "1Gi"}))
    async with running(settings):
        await settled(kube)
        paused = {"until": "2039-01-01T00:00:00Z"}
        await kube.patch("tsys", "demo", {"spec": {"paused": paused, "deletionPolicy": "Retain", "version": "v9"}})

        async def handed_over() -> bool:
            found = await kube.get("pvc", "data-demo-0") or {}
            return "ownerReferences" not in found["metadata"]

        await eventually("the volume without an owner", handed_over)
        workload = await kube.get("statefulset", "demo") or {}
        assert workload["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE


async def test_a_system_has_no_finalizer_and_its_retained_volume_is_adopted(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await settled(kube)
    first = await kube.get("tsys", "demo")
    claim = await kube.get("pvc", "data-demo-0")
    assert first is not None
    assert claim is not None
    assert "finalizers" not in first["metadata"]
    await kube.delete("tsys", "demo")
    await kube.apply(system(kube))
    async with running(settings):
        await kube.until_condition("demo", "Reconciling", "True", "WaitingForPredecessor")
        await collect_garbage(kube, first["metadata"]["uid"])
        await eventually("all children of the successor", lambda: all_there(kube))
        second = await kube.get("tsys", "demo")
        assert second is not None

        async def adopted() -> bool:
            found = await kube.get("pvc", "data-demo-0") or {}
            label = found["metadata"]["labels"]["bellwether.dev/system-uid"]
            wanted = (second["metadata"]["uid"], claim["metadata"]["uid"])
            return (label, found["metadata"]["uid"]) == wanted

        await eventually("the volume adopted", adopted)


async def test_a_ledger_in_dollars_is_not_read_on_as_one_in_yen(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await settled(kube)
    first = await kube.get("tsys", "demo") or {}
    await kube("delete", "tsys", "demo", "--timeout=120s")
    await collect_garbage(kube, first["metadata"]["uid"])
    before = await kube.get("pvc", "data-demo-0")
    other = system(kube, market={"calendar": "XTKS"})
    other["spec"]["trading"] |= {"currency": "JPY", "initialCash": "7"}
    await kube.apply(other)
    async with running(settings):
        found = await kube.until_condition("demo", "Accepted", "False", "BegunOtherwise")
        assert "spec.trading.currency is JPY and was USD" in found["message"]
        assert "spec.trading.initialCash is 7 and was 100000" in found["message"]
        await kube.until_condition("demo", "Stalled", "True", "BegunOtherwise")
        assert await kube.get("pvc", "data-demo-0") == before
        assert await kube.names("statefulset") == set()
        await kube("delete", "tsys", "demo", "--timeout=120s")
        second = await kube.get("configmap", "demo-declaration") or {}
        await collect_garbage(kube, second["metadata"]["ownerReferences"][0]["uid"])
        await kube.apply(system(kube))
        await eventually("all children of the one that began it", lambda: all_there(kube))


async def test_a_volume_grows_and_never_shrinks(kube: Kube, settings: Settings) -> None:
    await kube.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": kube.namespace},
            "provisioner": "example.com/none",
            "allowVolumeExpansion": True,
        }
    )
    await kube.apply(system(kube, storage={"className": kube.namespace, "size": "1Gi"}))
    async with running(settings):
        await settled(kube)
        await kube.patch("pvc", "data-demo-0", {"status": {"phase": "Bound"}}, "--subresource=status")
        await kube.patch("tsys", "demo", {"spec": {"storage": {"size": "2048Mi"}}})

        async def size() -> bool:
            found = await kube.get("pvc", "data-demo-0") or {}
            return bool(found["spec"]["resources"]["requests"]["storage"] == "2Gi")

        async def reported() -> bool:
            return bool(((await kube.get("tsys", "demo")) or {})["status"].get("volumeSize") == "2Gi")

        await eventually("the grown volume", size)
        await eventually("its size in the status, by which the API server judges", reported)
        with pytest.raises(ClusterError, match=r"storage\.size can only grow: a volume cannot shrink"):
            await kube.patch("tsys", "demo", {"spec": {"storage": {"size": "1Gi"}}})
        assert await size()
    await kube.delete("storageclass", kube.namespace)


async def test_a_volume_that_cannot_grow_holds_up_nothing_else_and_its_size_may_be_taken_back(
    kube: Kube, settings: Settings
) -> None:
    await kube.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": kube.namespace},
            "provisioner": "example.com/none",
            "allowVolumeExpansion": False,
        }
    )
    await kube.apply(system(kube, storage={"className": kube.namespace, "size": "1Gi"}))
    async with running(settings):
        await settled(kube)
        await kube.patch("pvc", "data-demo-0", {"status": {"phase": "Bound"}}, "--subresource=status")
        await kube.patch("tsys", "demo", {"spec": {"storage": {"size": "2Gi"}}})
        await kube.until_condition("demo", "Stalled", "True", "ApplyRefused")
        await kube.patch("tsys", "demo", {"spec": {"podTemplate": {"labels": {"team": "blue"}}}})

        async def reached() -> bool:
            found = await kube.get("statefulset", "demo") or {}
            return bool(found["spec"]["template"]["metadata"]["labels"].get("team") == "blue")

        await eventually("the other edit in the pods", reached)
        await kube.patch("tsys", "demo", {"spec": {"storage": {"size": "1Gi"}}})
        await kube.until_condition("demo", "Stalled", "False")
    await kube.delete("storageclass", kube.namespace)


async def test_a_retained_volume_that_is_larger_than_declared_stays_as_large(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube, storage={"size": "2Gi"}))
    async with running(settings):
        await settled(kube)
    first = await kube.get("tsys", "demo")
    assert first is not None
    await kube.delete("tsys", "demo")
    await collect_garbage(kube, first["metadata"]["uid"])
    await kube.apply(system(kube, storage={"size": "1Gi"}))
    async with running(settings):

        async def reported() -> bool:
            found = await kube.condition("demo", "Accepted")
            return found is not None and "1Gi is smaller than the 2Gi of data-demo-0" in found["message"]

        await eventually("words about the smaller size", reported)
    claim = await kube.get("pvc", "data-demo-0")
    assert claim is not None
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"


async def test_an_operator_killed_while_applying_is_followed_by_one_that_finishes(
    kube: Kube, settings: Settings, tmp_path: Path
) -> None:
    seed = tmp_path / "seed"
    seed.write_bytes(settings.installation_seed)
    environment = {
        **os.environ,
        "KUBECONFIG": str(kube.cluster.kubeconfig),
        "INSTALLATION_SEED_FILE": str(seed),
        "SERVICES_IMAGE": IMAGE,
        "WATCH_NAMESPACES": kube.namespace,
        "HTTP_PORT": "0",
        "TMPDIR": str(tmp_path),
        "PYTHONPATH": f"{ROOT / 'services'}:{ROOT / 'operator'}",
    }
    names = [f"demo{number}" for number in range(12)]
    for name in names:
        await kube.apply(system(kube, name))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bellwether_operator", env=environment, stderr=asyncio.subprocess.DEVNULL
    )

    async def started() -> bool:
        return len(await kube.names("serviceaccount")) >= 1

    try:
        await eventually("the first child", started)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with running(settings):

        async def complete() -> bool:
            made = await kube.names("statefulset")
            return set(names) <= made and {f"data-{name}-0" for name in names} <= await kube.names("pvc")

        await eventually("all systems", complete)
