"""The Indexed Job of an order of models: one index a target, and no right beyond uploading candidates."""

from __future__ import annotations

from typing import Any

import pytest

from bellwether.models.job_client import FUTILE as ENDS_WITH
from bellwether.render.kubernetes import RenderContext
from bellwether.render.kubernetes.networkpolicies import network_policies
from bellwether.render.kubernetes.training_jobs import FUTILE, training_job

from .conftest import UID, build

ORDER = "ab" * 32
TARGETS = [None, "AAPL", "CBA.AX"]


def spec_of(context: RenderContext, **job: Any) -> Any:
    return training_job(build(training={"job": job}), context, ORDER, TARGETS)["spec"]


def test_it_bears_the_orders_id_names_its_targets_and_belongs_to_the_system(context: RenderContext) -> None:
    job = training_job(build(training={"job": {}}), context, ORDER, TARGETS)
    assert job["metadata"]["name"] == "demo-training-abababababab"
    assert job["metadata"]["ownerReferences"][0]["uid"] == UID
    assert job["metadata"]["annotations"] == {"bellwether.dev/targets": "0 all symbols, 1 AAPL, 2 CBA.AX"}
    assert job == training_job(build(training={"job": {}}), context, ORDER, TARGETS)


def test_each_target_has_an_index_that_is_tried_again_by_itself(context: RenderContext) -> None:
    spec = spec_of(context, parallelism=8, retriesPerIndex=1, deadline="90m")
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (1, 3)
    assert spec["activeDeadlineSeconds"] == 5400
    assert spec["podFailurePolicy"]["rules"][1]["onExitCodes"]["values"] == [FUTILE] == [ENDS_WITH]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_its_pod_has_limits_one_key_and_no_volume_of_the_system(context: RenderContext) -> None:
    pod = spec_of(context, memoryMebibytes=1024, cpuMillis=250)["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"][-1] == "train-target"
    assert container["resources"] == {
        "limits": {"memory": "1Gi"},
        "requests": {"cpu": "250m", "memory": "1Gi"},
    }
    keys, scratch = pod["volumes"]
    (source,) = keys["projected"]["sources"]
    assert source["secret"]["items"] == [{"key": "training-job.nk", "path": "training-job.nk"}]
    assert scratch == {"name": "tmp", "emptyDir": {}}
    assert not pod["automountServiceAccountToken"]


def test_without_the_declaration_there_is_neither_a_job_nor_a_way_to_nats(context: RenderContext) -> None:
    with pytest.raises(ValueError, match=r"spec\.training\.job is not declared"):
        training_job(build(), context, ORDER, TARGETS)
    assert "demo-training-job" not in {one["metadata"]["name"] for one in network_policies(build())}
    policies = {one["metadata"]["name"]: one for one in network_policies(build(training={"job": {}}))}
    assert [edge["ports"][0]["port"] for edge in policies["demo-training-job"]["spec"]["egress"]] == [4222, 53]
