"""What an operator makes of pods that do not run, on a real API server where the test is kubelet and controller."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bellwether_operator.settings import Settings

from .conftest import IMAGE, FakeGateway, Kube, eventually, system
from .sessions import EVENING, Clock, running
from .test_reconcile import settled

pytestmark = [pytest.mark.integration, pytest.mark.cluster]

MISTYPED = IMAGE.rpartition(":")[0] + ":0.1.O"
PULL = f'rpc error: code = NotFound desc = failed to pull and unpack image "{MISTYPED}": not found'


async def replaced_pod(kube: Kube) -> None:
    """Say what a kubelet and the controllers would say of a pod whose image does not exist."""
    found = await kube.get("statefulset", "demo") or {}
    status = {
        "observedGeneration": found["metadata"]["generation"],
        "replicas": 1,
        "readyReplicas": 0,
        "updatedReplicas": 1,
        "currentReplicas": 0,
        "currentRevision": "demo-1",
        "updateRevision": "demo-2",
    }
    await kube.patch("statefulset", "demo", {"status": status}, "--subresource=status")
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "demo", "controller": True}
    template = found["spec"]["template"]
    await kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "demo-0",
                "labels": template["metadata"]["labels"],
                "ownerReferences": [{**owner, "uid": found["metadata"]["uid"]}],
            },
            "spec": template["spec"],
        }
    )
    waiting = {"reason": "ErrImagePull", "message": PULL}
    container = {"name": "services", "image": MISTYPED, "imageID": "", "ready": False, "restartCount": 0}
    status = {"phase": "Pending", "containerStatuses": [{**container, "state": {"waiting": waiting}}]}
    await kube.patch("pod", "demo-0", {"status": status}, "--subresource=status")


async def image(kube: Kube) -> str:
    found = await kube.get("statefulset", "demo") or {}
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


async def test_a_release_that_does_not_exist_is_named_and_taken_back(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    del gateway

    async def is_mistyped() -> bool:
        return await image(kube) == MISTYPED

    async def is_back() -> bool:
        return await image(kube) == IMAGE

    await kube.apply(system(kube))
    clock = Clock(kube, EVENING)
    async with running(replace(settings, rollout_deadline=5), clock):
        await settled(kube)
        await kube.patch("tsys", "demo", {"spec": {"version": "0.1.O"}})
        await eventually("the new release", is_mistyped)
        await replaced_pod(kube)
        for kind, status in (("Stalled", "True"), ("Ready", "False")):
            found = await kube.until_condition("demo", kind, status, "ImageNotPulled")
            assert f"image {MISTYPED} cannot be pulled" in found["message"]
        await clock.set(EVENING + timedelta(seconds=6))
        await eventually("the release before", is_back)
        await kube("delete", "pod", "demo-0", "--force", "--grace-period=0")
        await kube.until_condition("demo", "Stalled", "True", "RolloutFailed")
        await kube.make_ready("demo")
        await kube.until_condition("demo", "Available", "True")
        assert ((await kube.get("tsys", "demo")) or {})["status"]["release"] == IMAGE.rpartition(":")[2]
    async with running(settings, clock):  # another operator does not try it again, whatever else is edited
        await kube.patch("tsys", "demo", {"spec": {"symbols": ["AAPL"]}})

        async def reported() -> Any:
            found = (await kube.condition("demo", "Stalled")) or {}
            return found["observedGeneration"] == 3 and found

        assert (await eventually("a word on the edit", reported))["reason"] == "RolloutFailed"
        assert await is_back()
        await kube.patch("tsys", "demo", {"spec": {"version": None}})
        await kube.until_condition("demo", "Stalled", "False")
