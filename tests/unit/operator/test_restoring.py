"""What the volumes of a restored system are made from, and why they are not made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bellwether.spec.models import TradingSystem
from bellwether_operator.backups.restoring import Restore, restore_of
from bellwether_operator.observe.kinds import Observed, observed_from
from harness.statuses import declared


def wanted(source: dict[str, Any] | None, **spec: Any) -> TradingSystem:
    return declared(1, **({} if source is None else {"restoreFrom": source}), **spec)


def backup(state: str = "complete", **status: Any) -> dict[str, Any]:
    reported = {"complete": ("True", "False"), "failed": ("False", "True"), "running": ("False", "False")}[state]
    former = {"metadata": {"name": "old"}, "spec": {"symbols": ["CBA.AX"], "trading": {"mode": "simulated"}}}
    document = {"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingSystem", **former}
    return {
        "metadata": {"name": "friday", "namespace": "trading", "uid": "u-9"},
        "spec": {"system": "old"},
        "status": {
            "conditions": [
                {"type": "Complete", "status": reported[0], "reason": "Some", "message": "words"},
                {"type": "Failed", "status": reported[1], "reason": "Some", "message": "words"},
            ],
            "volumes": [{"claim": "data-old-0", "snapshot": "friday-data-old-0", "size": "1Gi"}],
            "declaration": json.dumps(document),
            **status,
        },
    }


def claim(source: str | None = None, **annotations: str) -> Observed:
    spec = {} if source is None else {"dataSource": {"kind": "VolumeSnapshot", "name": source}}
    marks = {f"bellwether.dev/{name.replace('_', '-')}": text for name, text in annotations.items()}
    labels = {"app.kubernetes.io/managed-by": "bellwether", "app.kubernetes.io/instance": "demo"}
    metadata = {"name": "data-demo-0", "namespace": "trading", "uid": "c", "resourceVersion": "1"}
    raw = {"metadata": {**metadata, "labels": labels, "annotations": marks}, "spec": spec}
    return observed_from(raw, "PersistentVolumeClaim")


NONE: dict[str, Observed | None] = {"system": None}
FRIDAY = {"backup": "friday"}


def test_volumes_are_made_from_the_snapshots_of_a_complete_backup_of_another_name() -> None:
    assert restore_of(wanted(FRIDAY), NONE, backup()) == Restore((("system", "friday-data-old-0"),))


def test_one_volume_of_all_services_is_what_each_service_s_volume_is_made_from() -> None:
    claims: dict[str, Observed | None] = {"nats": None, "paper-trading": None}
    found = restore_of(wanted(FRIDAY, profile="standard"), claims, backup())
    assert dict(found.sources) == dict.fromkeys(claims, "friday-data-old-0")
    assert not found.blocked


def test_or_from_snapshots_that_are_named() -> None:
    source = {"snapshots": [{"component": "system", "snapshot": "by-hand"}]}
    assert restore_of(wanted(source), NONE, None) == Restore((("system", "by-hand"),))


@pytest.mark.parametrize(
    ("found", "words"),
    [(None, "there is no TradingBackup friday"), (backup("running"), "not complete yet: words")],
)
def test_it_waits_for_a_backup_that_may_still_come(found: dict[str, Any] | None, words: str) -> None:
    got = restore_of(wanted(FRIDAY), NONE, found)
    assert got.blocked
    assert got.refused is None
    assert words in (got.waiting or "")


@pytest.mark.parametrize(
    ("source", "spec", "found", "words"),
    [
        (FRIDAY, {}, backup("failed"), "friday is not complete: words"),
        (FRIDAY, {"storage": {"size": "512Mi"}}, backup(), "data-old-0 needs 1Gi"),
        (FRIDAY, {"trading": {"mode": "simulated", "initialCash": "5"}}, backup(), "declare spec.trading.initialCash"),
        (
            FRIDAY,
            {},
            backup(volumes=[{"claim": "data-old-nats-0", "snapshot": "friday-nats"}]),
            "data-old-nats-0; declare profile standard",
        ),
        ({"snapshots": [{"component": "nats", "snapshot": "s"}]}, {}, None, "has no volume of nats"),
    ],
)
def test_what_cannot_be_restored_so_is_refused_with_what_would_be_right(
    source: dict[str, Any], spec: dict[str, Any], found: dict[str, Any] | None, words: str
) -> None:
    got = restore_of(wanted(source, **spec), NONE, found)
    assert words in (got.refused or "")
    assert got.blocked


def test_a_volume_that_is_there_says_itself_what_it_was_made_from_also_when_the_backup_is_gone() -> None:
    made = claim("friday-data-old-0", restored_from="backup friday")
    assert restore_of(wanted(FRIDAY), {"system": made}, None) == Restore((("system", "friday-data-old-0"),))
    assert restore_of(wanted(None), {"system": made}, None) == Restore((("system", "friday-data-old-0"),))


REPOSITORY = {
    "repository": {"name": "far", "kind": "s3", "url": "https://s3.example/trade", "secretRef": {"name": "far"}},
    "system": "old",
    "id": "20261127T213005Z",
}
SOURCE = "backup 20261127T213005Z of old in https://s3.example/trade"


def fill_job(*kinds: str) -> Observed:
    conditions = [{"type": kind, "status": "True"} for kind in kinds]
    metadata = {"name": "demo-fill", "namespace": "trading", "uid": "j", "resourceVersion": "1"}
    return observed_from({"metadata": metadata, "status": {"conditions": conditions}}, "Job")


def test_volumes_are_made_empty_and_filled_by_a_job_before_there_is_a_pod() -> None:
    system = wanted(REPOSITORY)
    assert str(system.spec.restore_from) == SOURCE
    empty = {"system": claim(restored_from=SOURCE)}
    for claims, job in ((NONE, None), (empty, None), (empty, fill_job())):
        found = restore_of(system, claims, None, job)
        assert (found.filling, found.filled, found.refused) == (True, False, None)
        assert found.waiting == f"the volumes are filled from {SOURCE}"
    again = restore_of(system, empty, None, fill_job(), "the server does not answer")
    assert again.waiting is not None
    assert again.waiting.endswith("tried again after: the server does not answer")
    done = restore_of(system, empty, None, fill_job("Complete"))
    assert (done.filling, done.filled, done.blocked) == (True, True, True)
    # From here on nothing depends on the Job.
    assert restore_of(system, {"system": claim(restored_from=SOURCE, filled_from=SOURCE)}, None) == Restore()


def test_a_job_that_failed_is_reported_with_its_last_words_and_how_to_try_again() -> None:
    found = restore_of(wanted(REPOSITORY), {"system": claim(restored_from=SOURCE)}, None, fill_job("Failed"), "no key")
    assert found.refused is not None
    assert "cannot be restored from backup 20261127T213005Z of old" in found.refused
    assert "no key; put it right, then delete Job demo-fill for another try" in found.refused


def test_of_volumes_that_were_filled_together_a_missing_one_is_not_filled_again() -> None:
    claims: dict[str, Observed | None] = {"nats": claim(restored_from=SOURCE, filled_from=SOURCE), "prediction": None}
    found = restore_of(wanted(REPOSITORY, profile="standard"), claims, None, fill_job("Complete"))
    assert (found.filling, found.blocked) == (False, True)
    assert found.refused is not None
    assert "the volume of prediction is gone: restore it under another name" in found.refused


def test_a_backup_that_is_in_a_repository_is_restored_from_there() -> None:
    stored = {"location": "far", "where": "https://s3.example/trade", "attempts": 1, "retryAt": "", "session": ""}
    found = restore_of(
        wanted(FRIDAY), NONE, backup(volumes=[], repository={**stored, "id": "b1", "bytes": 1, "addedBytes": 1})
    )
    assert "declare restoreFrom.repository, system old, id b1" in (found.refused or "")


def test_a_volume_that_was_kept_from_before_is_never_taken_for_the_restored_one() -> None:
    got = restore_of(wanted(FRIDAY), {"system": claim()}, backup())
    assert "data-demo-0 is there and was not made from backup friday" in (got.refused or "")
