"""When a backup is due, when it is full by itself, and when the newest one is too old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from bellwether.backups.overdue import drill_overdue, drilled_on, due_slot, overdue, waits_for_retry
from bellwether.backups.records import Record
from bellwether.backups.service import full_or_incremental
from bellwether.spec.backup import Backup, BackupDrill
from bellwether.spec.models import TradingSystemSpec

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


def spec(**changes: Any) -> TradingSystemSpec:
    words = {"market": {"calendar": "XNYS"}, "symbols": ["AAPL"], "backup": declared().model_dump(by_alias=True)}
    return TradingSystemSpec.model_validate(words | changes)


def test_a_backup_is_due_after_the_close_for_as_long_as_it_is_of_use_and_until_it_is_made() -> None:
    # NOW is a Friday with an early close, at 18:00 UTC.
    slot = due_slot([], spec(), NOW)
    assert slot is not None
    assert (slot.session, slot.due) == (NOW.date(), NOW.replace(hour=18, minute=30))
    half_an_hour, hours = timedelta(minutes=30), timedelta(hours=1)
    assert due_slot([record(1)], spec(), NOW) == slot
    assert due_slot([record(1 / 24, state="failed", reason="full disk")], spec(), NOW) == slot
    assert due_slot([record(1 / 24)], spec(), NOW) is None
    assert due_slot([], spec(), slot.due + 12 * hours) == slot
    assert due_slot([], spec(), slot.due + 12 * hours + timedelta(seconds=1)) is None
    assert due_slot([], spec(), slot.due - half_an_hour) is None
    assert due_slot([], spec(backup=None), NOW) is None
    replayed = {"clock": {"mode": "replay", "from": "2009-01-02"}, "data": {"provider": "replay"}}
    assert due_slot([], spec(**replayed), NOW) is None


@pytest.mark.parametrize("late", [timedelta(minutes=20), timedelta(hours=10)], ids=["on time", "hours after the slot"])
def test_one_that_failed_is_made_again_after_pauses_that_double_whenever_the_first_one_came(late: timedelta) -> None:
    slot = due_slot([], spec(), NOW)
    assert slot is not None
    failed: list[Record] = []
    at, pauses = slot.due + late, []
    for number in range(5):
        one = record(0, state="failed", reason="full disk")
        failed.append(msgspec.structs.replace(one, id=f"d{number}", started=at))
        while waits_for_retry(failed, slot, at) is not None:
            at += timedelta(minutes=1)
        pauses.append((at - failed[-1].started) / timedelta(minutes=1))
    assert pauses == [5, 5, 10, 20, 40]
    said = waits_for_retry(failed[:1], slot, slot.due + late)
    again = slot.due + late + timedelta(minutes=5)
    assert said == f"backup d0 failed: full disk; it is made again from {again:%H:%M} UTC on"
    assert waits_for_retry([record(1, state="failed"), record(1)], slot, NOW) is None


def test_a_drill_follows_the_backup_of_a_declared_weekday() -> None:
    fridays = declared().model_copy(update={"drill": BackupDrill()})
    assert drilled_on(fridays, "2026-11-27")
    assert not drilled_on(fridays, "2026-11-26")
    assert not drilled_on(declared(), "2026-11-27")


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
