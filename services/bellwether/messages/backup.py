"""What the backup service is asked and answers, in the shapes of the old system."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

PRODUCTION = "production"


class CreateBackup(msgspec.Struct, frozen=True):
    """Make a backup; `auto` is full each time that spec.backup.schedule.fullEvery says, else incremental."""

    type: Literal["full", "incremental", "auto"] = "incremental"
    location: str | None = None
    """One of spec.backup.locations; without it all that are repositories."""


class BackupMade(msgspec.Struct, frozen=True):
    """A backup that is complete in every location."""

    backup_id: str
    timestamp: datetime
    type: str
    databases_backed_up: list[str]
    size_mb: float
    status: str
    session: str = ""


class KeepBackup(msgspec.Struct, frozen=True):
    """Make the backup that a TradingBackup asks for: once, however often it is asked."""

    id: str
    """The uid of the TradingBackup."""
    location: str
    attempt: int = 1
    """A higher one has what failed tried again."""
    type: Literal["full", "incremental"] = "full"
    known: bool = False
    """Whether the location has had a repository: then none is made in the place of one that is gone."""


class BackupProgress(msgspec.Struct, frozen=True):
    """How far such a backup is."""

    state: Literal["waiting", "running", "complete", "failed"]
    step: str = ""
    said: str = ""
    """What it does now, or why it failed."""
    final: bool = False
    """Of one that failed: whether trying again cannot help."""
    backup_id: str = ""
    type: str = ""
    cut: datetime | None = None
    session: str = ""
    size: int = 0
    """Bytes of all pieces."""
    added: int = 0
    """Bytes that the repository grew by."""
    kept: list[str] = []
    """The ids of all backups of the system that count in the location."""


class RestoreBackup(msgspec.Struct, frozen=True):
    """Put a backup in the place of what is there."""

    backup_id: str
    location: str | None = None


class BackupRestored(msgspec.Struct, frozen=True):
    """A restored system, or in a cluster one that will be, by the operator; it starts halted."""

    backup_id: str
    status: str = "restore_completed"
    """In a cluster `restore_requested`: the process that answers ends before it is done."""
    location: str = ""
    """Where the backup is."""
    at: datetime | None = None
    """In a cluster: when it was asked for, by which the operator reports it in `status.restore`."""


class RestoreRequest(msgspec.Struct, frozen=True):
    """A restore in place that somebody asked for, as it is kept on the bus until it is over."""

    backup_id: str
    location: str
    at: datetime
    """When it was asked for, UTC, to the second. A later one never has the same."""
    uid: str
    """Of the system that was asked: in a copy of its streams, another system's, the request counts for nothing."""
    ended: bool = False
    """Whether it is over, be it restored or refused."""

    @property
    def id(self) -> str:
        """What it goes by."""
        return f"{self.at:%Y%m%dT%H%M%SZ}"


class EndRestore(msgspec.Struct, frozen=True):
    """Say that a restore in place is over, so that another one can be asked for."""

    id: str


class RestoreEnded(msgspec.Struct, frozen=True):
    """Which restore in place is over; empty: none was under way by that id."""

    id: str


class ListBackups(msgspec.Struct, frozen=True):
    """Ask for backups, newest first."""

    limit: int = 50


class BackupRow(msgspec.Struct, frozen=True):
    """One backup, or why it is none."""

    backup_id: str
    timestamp: datetime
    type: str
    size_mb: float
    status: Literal["running", "complete", "failed"]
    session: str = ""
    error: str = ""


class Backups(msgspec.Struct, frozen=True):
    """The backups that this system knows of, newest first, and the newest drill's outcome."""

    backups: list[BackupRow]
    last_drill: str = ""
