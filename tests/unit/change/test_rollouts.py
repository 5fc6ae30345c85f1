"""What is noted of a rollout on its workload, and when and to what it is taken back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bellwether.change.rollouts import (
    DEFECT_DEADLINE,
    failed_annotations,
    failure_in,
    gone_back,
    overdue,
    started_annotations,
)
from bellwether.render.kubernetes.context import (
    ANNOTATION_BEGAN,
    ANNOTATION_FAILED,
    ANNOTATION_LAST_GOOD,
    ANNOTATION_TEMPLATE,
)
from bellwether.render.kubernetes.workloads import packed

NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)
BEGAN = "2026-11-23T01:00:00Z"
TEN_MINUTES = timedelta(minutes=10)
UP = {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1}


def template(image: str) -> dict[str, Any]:
    return {"metadata": {"labels": {}}, "spec": {"containers": [{"name": "services", "image": image}]}}


def workload(image: str, status: dict[str, Any] | None = None, **annotations: str) -> dict[str, Any]:
    metadata = {
        "name": "demo",
        "generation": 1,
        "annotations": {ANNOTATION_TEMPLATE: packed(template(image)), **annotations},
    }
    found = {"kind": "StatefulSet", "metadata": metadata, "spec": {"replicas": 1, "template": template(image)}}
    return found if status is None else {**found, "status": status}


def good(image: str) -> dict[str, str]:
    return {ANNOTATION_LAST_GOOD: packed(template(image))}


def test_what_runs_is_what_is_gone_back_to() -> None:
    found = started_annotations(workload("v1", UP), workload("v2"), NOW)
    assert found == {ANNOTATION_BEGAN: BEGAN, ANNOTATION_FAILED: None, **good("v1")}


def test_the_same_template_is_no_rollout() -> None:
    assert started_annotations(workload("v1", UP), workload("v1"), NOW) is None


@pytest.mark.parametrize(
    "status",
    [
        {**UP, "readyReplicas": 0},
        {**UP, "currentRevision": "demo-1", "updateRevision": "demo-2"},
        {**UP, "replicas": 2},
        {**UP, "observedGeneration": 0},
    ],
    ids=["no pod is ready", "of the template before", "the pod of a Deployment that is kept meanwhile", "old counts"],
)
def test_a_template_that_never_came_up_is_not_gone_back_to(status: dict[str, Any]) -> None:
    found = started_annotations(workload("v2", status, **good("v1")), workload("v3"), NOW)
    assert found == {ANNOTATION_BEGAN: BEGAN, ANNOTATION_FAILED: None}


def test_without_anything_to_go_back_to_there_is_no_deadline() -> None:
    found = started_annotations(workload("v2", {**UP, "readyReplicas": 0}), workload("v3"), NOW)
    assert found == {ANNOTATION_BEGAN: None, ANNOTATION_FAILED: None}


def test_a_fault_that_does_not_go_by_itself_is_not_waited_for_as_long_as_a_slow_start() -> None:
    assert overdue(BEGAN, NOW + timedelta(seconds=59), TEN_MINUTES, defect=True) == timedelta(seconds=1)
    assert overdue(BEGAN, NOW + DEFECT_DEADLINE, TEN_MINUTES, defect=True) is None
    assert overdue(BEGAN, NOW + DEFECT_DEADLINE, TEN_MINUTES, defect=False) == timedelta(minutes=9)
    assert overdue(BEGAN, NOW + TEN_MINUTES, TEN_MINUTES, defect=False) is None
    assert overdue("soon", NOW, TEN_MINUTES, defect=False) == TEN_MINUTES


def failed(image: str, before: str) -> dict[str, Any]:
    written = {name: text for name, text in failed_annotations(workload(image), "no such image").items() if text}
    return workload(image, {**UP, "readyReplicas": 0}, **good(before), **written)


def test_a_failed_template_is_replaced_by_the_one_that_ran_before() -> None:
    held = gone_back(workload("v2"), failed("v2", "v1"))
    assert held is not None
    assert held.manifest == workload("v1")
    assert held.words == ["image: v1 -> v2"]
    failure = failure_in(failed("v2", "v1")["metadata"]["annotations"])
    assert failure is not None
    assert failure.why == "no such image"


def test_another_template_than_the_failed_one_is_tried() -> None:
    assert gone_back(workload("v3"), failed("v2", "v1")) is None
    assert gone_back(workload("v2"), workload("v1", UP)) is None
    assert gone_back(workload("v2"), None) is None


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", json.dumps({"template": "x"})])
def test_what_somebody_else_wrote_is_no_failure(text: str) -> None:
    assert failure_in({ANNOTATION_FAILED: text}) is None
