"""Who gets the Secrets, the claims and the way out of backups: the service `backup` alone."""

from __future__ import annotations

from typing import Any

import pytest

from bellwether.render.kubernetes import RenderContext, derive_keyring, render
from bellwether.render.kubernetes.filling import RestoreOrder, fill_job, location_of, restore_job
from bellwether.render.kubernetes.networkpolicies import fill_policy, restore_policy
from bellwether.render.kubernetes.workloads import claims_of
from bellwether.spec.models import TradingSystem

CONTEXT = RenderContext(image="localhost/services:1", keyring=derive_keyring(b"a seed of tests only", "u-1"))

S3 = {"name": "far", "kind": "s3", "url": "http://s3.example:8333/bucket", "secretRef": {"name": "far-repository"}}
CLAIM = {"name": "nas", "kind": "folder", "path": "demo", "volumeClaim": "backups", "secretRef": {"name": "repository"}}


def rendered(profile: str, *locations: Any) -> dict[tuple[str, str], Any]:
    spec: dict[str, Any] = {"profile": profile, "backup": {"locations": list(locations)}}
    metadata = {"name": "demo", "namespace": "trade", "uid": "u-1"}
    system = TradingSystem.model_validate({"metadata": metadata, "spec": spec})
    return {(one["kind"], one["metadata"]["name"]): one for one in render(system, CONTEXT)}


def pods(objects: dict[tuple[str, str], Any]) -> dict[str, Any]:
    kinds = {"Deployment", "StatefulSet"}
    return {name: one["spec"]["template"]["spec"] for (kind, name), one in objects.items() if kind in kinds}


def ports(policy: Any) -> set[int]:
    return {port["port"] for edge in policy["spec"].get("egress", ()) for port in edge.get("ports", ())}


def test_only_backup_has_the_secrets_the_claim_and_the_way_to_the_bucket() -> None:
    objects = rendered("standard", S3, CLAIM)
    with_secrets = {name for name, pod in pods(objects).items() if "repository" in str(pod)}
    assert with_secrets == {"demo-backup"}
    open_to_it = {name for (kind, name), one in objects.items() if kind == "NetworkPolicy" and 8333 in ports(one)}
    assert open_to_it == {"demo-backup"}
    pod = pods(objects)["demo-backup"]
    volumes = {one["name"]: one for one in pod["volumes"]}
    assert volumes["kept-nas"]["persistentVolumeClaim"] == {"claimName": "backups"}
    paths = [item["path"] for one in volumes["repositories"]["projected"]["sources"] for item in one["secret"]["items"]]
    assert paths == [
        "far-repository/password",
        "far-repository/accessKey",
        "far-repository/secretKey",
        "repository/password",
    ]
    (container,) = pod["containers"]
    mounts = {one["name"]: one for one in container["volumeMounts"]}
    assert mounts["repositories"]["readOnly"]
    assert mounts["kept-nas"]["mountPath"] == "/backups/nas"
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment["BELLWETHER_SECRETS"] == mounts["repositories"]["mountPath"]
    assert environment["BELLWETHER_BACKUP_CLAIMS"] == "/backups"


@pytest.mark.parametrize("profile", ["compact", "standard"])
def test_without_a_repository_nobody_has_any_of_it(profile: str) -> None:
    objects = rendered(profile, {"name": "snap", "kind": "volumeSnapshots"})
    assert "repositories" not in str(objects)
    assert "BELLWETHER_BACKUP_CLAIMS" not in str(objects)


def test_a_compact_system_has_them_in_its_one_pod() -> None:
    objects = rendered("compact", S3)
    (pod,) = pods(objects).values()
    assert "far-repository" in str(pod["volumes"])
    (services,) = pod["containers"]
    assert "repositories" in {one["name"] for one in services["volumeMounts"]}
    (nats,) = pod["initContainers"]
    assert "repositories" not in {one["name"] for one in nats["volumeMounts"]}
    assert 8333 in ports(objects["NetworkPolicy", "demo"])


def test_one_pod_without_keys_fills_all_volumes_and_reaches_the_bucket_alone() -> None:
    spec = {
        "profile": "standard",
        "restoreFrom": {"repository": S3, "system": "former", "session": "2026-11-27"},
        "network": {"caBundleRef": {"name": "trusted", "key": "ca.crt"}},
    }
    metadata = {"name": "demo", "namespace": "trade", "uid": "u-1"}
    system = TradingSystem.model_validate({"metadata": metadata, "spec": spec})
    job = fill_job(system, CONTEXT)
    pod = job["spec"]["template"]["spec"]
    claims = {
        one["name"]: one["persistentVolumeClaim"]["claimName"]
        for one in pod["volumes"]
        if "persistentVolumeClaim" in one
    }
    assert claims == {f"volume-{each}": name for each, name in claims_of(system, "standard").items()}
    assert len(claims) > 4
    (container,) = pod["containers"]
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    assert {one["name"] for one in pod["volumes"]} - claims.keys() == {"declaration", "repositories", "tmp", "ca"}
    assert "far-repository" in str(pod["volumes"])
    assert "serviceAccountName" not in pod
    policy = fill_policy(system)
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert ports(policy) == {53, 8333}


def test_one_pod_without_keys_restores_all_volumes_in_place_and_ends_only_by_itself() -> None:
    metadata = {"name": "demo", "namespace": "trade", "uid": "u-1"}
    spec = {"profile": "standard", "backup": {"locations": [CLAIM, S3]}}
    system = TradingSystem.model_validate({"metadata": metadata, "spec": spec})
    order = RestoreOrder("20261127T220000Z", "20261126T213000Z", "far", "2026-11-27T23:00:00Z")
    job = restore_job(system, CONTEXT, order)
    assert job["metadata"]["name"] == "demo-restore-volumes-20261127t220000z"
    assert "activeDeadlineSeconds" not in job["spec"]
    pod = job["spec"]["template"]["spec"]
    names = {one["name"] for one in pod["volumes"]}
    claims = {f"volume-{each}" for each in claims_of(system, "standard")}
    assert names == claims | {"declaration", "repositories", "tmp"}
    (container,) = pod["containers"]
    assert container["command"][3:] == [
        *["restore-volumes", "--volumes", "/volumes", "--request", "20261127T220000Z"],
        *["--backup", "20261126T213000Z", "--location", "far", "--until", "2026-11-27T23:00:00Z"],
    ]
    (futile,) = [one for one in job["spec"]["podFailurePolicy"]["rules"] if one["action"] == "FailJob"]
    assert futile["onExitCodes"]["containerName"] == container["name"]
    policy = restore_policy(system, location_of(system, order))
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert ports(policy) == {53, 8333}
    # Of a location that is declared no more the program says so.
    gone = order._replace(location="gone")
    assert ports(restore_policy(system, location_of(system, gone))) == set()
    assert "repositories" not in str(restore_job(system, CONTEXT, gone))
