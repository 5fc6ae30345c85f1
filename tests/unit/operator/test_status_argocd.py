"""The health script for Argo CD, run by real Lua of the version that Argo CD has, on statuses made by the fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lupa.lua51 import LuaRuntime

from bellwether_operator.report.observation import Observation, Workload
from harness.statuses import CLOSE, READY, SCENES, Scene, seen, view

SCRIPT = (Path(__file__).parents[3] / "manifests" / "argocd" / "health.lua").read_text()


def health(resource: dict[str, Any]) -> tuple[str, str]:
    lua = LuaRuntime()
    lua.globals().obj = lua.table_from(resource, recursive=True)
    found = lua.execute(SCRIPT)
    return found.status, found.message


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_argocd_shows_the_health_of_each_state(scene: Scene) -> None:
    found, message = health(scene.resource())
    assert found == scene.health
    assert message in {each["message"] for each in scene.status()["conditions"]} or message.startswith("not safe to")


def test_a_resource_that_was_only_just_made_or_edited_is_on_its_way() -> None:
    bare = {"metadata": {"name": "demo", "generation": 1}}
    assert health(bare) == ("Progressing", "the operator has not yet looked at this generation")
    edited = READY.resource()
    edited["metadata"]["generation"] += 1
    assert health(edited)[0] == "Progressing"


def test_a_healthy_system_that_may_not_trade_says_why() -> None:
    found, message = health(SCENES["halted"].resource())
    assert found == "Healthy"
    assert message.startswith("not safe to trade: Orders are stopped by a halt: by hand.")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (seen(paused_until=CLOSE), "Suspended"),
        (seen(paused_until=CLOSE, pending=("StatefulSet demo",)), "Suspended"),
        (seen(paused_until=CLOSE, workloads=(Workload("system", 1, ready=False),)), "Degraded"),
        (seen(paused_until=CLOSE, view=view(ready={"prediction": False})), "Degraded"),
        (seen(paused_until=CLOSE, view=None), "Degraded"),
    ],
    ids=["well", "with changes that wait", "a pod crash-loops", "a service is not well", "the gateway is silent"],
)
def test_a_pause_does_not_hide_that_a_system_is_ill(found: Observation, expected: str) -> None:
    resource = Scene({}, found, before=READY).resource()
    conditions = {each["type"]: each for each in resource["status"]["conditions"]}
    assert conditions["Reconciling"]["reason"] == "Paused"
    reported = conditions["Ready" if expected == "Degraded" else "Reconciling"]["message"]
    assert health(resource) == (expected, reported)


def test_a_rollout_that_waits_for_the_close_does_not_hide_that_a_system_is_ill() -> None:
    resource = SCENES["held until the close"].resource()
    for each in resource["status"]["conditions"]:
        if each["type"] == "Ready":
            each |= {"status": "False", "reason": "WaitingForPods", "message": "demo-0 is not ready"}
    assert health(resource) == ("Degraded", "demo-0 is not ready")
