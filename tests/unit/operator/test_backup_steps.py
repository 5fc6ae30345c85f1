"""The steps of a backup by volume snapshots: never complete with a gap, and the system always runs again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bellwether_operator.backups.errors import is_final
from bellwether_operator.backups.snapshots import Seen, seen_of, snapshot, snapshot_name
from bellwether_operator.backups.status import progress_of, status_of
from bellwether_operator.backups.steps import (
    APPEARS,
    HOLD,
    QUIESCE,
    READY,
    Picture,
    Progress,
    Step,
    held,
    let_go,
    named,
    next_step,
    quiesced,
)

NOW = datetime(2026, 11, 27, 21, 30, tzinfo=UTC)
CUT = "2026-11-27T21:30:05Z"
RAW: dict[str, Any] = {
    "metadata": {"name": "nightly", "namespace": "trade", "uid": "u-1", "generation": 1},
    "spec": {"system": "demo", "kind": "full"},
}


def picture(**given: Any) -> Picture:
    found: dict[str, Any] = {
        "now": NOW,
        "claims": ["data-demo-0", "data-demo-nats-0"],
        "pods": (),
        "hindrance": None,
        "snapshots": {},
        **given,
    }
    return Picture(**found)


def walk(before: Progress, **given: Any) -> Progress:
    """Return the progress after a step, through its status as the API server would keep it."""
    return kept(next_step(before, picture(**given)))


def kept(step: Step) -> Progress:
    written = status_of(named(step.progress, "nightly"), RAW, NOW)
    return progress_of({**RAW, "status": written})


def expected() -> Progress:
    return walk(Progress())


def stopped() -> Progress:
    """Return the progress of a backup whose services could not be held."""
    return walk(kept(held(expected(), NOW, "the gateway does not answer")), pods=("system",))


def holding() -> Progress:
    return kept(held(expected(), NOW, None))


def cut(ready: bool = False) -> dict[str, Seen]:
    return {one.snapshot: Seen(True, f"content-{one.claim}", CUT, "1Gi", ready) for one in expected().volumes}


def test_the_expected_volumes_are_written_down_before_anything_is_made() -> None:
    step = next_step(Progress(), picture())
    assert [one.claim for one in step.progress.volumes] == ["data-demo-0", "data-demo-nats-0"]
    assert step.make == ()
    assert quiesced(step.progress, NOW) is None


@pytest.mark.parametrize("claims", [None, ()], ids=["no system", "not all volumes"])
def test_a_new_backup_waits_for_a_system_that_is_applied_with_it(claims: tuple[str, ...] | None) -> None:
    waiting = walk(Progress(), claims=claims, made_at=NOW, now=NOW + APPEARS - timedelta(seconds=1), snapshots=None)
    assert (waiting.state, waiting.reason, bool(waiting.message)) == ("running", "Waiting", True)
    assert walk(waiting, made_at=NOW).reason == "Expected"
    assert walk(waiting, claims=claims, made_at=NOW, now=NOW + APPEARS).state == "failed"


def test_the_system_has_no_pods_from_then_until_a_deadline_at_most() -> None:
    found = stopped()
    assert quiesced(found, NOW) == NOW + QUIESCE
    assert quiesced(found, NOW + QUIESCE) is None


def test_the_services_are_held_before_anything_is_made_and_its_pods_stay() -> None:
    step = next_step(expected(), picture(pods=("system",)))
    assert (step.hold, step.make) == (True, ())
    step = held(step.progress, NOW, None)
    assert [one.claim for one in step.make] == ["data-demo-0", "data-demo-nats-0"]
    assert (step.progress.held_until, quiesced(step.progress, NOW)) == (NOW + HOLD, None)


def test_they_are_let_go_once_all_is_cut_and_that_counts_if_none_wrote() -> None:
    half = dict(list(cut().items())[:1])
    waiting = next_step(holding(), picture(pods=("system",), snapshots=half))
    assert (waiting.let_go, [one.claim for one in waiting.make]) == (False, ["data-demo-nats-0"])
    step = next_step(holding(), picture(pods=("system",), snapshots=cut()))
    assert step.let_go
    after = kept(let_go(step, NOW, None, 1300))
    assert (after.cut_at, after.held_milliseconds, after.without_pods) == (NOW, 1300, 0)
    assert walk(after, snapshots=cut(ready=True)).verify_started_at == NOW


@pytest.mark.parametrize(
    ("snapshots", "now", "broken"),
    [(cut(), NOW, "meanwhile wrote prediction"), ({}, NOW + HOLD, None)],
    ids=["somebody wrote", "not cut in time"],
)
def test_what_was_cut_while_somebody_wrote_or_too_late_is_dropped_and_made_without_pods(
    snapshots: dict[str, Seen], now: datetime, broken: str | None
) -> None:
    step = next_step(holding(), picture(pods=("system",), snapshots=snapshots, now=now))
    assert step.let_go
    step = let_go(step, now, broken, 0)
    assert set(step.drop) == set(cut())
    after = kept(step)
    assert (after.held_until, after.cut_at, after.state) == (None, None, "running")
    assert not set(cut()) & {one.snapshot for one in after.volumes}
    assert quiesced(walk(after, pods=("system",)), NOW) is not None


def test_a_final_error_lets_them_go_and_fails() -> None:
    broken = {name: Seen(True, error="failed to get snapshot class fast") for name in cut()}
    step = next_step(holding(), picture(pods=("system",), snapshots=broken))
    assert (step.let_go, step.progress.state) == (True, "failed")
    assert let_go(step, NOW, "nobody answers", 0).progress.held_until is None


def test_nothing_is_snapshotted_while_there_are_pods() -> None:
    assert next_step(stopped(), picture(pods=("system",))).make == ()
    assert [one.claim for one in next_step(stopped(), picture()).make] == ["data-demo-0", "data-demo-nats-0"]


def test_a_snapshot_that_is_there_is_not_made_again_and_the_missing_one_is() -> None:
    one = dict(list(cut().items())[:1])
    step = next_step(stopped(), picture(snapshots=one))
    assert [volume.claim for volume in step.make] == ["data-demo-nats-0"]
    assert step.progress.state == "running"


def test_what_was_found_cut_only_after_the_deadline_may_be_torn_and_has_failed() -> None:
    step = next_step(stopped(), picture(snapshots=cut(), now=NOW + QUIESCE))
    assert (step.progress.state, step.progress.reason) == ("failed", "QuiesceTimeout")
    assert "nobody saw in time" in step.progress.message


def test_the_system_runs_again_once_all_is_cut_and_it_is_read_once_all_is_ready() -> None:
    after = walk(stopped(), snapshots=cut())
    assert after.cut_at == NOW
    assert quiesced(after, NOW) is None
    assert after.state == "running"
    started = walk(after, snapshots=cut(ready=True))
    assert (started.state, started.reason, started.verify_started_at) == ("running", "Verifying", NOW)
    assert next_step(started, picture(snapshots=cut(ready=True))).verify
    assert walk(started, snapshots={}).reason == "SnapshotLost"


def test_one_backup_of_a_namespace_is_read_at_a_time() -> None:
    after = walk(walk(stopped(), snapshots=cut()), snapshots=cut(ready=True), verifying="former")
    assert (after.verify_started_at, after.state) == (None, "running")
    assert after.message == "every volume can be restored; waiting until former is read"


def test_it_is_not_read_with_one_of_two() -> None:
    half = {name: replace(one, ready=number == 0) for number, (name, one) in enumerate(cut().items())}
    after = walk(walk(stopped(), snapshots=cut()), snapshots=half)
    assert (after.state, after.verify_started_at) == ("running", None)
    late = walk(after, snapshots=half, now=NOW + READY)
    assert (late.state, late.reason) == ("failed", "NotReady")


@pytest.mark.parametrize(
    ("progress", "given", "reason"),
    [
        (Progress(), {"snapshots": None}, "SnapshotsUnavailable"),
        (Progress(), {"claims": None}, "SystemNotFound"),
        (Progress(), {"claims": []}, "NoVolumes"),
        (stopped(), {"pods": ("system",), "now": NOW + QUIESCE}, "QuiesceTimeout"),
        (stopped(), {"now": NOW + QUIESCE}, "QuiesceTimeout"),
        (stopped(), {"snapshots": {n: replace(s, ours=False) for n, s in cut().items()}}, "SnapshotNameTaken"),
        (
            stopped(),
            {"snapshots": {n: Seen(True, error="failed to get snapshot class fast") for n in cut()}},
            "SnapshotFailed",
        ),
        (walk(stopped(), snapshots=cut()), {"snapshots": {}}, "SnapshotLost"),
    ],
)
def test_each_failure_has_its_reason_and_lets_the_system_run(
    progress: Progress, given: dict[str, Any], reason: str
) -> None:
    found = walk(progress, **given)
    assert (found.state, found.reason) == ("failed", reason)
    assert found.message
    assert quiesced(found, NOW) is None


def test_an_error_that_may_pass_is_waited_for() -> None:
    snapshots = {name: Seen(True, error="rpc error: code = Unavailable") for name in cut()}
    assert walk(stopped(), snapshots=snapshots).state == "running"
    assert not is_final("rpc error: code = DeadlineExceeded")


def test_a_system_that_is_paused_is_waited_for_with_its_pods() -> None:
    found = walk(expected(), hindrance="waiting for the end of the system's pause")
    assert found.message.startswith("waiting for the end of the system's pause")
    assert found.quiesced_until is None
    assert found.held_until is None


def test_that_an_incremental_one_is_whole_is_said() -> None:
    raw = {**RAW, "spec": {"system": "demo", "kind": "incremental"}}
    (complete, *_) = status_of(expected(), raw, NOW)["conditions"]
    assert complete["message"].endswith("(of volume snapshots each is whole: incremental is full)")


def test_a_snapshot_belongs_to_its_backup_and_is_known_by_it() -> None:
    made = snapshot(RAW, "nightly-data-demo-0", "data-demo-0", "fast")
    assert made["spec"] == {
        "source": {"persistentVolumeClaimName": "data-demo-0"},
        "volumeSnapshotClassName": "fast",
    }
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert seen_of(made, "u-1").ours
    assert not seen_of(made, "u-2").ours
    # A creation time without a content is of nothing that could be found again.
    assert not seen_of({**made, "status": {"creationTime": CUT, "readyToUse": True}}, "u-1").cut_at


def test_names_stay_within_their_length_and_apart() -> None:
    long = [snapshot_name("b" * 63, f"data-demo-{number}") for number in range(3)]
    assert len(set(long)) == 3
    assert max(map(len, long)) <= 63


def test_the_deadline_is_in_the_status_to_the_second() -> None:
    assert stopped().quiesced_until == NOW + timedelta(minutes=5)
