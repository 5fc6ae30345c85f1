"""What is known of backups."""

from __future__ import annotations

from bellwether_operator.report.finding import Finding, Reason, truth
from bellwether_operator.report.observation import BackupNews, Case

_NONE = "no backup of this system has been made yet"
_NOT_RESTORED = "no backup of this system has been restored for a test"


def backup_healthy(case: Case) -> Finding:
    """Return whether the newest backup that has ended is complete, and none is overdue by the schedule."""
    newest, backups = case.seen.backup, case.seen.backups
    if backups.refused is not None:
        return Finding("BackupHealthy", "False", Reason.BACKUP_FAILED, backups.refused)
    if newest is not None and not newest.complete:
        good = f"; the newest good one is {newest.good}" if newest.good else "; there is no good one"
        return Finding("BackupHealthy", "False", Reason.BACKUP_FAILED, f"{newest.name}: {newest.words}{good}")
    if backups.overdue is not None:
        return Finding("BackupHealthy", "False", Reason.BACKUP_OVERDUE, backups.overdue)
    if newest is None:
        return Finding("BackupHealthy", "Unknown", Reason.NO_BACKUPS, _none(case))
    return Finding("BackupHealthy", "True", Reason.BACKUP_COMPLETE, f"{newest.name}: {newest.words}")


def _none(case: Case) -> str:
    declared = case.system.spec.backup
    if declared is None or declared.schedule is None:
        return _NONE
    if not declared.repositories_in_cluster and all(one.kind != "volumeSnapshots" for one in declared.locations):
        return f"{_NONE}: in a cluster a location of kind folder needs a volumeClaim"
    if case.system.spec.clock.mode == "replay":
        return f"{_NONE}: a replay has none made by schedule"
    return f"{_NONE}: the first one is made after the next session"


def restore_verified(newest: BackupNews | None, tested: BackupNews | None) -> Finding:
    """Return whether the backup that was restored for a test last was found whole."""
    if tested is not None:
        reason = Reason.RESTORED if tested.complete else Reason.RESTORE_FAILED
        words = f"{tested.name}: {tested.words}"
        return Finding("RestoreVerified", truth(tested.complete), reason, words)
    return Finding("RestoreVerified", "Unknown", Reason.NO_BACKUPS, _NONE if newest is None else _NOT_RESTORED)
