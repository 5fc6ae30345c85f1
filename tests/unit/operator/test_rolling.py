"""A new release that does not come up: what a person reads meanwhile, and what runs afterwards."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from bellwether_operator.causes import made_by
from bellwether_operator.observe.kinds import Kind, Observed, observed_from
from bellwether_operator.observe.pods import Pod
from bellwether_operator.rolling import came_up
from harness.statuses import NOW
from unit.operator.test_passes import KEY, World

IMMEDIATE = {"policy": "Immediate"}
PULL = 'rpc error: code = NotFound desc = failed to pull and unpack image "localhost/services:0.1.O": not found'


class Release(World):
    """A system whose new release may not come up, on a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **spec: Any) -> None:
        self.time = NOW
        super().__init__(monkeypatch, **spec)
        monkeypatch.setattr(self.server, "delete", self.deleted)

    async def deleted(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Schedules are deleted and made again for another release."""
        self.server.cache.drop_child(self.server.objects.pop((kind.kind, name)), kind.kind)

    def now(self) -> datetime:
        return self.time

    async def later(self, **time: float) -> list[str]:
        self.time += timedelta(**time)
        return await self.run()

    def rolled_out(self, status: dict[str, Any] | None = None) -> None:
        """The controller has replaced the pod; the new one is not ready."""
        counts = {"replicas": 1, "readyReplicas": 0, "updatedReplicas": 1, "observedGeneration": 9}
        self.server.edit(
            "StatefulSet", "demo", status={**counts, "currentRevision": "demo-1", "updateRevision": "demo-2"}
        )
        self.server.version += 1
        owner = {"kind": "StatefulSet", "name": "demo", "uid": "uid of demo", "controller": True}
        metadata = {
            "name": "demo-0",
            "namespace": KEY.namespace,
            "uid": f"pod {self.server.version}",
            "resourceVersion": str(self.server.version),
            "labels": {"app.kubernetes.io/instance": KEY.name},
            "ownerReferences": [owner],
        }
        self.server.cache.pods.see_child({"metadata": metadata, "status": status or {}}, "Pod")

    def says(self, kind: str) -> tuple[str, str, str]:
        status = self.server.cache.systems[KEY]["status"]
        found = next(each for each in status["conditions"] if each["type"] == kind)
        return found["status"], found["reason"], found["message"]

    @property
    def release(self) -> str:
        return str(self.server.cache.systems[KEY]["status"]["release"])

    @property
    def image(self) -> str:
        pods = self.server.objects["StatefulSet", "demo"]["spec"]["template"]["spec"]
        return str(pods["containers"][0]["image"])


def no_such_image() -> dict[str, Any]:
    state = {"waiting": {"reason": "ErrImagePull", "message": PULL}}
    return {
        "containerStatuses": [{"name": "services", "image": "localhost/services:0.1.O", "ready": False, "state": state}]
    }


@pytest.fixture
async def release(monkeypatch: pytest.MonkeyPatch) -> Release:
    found = Release(monkeypatch, rollout=IMMEDIATE)
    await found.come_up()
    assert found.release == "1"
    return found


async def mistyped(release: Release, generation: int = 2, **spec: Any) -> None:
    release.server.declare(generation, **{"version": "0.1.O", "rollout": IMMEDIATE, **spec})
    await release.run()
    release.hear(generation)
    assert release.image == "localhost/services:0.1.O"


async def test_a_version_that_does_not_exist_is_named_at_once_and_is_not_what_runs(release: Release) -> None:
    await mistyped(release)
    release.rolled_out(no_such_image())
    await release.run()
    for kind, status in (("Stalled", "True"), ("Ready", "False")):
        assert release.says(kind)[:2] == (status, "ImageNotPulled")
        assert "image localhost/services:0.1.O cannot be pulled" in release.says(kind)[2]
        assert "not found" in release.says(kind)[2]
    assert release.release == "1"


async def test_what_ran_before_runs_again_and_the_failed_release_is_not_tried_twice(release: Release) -> None:
    await mistyped(release)
    release.rolled_out(no_such_image())
    assert "annotations of StatefulSet demo" not in await release.later(seconds=59)
    assert release.image == "localhost/services:0.1.O"
    await release.later(seconds=1)
    assert release.image == "localhost/services:1"
    assert release.says("Stalled")[:2] == ("True", "RolloutFailed")
    words = release.says("Ready")[2]
    assert "image: localhost/services:1 -> localhost/services:0.1.O" in words
    assert "not found" in words
    release.server.run_pods()
    await release.run()
    assert release.release == "1"
    assert [each for each in await release.later(hours=5) if "StatefulSet" in each] == []
    assert release.image == "localhost/services:1"
    assert release.says("Stalled")[1] == "RolloutFailed"


async def test_another_declaration_ends_it_and_the_same_release_may_then_be_tried_again(release: Release) -> None:
    await mistyped(release)
    release.rolled_out(no_such_image())
    await release.later(minutes=2)
    release.server.run_pods()
    release.server.declare(3, version="1", rollout=IMMEDIATE)
    release.hear(3)
    await release.run()
    await release.run()
    assert release.says("Stalled")[0] == "False"
    assert release.condition("Ready") == ("True", 3)
    await mistyped(release, 4)


async def test_it_goes_back_while_a_session_is_open_too(release: Release) -> None:
    await mistyped(release)
    release.rolled_out(no_such_image())
    release.server.declare(3, version="0.1.O")
    release.hear(3)
    await release.later(minutes=2)
    assert release.says("RolloutPending")[0] == "False"
    assert release.image == "localhost/services:1"


async def test_a_slow_start_has_ten_minutes(release: Release) -> None:
    await mistyped(release)
    release.rolled_out()
    await release.later(minutes=9)
    assert release.image == "localhost/services:0.1.O"
    assert release.says("Stalled")[0] == "False"
    await release.later(minutes=1)
    assert release.image == "localhost/services:1"
    assert "its pods were not ready within 10 minutes" in release.says("Stalled")[2]


async def test_a_release_that_was_up_once_is_not_taken_back_when_it_ends_later(release: Release) -> None:
    await mistyped(release)
    release.server.run_pods()
    await release.run()
    await release.run()
    assert release.release == "0.1.O"
    gone = {"replicas": 1, "readyReplicas": 0, "updatedReplicas": 1, "observedGeneration": 9}
    release.server.edit("StatefulSet", "demo", status={**gone, "currentRevision": "demo-2", "updateRevision": "demo-2"})
    await release.later(hours=1)
    assert release.image == "localhost/services:0.1.O"


async def test_the_first_release_of_a_system_has_nothing_to_go_back_to(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Release(monkeypatch, version="0.1.O", rollout=IMMEDIATE)
    await first.run()
    first.rolled_out(no_such_image())
    await first.later(hours=1)
    assert first.image == "localhost/services:0.1.O"
    assert first.says("Stalled")[1] == "ImageNotPulled"
    assert first.release == ""


async def test_a_storage_class_that_does_not_exist_is_reported_from_the_claims_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = Release(monkeypatch, storage={"className": "fast"})
    await first.run()
    first.server.edit("PersistentVolumeClaim", "data-demo-0", status={"phase": "Pending"})
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "lastTransitionTime": "2026-11-23T00:00:00Z",
        "message": "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
    }
    first.rolled_out({"conditions": [condition]})
    first.server.events = [
        {
            "reason": "ProvisioningFailed",
            "message": 'storageclass.storage.k8s.io "fast" not found',
            "involvedObject": {"uid": "uid of data-demo-0", "name": "data-demo-0"},
        }
    ]
    await first.run()
    assert first.says("Stalled")[1] == "Unschedulable"
    monkeypatch.setattr("bellwether_operator.causes.PATIENCE_SECONDS", 0.0)
    await first.run()
    assert first.says("Ready")[1:] == (
        "StorageClassMissing",
        "volume claim data-demo-0: there is no StorageClass fast (spec.storage.className)",
    )


async def test_a_quota_that_lets_no_pod_be_made_is_reported_from_events(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"replicas": 0, "readyReplicas": 0, "updatedReplicas": 0, "observedGeneration": 9}
    release.server.edit("StatefulSet", "demo", status=counts)
    message = (
        'create Pod demo-0 in StatefulSet demo failed error: pods "demo-0" is forbidden: exceeded quota: small, '
        "requested: requests.memory=320Mi, used: requests.memory=0, limited: requests.memory=64Mi"
    )
    release.server.events = [
        {"reason": "FailedCreate", "message": message, "involvedObject": {"uid": "uid of demo", "name": "demo"}}
    ]
    monkeypatch.setattr("bellwether_operator.causes.PATIENCE_SECONDS", 0.0)
    await release.run()
    assert release.says("Stalled")[1] == "QuotaExceeded"
    assert release.says("Ready")[2].startswith('pods "demo-0" is forbidden: exceeded quota: small')


def workload(kind: str, **status: Any) -> Observed:
    metadata = {
        "name": "demo-gateway",
        "namespace": KEY.namespace,
        "uid": "w1",
        "resourceVersion": "7",
        "generation": 3,
    }
    counts = {"observedGeneration": 3, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 0}
    return observed_from({"metadata": metadata, "spec": {"replicas": 1}, "status": {**counts, **status}}, kind)


@pytest.mark.parametrize(
    ("found", "up"),
    [
        (workload("StatefulSet"), False),
        (workload("StatefulSet", readyReplicas=1), True),
        (workload("StatefulSet", readyReplicas=1, observedGeneration=2), False),
        (workload("StatefulSet", currentRevision="a", updateRevision="b", readyReplicas=1), False),
        (workload("StatefulSet", currentRevision="b", updateRevision="b"), True),
        (workload("Deployment", replicas=2, readyReplicas=1), False),
        (workload("Deployment"), True),
        (workload("Deployment", replicas=0, updatedReplicas=0), False),
    ],
    ids=[
        "no pod is ready",
        "its pod is ready",
        "its pod was ready before the newest template",
        "the ready pod is of the template before",
        "its pod was ready and is not any more",
        "a Deployment keeps its pod until the new one is ready",
        "a Deployment has no pod of the template before",
        "a Deployment without pods",
    ],
)
def test_whether_the_newest_template_came_up(found: Observed, up: bool) -> None:
    assert came_up(found) is up


@pytest.mark.parametrize(
    ("kind", "controller", "its"),
    [
        ("StatefulSet", ("StatefulSet", "demo-gateway", "w1"), True),
        ("StatefulSet", ("StatefulSet", "demo-gateway", "w0"), False),
        ("Deployment", ("ReplicaSet", "demo-gateway-5c9d", "r1"), True),
        ("Deployment", ("ReplicaSet", "demo-5c9d", "r1"), False),
    ],
    ids=["its own", "of a workload that is gone", "of a Deployment", "of another Deployment"],
)
def test_whose_pod_it_is(kind: str, controller: tuple[str, str, str], its: bool) -> None:
    pod = Pod(KEY.namespace, "demo-gateway-0", "p1", 1, KEY, controller, deleting=False, status={})
    assert made_by(pod, workload(kind)) is its
