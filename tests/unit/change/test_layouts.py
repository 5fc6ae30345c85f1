from __future__ import annotations

import copy

import pytest

from bellwether.change.layouts import laid_out, volumes_of, volumes_supposed
from bellwether.change.world import CLAIM, WORKLOADS
from bellwether.render.kubernetes import Manifest
from bellwether.render.kubernetes.moves import ANNOTATION_MOVED_IN, PROFILES, Profile, at_profile
from bellwether_operator.layout import layout, render_layout
from bellwether_operator.observe.cache import observed_from

from .conftest import INSTALLED, context, live, rendered, stored


def of_both_profiles() -> list[Manifest]:
    """Return what a time before moves were known may have left: everything of both profiles, and no claim has a number.

    The workloads of standard are at rest.
    """
    there = [each for profile in PROFILES for each in stored(rendered(live(profile=profile)))]
    for each in there:
        if each["kind"] == CLAIM:
            del each["metadata"]["annotations"][ANNOTATION_MOVED_IN]
        if each["kind"] in WORKLOADS and each["metadata"]["name"] != "demo":
            each["spec"]["replicas"] = 0
    return there


def scaled(there: list[Manifest], replicas: int) -> list[Manifest]:
    """Return the same with the workload of compact at so many pods."""
    found = copy.deepcopy(there)
    workload = next(each for each in found if each["kind"] in WORKLOADS and each["metadata"]["name"] == "demo")
    workload["spec"]["replicas"] = replicas
    return found


def of_another(each: Manifest) -> Manifest:
    """Return an object as that of another system."""
    owner = {"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingSystem", "name": "other", "uid": "x"}
    return {**each, "metadata": {**each["metadata"], "ownerReferences": [{**owner, "controller": True}]}}


@pytest.mark.parametrize("declared", PROFILES)
def test_among_equals_the_profile_that_is_to_have_pods_is_in_force_with_a_higher_number(declared: Profile) -> None:
    system = live(profile=declared)
    found = volumes_of(system, of_both_profiles())
    assert (found.in_force, found.number) == ("compact", 1)
    nobody_runs = volumes_of(system, scaled(of_both_profiles(), 0))
    assert (nobody_runs.in_force, nobody_runs.number) == (declared, 1)


def test_among_equals_without_pods_it_is_the_one_whose_workloads_are_there() -> None:
    there = scaled(of_both_profiles(), 0)
    ours = [each for each in there if each["kind"] not in WORKLOADS or each["metadata"]["name"] == "demo"]
    assert volumes_of(live(profile="standard"), ours).in_force == "compact"
    strange = [of_another(each) if each["kind"] in WORKLOADS else each for each in ours]
    assert volumes_of(live(profile="standard"), strange).in_force == "standard", "of somebody else, they say nothing"


def test_only_claims_by_the_names_of_ours_count() -> None:
    """A copy that somebody made of a claim has its labels and its number."""
    there = stored(rendered(live()))
    of_standard = stored(rendered(live(profile="standard")))
    copied = copy.deepcopy(next(each for each in of_standard if each["metadata"]["name"] == "data-demo-nats-0"))
    copied["metadata"]["name"] = "copy-of-data-demo-nats-0"
    copied["metadata"]["annotations"][ANNOTATION_MOVED_IN] = "7"
    found = volumes_of(live(), [*there, copied])
    assert (found.in_force, found.number, found.said) == ("compact", 0, {"system": "0"})


def test_a_claim_counts_whatever_became_of_its_labels() -> None:
    there = stored(laid_out(live(), context(live()), volumes_supposed(live(profile="standard")), "compact"))
    claim = next(each for each in there if each["metadata"]["name"] == "data-demo-0")
    claim["metadata"]["labels"] = {**claim["metadata"]["labels"], "app.kubernetes.io/component": "theirs"}
    assert volumes_of(live(), there).in_force == "compact"


def test_what_says_nothing_is_to_say_0_and_what_is_being_deleted_is_left() -> None:
    there = stored(laid_out(live(), context(live()), volumes_supposed(live(profile="standard")), "compact"))
    for each in there:
        if each["metadata"]["name"] == "data-demo-nats-0":
            del each["metadata"]["annotations"][ANNOTATION_MOVED_IN]
        if each["metadata"]["name"] == "data-demo-scheduler-0":
            each["metadata"]["deletionTimestamp"] = "2026-11-23T01:00:00Z"
    found = volumes_of(live(), there)
    assert (found.in_force, found.number, found.said["nats"]) == ("compact", 1, "0")
    assert "scheduler" not in found.said


@pytest.mark.parametrize("declared", PROFILES)
def test_the_operator_makes_the_same_of_what_has_no_numbers(declared: Profile) -> None:
    system = live(profile=declared)
    there = scaled(of_both_profiles(), 1)
    volumes = volumes_of(system, there)
    found = layout(system, [observed_from(each, each["kind"]) for each in there], image=INSTALLED.image)
    assert found.profile == volumes.in_force
    claims = {each["metadata"]["name"]: each for each in laid_out(system, context(system), volumes, found.profile)}
    made = [
        each for each in render_layout(at_profile(system, declared), context(system), found) if each["kind"] == CLAIM
    ]
    in_use = [each for each in made if each["metadata"]["name"] == "data-demo-0"]
    assert in_use == [claims["data-demo-0"]]
    assert in_use[0]["metadata"]["annotations"][ANNOTATION_MOVED_IN] == "1"
