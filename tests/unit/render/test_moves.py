from __future__ import annotations

from typing import Any

import pytest

from bellwether.render.kubernetes import RenderContext
from bellwether.render.kubernetes.configmaps import NATS_DIRECTORY
from bellwether.render.kubernetes.containers import DATA_DIRECTORY
from bellwether.render.kubernetes.moves import (
    FUTILE,
    MoveJob,
    Profile,
    at_profile,
    holdings,
    move_job,
    move_policy,
    profile_of,
    with_moved_in,
)
from bellwether.render.kubernetes.volumes import volume_claim
from bellwether.render.kubernetes.workloads import components, stateful_components
from bellwether.topology import SERVICES

from .conftest import UID, build

BOTH: tuple[tuple[Profile, Profile], ...] = (("compact", "standard"), ("standard", "compact"))


def job(context: RenderContext, source: Profile = "compact", target: Profile = "standard", **spec: Any) -> Any:
    return move_job(build(**spec), context, MoveJob(3, source, target, "stopped-hash", "attempt-hash"))


def test_each_thing_is_in_one_volume_of_its_own_in_standard_and_in_the_one_volume_of_compact() -> None:
    (together,) = holdings("compact").values()
    apart = list(holdings("standard").values())
    assert sorted(together.databases) == sorted(name for held in apart for name in held.databases)
    assert sorted(together.folders) == sorted(name for held in apart for name in held.folders)
    assert len({*together.databases, *together.folders}) == len(together.databases) + len(together.folders)
    assert set(together.databases) == {row.store for row in SERVICES.values() if not row.scratch} - {None}
    assert f"{DATA_DIRECTORY}/{holdings('standard')['nats'].folders[0]}" == NATS_DIRECTORY
    assert holdings("standard")["ml-model"].folders == ("ml-model",)


@pytest.mark.parametrize("profile", ["compact", "standard"])
def test_what_is_held_is_held_by_the_volumes_that_the_pods_have(profile: Profile) -> None:
    system = build(profile=profile)
    assert list(holdings(profile)) == stateful_components(system)
    assert {profile_of(component) for component in components(system)} == {profile}
    assert profile_of("job") is None


@pytest.mark.parametrize(("source", "target"), BOTH)
def test_the_pod_reads_the_old_volumes_and_writes_the_new(
    context: RenderContext, source: Profile, target: Profile
) -> None:
    pod = job(context, source, target)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {mount["mountPath"]: (mount["name"], mount.get("readOnly", False)) for mount in container["volumeMounts"]}
    wanted = {f"/from/{name}": (name, True) for name in holdings(source)}
    wanted |= {f"/to/{name}": (name, False) for name in holdings(target)}
    assert mounts == wanted
    claims = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
    rendered = [volume_claim(build(), name)["metadata"]["name"] for name in claims]
    assert sorted(claims.values()) == sorted(rendered)
    assert set(claims) == {name for name, _ in mounts.values()}
    arguments = ["--number", "3", "--from", source, "--to", target, "--source", "/from", "--target", "/to"]
    assert container["command"] == ["python", "-m", "bellwether", "move", *arguments]


def test_the_pod_is_restricted_and_knows_no_secret(context: RenderContext) -> None:
    pod = job(context)["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"] == {"memory": "192Mi"}
    assert not [volume for volume in pod["volumes"] if "persistentVolumeClaim" not in volume]


def test_the_job_tries_again_but_not_what_is_futile_and_is_never_cut_short(context: RenderContext) -> None:
    spec = job(context)["spec"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["backoffLimit"] == 4
    assert "activeDeadlineSeconds" not in spec
    assert "ttlSecondsAfterFinished" not in spec
    futile = [
        rule["onExitCodes"]["values"] for rule in spec["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"
    ]
    assert futile == [[FUTILE]]
    assert spec["podReplacementPolicy"] == "Failed"


def test_the_job_is_the_systems_and_says_what_it_was_made_for(context: RenderContext) -> None:
    found = job(context)
    assert found["metadata"]["name"] == "demo-move-3"
    assert found["metadata"]["ownerReferences"][0]["uid"] == UID
    assert found["metadata"]["annotations"] == {
        "bellwether.dev/attempt": "attempt-hash",
        "bellwether.dev/stopped": "stopped-hash",
    }
    labels = found["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "move"
    assert labels["bellwether.dev/system-uid"] == UID
    assert labels["app.kubernetes.io/managed-by"] == "bellwether"
    assert found == job(context)


def test_the_declarations_pod_template_holds_for_the_job_too(context: RenderContext) -> None:
    pod = job(context, podTemplate={"nodeSelector": {"disk": "fast"}, "labels": {"team": "quants"}})["spec"]["template"]
    assert pod["spec"]["nodeSelector"] == {"disk": "fast"}
    assert pod["metadata"]["labels"]["team"] == "quants"


def test_nobody_talks_to_the_pod_nor_it_to_anybody() -> None:
    spec = move_policy(build())["spec"]
    assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "move"
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(spec)


def test_a_claim_says_by_which_move_it_was_filled() -> None:
    plain = volume_claim(build(), "system")
    more = {"bellwether.dev/moved-in": "2"}
    assert with_moved_in(plain, "2")["metadata"]["annotations"] == plain["metadata"]["annotations"] | more
    assert not more.keys() & plain["metadata"]["annotations"].keys()


def test_another_profile_is_all_that_changes() -> None:
    system = build()
    other = at_profile(system, "standard")
    assert other.spec.profile == "standard"
    assert at_profile(other, "compact") == system
