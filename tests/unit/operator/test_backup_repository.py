"""The steps of a backup in a repository: asked for once, tried again where that can help, complete only when it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from bellwether_operator.backups.drills import Scene, drill_step
from bellwether_operator.backups.news import drilled, newest
from bellwether_operator.backups.repository import (
    LONGEST,
    PATIENCE,
    PAUSE,
    Answer,
    Place,
    begin,
    declared_place,
    heard,
    rests,
    retry,
    unheard,
)
from bellwether_operator.backups.status import progress_of, status_of
from bellwether_operator.backups.steps import Progress, Stored

NOW = datetime(2026, 11, 27, 21, 30, tzinfo=UTC)
RAW: dict[str, Any] = {
    "metadata": {"name": "nightly", "namespace": "trade", "uid": "u-1", "generation": 1},
    "spec": {"system": "demo", "kind": "incremental", "location": "far", "drill": True},
}
PLACE = Place("far", "https://s3.example/trade")
DONE = Answer(
    "complete", id="20261127T213005Z", kind="incremental", cut=NOW, session="2026-11-27", size=3 << 20, added=1 << 19
)


def kept(progress: Progress) -> tuple[Progress, Stored]:
    """Return the progress through its status, as the API server would keep it."""
    found = progress_of({**RAW, "status": status_of(progress, RAW, NOW)})
    assert found.stored is not None
    return found, found.stored


def started() -> tuple[Progress, Stored]:
    return kept(begin(Progress(), PLACE, NOW))


def test_it_says_how_far_it_is_and_is_complete_only_when_the_service_has_found_it_whole() -> None:
    before, stored = started()
    assert (stored.location, stored.where, before.started_at) == ("far", PLACE.where, NOW)
    copying, stored = kept(heard(before, stored, Answer("running", "store", "storing in far: 40 %"), NOW))
    assert (copying.state, copying.reason, copying.message) == ("running", "Storing", "storing in far: 40 %")
    found, stored = kept(heard(copying, stored, DONE, NOW + timedelta(seconds=95)))
    assert (found.state, found.reason, found.cut_at) == ("complete", "Verified", NOW)
    assert found.message == (
        "incremental backup 20261127T213005Z of session 2026-11-27 is whole in far: what was there already was not "
        "stored again"
    )
    assert (stored.id, stored.size, stored.added) == ("20261127T213005Z", 3 << 20, 1 << 19)
    status = status_of(found, RAW, NOW)
    assert (status["seconds"], status["size"], status["repository"]["added"]) == (95, "3.0Mi", "0.5Mi")
    created_with = drill_step(found, Scene(), NOW).progress
    assert created_with.drill_message == "it is fetched from far and restored on a scratch volume"


def test_what_may_pass_is_tried_again_and_given_up_after_an_hour() -> None:
    before, stored = started()
    away = Answer("failed", "copy", "prediction did not hand over its copy")
    waiting, stored = kept(heard(before, stored, away, NOW))
    assert (waiting.state, waiting.reason) == ("running", "Retrying")
    assert rests(stored, NOW + PAUSE - timedelta(seconds=1))
    assert not rests(stored, NOW + PAUSE)
    again, stored = kept(retry(waiting, stored))
    assert (stored.attempts, stored.retry_at) == (2, None)
    ended, _ = kept(heard(again, stored, away, NOW + PATIENCE))
    assert (ended.state, ended.reason) == ("failed", "GivenUp")
    assert ended.message.startswith("prediction did not hand over its copy (tried 2 times")


def test_what_stays_until_somebody_does_something_fails_at_once() -> None:
    before, stored = started()
    words = "location far: the server refuses the credential"
    found, _ = kept(heard(before, stored, Answer("failed", "reach", words, final=True), NOW))
    assert (found.state, found.reason, found.message) == ("failed", "RepositoryFailed", words)


def test_a_system_that_says_nothing_is_waited_for() -> None:
    before, _ = started()
    found, stored = kept(unheard(before, "the gateway does not answer", NOW + PATIENCE))
    assert (found.state, found.reason) == ("running", "Waiting")
    assert kept(unheard(found, "the gateway does not answer", NOW + LONGEST))[0].state == "failed"
    assert kept(heard(found, stored, Answer("running", "store"), NOW + LONGEST))[0].reason == "GivenUp"


@pytest.mark.parametrize(
    ("name", "where"),
    [("far", "https://s3.example/trade"), ("nas", "backups:demo"), ("disk", None), ("snap", None), (None, None)],
)
def test_a_repository_is_what_pods_can_reach(name: str | None, where: str | None) -> None:
    locations = [
        {"name": "far", "kind": "s3", "url": "https://s3.example/trade"},
        {"name": "nas", "kind": "folder", "volumeClaim": "backups", "path": "demo"},
        {"name": "disk", "kind": "folder", "path": "/srv"},
        {"name": "snap", "kind": "volumeSnapshots"},
    ]
    found = declared_place({"spec": {"backup": {"locations": locations}}}, name)
    assert found == (None if where is None else Place(str(name), where))


def backup(name: str, progress: Progress) -> dict[str, Any]:
    """Return a TradingBackup that has come so far."""
    status = status_of(progress, RAW, NOW)
    return {"metadata": {**RAW["metadata"], "name": name}, "spec": RAW["spec"], "status": status}


def test_a_place_that_failed_is_reported_though_another_one_is_newer() -> None:
    before, stored = started()
    bad = backup("first", heard(before, stored, Answer("failed", said="no bucket", final=True), NOW))
    fine = backup("second", replace(Progress(), state="complete", cut_at=NOW, ended_at=NOW + timedelta(hours=1)))
    found = newest([bad, fine], lambda _: True)
    assert found is not None
    assert (found.name, found.complete, found.words, found.good) == ("first", False, "no bucket", "")
    gone = newest([bad, fine], lambda _: False)
    assert gone is not None
    assert gone.name == "second"


def test_the_first_backup_of_a_bucket_that_is_tried_again_is_no_good_one_whatever_snapshots_there_are() -> None:
    before, stored = started()
    retried = heard(before, stored, Answer("failed", said="no answer"), NOW)
    assert retried.stored is not None
    snapshot = backup("by-hand", replace(Progress(), state="complete", cut_at=NOW, ended_at=NOW))
    for progress in (retried, retry(retried, retried.stored)):
        found = newest([snapshot, backup("first", progress)], lambda _: True)
        assert found is not None
        assert (found.name, found.complete, found.good) == ("first", False, "")
        assert found.words == "the first backup in far failed and is tried again"
    good = heard(before, stored, Answer("complete", id="1", kind="full", cut=NOW), NOW)
    for others in ([backup("first", before)], [backup("good", good), backup("first", retried)]):
        other = newest([snapshot, *others], lambda _: True)
        assert other is not None
        assert other.complete


def test_of_several_places_first_one_is_reported_whose_test_failed_and_of_each_place_the_last_test() -> None:
    def drill(name: str, *, verified: bool, after: int, stored: Stored | None = None) -> dict[str, Any]:
        progress = replace(Progress(), state="complete", verified=verified, drill_reason="r", drill_message=name)
        at = NOW + timedelta(days=after)
        return backup(name, replace(progress, drill_started_at=at, ended_at=at, stored=stored))

    _, far = started()
    snapshots = [drill("old", verified=False, after=1), drill("new", verified=True, after=9)]
    bad = drill("bad", verified=False, after=5, stored=far)
    fine = drill("fine", verified=True, after=6, stored=far)

    def reported(backups: list[dict[str, Any]], declared: bool = True) -> str:
        found = drilled(backups, lambda _: declared)
        return "" if found is None else f"{found.name} {found.complete}"

    assert reported(snapshots) == "new True"
    assert reported([*snapshots, bad]) == "bad False"
    assert reported([*snapshots, bad], declared=False) == "new True"
    assert reported([*snapshots, fine, bad]) == "new True"
    assert reported([]) == ""
