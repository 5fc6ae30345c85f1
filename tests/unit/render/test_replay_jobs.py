"""What a TradingReplay consists of: a frozen plan, a closed pod with one key, and an index for each variant."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from bellwether.local.replay_variant import Plan
from bellwether.render.kubernetes import RenderContext
from bellwether.render.kubernetes.replay_jobs import (
    LABEL_REPLAY,
    Owner,
    replay_job,
    replay_plan,
    replay_policy,
)
from bellwether.render.kubernetes.training_jobs import FUTILE
from bellwether.render.nats import role_permissions
from bellwether.spec.replaying import all_variants
from bellwether.spec.trading_replay import TradingReplaySpec

from .conftest import build

OWNER = Owner("sizes", "uid-7", "trading", {"kind": "TradingReplay", "name": "sizes", "uid": "uid-7"})
AT = datetime(2026, 11, 27, 22, tzinfo=UTC)
DECLARATION: dict[str, Any] = {"metadata": {"name": "demo"}, "spec": {"data": {"provider": "csv"}}}


def declared(**spec: Any) -> TradingReplaySpec:
    vary = [{"path": "trading.sizing.value", "values": ["0.05", "0.2"]}]
    return TradingReplaySpec.model_validate({"system": "demo", "from": "2009-01-02", "vary": vary, **spec})


def job_of(context: RenderContext, **spec: Any) -> Any:
    found = declared(**spec)
    return replay_job(OWNER, build(), context, found, all_variants(found))


def test_each_variant_has_an_index_that_stops_no_other(context: RenderContext) -> None:
    job = job_of(context, ttl="1h", job={"parallelism": 9, "retriesPerIndex": 1, "deadline": "90m"})
    spec = job["spec"]
    assert job["metadata"]["name"] == "sizes-replay"
    assert job["metadata"]["ownerReferences"] == [OWNER.reference]
    reported = "0 as declared, 1 trading.sizing.value=0.05, 2 trading.sizing.value=0.2"
    assert job["metadata"]["annotations"] == {"bellwether.dev/variants": reported}
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (1, 3)
    assert (spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (5400, 3600)
    assert spec["podFailurePolicy"]["rules"][1]["onExitCodes"]["values"] == [FUTILE]


def test_its_pod_has_limits_one_key_no_token_and_the_plan_to_read(context: RenderContext) -> None:
    template = job_of(context, job={"memoryMebibytes": 2048, "cpuMillis": 500})["spec"]["template"]
    pod = template["spec"]
    (container,) = pod["containers"]
    assert container["command"][2:4] == ["bellwether", "replay-variant"]
    assert container["resources"] == {
        "limits": {"cpu": "500m", "memory": "2Gi"},
        "requests": {"cpu": "50m", "memory": "2Gi"},
    }
    keys, plan, scratch = pod["volumes"]
    (source,) = keys["projected"]["sources"]
    assert source["secret"]["items"] == [{"key": "replay-job.nk", "path": "replay-job.nk"}]
    assert plan["configMap"]["name"] == "sizes-replay"
    assert set(scratch["emptyDir"]) == {"sizeLimit"}
    assert not pod["automountServiceAccountToken"]
    assert "serviceAccountName" not in pod
    # NATS lets it in by the system's label; what watches the system's pods passes it over.
    assert template["metadata"]["labels"] == {
        "app.kubernetes.io/component": "replay-job",
        "app.kubernetes.io/instance": "demo",
        LABEL_REPLAY: "uid-7",
    }


def test_nobody_reaches_it_and_it_reaches_nats_and_names_alone() -> None:
    spec = replay_policy(OWNER, build())["spec"]
    assert spec["podSelector"] == {"matchLabels": {LABEL_REPLAY: "uid-7"}}
    assert "ingress" not in spec
    nats, names = spec["egress"]
    assert [port["port"] for port in nats["ports"]] == [4222]
    assert nats["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "demo"
    assert {port["port"] for port in names["ports"]} == {53}


def test_its_key_reads_bars_and_hands_in_a_report_and_nothing_else() -> None:
    assert role_permissions()["replay-job"] == (
        (
            "bw.rpc.market-data.get_bars",
            "bw.rpc.market-data.get_corporate_actions",
            "bw.rpc.market-data.get_coverage",
            "bw.rpc.scheduler.put_replay_report",
        ),
        ("_INBOX_replay-job.>",),
    )


def test_the_plan_is_what_the_program_reads_and_cannot_be_edited() -> None:
    found = declared(to="2009-12-31")
    plan = replay_plan(OWNER, found, DECLARATION, all_variants(found), AT)
    read = msgspec.json.decode(plan["data"]["plan.json"], type=Plan)
    assert plan["immutable"]
    assert (read.bars, read.first, read.to, read.as_of) == ("system", "2009-01-02", "2009-12-31", AT)
    assert [len(read.variant(index)) for index in range(3)] == [0, 1, 1]
    assert json.loads(plan["data"]["plan.json"])["declaration"] == DECLARATION


def test_a_declaration_without_room_is_refused_with_figures() -> None:
    large = {**DECLARATION, "spec": {"notes": "x" * 1_000_000}}
    with pytest.raises(ValueError, match="at most 900000 fit"):
        replay_plan(OWNER, declared(), large, [()], AT)
