"""A change of profile with the real controllers of StatefulSets and Jobs; the test is the kubelet of the Job's pod."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bellwether.render.kubernetes.moves import Profile
from bellwether_operator.settings import Settings
from devcluster.cluster import Cluster

from .conftest import Kube, eventually, running, system

pytestmark = [pytest.mark.integration, pytest.mark.cluster]


@pytest.fixture(scope="module")
def control_plane(control_plane_with_controllers: tuple[Cluster, Path]) -> tuple[Cluster, Path]:
    """An API server with the controller manager; no kubelet."""
    return control_plane_with_controllers


async def pods(kube: Kube) -> dict[str, dict[str, Any]]:
    """Return the pods by component; the mover's only where it has not ended."""
    found = await kube.items("pods")
    return {
        each["metadata"]["labels"]["app.kubernetes.io/component"]: each
        for each in found
        if each["status"].get("phase") not in {"Succeeded", "Failed"}
    }


async def numbers(kube: Kube) -> dict[str, str]:
    found = await kube.items("pvc")
    return {each["metadata"]["name"]: each["metadata"]["annotations"]["bellwether.dev/moved-in"] for each in found}


async def end_mover(kube: Kube, phase: str, code: int = 0) -> None:
    """Say what a kubelet says of the mover's pod that has ended."""

    async def mover() -> dict[str, Any] | None:
        return (await pods(kube)).get("move")

    pod = await eventually("the pod of the Job", mover)
    ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error"}
    container = {"name": "move", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    status = {"phase": phase, "containerStatuses": [{**container, "state": {"terminated": ended}}]}
    await kube.patch("pod", pod["metadata"]["name"], {"status": status}, "--subresource=status")


async def change(kube: Kube, profile: Profile) -> None:
    await kube.patch("tsys", "demo", {"spec": {"profile": profile}})


async def until_pods(kube: Kube, wanted: str, without: str) -> None:
    async def there() -> bool:
        found = set(await pods(kube))
        assert not {"system", "nats"} <= found, f"pods of both profiles: {found}"
        return wanted in found and without not in found

    await eventually(f"pods of {wanted} and none of {without}", there, seconds=90)


async def test_there_and_back_the_volumes_are_filled_before_the_pods_of_the_new_profile_start(
    kube: Kube, settings: Settings
) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await until_pods(kube, "system", "nats")
        await change(kube, "standard")
        await until_pods(kube, "move", "system")
        assert set(await pods(kube)) == {"move"}
        assert set((await numbers(kube)).values()) == {"0", "none"}
        await end_mover(kube, "Succeeded")
        await until_pods(kube, "nats", "system")
        assert {(await numbers(kube))[f"data-demo-{name}-0"] for name in ("nats", "paper-trading")} == {"1"}

        async def no_job() -> bool:
            return not await kube.names("job")

        await eventually("the Job gone", no_job)
    # With the operator away: back again, and the one that comes next finds everything on the claims.
    await change(kube, "compact")
    async with running(settings):
        await until_pods(kube, "move", "nats")
        await end_mover(kube, "Succeeded")
        await until_pods(kube, "system", "nats")
        assert (await numbers(kube))["data-demo-0"] == "2"


async def test_a_futile_move_starts_the_former_pods_again_and_says_why(kube: Kube, settings: Settings) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await until_pods(kube, "system", "nats")
        await change(kube, "standard")
        await end_mover(kube, "Failed", code=3)
        await until_pods(kube, "system", "move")
        told = await kube.until_condition("demo", "Stalled", "True", "MoveFailed")
        assert "exit code 3" in told["message"]
        assert "kubectl logs job/demo-move-1" in told["message"]
        await kube.patch("tsys", "demo", {"spec": {"version": "v2"}})
        await until_pods(kube, "move", "system")
        await end_mover(kube, "Succeeded")
        await until_pods(kube, "nats", "system")


async def test_retained_volumes_are_moved_when_the_name_comes_back_with_the_other_profile(
    kube: Kube, settings: Settings
) -> None:
    await kube.apply(system(kube))
    async with running(settings):
        await until_pods(kube, "system", "nats")
        await kube.delete("tsys", "demo")

        async def gone() -> bool:
            return not await pods(kube) and not await kube.names("statefulset")

        await eventually("all pods gone", gone, seconds=90)
        await kube.apply(system(kube, profile="standard"))
        await until_pods(kube, "move", "system")
        assert set(await pods(kube)) == {"move"}
        await end_mover(kube, "Succeeded")
        await until_pods(kube, "nats", "system")
