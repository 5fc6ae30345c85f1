"""A new release waits for a backup of what the former one wrote, for a declared time at most."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from bellwether.spec.models import TradingSystem
from bellwether_operator.backups.steps import Progress
from bellwether_operator.backups.upgrades import (
    Gate,
    UpgradeRow,
    backup_name,
    gate,
    location_before,
    upgrade_row_of,
    upgrade_row_status,
)
from harness.statuses import declared

NOW = datetime(2026, 11, 30, 9, 15, 0, 250_000, tzinfo=UTC)
ROW = UpgradeRow("2", NOW.replace(microsecond=0))
NAME = "demo-20261130091500"
RUNNING = Progress(state="running", message="not cut yet: data-demo-0")


def system(**backup: Any) -> TradingSystem:
    locations = [{"name": "snap", "kind": "volumeSnapshots"}]
    return declared(1, backup={"locations": locations, **backup})


def test_at_first_only_the_status_says_so_and_then_the_backup_is_made_once() -> None:
    first = gate(system(), None, "2", None, NOW)
    assert (first.row, first.make) == (ROW, None)
    assert first.until == ROW.since + timedelta(minutes=15)
    assert (
        first.waits
        == f"release 2 waits for backup {NAME}, until 2026-11-30 09:30:00 UTC at the latest: it is not made yet"
    )
    assert upgrade_row_of({"upgrade": upgrade_row_status(ROW)}) == ROW
    assert gate(system(), ROW, "2", None, NOW).make == NAME == backup_name("demo", ROW)
    waiting = gate(system(), ROW, "2", RUNNING, NOW)
    assert waiting.make is None
    assert waiting.waits is not None
    assert waiting.waits.endswith("not cut yet: data-demo-0")


def test_it_goes_on_once_the_backup_is_complete() -> None:
    assert gate(system(), ROW, "2", replace(RUNNING, state="complete"), NOW) == Gate(ROW)


@pytest.mark.parametrize("progress", [None, RUNNING, Progress(state="failed", message="the class is unknown")])
def test_when_its_time_is_over_it_goes_on_without_and_says_so(progress: Progress | None) -> None:
    assert gate(system(), ROW, "2", progress, NOW + timedelta(minutes=14)).waits
    late = gate(system(), ROW, "2", progress, NOW + timedelta(minutes=15))
    assert (late.waits, late.make, late.until) == (None, None, None)
    assert late.without is not None
    assert late.without.startswith(f"release 2 did not wait longer than 0:15:00 for backup {NAME}: ")


def test_yet_another_release_waits_again_for_a_backup_of_its_own() -> None:
    later = NOW + timedelta(minutes=5)
    found = gate(system(), ROW, "3", replace(RUNNING, state="failed"), later)
    assert found.row == UpgradeRow("3", later.replace(microsecond=0))


@pytest.mark.parametrize(
    "backup",
    [
        {"beforeUpgrade": "0s"},
        {"locations": [{"name": "d", "kind": "folder", "path": "/d", "secretRef": {"name": "s"}}]},
    ],
)
def test_nothing_waits_where_no_backup_precedes_a_release(backup: dict[str, Any]) -> None:
    assert gate(system(**backup), None, "2", None, NOW) == Gate()
    assert gate(declared(1), None, "2", None, NOW) == Gate()


def test_where_only_repositories_are_declared_it_is_made_in_the_first_that_pods_reach() -> None:
    disk = {"name": "disk", "kind": "folder", "path": "/mnt/disk", "secretRef": {"name": "repository"}}
    far = {"name": "far", "kind": "s3", "url": "https://s3.example/trade", "secretRef": {"name": "far"}}
    snap = {"name": "snap", "kind": "volumeSnapshots"}

    def place(*locations: dict[str, Any]) -> str | None:
        found = location_before(declared(1, backup={"locations": list(locations)}).spec.backup)
        return None if found is None else found.name

    assert [place(disk, far, snap), place(disk, far), place(disk)] == ["snap", "far", None]
    assert gate(declared(1, backup={"locations": [far]}), ROW, "2", None, NOW).make == NAME
    assert gate(declared(1, backup={"locations": [disk]}), ROW, "2", None, NOW) == Gate()
