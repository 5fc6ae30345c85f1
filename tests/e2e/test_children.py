"""What somebody deletes or edits by hand is there again as declared; what others add stays.

The system's pods never run: it is the objects that are looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from bellwether_operator.observe.kinds import BY_NAME
from e2e import waits
from e2e.lab import Lab, Object, System, eventually
from harness.churn import document, unscheduled
from harness.declared import Installation, faults

NAME = "still"
EXAMPLE = document(NAME, "example", unscheduled(profile="standard"))
EXAMPLE["metadata"] |= {"uid": "00000000-0000-0000-0000-000000000000", "generation": 1}
RENDERED = Installation("example/services:1", b"not secret: a seed for tests only").wanted(EXAMPLE)
"""What such a system consists of: the kinds to be tried follow from it."""
KINDS = sorted({manifest["kind"] for manifest in RENDERED} - {"Secret"})


@pytest.fixture(scope="module")
def still(lab: Lab) -> Iterator[System]:
    with lab.namespace("e2e-children") as namespace:
        lab.apply(document(NAME, namespace, unscheduled(profile="standard")))
        lab.await_declared(namespace)
        yield System(lab, namespace, NAME)


def a_child(still: System, kind: str) -> Object:
    """Return one child of a kind, the same one each time."""
    found = [child for child in still.lab.children(still.namespace) if child["kind"] == kind]
    return min(found, key=lambda child: str(child["metadata"]["name"]))


def delete(still: System, child: Object) -> None:
    still.lab.kubectl(
        "-n", still.namespace, "delete", child["kind"], child["metadata"]["name"], "--wait=true", "--timeout=30s"
    )


def await_again(still: System, child: Object, seconds: float) -> None:
    """Return when another object has taken a deleted one's place, and everything is as declared."""

    def again() -> bool:
        found = still.lab.get(still.namespace, child["kind"], child["metadata"]["name"])
        return bool(found["metadata"]["uid"] != child["metadata"]["uid"])

    eventually(f"{child['kind']} {child['metadata']['name']} is there again", seconds, again)
    still.lab.await_declared(still.namespace)


@pytest.mark.parametrize("kind", KINDS)
def test_a_deleted_child_is_made_again_as_it_was(still: System, kind: str) -> None:
    child = a_child(still, kind)
    delete(still, child)
    await_again(still, child, waits.CHILD_PUT_RIGHT)


def test_a_deleted_secret_is_written_again_while_pods_wait_for_it(still: System) -> None:
    child = a_child(still, "Secret")
    delete(still, child)
    await_again(still, child, waits.SECRET_WRITTEN_AGAIN)


@dataclass(frozen=True)
class Edit:
    """What somebody changes in one child of a kind: a JSON patch."""

    kind: str
    patch: list[dict[str, Any]] = field(default_factory=list)


def _remove(path: str) -> list[dict[str, Any]]:
    return [{"op": "remove", "path": path}]


def _replace(path: str, value: Any) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": path, "value": value}]


CONTAINER = "/spec/template/spec/containers/0"
EDITS = {
    "replicas": Edit("StatefulSet", _replace("/spec/replicas", 0)),
    "image": Edit("StatefulSet", _replace(f"{CONTAINER}/image", "example.com/other:1")),
    "a variable removed": Edit("StatefulSet", _remove(f"{CONTAINER}/env/0")),
    "a variable changed": Edit("StatefulSet", _replace(f"{CONTAINER}/env/0/value", "other")),
    "a mount removed": Edit("StatefulSet", _remove(f"{CONTAINER}/volumeMounts/0")),
    "privileges": Edit("StatefulSet", _replace(f"{CONTAINER}/securityContext/readOnlyRootFilesystem", False)),
    "a port": Edit("Service", _replace("/spec/ports/0/port", 9999)),
    "selector": Edit("Service", _replace("/spec/selector", {"app.kubernetes.io/component": "other"})),
    "a label removed": Edit("NetworkPolicy", _remove("/metadata/labels/app.kubernetes.io~1component")),
    "our label removed": Edit("ServiceAccount", _remove("/metadata/labels/app.kubernetes.io~1managed-by")),
    "our mark removed": Edit("PersistentVolumeClaim", _remove("/metadata/annotations/bellwether.dev~1applied")),
    "data": Edit("ConfigMap", _replace("/data/system.json", "{}")),
    "a rule removed": Edit("NetworkPolicy", _remove("/spec/ingress")),
    "a rule opened": Edit("NetworkPolicy", _replace("/spec/ingress/0", {})),
    "owner removed": Edit("Service", _remove("/metadata/ownerReferences")),
    "a schedule": Edit("CronJob", _replace("/spec/schedule", "0 0 1 1 *")),
    "a schedule suspended": Edit("CronJob", _replace("/spec/suspend", True)),
    "budget": Edit("PodDisruptionBudget", _replace("/spec/maxUnavailable", 5)),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_what_is_edited_by_hand_is_put_back(still: System, edit: Edit) -> None:
    lab, namespace = still.lab, still.namespace
    child = a_child(still, edit.kind)
    command = ["-n", namespace, "patch", edit.kind, child["metadata"]["name"], "--type=json"]
    command += ["-p", json.dumps(edit.patch), "-o", "json", "--show-managed-fields"]
    edited = json.loads(lab.kubectl(*command, "--dry-run=server"))
    others = [each for each in lab.children(namespace) if each["metadata"]["uid"] != child["metadata"]["uid"]]
    assert faults([still.resource()], [*others, edited], lab.installation()) != [], "the edit changes nothing of ours"
    lab.kubectl(*command)
    lab.await_declared(namespace, waits.CHILD_PUT_RIGHT)
    if not BY_NAME[edit.kind].remade:
        found = lab.get(namespace, edit.kind, child["metadata"]["name"])
        assert found["metadata"]["uid"] == child["metadata"]["uid"], "it was made again instead of put right"


def test_what_others_have_in_a_child_stays_while_ours_is_put_back(still: System) -> None:
    child = a_child(still, "StatefulSet")
    theirs = {
        "metadata": {"annotations": {"example.com/team": "desk"}, "labels": {"example.com/cost": "42"}},
        "spec": {
            "template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-22T12:00:00Z"}}}
        },
    }
    ours = {"spec": {"minReadySeconds": 7, "replicas": 3}}
    for change in (theirs, ours):
        name = child["metadata"]["name"]
        still.lab.kubectl("-n", still.namespace, "patch", "statefulset", name, "--type=merge", "-p", json.dumps(change))

    def put_back() -> bool:
        found = still.lab.get(still.namespace, "statefulset", child["metadata"]["name"])
        return bool(found["spec"]["replicas"] == child["spec"]["replicas"])

    eventually("our number of replicas", waits.CHILD_PUT_RIGHT, put_back)
    still.lab.await_declared(still.namespace)
    found = still.lab.get(still.namespace, "statefulset", child["metadata"]["name"])
    assert found["metadata"]["annotations"]["example.com/team"] == "desk"
    assert found["metadata"]["labels"]["example.com/cost"] == "42"
    restarted = found["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"]
    assert restarted == "2026-11-22T12:00:00Z", "a restart that somebody asked for was undone"
    assert found["spec"]["minReadySeconds"] == 7, "a field that is not ours was taken away"
