"""From what a cluster said of pods that do not run (recorded on a node of the tests) to what a person reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bellwether_operator.observe.pods import pod_from
from bellwether_operator.report.pods import cause_of_events, cause_of_pod, last_words, waits_for_volume

RECORDED = json.loads((Path(__file__).parents[2] / "fixtures" / "pods.json").read_text())
MINUTE_LATER = datetime(2026, 11, 29, 20, 15, tzinfo=UTC)
PULL = (
    "image localhost/bellwether/services:0.1.O cannot be pulled: failed to pull and unpack image "
    '"localhost/bellwether/services:0.1.O": failed to resolve reference "localhost/bellwether/services:0.1.O": '
    'failed to do request: Head "http://localhost/v2/bellwether/services/manifests/0.1.O": dial tcp '
    "127.0.0.1:80: connect: connection refused"
)
ENDS = "pod {}, container services ends again and again, exit code {}: "
PODS = {
    "an image that does not exist": ("ImageNotPulled", PULL),
    "an image that does not exist, between two tries": ("ImageNotPulled", PULL),
    "a container that ends again and again": (
        "CrashLoopBackOff",
        ENDS.format("crash-0", 3) + "cannot open /data/ledger.db",
    ),
    "a container that throws": (
        "CrashLoopBackOff",
        ENDS.format("trace-0", 1) + "ModuleNotFoundError: No module named 'nothing_of_this_name'",
    ),
    "a container that has just ended again": (
        "CrashLoopBackOff",
        ENDS.format("crash-0", 3) + "cannot open /data/ledger.db",
    ),
    "a container that needs more memory than it has": (
        "OOMKilled",
        "pod oom-0, container services was killed: it needs more than its memory limit",
    ),
    "a Secret that is not there": (
        "ContainerNotStarted",
        'pod config-0, container services cannot be started: secret "not-there" not found',
    ),
    "a pod that is larger than any node": (
        "Unschedulable",
        "pod big-0 finds no node: 0/1 nodes are available: 1 Insufficient memory",
    ),
    "a pod whose volume has a class that does not exist": (
        "Unschedulable",
        "pod class-0 finds no node: 0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. "
        "not found",
    ),
}
EVENTS = {
    "a quota that is used up": (
        "QuotaExceeded",
        'pods "quota-0" is forbidden: exceeded quota: small, requested: requests.memory=320Mi, used: '
        "requests.memory=0, limited: requests.memory=64Mi",
    ),
    "a quota that asks for a request": (
        "QuotaExceeded",
        'pods "unsaid-0" is forbidden: failed quota: small: must specify requests.memory for: services',
    ),
    "a priority class that does not exist": (
        "PodRefused",
        'pods "prio-0" is forbidden: no PriorityClass with name nobody was found',
    ),
    "a storage class that does not exist": (
        "StorageClassMissing",
        "volume claim data-class-0: there is no StorageClass fast (spec.storage.className)",
    ),
}


def kept(name: str, status: dict[str, Any]) -> dict[str, Any]:
    """Return of a pod's status what the operator keeps."""
    owner = {"kind": "StatefulSet", "name": "demo", "uid": "s1", "controller": True}
    metadata = {"name": name, "namespace": "trading", "uid": "p1", "resourceVersion": "1", "ownerReferences": [owner]}
    pod = pod_from({"metadata": {**metadata, "labels": {"app.kubernetes.io/instance": "demo"}}, "status": status})
    assert pod is not None
    return dict(pod.status)


@pytest.mark.parametrize("case", PODS)
def test_why_a_pod_does_not_run(case: str) -> None:
    pod, status = RECORDED["pods"][case].values()
    assert cause_of_pod(pod, status, MINUTE_LATER) == PODS[case]
    assert cause_of_pod(pod, kept(pod, status), MINUTE_LATER) == PODS[case], "of what is kept of it"


@pytest.mark.parametrize("case", EVENTS)
def test_why_a_pod_or_a_volume_was_not_made(case: str) -> None:
    others = [{"reason": "Scheduled", "message": "all well", "lastTimestamp": "2026-11-29T23:00:00Z"}]
    assert cause_of_events([*others, RECORDED["events"][case]]) == EVENTS[case]


def test_a_namespace_that_forbids_such_pods_is_quoted() -> None:
    found = cause_of_events([RECORDED["events"]["a namespace that forbids such pods"]])
    assert found is not None
    assert found.reason == "PodRefused"
    assert found.words.startswith('pods "crash-0" is forbidden: violates PodSecurity "restricted:latest"')


def test_the_newest_event_counts() -> None:
    older = {**RECORDED["events"]["a quota that is used up"], "lastTimestamp": "2026-11-29T19:00:00Z"}
    newer = RECORDED["events"]["a storage class that does not exist"]
    found = cause_of_events([older, newer])
    assert found is not None
    assert found.reason == "StorageClassMissing"
    assert cause_of_events([]) is None


def test_a_pod_may_look_for_a_node_for_a_while() -> None:
    pod, status = RECORDED["pods"]["a pod that is larger than any node"].values()
    since = datetime.fromisoformat(status["conditions"][0]["lastTransitionTime"])
    assert cause_of_pod(pod, status, since + timedelta(seconds=19)) is None
    assert cause_of_pod(pod, status, since + timedelta(seconds=20)) is not None


def test_where_a_pod_waits_for_its_volume_the_claim_says_why() -> None:
    said = RECORDED["pods"].items()
    waits = {case: cause_of_pod(each["pod"], each["status"], MINUTE_LATER) for case, each in said}
    found = [case for case, cause in waits.items() if cause is not None and waits_for_volume(cause)]
    assert found == ["a pod whose volume has a class that does not exist"]


def container(restarts: int = 0, **state: Any) -> dict[str, Any]:
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "no"}}
    found = {"name": "services", "image": "i", "ready": False, "restartCount": restarts, "state": state}
    return {"containerStatuses": [{**found, "lastState": ended if restarts else {}}]}


@pytest.mark.parametrize(
    "status",
    [
        {},
        container(waiting={"reason": "ContainerCreating"}),
        container(running={"startedAt": "2026-11-29T20:14:59Z"}),
        container(1, running={"startedAt": "2026-11-29T20:14:59Z"}),
        container(5, running={"startedAt": "2026-11-29T19:00:00Z"}),
    ],
    ids=["just made", "being made", "starting", "ended once", "has run for an hour since it ended"],
)
def test_a_pod_that_may_still_come_up_is_no_cause(status: dict[str, Any]) -> None:
    assert cause_of_pod("demo-0", status, MINUTE_LATER) is None


def test_a_container_that_starts_once_more_is_still_one_that_ends_again_and_again() -> None:
    found = cause_of_pod("demo-0", container(5, running={"startedAt": "2026-11-29T20:14:59Z"}), MINUTE_LATER)
    assert found is not None
    assert found.reason == "CrashLoopBackOff"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("starting\n\n", "starting"),
        ('{"msg": "a"}\n{"msg": "b", "exception": "Traceback\\n  File\\nValueError: x"}', "b: ValueError: x"),
        ("[1, 2]", "[1, 2]"),
    ],
)
def test_a_logs_last_words(text: str, words: str) -> None:
    assert last_words(text) == words
