"""What is known of backups."""

from __future__ import annotations

from bellwether_operator.report.finding import Finding, Reason

_NONE = "no backup of this system has been made yet"


def backup_healthy() -> Finding:
    """Return whether the newest backup is as it should be."""
    return Finding("BackupHealthy", "Unknown", Reason.NO_BACKUPS, _NONE)


def restore_verified() -> Finding:
    """Return whether a backup was restored for a test."""
    return Finding("RestoreVerified", "Unknown", Reason.NO_BACKUPS, _NONE)
