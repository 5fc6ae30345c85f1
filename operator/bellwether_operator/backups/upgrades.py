"""A new release that waits for a backup of what the former one wrote, for a declared time at most. Pure.

The system's status says since when it waits before anything is made, and the backup is named by that instant: an
operator that was killed goes on with the same one. When the time is over the release goes on without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from bellwether.spec.backup import Backup, BackupLocation
from bellwether.spec.fields import parse_duration
from bellwether.spec.models import TradingSystem
from bellwether_operator.backups.plan import snapshot_location
from bellwether_operator.backups.steps import Progress
from bellwether_operator.report.finding import instant


class UpgradeRow(NamedTuple):
    """What the system's status keeps of a release that waits or waited."""

    to: str
    since: datetime


@dataclass(frozen=True)
class Gate:
    """What a new release has to wait for."""

    row: UpgradeRow | None = None
    """None: nothing waits."""
    make: str | None = None
    """The name of the backup that is to be made now."""
    waits: str | None = None
    """Why the release waits, in words; None: it does not."""
    until: datetime | None = None
    """When it goes on whatever came of the backup; None once it does."""
    without: str | None = None
    """In words, that it has gone on without a good backup."""


def backup_name(system: str, row: UpgradeRow) -> str:
    """Return the name of the backup that precedes a release."""
    return f"{system}-{row.since:%Y%m%d%H%M%S}"


def location_before(backup: Backup | None) -> BackupLocation | None:
    """Return where the backup before a release goes: volume snapshots first, else the first repository."""
    repositories = [] if backup is None else backup.repositories_in_cluster
    return snapshot_location(backup) or next(iter(repositories), None)


def longest_wait(backup: Backup | None) -> timedelta:
    """Return how long a release waits at most; zero where none is preceded by a backup."""
    return timedelta(0) if backup is None or location_before(backup) is None else parse_duration(backup.before_upgrade)


def gate(system: TradingSystem, row: UpgradeRow | None, to: str, progress: Progress | None, now: datetime) -> Gate:
    """Return what a release that differs from the one that runs has to wait for.

    Args:
        system: its declaration.
        row: as the status has it.
        to: the new release.
        progress: of the backup that precedes it; None where that is not there.
        now: aware.
    """
    patience = longest_wait(system.spec.backup)
    if not patience:
        return Gate()
    known = row is not None and row.to == to
    row = row if row is not None and known else UpgradeRow(to, now.astimezone(UTC).replace(microsecond=0))
    name, until = backup_name(system.metadata.name, row), row.since + patience
    if progress is not None and progress.state == "complete":
        return Gate(row)
    said = "it is not made yet" if progress is None else progress.message or "it has started"
    if now >= until:
        return Gate(row, without=f"release {to} did not wait longer than {until - row.since} for backup {name}: {said}")
    words = f"release {to} waits for backup {name}, until {until:%Y-%m-%d %H:%M:%S} UTC at the latest: {said}"
    return Gate(row, name if known and progress is None else None, words, until)


def upgrade_row_of(status: Mapping[str, Any]) -> UpgradeRow | None:
    """Return what a system's status says of a release that waits or waited."""
    found = status.get("upgrade")
    if not found:
        return None
    return UpgradeRow(str(found["to"]), datetime.fromisoformat(str(found["since"])).astimezone(UTC))


def upgrade_row_status(row: UpgradeRow) -> dict[str, str]:
    """Return a row as a status writes it."""
    return {"to": row.to, "since": instant(row.since)}
