"""Which pods are kept, and what of them."""

from __future__ import annotations

from typing import Any

from bellwether_operator.observe.cache import Cache
from bellwether_operator.observe.kinds import SystemKey

DEMO = SystemKey("trading", "demo")
RUNNING = {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"name": "services"}]}


def pod(version: int, status: dict[str, Any] | None = None, maker: str = "StatefulSet") -> dict[str, Any]:
    return {
        "metadata": {
            "name": "demo-0",
            "namespace": "trading",
            "uid": "p1",
            "resourceVersion": str(version),
            "labels": {"app.kubernetes.io/instance": "demo"},
            "ownerReferences": [{"kind": maker, "name": "demo", "uid": "s1", "controller": True}],
        },
        "status": status or {},
    }


def waiting(reason: str, restarts: int = 0) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": "m"}}
    container = {"name": "services", "image": "i", "ready": False, "restartCount": restarts, "state": state}
    return {"containerStatuses": [container], "startTime": f"at try {restarts}"}


def test_a_pod_is_news_when_something_that_is_judged_changed() -> None:
    pods = Cache().pods
    assert pods.see_child(pod(1), "Pod") == DEMO
    assert pods.see_child(pod(2, waiting("ErrImagePull")), "Pod") == DEMO
    assert pods.see_child(pod(3, waiting("ErrImagePull")), "Pod") is None
    assert pods.see_child(pod(2, waiting("ImagePullBackOff")), "Pod") is None  # older than what is known
    assert pods.see_child(pod(4, waiting("CrashLoopBackOff", 7)), "Pod") == DEMO
    assert pods.see_child(pod(5, waiting("CrashLoopBackOff", 8)), "Pod") is None
    assert pods.see_child(pod(6, RUNNING), "Pod") == DEMO
    (kept,) = pods.of(DEMO)
    assert kept.status == {}


def test_what_no_workload_made_is_not_kept() -> None:
    pods = Cache().pods
    assert pods.see_child(pod(1, maker="Job"), "Pod") is None
    bare = pod(1)
    del bare["metadata"]["ownerReferences"]
    assert pods.see_child(bare, "Pod") is None
    assert len(pods) == 0


def test_a_long_log_is_kept_from_its_end() -> None:
    pods = Cache().pods
    ended = {"exitCode": 1, "message": "x" * 50_000 + "the end"}
    container = {"name": "services", "ready": False, "lastState": {"terminated": ended}}
    pods.see_child(pod(1, {"containerStatuses": [container]}), "Pod")
    (kept,) = pods.of(DEMO)
    message = kept.status["containerStatuses"][0]["lastState"]["terminated"]["message"]
    assert len(message) < 5_000
    assert message.endswith("the end")


def test_a_deleted_pod_is_forgotten_and_does_not_come_back_from_an_old_list() -> None:
    pods = Cache().pods
    pods.see_child(pod(1), "Pod")
    assert pods.drop_child(pod(2), "Pod") == DEMO
    listing = pods.list_children("Pod", "trading")
    listing.take(pod(1))
    listing.end(1)
    assert pods.of(DEMO) == []


def test_a_list_without_a_pod_forgets_it_and_says_whose_it_was() -> None:
    pods = Cache().pods
    pods.see_child(pod(1), "Pod")
    other = pods.list_children("Pod", "elsewhere")
    other.end(9)
    assert len(pods.of(DEMO)) == 1
    listing = pods.list_children("Pod", None)
    listing.end(9)
    assert listing.news == {DEMO}
    assert pods.of(DEMO) == []
