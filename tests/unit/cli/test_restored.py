"""What is printed for a backup of a cluster to be restored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bellwether.cli.client import CommandError
from bellwether.cli.restored import (
    component_of_claim,
    contents_of,
    documents_by_handles,
    documents_with_profile,
    restoring_documents,
)
from bellwether.spec.models import TradingSystem

FORMER = {
    "apiVersion": "bellwether.dev/v1alpha1",
    "kind": "TradingSystem",
    "metadata": {"name": "demo"},
    "spec": {"symbols": ["CBA.AX"], "trading": {"mode": "simulated"}},
}


def backup(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "friday", "namespace": "trade"},
        "spec": {"system": "demo"},
        "status": {
            "conditions": [{"type": "Complete", "status": "True"}],
            "volumes": [{"claim": "data-demo-0", "snapshot": "friday-data-demo-0", "content": "c-1"}],
            "declaration": json.dumps(FORMER),
            **status,
        },
    }


def content(policy: str = "Retain") -> dict[str, Any]:
    return {"spec": {"deletionPolicy": policy, "driver": "csi.example"}, "status": {"snapshotHandle": "h-1"}}


def test_the_system_of_then_is_declared_under_the_new_name() -> None:
    (found,) = restoring_documents(backup(), "again")
    assert found["metadata"] == {"name": "again", "namespace": "trade"}
    assert found["spec"] == {**FORMER["spec"], "restoreFrom": {"backup": "friday"}}  # type: ignore[dict-item]
    assert TradingSystem.model_validate(found | {"metadata": {**found["metadata"], "uid": "u"}})


def test_a_backup_in_a_repository_is_declared_with_the_location_of_then() -> None:
    far = {"name": "far", "kind": "s3", "url": "https://s3.example/trade", "secretRef": {"name": "far"}}
    former = {**FORMER, "spec": {**FORMER["spec"], "backup": {"locations": [far]}}}  # type: ignore[dict-item]
    stored = backup(
        volumes=[], repository={"location": "far", "id": "20261127T213005Z"}, declaration=json.dumps(former)
    )
    for found in (restoring_documents(stored, "again"), documents_by_handles(stored, {}, "again")):
        (document,) = found
        source = {"repository": far, "system": "demo", "id": "20261127T213005Z"}
        assert document["spec"]["restoreFrom"] == source
        assert TradingSystem.model_validate(document | {"metadata": {**document["metadata"], "uid": "u"}})


def test_with_another_profile_the_backup_and_the_system_that_is_made_of_it_are_printed_together() -> None:
    stored = {**FORMER, "metadata": {"name": "demo", "namespace": "trade", "uid": "u"}}
    stored["spec"] = {**FORMER["spec"], "profile": "compact"}  # type: ignore[dict-item]
    kept, found = documents_with_profile(stored, "standard", "demo-2")
    assert (kept["kind"], kept["metadata"]["name"], kept["spec"]) == (
        "TradingBackup",
        "demo-2-from-demo",
        {"system": "demo"},
    )
    assert found["metadata"] == {"name": "demo-2", "namespace": "trade"}
    assert found["spec"] == {
        **FORMER["spec"],  # type: ignore[dict-item]
        "profile": "standard",
        "restoreFrom": {"backup": "demo-2-from-demo"},
    }
    with pytest.raises(CommandError, match="demo has profile compact already"):
        documents_with_profile(stored, "compact", "demo-2")
    of_many = {**stored, "spec": {**stored["spec"], "profile": "standard"}}  # type: ignore[dict-item]
    with pytest.raises(CommandError, match="--to compact: demo has a volume per service"):
        documents_with_profile(of_many, "compact", "demo-2")
    with pytest.raises(CommandError, match="--as demo: name the new system otherwise"):
        documents_with_profile(stored, "standard", "demo")


def test_by_handles_it_depends_on_nothing_of_the_former_namespace() -> None:
    assert contents_of(backup()) == ["c-1"]
    kept, snapshot, system = documents_by_handles(backup(), {"c-1": content()}, "again")
    assert kept["spec"]["source"] == {"snapshotHandle": "h-1"}
    assert kept["spec"]["volumeSnapshotRef"] == {"name": snapshot["metadata"]["name"], "namespace": "trade"}
    assert snapshot["spec"]["source"] == {"volumeSnapshotContentName": kept["metadata"]["name"]}
    assert system["spec"]["restoreFrom"] == {
        "snapshots": [{"component": "system", "snapshot": snapshot["metadata"]["name"]}]
    }


@pytest.mark.parametrize(
    ("found", "contents", "words"),
    [
        (
            backup(conditions=[{"type": "Complete", "status": "False", "message": "not cut"}]),
            {},
            "not complete: not cut",
        ),
        (backup(), {}, "c-1 of data-demo-0 is gone"),
        (backup(), {"c-1": content("Delete")}, "set its spec.deletionPolicy to Retain"),
        (backup(declaration=""), {"c-1": content()}, "take your own file, with spec.restoreFrom"),
    ],
)
def test_what_cannot_be_restored_is_reported(found: dict[str, Any], contents: dict[str, Any], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        documents_by_handles(found, contents, "again")


@pytest.mark.parametrize(
    ("claim", "component"),
    [("data-demo-0", "system"), ("data-demo-nats-0", "nats"), ("data-demo-paper-trading-0", "paper-trading")],
)
def test_a_claims_component_is_reported_by_its_name(claim: str, component: str) -> None:
    assert component_of_claim(claim, "demo") == component
