from __future__ import annotations

import random
from typing import Any

import pytest

from bellwether.render.kubernetes import render
from bellwether.render.kubernetes.moves import PROFILES, Profile, profile_of
from bellwether.render.kubernetes.names import LABEL_COMPONENT
from bellwether_operator.layout import layout, profile_in_force, render_layout
from bellwether_operator.observe.cache import ChildKey
from bellwether_operator.observe.kinds import BY_NAME, CLAIM, JOB
from bellwether_operator.observe.layouts import other

from .layout_world import CONTEXT, IMAGE, MOVED_IN, World, desired, system

SEEDS = 12
EVENTS = 300
MOVE_JOB = ChildKey(JOB, "trading", "demo-move-1")


def running(profile: Profile = "compact") -> World:
    """Return a system that has run for a while."""
    world = World(profile=profile)
    world.settle()
    world.assert_settled()
    assert world.written
    return world


def pass_by(world: World, *, stop: bool = True) -> str:
    """Make a pass and let pods come and go; return the stage that the pass found."""
    found = world.reconcile()
    for key, _ in world.workloads():
        world.control(key)
    if stop:
        world.end_pods()
    return found.move.stage if found.move else ""


def job(world: World) -> dict[str, Any]:
    return world.objects[MOVE_JOB]


def values(world: World) -> dict[str, str]:
    return {
        key.name: raw["metadata"].get("annotations", {}).get(MOVED_IN, "absent")
        for key, raw in world.objects.items()
        if key.kind == CLAIM
    }


def until(world: World, stage: str) -> None:
    for _ in range(10):
        found = world.look().move
        if found is not None and found.stage == stage:
            return
        pass_by(world)
    raise AssertionError(f"{stage} is not reached: {world.look()}")


# One step after the other


def test_a_new_system_begins_with_its_declared_profile_and_number_0() -> None:
    for profile in PROFILES:
        world = World(profile=profile)
        found = world.look()
        assert (found.profile, found.move, found.stopped) == (profile, None, ())
        assert {value for _, value in found.claims} == {"0"}
        assert profile_in_force(world.system, world.children()) is None


def test_a_move_makes_volumes_stops_pods_copies_and_only_then_comes_into_force() -> None:
    world = running()
    world.edit("standard")
    assert pass_by(world) == "prepare"
    assert world.pods
    assert set(values(world).values()) == {"0", "none"}
    assert pass_by(world, stop=False) == "stop"
    assert world.look().moving == "from compact to standard: waiting for the pods of system to end"
    world.end_pods()
    assert MOVE_JOB not in world.objects
    assert pass_by(world) == "copy"
    assert job(world)["metadata"]["annotations"].keys() >= {"bellwether.dev/stopped", "bellwether.dev/attempt"}
    job(world)["status"] = {"ready": 1}
    assert world.look().moving == "from compact to standard: Job demo-move-1 copies the volumes"
    world.run_job(job(world), "copy")
    world.run_job(job(world), "complete")
    assert pass_by(world) == "adopt"
    assert not world.pods
    assert values(world) == {name: "0" if name == "data-demo-0" else "1" for name in values(world)}
    assert pass_by(world) == ""
    assert MOVE_JOB not in world.objects
    world.settle()
    world.assert_settled()


def test_nats_ends_last_so_that_services_can_still_say_what_they_have_in_hand() -> None:
    world = running("standard")
    world.edit("compact")
    until(world, "stop")
    assert "nats" not in world.look().stopped
    pass_by(world)
    assert {pod.component for pod in world.pods} == {"nats"}
    assert world.look().stopped[0] == "nats"
    pass_by(world)
    assert not world.pods


def test_going_back_before_the_new_volumes_are_in_force_starts_the_old_pods_again() -> None:
    for stage in ("prepare", "stop", "copy"):
        world = running()
        world.edit("standard")
        until(world, stage)
        world.edit("compact")
        assert world.look().stopped == ()
        world.settle()
        world.assert_settled()
        world.edit("standard")
        world.settle()
        world.assert_settled()
        assert values(world)["data-demo-nats-0"] == "1"


def test_a_copy_of_what_ran_on_since_is_never_taken() -> None:
    world = running()
    world.edit("standard")
    until(world, "copy")
    pass_by(world)
    world.run_job(job(world), "copy")
    world.run_job(job(world), "complete")
    # Somebody starts the old pods for a moment, and the operator is away: the Job stays, and is complete.
    key = ChildKey("StatefulSet", "trading", "demo")
    for replicas in (1, 0):
        raw = world.objects[key]
        world.apply({**raw, "spec": {**raw["spec"], "replicas": replicas}})
        world.control(key)
        world.write("compact")
        world.end_pods()
    assert world.data["standard"] != world.written
    found = world.look()
    assert found.move is not None
    assert found.move.stage == "stop"
    assert [drop.key for drop in found.drop] == [MOVE_JOB]
    world.settle()
    world.assert_settled()


def test_a_job_that_failed_lets_the_former_profile_run_and_is_tried_again_when_something_changed() -> None:
    world = running()
    world.edit("standard")
    until(world, "copy")
    pass_by(world)
    world.run_job(job(world), "fail")
    assert pass_by(world) == "failed"
    assert {pod.component for pod in world.pods} == {"system"}
    assert world.look().moving is None
    assert world.look().failed == (
        "from compact to standard: Job demo-move-1 has failed: backoff limit; its log says more "
        "(kubectl logs job/demo-move-1). compact runs as before. Another storage.size or version tries again, "
        "as does deleting the Job"
    )
    for _ in range(3):
        assert pass_by(world) == "failed"
    world.size = "2Gi"
    world.settle()
    world.assert_settled()


def test_deleting_a_failed_job_tries_again() -> None:
    world = running()
    world.edit("standard")
    until(world, "copy")
    pass_by(world)
    world.run_job(job(world), "fail")
    pass_by(world)
    world.delete(MOVE_JOB)
    world.settle()
    world.assert_settled()


def test_failed_tries_and_a_pod_that_cannot_run_are_told() -> None:
    world = running()
    world.edit("standard")
    until(world, "copy")
    pass_by(world)
    job(world)["status"] = {"failed": 2}
    assert world.look().moving == (
        "from compact to standard: Job demo-move-1 has no pod that runs, 2 tries have failed "
        "(kubectl describe pod -l batch.kubernetes.io/job-name=demo-move-1)"
    )


def test_nothing_is_stopped_while_a_volume_claim_is_being_deleted() -> None:
    world = running()
    world.edit("standard")
    pass_by(world)
    name = ChildKey(CLAIM, "trading", "data-demo-0")
    world.objects[name]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found = world.look()
    assert found.stopped == ()
    assert found.moving == "from compact to standard: waiting, as volume claims are being deleted: data-demo-0"


def test_while_a_session_is_under_way_the_profile_in_force_is_wanted() -> None:
    world = running()
    world.edit("standard")
    until(world, "copy")
    found = layout(world.system, world.children(), image=IMAGE, wanted="compact")
    assert (found.profile, found.stopped, found.move) == ("compact", (), None)


# What was there before


def test_a_retained_volume_of_the_other_profile_is_moved_and_not_passed_over() -> None:
    for first in PROFILES:
        world = running(first)
        world.delete_system()
        world.apply_system(other(first))
        assert profile_in_force(world.system, world.children()) == first
        world.settle()
        world.assert_settled()


def test_claims_of_a_time_before_moves_were_known_follow_what_runs() -> None:
    world = running("compact")
    begun = layout(system("standard"), [], image=IMAGE)
    for each in desired("uid-1", "standard", "1Gi", begun):
        if each.key.kind == CLAIM:
            world.apply(each.manifest)
    for key, raw in world.objects.items():
        if key.kind == CLAIM:
            del raw["metadata"]["annotations"][MOVED_IN]
    world.edit("standard")
    assert profile_in_force(world.system, world.children()) == "compact"
    pass_by(world)
    assert values(world)["data-demo-0"] == "1"
    world.settle()
    world.assert_settled()
    assert values(world)["data-demo-nats-0"] == "2"


def test_a_service_that_a_later_release_adds_changes_nothing_about_what_is_in_force() -> None:
    world = running()
    world.edit("standard")
    world.settle()
    del world.objects[ChildKey(CLAIM, "trading", "data-demo-scheduler-0")]
    assert profile_in_force(world.system, world.children()) == "standard"
    world.reconcile()
    assert values(world)["data-demo-scheduler-0"] == "1"


def test_a_claim_that_a_person_made_anew_changes_nothing_about_what_is_in_force() -> None:
    world = running()
    world.edit("standard")
    world.settle()
    del world.objects[ChildKey(CLAIM, "trading", "data-demo-scheduler-0")]["metadata"]["annotations"][MOVED_IN]
    world.delete_system()
    world.apply_system("compact")
    assert profile_in_force(world.system, world.children()) == "standard"
    world.agreed.clear()
    world.reconcile()
    assert values(world)["data-demo-scheduler-0"] == "1"


def test_where_somebody_deleted_the_volumes_in_force_it_is_told_that_older_ones_are() -> None:
    world = running()
    world.edit("standard")
    world.settle()
    for key in [key for key in world.objects if key.kind == CLAIM and key.name != "data-demo-0"]:
        del world.objects[key]
    world.highest = 0
    words = (
        "from compact to standard: the volumes of standard are gone, so those of compact, which are older, are in force"
    )
    assert world.look().moving == f"{words}; volumes are being made"
    world.reconcile()
    assert (world.look().moving or "").startswith(f"{words}; waiting for the pods of ")


def test_pods_of_the_other_profile_that_an_older_operator_left_end_before_ours_start() -> None:
    world = running("compact")
    left = World(profile="standard")
    left.reconcile()
    world.objects |= {key: raw for key, raw in left.objects.items() if BY_NAME[key.kind].workload}
    assert {"system", "nats", "gateway"} <= set(world.look().stopped)
    world.reconcile()
    assert {raw["spec"]["replicas"] for _, raw in world.workloads()} == {0}
    for key, _ in world.workloads():
        world.control(key)
    world.end_pods()
    world.settle()
    world.assert_settled()


def test_a_workload_without_pods_counts_as_stopped_only_when_its_controller_has_seen_that_it_should() -> None:
    world = running()
    world.edit("standard")
    pass_by(world)
    raw = world.objects[ChildKey("StatefulSet", "trading", "demo")]
    # Its pod is gone for another reason, and the controller is about to make the next one.
    world.pods.clear()
    raw["status"]["replicas"] = 0
    world.reconcile()
    assert raw["metadata"]["name"] == "demo"
    found = world.look().move
    assert found is not None
    assert found.stage == "stop"
    world.control(ChildKey("StatefulSet", "trading", "demo"))
    found = world.look().move
    assert found is not None
    assert found.stage == "copy"


def test_claims_that_go_with_a_deleted_system_do_not_count() -> None:
    world = running()
    owner = {"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingSystem", "name": "demo", "controller": True}
    for key, raw in world.objects.items():
        if key.kind == CLAIM:
            raw["metadata"]["ownerReferences"] = [{**owner, "uid": "uid-1"}]
    children = world.children()
    assert profile_in_force(system("standard", "uid-1"), children) == "compact"
    assert profile_in_force(system("standard", "uid-2"), children) is None


def test_claims_that_are_not_in_use_keep_their_number_and_follow_the_declaration() -> None:
    world = running()
    world.edit("standard")
    world.settle()
    assert ("system", "0") in world.look().claims
    manifests = render_layout(world.system, CONTEXT, world.look())
    assert "data-demo-0" in {each["metadata"]["name"] for each in manifests if each["kind"] == CLAIM}


# What is rendered


@pytest.mark.parametrize("profile", PROFILES)
def test_without_a_move_the_same_is_rendered_as_ever_but_for_the_numbers(profile: Profile) -> None:
    world = running(profile)
    plain = {(each["kind"], each["metadata"]["name"]): each for each in render(world.system, CONTEXT)}
    found = {
        (each["kind"], each["metadata"]["name"]): each for each in render_layout(world.system, CONTEXT, world.look())
    }
    assert found.keys() == plain.keys()
    for key, each in found.items():
        if key[0] == CLAIM:
            assert each["metadata"]["annotations"].pop(MOVED_IN) == "0"
        assert each == plain[key]


def test_while_pods_are_stopped_the_old_profile_is_rendered_and_the_declaration_says_the_new() -> None:
    world = running()
    world.edit("standard")
    until(world, "copy")
    manifests = render_layout(world.system, CONTEXT, world.look())
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(names) == len(set(names))
    workloads = [each for each in manifests if BY_NAME[each["kind"]].workload]
    assert [(each["metadata"]["name"], each["spec"]["replicas"]) for each in workloads] == [("demo", 0)]
    declared = next(each for each in manifests if each["metadata"]["name"] == "demo-declaration")
    assert '"profile": "standard"' in declared["data"]["system.json"]
    (policy,) = [each for each in manifests if each["metadata"]["name"] == "demo-move"]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(policy["spec"])


# Whatever happens

LIKELY = {
    "pass": 20,
    "control": 20,
    "end": 12,
    "copy": 10,
    "complete": 10,
    "write": 6,
    "round": 6,
    "killed pass": 5,
    "scale": 4,
    "edit": 2,
    "fail": 1,
    "size": 1,
    "drop job": 1,
    "delete": 1,
    "recreate": 6,
}
"""What may happen, and how often beside the rest."""


def happen(world: World, what: str, number: int) -> None:
    """Have one thing happen."""
    jobs = world.jobs()
    if what == "round":
        world.round()
    elif what == "pass":
        world.reconcile()
    elif what == "killed pass":
        world.reconcile(number)
    elif what == "end":
        world.end_pods()
    elif what == "write":
        for profile in PROFILES:
            world.write(profile)
    elif what in {"copy", "complete", "fail"} and jobs:
        world.run_job(jobs[0], what)
    elif what in {"control", "scale"}:
        happen_to_a_workload(world, what, number)
    else:
        a_person_does(world, what, number)
    world.check()


def happen_to_a_workload(world: World, what: str, number: int) -> None:
    workloads = sorted(key for key, _ in world.workloads())
    if not workloads:
        return
    if what == "control":
        for key in workloads[: number + 1]:
            world.control(key)
        return
    raw = world.objects[workloads[number % len(workloads)]]
    # By hand; the next pass puts it right. Nobody starts pods of the profile that is not in force.
    if profile_of(raw["metadata"]["labels"][LABEL_COMPONENT]) == world.look().profile:
        world.apply({**raw, "spec": {**raw["spec"], "replicas": number % 2}})


def a_person_does(world: World, what: str, number: int) -> None:
    if what == "edit":
        world.edit(PROFILES[number % 2])
    elif what == "size":
        world.size = f"{1 + number}Gi"
    elif what == "drop job":
        for key in [key for key in world.objects if key.kind == JOB]:
            world.delete(key)
    elif what == "delete" and world.there:
        world.delete_system()
    elif what == "recreate" and not world.there:
        world.apply_system(PROFILES[number % 2])


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_nothing_is_lost_and_the_declared_profile_comes_into_force(seed: int) -> None:
    chance = random.Random(seed)
    world = running(chance.choice(PROFILES))
    for _ in range(EVENTS):
        (what,) = chance.choices(list(LIKELY), list(LIKELY.values()))
        happen(world, what, chance.randrange(8))
    if not world.there:
        world.apply_system(world.profile)
    for key in [key for key, raw in world.objects.items() if key.kind == JOB and raw["status"].get("conditions")]:
        world.delete(key)
    world.settle()
    world.assert_settled()
