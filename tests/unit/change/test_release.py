"""What is to be there now: the stage of a pass that the operator and `plan` share."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from bellwether.change.layouts import laid_out
from bellwether.change.release import Circumstances, Release, release
from bellwether.change.rollouts import template_hash
from bellwether.change.world import CRON_JOB, WORKLOADS, Key, key_of
from bellwether.render.kubernetes import Manifest
from bellwether.render.kubernetes.context import ANNOTATION_FAILED, ANNOTATION_LAST_GOOD, ANNOTATION_TEMPLATE
from bellwether.render.kubernetes.workloads import of_kind
from bellwether.spec.models import TradingSystem

from .conftest import CLOSED, OPEN, context, live, rendered, stored

DEMO = Key("StatefulSet", "demo")


def there(system: TradingSystem, now: datetime = OPEN) -> dict[Key, Manifest]:
    """Return the workloads of a system that runs."""
    return {key_of(each): each for each in stored(rendered(system, now)) if each["kind"] in WORKLOADS}


def released(after: TradingSystem, runs: dict[Key, Manifest], now: datetime = OPEN, **circumstances: Any) -> Release:
    at = context(after, now)
    return release(Circumstances(after, at, **circumstances), laid_out(after, at, {}), runs)


def images(found: Release, kind: str) -> set[str]:
    """Return the tags of the images in objects of a kind."""
    tags = set()
    for each in found.objects:
        if each["kind"] == kind:
            spec = each["spec"]["jobTemplate"]["spec"] if kind == CRON_JOB else each["spec"]
            tags |= {one["image"].rpartition(":")[2] for one in spec["template"]["spec"]["containers"]}
    return tags


def test_without_reasons_all_is_as_declared() -> None:
    found = released(live(version="2"), there(live()))
    assert images(found, "StatefulSet") >= {"2"}
    assert images(found, CRON_JOB) == {"2"}
    assert (found.held, dict(found.gone_back), found.still_mounted, found.only) == ((), {}, frozenset(), None)
    assert found.image.endswith(":2")


def test_a_held_template_keeps_its_release_its_config_maps_and_its_schedules() -> None:
    found = released(live(version="2"), there(live()), holding=True)
    assert images(found, CRON_JOB) == {"1.2.3"}
    assert found.image.endswith(":1.2.3")
    (words,) = found.held
    assert words.startswith("StatefulSet demo: ")
    assert "demo-declaration" in found.still_mounted


def test_nothing_is_held_for_a_workload_without_pods_but_for_one_that_was_stopped_by_our_own_hand() -> None:
    runs = there(live())
    runs[DEMO]["status"] = {}
    assert released(live(version="2"), runs, holding=True).held == ()
    assert released(live(version="2"), runs, holding=True, stopped=True).held != ()


def test_a_workload_stays_of_the_kind_that_a_former_release_made_while_templates_wait() -> None:
    system = live(profile="standard")
    runs = there(system)
    gateway = runs.pop(Key("Deployment", "demo-gateway"))
    runs[Key("StatefulSet", "demo-gateway")] = {**of_kind("StatefulSet", gateway), "status": {"readyReplicas": 1}}
    held = {key_of(each) for each in released(system, runs, holding=True).objects}
    assert Key("StatefulSet", "demo-gateway") in held
    assert Key("Deployment", "demo-gateway") not in held
    assert Key("Deployment", "demo-gateway") in {key_of(each) for each in released(system, runs).objects}


@pytest.mark.parametrize("holding", [False, True])
def test_what_failed_keeps_what_ran_before_with_its_schedules_and_says_why(holding: bool) -> None:
    runs, failing = there(live(), CLOSED), there(live(version="2"), CLOSED)[DEMO]
    note = json.dumps({"template": template_hash(failing), "why": "no such image"})
    before = runs[DEMO]["metadata"]["annotations"][ANNOTATION_TEMPLATE]
    runs[DEMO]["metadata"]["annotations"] |= {ANNOTATION_FAILED: note, ANNOTATION_LAST_GOOD: before}
    found = released(live(version="2"), runs, CLOSED, holding=holding)
    assert images(found, CRON_JOB) == {"1.2.3"}
    assert "did not come up with image: " in found.gone_back[DEMO]
    assert "(no such image)" in found.gone_back[DEMO]
    assert found.held == ()
    another = released(live(version="3"), runs, CLOSED)
    assert (dict(another.gone_back), images(another, CRON_JOB)) == ({}, {"3"})


def test_in_a_pause_schedules_are_of_the_release_that_runs_and_stay_where_nobody_knows_it() -> None:
    found = released(live(version="2"), there(live()), paused=True)
    assert images(found, CRON_JOB) == {"1.2.3"}
    assert found.only == frozenset({CRON_JOB, "PodDisruptionBudget"})
    unknown = released(live(version="2"), {}, paused=True)
    assert unknown.only == frozenset({"PodDisruptionBudget"})
    assert unknown.image.endswith(":2")
