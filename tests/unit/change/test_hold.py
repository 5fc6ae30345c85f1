from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bellwether.change.hold import (
    hold,
    holding_now,
    referenced_config_maps,
    released_image,
    running_image,
    schedules,
)
from bellwether.render.kubernetes import Manifest, RenderContext, derive_keyring, render
from bellwether.render.kubernetes.context import CLOSED, period_of
from bellwether.render.kubernetes.workloads import of_kind
from bellwether.spec.models import TradingSystem, TradingSystemSpec

UID = "0d9b5a52-8a0c-4f0e-9d53-6d3f1f6a2b11"
IMAGE = "registry.example/services:1"
IN_SESSION = datetime(2026, 11, 23, 1, tzinfo=UTC)  # noon in Sydney
AFTER_IT = datetime(2026, 11, 23, 7, tzinfo=UTC)


@pytest.fixture(scope="module")
def context() -> RenderContext:
    return RenderContext(image=IMAGE, keyring=derive_keyring(b"not secret: a seed for tests only", UID))


def build(**spec: Any) -> TradingSystem:
    metadata = {"name": "demo", "namespace": "trading", "uid": UID, "generation": 3}
    return TradingSystem.model_validate({"metadata": metadata, "spec": {"symbols": ["CBA.AX"], **spec}})


def workload(context: RenderContext, name: str = "demo", **spec: Any) -> Manifest:
    kinds = {"StatefulSet", "Deployment"}
    return next(
        each for each in render(build(**spec), context) if each["kind"] in kinds and each["metadata"]["name"] == name
    )


def as_stored(manifest: Manifest, ready: int = 1) -> dict[str, Any]:
    """Return the object as the API server has it after an apply, with what it and its controller fill in."""
    stored = copy.deepcopy(manifest)
    stored["metadata"] |= {"uid": "child", "resourceVersion": "7"}
    stored["spec"]["template"]["spec"] |= {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always"}
    stored["status"] = {"replicas": 1, "readyReplicas": ready} if ready else {"replicas": 1}
    return stored


def test_in_a_session_a_new_template_waits_and_the_rest_does_not(context: RenderContext) -> None:
    before = workload(context)
    after = workload(replace(context, image="registry.example/services:2"))
    after["spec"]["replicas"] = 0
    found = hold(after, as_stored(before), holding=True)
    assert found.manifest["spec"]["template"] == before["spec"]["template"]
    assert found.manifest["metadata"] == before["metadata"]
    assert found.manifest["spec"]["replicas"] == 0
    assert "image: registry.example/services:1 -> registry.example/services:2" in found.words
    paths = {each.path for each in found.waiting}
    assert "spec.template.spec.containers[services].image" in paths
    assert "spec.template.spec.initContainers[nats].image" in paths


def test_a_held_workload_is_the_very_one_that_is_there_so_nothing_is_written(context: RenderContext) -> None:
    before, after = workload(context), workload(context, services={"ml-model": {"memory": "1024Mi"}})
    assert before != after
    assert hold(after, as_stored(before), holding=True).manifest == before


def test_what_waits_is_released_at_the_close(context: RenderContext) -> None:
    before, after = workload(context), workload(context, version="2")
    found = hold(after, as_stored(before), holding=False)
    assert (found.manifest, found.words) == (after, [])


def test_taking_a_change_back_leaves_nothing_waiting(context: RenderContext) -> None:
    before = workload(context)
    assert hold(before, as_stored(before), holding=True).waiting == ()


def test_what_somebody_did_to_the_template_is_undone_also_while_it_is_held(context: RenderContext) -> None:
    before, after = workload(context), workload(context, version="2")
    stored = as_stored(before)
    stored["spec"]["template"]["spec"]["containers"][0]["image"] = "evil:1"
    found = hold(after, stored, holding=True).manifest
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE


def unmarked(stored: dict[str, Any]) -> dict[str, Any]:
    del stored["metadata"]["annotations"]
    return stored


def garbled(stored: dict[str, Any]) -> dict[str, Any]:
    stored["metadata"]["annotations"]["bellwether.dev/template"] = "garbled"
    return stored


def test_there_has_to_be_something_to_protect_that_can_be_named(context: RenderContext) -> None:
    before, after = workload(context), workload(context, version="2")
    observed = {
        "not there": None,
        "no pod is ready": as_stored(before, ready=0),
        "its controller has not seen it": {**as_stored(before), "status": None},
        "made by an older operator": unmarked(as_stored(before)),
        "garbled": garbled(as_stored(before)),
    }
    found = {why: hold(after, each, holding=True) for why, each in observed.items()}
    assert all((each.manifest, each.waiting) == (after, ()) for each in found.values()), found


def test_a_workload_that_a_former_release_made_of_another_kind_stays_so_until_the_close(context: RenderContext) -> None:
    after = workload(context, "demo-gateway", profile="standard")
    before = of_kind("StatefulSet", workload(context, "demo-gateway", profile="standard", version="2"))
    found = hold(after, as_stored(before), holding=True)
    assert found.manifest == before
    assert found.words[0] == "kind: StatefulSet -> Deployment"
    assert hold(found.manifest, as_stored(before), holding=True).waiting == ()
    same_pods = of_kind("StatefulSet", after)
    assert hold(after, as_stored(same_pods), holding=True).words == ["kind: StatefulSet -> Deployment"]
    for released in (hold(after, as_stored(before), holding=False), hold(after, as_stored(before, 0), holding=True)):
        assert (released.manifest, released.waiting) == (after, ())


def test_nothing_that_was_given_is_changed(context: RenderContext) -> None:
    before, after = workload(context), workload(context, version="2")
    stored, wanted = as_stored(before), copy.deepcopy(after)
    kept = copy.deepcopy(stored)
    hold(after, stored, holding=True)
    assert (after, stored) == (wanted, kept)


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        ({"podTemplate": {"nodeSelector": {"disk": "fast"}}}, 'nodeSelector: added {"disk": "fast"}'),
        ({"podTemplate": {"annotations": {"team": "quants"}}}, "metadata.annotations.team: added quants"),
        (
            {"services": {"nats": {"memory": "512Mi"}}},
            "nats resources.limits.memory: 256Mi -> 512Mi",
        ),
        (
            {"data": {"provider": "csv", "csv": {"directory": "asx"}}},
            "spec.data: changed, and it is read at the start only",
        ),
    ],
    ids=["block", "annotation", "one container", "start value"],
)
def test_each_change_is_said_in_words(context: RenderContext, edit: dict[str, Any], line: str) -> None:
    found = hold(workload(context, **edit), as_stored(workload(context)), holding=True)
    assert line in found.words
    back = hold(workload(context), as_stored(workload(context, **edit)), holding=True)
    assert len(back.words) == len(found.words)


def test_a_pod_of_one_container_does_not_name_it_and_long_values_are_cut(context: RenderContext) -> None:
    name, profile = "demo-prediction", {"profile": "standard"}
    before = workload(context, name, **profile)
    after = workload(context, name, **profile, version="v" * 128)
    lines = hold(after, as_stored(before), holding=True).words
    assert lines[0].startswith("image: registry.example/services:1 -> registry.example/services:vvv")
    assert all(len(line) < 250 for line in lines)
    removed = hold(
        before, as_stored(workload(context, name, **profile, podTemplate={"priorityClassName": "high"})), holding=True
    )
    assert removed.words == ["priorityClassName: removed high"]


def test_the_released_image_is_known_while_another_one_waits(context: RenderContext) -> None:
    stored = as_stored(workload(context))
    assert released_image(stored) == IMAGE
    assert released_image(garbled(stored)) is None
    assert released_image(unmarked(stored)) is None


def test_a_held_template_still_mounts_its_own_config_maps(context: RenderContext) -> None:
    before = workload(context)
    after = workload(context, storage={"size": "200Mi"})  # NATS may keep less, so its ConfigMap has another name
    held = hold(after, as_stored(before), holding=True).manifest["spec"]["template"]
    old, new = referenced_config_maps(before["spec"]["template"]), referenced_config_maps(after["spec"]["template"])
    assert referenced_config_maps(held) == old
    assert len(old) == 2
    assert old & new == {"demo-declaration"}
    sources = [{"configMap": {"name": "roots"}}, {"secret": {"name": "keys"}}]
    projected = {"spec": {"volumes": [{"name": "all", "projected": {"sources": sources}}]}}
    assert referenced_config_maps(projected) == {"roots"}
    assert referenced_config_maps({"spec": {}}) == set()


@pytest.mark.parametrize(
    ("spec", "now", "holding"),
    [
        ({}, IN_SESSION, True),
        ({}, AFTER_IT, False),
        ({"rollout": {"policy": "Immediate"}}, IN_SESSION, False),
        ({"market": {"overrides": [{"date": "2026-11-23", "closed": True}]}}, IN_SESSION, False),
        ({"rollout": {"protectSession": False}}, IN_SESSION, True),
    ],
    ids=["session", "closed", "immediate", "holiday", "only evictions are allowed"],
)
def test_changes_wait_in_a_session_unless_declared_otherwise(
    spec: dict[str, Any], now: datetime, holding: bool
) -> None:
    declared = TradingSystemSpec.model_validate({"symbols": ["CBA.AX"], **spec})
    assert holding_now(declared, period_of(declared, now)) is holding


def test_in_a_replay_nothing_waits() -> None:
    clock = {"clock": {"mode": "replay", "from": "2009-01-02"}, "data": {"provider": "replay"}}
    declared = TradingSystemSpec.model_validate({"symbols": ["AAPL"], **clock})
    live = TradingSystemSpec.model_validate({"symbols": ["CBA.AX"]})
    assert period_of(declared, IN_SESSION) == CLOSED
    assert not holding_now(declared, period_of(live, IN_SESSION))


def test_the_release_of_schedules_is_the_one_of_the_schedulers_pods(context: RenderContext) -> None:
    newer = replace(context, image="registry.example/services:2")
    scheduler = workload(context, "demo-scheduler", profile="standard")
    gateway = workload(newer, "demo-gateway", profile="standard")
    assert running_image([gateway, as_stored(scheduler, ready=0)]) == IMAGE
    assert running_image([as_stored(workload(newer))]) == newer.image
    assert running_image([gateway]) is None
    unreadable = as_stored(scheduler)
    unreadable["metadata"]["annotations"] = {}
    assert running_image([unreadable]) is None


def test_schedules_of_a_release_are_those_of_the_declaration_but_for_its_image(context: RenderContext) -> None:
    declared = build(version="2")
    at = replace(context, period=period_of(declared.spec, IN_SESSION))
    wanted = {each["metadata"]["name"]: each for each in render(declared, at) if each["kind"] == "CronJob"}
    found = {key.name: each for key, each in schedules(declared, at).items()}
    assert found.keys() == wanted.keys()

    def taken_out(each: Manifest) -> tuple[str, Manifest]:
        rest = copy.deepcopy(each)
        (container,) = rest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        return container.pop("image"), rest

    for name, each in found.items():
        image, rest = taken_out(each)
        new_image, same = taken_out(wanted[name])
        assert (image, new_image, rest) == (IMAGE, "registry.example/services:2", same)
