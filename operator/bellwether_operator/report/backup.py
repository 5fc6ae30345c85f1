"""What is known of backups."""

from __future__ import annotations

from bellwether_operator.report.finding import Finding, Reason
from bellwether_operator.report.observation import BackupNews

_NONE = "no backup of this system has been made yet"
_NOT_RESTORED = "no backup of this system has been restored for a test"


def backup_healthy(newest: BackupNews | None) -> Finding:
    """Return whether the newest backup that has ended is complete."""
    if newest is None:
        return Finding("BackupHealthy", "Unknown", Reason.NO_BACKUPS, _NONE)
    words = f"{newest.name}: {newest.words}"
    if newest.complete:
        return Finding("BackupHealthy", "True", Reason.BACKUP_COMPLETE, words)
    return Finding("BackupHealthy", "False", Reason.BACKUP_FAILED, words)


def restore_verified(newest: BackupNews | None) -> Finding:
    """Return whether a backup was restored for a test."""
    return Finding("RestoreVerified", "Unknown", Reason.NO_BACKUPS, _NONE if newest is None else _NOT_RESTORED)
