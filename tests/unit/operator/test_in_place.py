"""A running system that is restored in place: what is next, from what is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bellwether.spec.status import RestoreStatus
from bellwether_operator.backups.in_place import (
    PATIENCE,
    RestorePicture,
    RestoreRow,
    is_over,
    next_row,
    restore_row_of,
    restore_row_status,
)
from bellwether_operator.gateway_view import RestoreAsked
from bellwether_operator.observe.kinds import Observed, observed_from

NOW = datetime(2026, 11, 27, 22, 0, 5, tzinfo=UTC)
ASKED = RestoreAsked("20261127T220000Z", "20261126T213000Z", "far", datetime(2026, 11, 27, 22, tzinfo=UTC), "u-1")
PICTURE = RestorePicture(NOW, "u-1", ASKED)
STOPPING = RestoreRow(ASKED.backup, "far", ASKED.at, NOW, "Stopping", message="the pods are to end")
RESTORING = STOPPING._replace(step="Restoring")
STARTING = STOPPING._replace(step="Starting", outcome="Restored")
ENDED = STARTING._replace(step="Ended", ended=NOW)


def job(kind: str, reason: str = "", message: str = "") -> Observed:
    conditions = [{"type": kind, "status": "True", "reason": reason, "message": message}]
    metadata = {"name": "demo-restore-volumes-1", "namespace": "trading", "uid": "j", "resourceVersion": "1"}
    return observed_from({"metadata": metadata, "status": {"conditions": conditions}}, "Job")


def test_a_request_is_taken_up_once() -> None:
    assert next_row(None, PICTURE) == STOPPING
    assert next_row(ENDED, PICTURE) == ENDED
    later = ASKED._replace(at=ASKED.at + timedelta(seconds=1))
    taken = next_row(ENDED, replace(PICTURE, asked=later))
    assert taken is not None
    assert (taken.step, taken.requested, taken.outcome, taken.ended) == ("Stopping", later.at, "", None)


@pytest.mark.parametrize(
    "asked",
    [None, ASKED._replace(uid="u-former"), ASKED._replace(at=ASKED.at - timedelta(days=1))],
    ids=["none", "another system's, in its streams", "an older one, in streams that were restored"],
)
def test_what_restored_streams_hold_is_no_new_request(asked: RestoreAsked | None) -> None:
    assert next_row(ENDED, replace(PICTURE, asked=asked)) == ENDED
    if asked is None or asked.uid != "u-1":
        assert next_row(None, replace(PICTURE, asked=asked)) is None


def test_another_request_waits_while_one_is_under_way() -> None:
    later = replace(PICTURE, asked=ASKED._replace(at=ASKED.at + timedelta(hours=1)), pods=("system",))
    found = next_row(STOPPING, later)
    assert found is not None
    assert found.requested == ASKED.at


def test_another_one_is_taken_up_when_what_was_restored_does_not_come_up() -> None:
    later = replace(PICTURE, asked=ASKED._replace(at=ASKED.at + timedelta(hours=1), backup="20261125T213000Z"))
    found = next_row(STARTING, later)
    assert found is not None
    assert (found.step, found.backup, found.outcome) == ("Stopping", "20261125T213000Z", "")


def test_nothing_is_restored_while_a_pod_may_be_there_or_a_backup_cuts() -> None:
    waiting = next_row(STOPPING, replace(PICTURE, pods=("nats", "prediction")))
    assert waiting == STOPPING._replace(message="waiting until these have no pods: nats, prediction")
    cut = next_row(STOPPING, replace(PICTURE, hindrance="a backup cuts the volumes first"))
    assert cut == STOPPING._replace(message="a backup cuts the volumes first")
    gone = next_row(STOPPING, PICTURE)
    assert gone is not None
    assert (gone.step, gone.without_pods) == ("Restoring", True)
    assert STOPPING.order is None
    assert gone.order == ("20261127T220000Z", ASKED.backup, "far", "2026-11-27T23:00:05Z")
    assert timedelta(hours=1) == PATIENCE


def test_the_job_s_end_says_what_came_of_it() -> None:
    assert next_row(RESTORING, PICTURE) == next_row(RESTORING, replace(PICTURE, job=job("Suspended")))
    again = next_row(RESTORING, replace(PICTURE, said="location far: the server does not answer"))
    assert again is not None
    assert again.message.endswith("tried again after: location far: the server does not answer")
    done = next_row(RESTORING, replace(PICTURE, job=job("Complete")))
    assert done is not None
    assert (done.step, done.outcome, done.without_pods, done.under_way) == ("Starting", "Restored", False, True)


def test_only_the_job_s_program_says_that_what_was_there_is_as_it_was() -> None:
    refused = next_row(
        RESTORING, replace(PICTURE, job=job("Failed", "PodFailurePolicy"), said="location far: wrong password")
    )
    assert refused is not None
    assert (refused.step, refused.outcome, refused.ended) == ("Ended", "Refused", NOW)
    assert refused.message == ("it was not restored, what was there is as it was, halted: location far: wrong password")
    unknown = next_row(RESTORING, replace(PICTURE, job=job("Failed", "BackoffLimitExceeded", "too many tries")))
    assert unknown is not None
    assert (unknown.step, unknown.without_pods) == ("Restoring", True)
    assert "too many tries; delete Job demo-restore-volumes-1 for another try" in unknown.message


def test_it_is_over_when_the_pods_are_ready() -> None:
    assert next_row(STARTING, PICTURE) == STARTING
    paused = next_row(STARTING, replace(PICTURE, hindrance="waiting for the end of the system's pause"))
    assert paused == STARTING._replace(message="waiting for the end of the system's pause")
    ended = next_row(STARTING, replace(PICTURE, ready=True))
    assert ended is not None
    assert (ended.step, ended.outcome, ended.ended, ended.under_way) == ("Ended", "Restored", NOW, False)
    assert "bellwether resume" in ended.message


@pytest.mark.parametrize(
    ("row", "at", "over"),
    [
        (None, ASKED.at, False),
        (STOPPING, ASKED.at, False),
        (STARTING, ASKED.at, False),
        (ENDED, ASKED.at, True),
        (ENDED, ASKED.at + timedelta(seconds=1), False),
        (STOPPING, ASKED.at - timedelta(days=1), True),
    ],
)
def test_the_gateway_hears_of_what_is_dealt_with(row: RestoreRow | None, at: datetime, over: bool) -> None:
    assert is_over(row, ASKED._replace(at=at)) is over


@pytest.mark.parametrize("row", [STOPPING, RESTORING, STARTING, ENDED])
def test_a_status_says_all_of_it(row: RestoreRow) -> None:
    written: dict[str, Any] = restore_row_status(row)
    assert RestoreStatus.model_validate(written)
    assert restore_row_of({"restore": written}) == row
    assert restore_row_of({}) is None
