"""When a backup is full by itself, and when the newest one is too old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bellwether.backups.overdue import drill_overdue, overdue
from bellwether.backups.records import Record
from bellwether.backups.service import full_or_incremental
from bellwether.spec.backup import Backup

NOW = datetime(2026, 11, 27, 22, tzinfo=UTC)


def declared(**schedule: Any) -> Backup:
    return Backup.model_validate({"locations": [{"name": "snap", "kind": "volumeSnapshots"}], "schedule": schedule})


def record(days: float, kind: str = "incremental", state: Any = "complete", reason: str = "") -> Record:
    return Record(f"d{days}", "backup", state, NOW - timedelta(days=days), kind=kind, reason=reason)


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        ([], "full"),
        (["full"], "incremental"),
        (["full", "incremental"], "incremental"),
        (["full", "incremental", "incremental"], "full"),
        (["incremental"], "full"),
    ],
)
def test_every_third_is_a_full_one(kinds: list[str], wanted: str) -> None:
    records = [record(9 - number, kind) for number, kind in enumerate(kinds)]
    assert full_or_incremental("auto", records, declared(fullEvery=3)) == wanted


def test_what_is_asked_for_is_made() -> None:
    assert full_or_incremental("incremental", [], declared()) == "incremental"


def test_a_failed_one_does_not_count() -> None:
    records = [record(3, "full", "failed"), record(2, "full"), record(1, "incremental", "failed")]
    assert full_or_incremental("auto", records, declared(fullEvery=2)) == "incremental"


def test_what_is_overdue_or_failed_is_reported() -> None:
    assert overdue([record(1)], declared(), NOW) is None
    assert overdue([record(6)], declared(), NOW) == "the newest complete backup d6 is 6 days old"
    failed = record(0.1, state="failed", reason="location disk: no space is left")
    assert overdue([record(1), failed], declared(), NOW) == "backup d0.1 failed: location disk: no space is left"
    assert overdue([failed], declared(), NOW) == (
        "no backup is complete yet; the last one failed: location disk: no space is left"
    )


def test_without_a_schedule_nothing_is_overdue() -> None:
    plain = Backup.model_validate({"locations": [{"name": "snap", "kind": "volumeSnapshots"}]})
    assert overdue([record(400)], plain, NOW) is None


def drilled(days: float, state: Any = "complete", reason: str = "") -> Record:
    return Record(f"d{days}", "drill", state, NOW - timedelta(days=days), reason=reason)


def test_a_drill_is_due_when_it_failed_or_none_was_good_for_two_weeks() -> None:
    weekly = Backup.model_validate({"locations": [{"name": "snap", "kind": "volumeSnapshots"}], "drill": {}})
    old, new = [record(30)], [record(2)]
    assert drill_overdue([], old, declared(), NOW) is None
    assert drill_overdue([], new, weekly, NOW) is None
    assert drill_overdue([], [], weekly, NOW) is None
    assert drill_overdue([], old, weekly, NOW) == "no drill has proven a backup for 30 days"
    assert drill_overdue([drilled(8)], old, weekly, NOW) is None
    assert drill_overdue([drilled(15), drilled(0.1, "running")], old, weekly, NOW) == (
        "no drill has proven a backup for 15 days"
    )
    assert drill_overdue([drilled(8), drilled(1, "failed", "rows differ")], old, weekly, NOW) == (
        "the drill of backup d1 failed: rows differ"
    )
    assert drill_overdue([drilled(8, "failed", "x"), drilled(1)], old, weekly, NOW) is None
