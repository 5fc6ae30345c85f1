"""The Job of a move, as a real API server takes it."""

from __future__ import annotations

from typing import Any

import pytest

from bellwether.change.compare import lacking
from bellwether.render.kubernetes import RenderContext, derive_keyring
from bellwether.render.kubernetes.moves import MoveJob, Profile, move_job
from bellwether.spec.models import TradingSystem

from .conftest import IMAGE, Kube, system

pytestmark = [pytest.mark.integration, pytest.mark.cluster]


def rendered(kube: Kube, source: Profile, target: Profile) -> dict[str, Any]:
    declared = system(kube)
    declared["metadata"] |= {"uid": "0d9b5a52-8a0c-4f0e-9d53-6d3f1f6a2b11", "generation": 1}
    context = RenderContext(image=IMAGE, keyring=derive_keyring(b"not secret: a seed for tests only", "uid"))
    return move_job(TradingSystem.model_validate(declared), context, MoveJob(1, source, target, "a", "b"))


@pytest.mark.parametrize(("source", "target"), [("compact", "standard"), ("standard", "compact")])
async def test_the_api_server_takes_the_job_as_it_is_and_its_pod_where_only_restricted_ones_may_run(
    kube: Kube, source: Profile, target: Profile
) -> None:
    job = rendered(kube, source, target)
    await kube.label("namespace", kube.namespace, {"pod-security.kubernetes.io/enforce": "restricted"})
    (taken,) = await kube.apply(job, dry_run=True)
    assert list(lacking(job, taken)) == []
    template = job["spec"]["template"]
    spec = {**template["spec"], "serviceAccountName": "default"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "demo-move-1-x"}, "spec": spec}
    await kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    (taken,) = await kube.apply(pod, dry_run=True)
    assert list(lacking(spec["containers"], taken["spec"]["containers"])) == []
