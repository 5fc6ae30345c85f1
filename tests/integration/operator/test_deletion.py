"""Deleting a system with the operator away, with the real garbage collector (controllers run, kubelets do not)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bellwether_operator.settings import Settings
from devcluster.cluster import Cluster

from .conftest import FakeGateway, Kube, eventually, running, system
from .test_reconcile import CHILDREN, all_there

pytestmark = [pytest.mark.integration, pytest.mark.cluster]


@pytest.fixture(scope="module")
def control_plane(control_plane_with_controllers: tuple[Cluster, Path]) -> tuple[Cluster, Path]:
    """An API server with the controller manager."""
    return control_plane_with_controllers


async def left(kube: Kube) -> set[str]:
    """Return which children are still there."""
    return {f"{kind}/{name}" for kind, names in CHILDREN.items() for name in names & await kube.names(kind)}


@pytest.mark.parametrize(("policy", "stays"), [("Delete", set[str]()), ("Retain", {"pvc/data-demo-0"})])
async def test_a_system_deleted_with_the_operator_away_leaves_what_its_policy_keeps(
    kube: Kube, settings: Settings, policy: str, stays: set[str]
) -> None:
    await kube.apply(system(kube, deletionPolicy=policy))
    async with running(settings):
        await eventually("all children", lambda: all_there(kube))
    await kube.delete("tsys", "demo")

    async def gone() -> bool:
        return await left(kube) == stays

    await eventually(f"nothing left but {stays or 'nothing'}", gone, seconds=120)


async def test_a_namespace_goes_with_a_system_in_it(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await eventually("all children", lambda: all_there(kube))
        await kube.delete("namespace", kube.namespace, seconds=60)


async def test_a_system_applied_again_at_once_follows_its_predecessor(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await kube.apply(system(kube))
    async with running(dataclasses.replace(settings, gateway_url=gateway.url)):
        await eventually("all children", lambda: all_there(kube))
        before = await kube.get("statefulset", "demo")
        await kube.delete("tsys", "demo")
        await kube.apply(system(kube))

        async def followed() -> bool:
            found = await kube.get("statefulset", "demo")
            fresh = found is not None and before is not None and found["metadata"]["uid"] != before["metadata"]["uid"]
            return fresh and await all_there(kube)

        await eventually("the successor's children", followed, seconds=120)
