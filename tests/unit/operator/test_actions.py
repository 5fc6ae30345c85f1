from __future__ import annotations

import copy
from typing import Any

import pytest

from bellwether.change.compare import lacking
from bellwether_operator.apply.actions import ActionKind, Desired, action_for, desired_from, not_smaller, to_prune
from bellwether_operator.observe.kinds import Observed, observed_from

UID = "uid-1"


def manifest(kind: str = "Service", name: str = "demo-nats", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "trading",
            "labels": {
                "app.kubernetes.io/instance": "demo",
                "app.kubernetes.io/managed-by": "bellwether",
                "bellwether.dev/system-uid": UID,
            },
            "ownerReferences": [
                {
                    "apiVersion": "bellwether.dev/v1alpha1",
                    "kind": "TradingSystem",
                    "name": "demo",
                    "uid": UID,
                    "controller": True,
                }
            ],
        },
        "spec": spec or {"ports": [{"name": "nats", "port": 4222}]},
    }


def stored(desired: Desired, **metadata: Any) -> dict[str, Any]:
    """Return the object as the API server has it after an apply, with what it fills in."""
    raw = copy.deepcopy(desired.manifest)
    raw["metadata"] |= {"uid": "child-1", "resourceVersion": "7", **metadata}
    raw["spec"]["clusterIP"] = "10.0.0.1"
    return raw


def observed(desired: Desired, kind: str = "Service", **metadata: Any) -> Observed:
    return observed_from(stored(desired, **metadata), kind)


def test_what_is_not_there_is_applied() -> None:
    assert action_for(desired_from(manifest()), None, UID).kind is ActionKind.APPLY


def test_what_is_there_as_applied_is_skipped_whatever_others_added() -> None:
    desired = desired_from(manifest())
    assert action_for(desired, observed(desired), UID).kind is ActionKind.SKIP


def test_what_is_to_change_is_applied() -> None:
    before, after = desired_from(manifest()), desired_from(manifest(ports=[{"name": "nats", "port": 4223}]))
    assert action_for(after, observed(before), UID).kind is ActionKind.APPLY


def test_drift_is_named_and_put_right() -> None:
    desired = desired_from(manifest())
    raw = stored(desired)
    raw["spec"]["ports"][0]["port"] = 1
    found = action_for(desired, observed_from(raw, "Service"), UID)
    assert found.kind is ActionKind.APPLY
    assert found.why == "spec.ports[nats].port was changed by someone else"


def test_a_verified_child_is_skipped_without_its_body() -> None:
    desired = desired_from(manifest())
    known = observed(desired)
    known.body, known.verified = None, desired.digest
    assert action_for(desired, known, UID).kind is ActionKind.SKIP


@pytest.mark.parametrize("kind", ["ConfigMap", "CronJob"])
def test_a_child_whose_body_was_not_kept_is_applied_where_it_is_and_counts_as_nobody_s_change(kind: str) -> None:
    desired = desired_from(manifest(kind))
    known = observed(desired, kind)
    known.body = None
    found = action_for(desired, known, UID)
    assert (found.kind, found.drift) == (ActionKind.APPLY, None)
    assert found.why == "what it contains is not known"


def owner(kind: str, name: str, uid: str) -> list[dict[str, Any]]:
    api_version = "bellwether.dev/v1alpha1" if kind == "TradingSystem" else "apps/v1"
    return [{"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}]


@pytest.mark.parametrize(
    ("metadata", "kind", "why"),
    [
        (
            {"ownerReferences": owner("TradingSystem", "demo", "old")},
            ActionKind.WAIT,
            "deleted system of the same name",
        ),
        ({"ownerReferences": owner("TradingSystem", "other", "x")}, ActionKind.TAKEN, "the trading system other"),
        ({"ownerReferences": owner("Deployment", "web", "x")}, ActionKind.TAKEN, "belongs to Deployment/web"),
        ({"ownerReferences": [], "labels": {}}, ActionKind.TAKEN, "not made by the operator"),
        ({"ownerReferences": []}, ActionKind.APPLY, "metadata.ownerReferences"),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, ActionKind.WAIT, "being deleted"),
    ],
    ids=["predecessor", "another system", "another controller", "a stranger", "ours, orphaned", "going"],
)
def test_only_our_own_is_applied_over(metadata: dict[str, Any], kind: ActionKind, why: str) -> None:
    desired = desired_from(manifest())
    found = action_for(desired, observed(desired, **metadata), UID)
    assert found.kind is kind
    assert why in found.why


def claim(size: str) -> Desired:
    raw = manifest("PersistentVolumeClaim", "data-demo-0", resources={"requests": {"storage": size}})
    return desired_from(raw)


def test_a_retained_volume_of_the_same_name_is_adopted() -> None:
    desired = claim("1Gi")
    labels = {**desired.manifest["metadata"]["labels"], "bellwether.dev/system-uid": "old"}
    kept = observed(desired, "PersistentVolumeClaim", ownerReferences=[], labels=labels)
    assert action_for(desired, kept, UID).kind is ActionKind.APPLY
    strange = observed(desired, "PersistentVolumeClaim", ownerReferences=[], labels={})
    assert action_for(desired, strange, UID).kind is ActionKind.TAKEN


@pytest.mark.parametrize(
    ("there", "wanted", "asked", "reported"),
    [
        ("1Gi", "2Gi", "2Gi", False),
        ("2Gi", "1Gi", "2Gi", True),
        ("1Gi", "1Gi", "1Gi", False),
        ("1G", "1Gi", "1Gi", False),
    ],
)
def test_a_volume_grows_and_never_shrinks(there: str, wanted: str, asked: str, reported: bool) -> None:
    found, note = not_smaller(claim(wanted), observed(claim(there), "PersistentVolumeClaim"))
    assert found.manifest["spec"]["resources"]["requests"]["storage"] == asked
    assert (note is not None) is reported


@pytest.mark.parametrize(
    ("desired", "there", "where"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, None),
        ({"a": {}}, {}, None),
        ({"a": []}, {}, None),
        ({"a": 1}, {}, "a"),
        ({"a": True}, {"a": 1}, "a"),
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "y"}, {"name": "x", "v": 1, "w": 2}]}, None),
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "x", "v": 2}]}, "a[x].v"),
        ({"a": [{"name": "x"}]}, {"a": []}, "a[x]"),
        ({"a": [1, 2]}, {"a": [1, 2]}, None),
        ({"a": [1, 2]}, {"a": [2, 1]}, "a[0]"),
        ({"a": [1]}, {"a": [1, 2]}, "a"),
        ({"p": [{"port": 53, "x": "U"}, {"port": 53, "x": "T"}]}, {"p": [{"port": 53, "x": "U"}]}, "p"),
        ({"a": {"b": 1}}, {"a": 3}, "a"),
        ({"a": [1]}, {"a": "1"}, "a"),
    ],
)
def test_difference_names_the_first_place_that_is_not_as_desired(desired: Any, there: Any, where: str | None) -> None:
    assert next((each.path for each in lacking(desired, there)), None) == where


def test_pruned_is_what_is_ours_and_no_longer_desired() -> None:
    keep, drop = desired_from(manifest()), desired_from(manifest(name="demo-old"))
    going = desired_from(manifest(name="demo-going"))
    children = [
        observed(keep),
        observed(drop),
        observed(going, deletionTimestamp="2026-01-01T00:00:00Z"),
        observed(desired_from(manifest(name="theirs")), ownerReferences=owner("TradingSystem", "demo", "old")),
        observed(claim("1Gi"), "PersistentVolumeClaim"),
    ]
    assert [each.key.name for each in to_prune(children, {keep.key}, UID, all_ready=True)] == ["demo-old"]


def test_a_config_map_stays_while_pods_that_may_need_it_are_replaced() -> None:
    old = observed(desired_from(manifest("ConfigMap", "demo-nats-1")), "ConfigMap")
    assert to_prune([old], set(), UID, all_ready=False) == []
    assert to_prune([old], set(), UID, all_ready=True) == [old]
