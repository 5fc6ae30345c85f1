"""The conditions of a system, their order, and the words for why they hold or do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from bellwether.spec.fields import parse_instant

MESSAGE_LIMIT = 2000
Truth = Literal["True", "False", "Unknown"]

CONDITIONS = (
    "Ready",
    "Reconciling",
    "Stalled",
    "Accepted",
    "Available",
    "MessagingReady",
    "CalendarCurrent",
    "DataFresh",
    "ModelsCurrent",
    "SafeToTrade",
    "BackupHealthy",
    "RestoreVerified",
    "RolloutPending",
    "Contested",
)
"""Every condition; a status always has all of them, in this order."""


class Reason(StrEnum):
    """Why a condition is what it is, in one word for machines; docs/conditions.md says which condition has which."""

    ACCEPTED = "Accepted"
    APPLY_REFUSED = "ApplyRefused"
    BACKUP_COMPLETE = "BackupComplete"
    BACKUP_FAILED = "BackupFailed"
    BACKUP_OVERDUE = "BackupOverdue"
    BACKUP_PENDING = "BackupPending"
    CREATED_DIFFERENTLY = "BegunOtherwise"
    BROKER_UNRECONCILED = "BrokerUnreconciled"
    CONTAINER_NOT_STARTED = "ContainerNotStarted"
    CONTESTED = "Contested"
    CRASH_LOOP = "CrashLoopBackOff"
    CURRENT = "Current"
    DAILY_LOSS_EXCEEDED = "DailyLossExceeded"
    DRAWDOWN_EXCEEDED = "DrawdownExceeded"
    DATA_STALE = "DataStale"
    QUALITY_UNKNOWN = "QualityUnknown"
    VOLUME_FULL = "VolumeFull"
    QUALITY_TOO_LOW = "QualityTooLow"
    DELIVERING = "Delivering"
    DOES_NOT_FIT = "DoesNotFit"
    FRESH = "Fresh"
    GATEWAY_UNREACHABLE = "GatewayUnreachable"
    HALTED = "Halted"
    HALT_FORCED = "HaltForced"
    HORIZON_NEAR = "HorizonNear"
    HORIZON_PASSED = "HorizonPassed"
    IMAGE_NOT_PULLED = "ImageNotPulled"
    INVALID = "Invalid"
    MODEL_DEMOTED = "ModelDemoted"
    MODEL_EXPIRED = "ModelExpired"
    NAME_TAKEN = "NameTaken"
    NATS_READY = "NatsReady"
    NOTHING_HELD = "NothingHeld"
    NOT_CONTESTED = "NotContested"
    NOT_SAID = "NotSaid"
    NO_BACKUPS = "NoBackups"
    NO_MODEL = "NoModel"
    NO_REAL_PRICE = "NoRealPrice"
    OOM_KILLED = "OOMKilled"
    PAUSED = "Paused"
    PODS_READY = "PodsReady"
    POD_REFUSED = "PodRefused"
    PROGRESSING = "Progressing"
    QUOTA_EXCEEDED = "QuotaExceeded"
    READY = "Ready"
    REFUSED = "Refused"
    REPLAY_CLOCK = "ReplayClock"
    REPLAY_COMPLETE = "ReplayComplete"
    RESTORED = "Restored"
    RESTORING = "Restoring"
    RESTORE_FAILED = "RestoreFailed"
    RESTORE_REFUSED = "RestoreRefused"
    RETRYING = "Retrying"
    ROLLING_OUT = "RollingOut"
    ROLLOUT_FAILED = "RolloutFailed"
    SAFE = "Safe"
    SERVED = "Served"
    SERVICES_NOT_READY = "ServicesNotReady"
    SESSION_OPEN = "SessionOpen"
    SESSION_STUCK = "SessionStuck"
    SETTLED = "Settled"
    SOME_REFUSED = "SomeRefused"
    STALE = "Stale"
    STALLED = "Stalled"
    STORAGE_CLASS_MISSING = "StorageClassMissing"
    SWITCHED_OFF = "SwitchedOff"
    TRADING_OFF = "TradingOff"
    UNGATED = "Ungated"
    UNSCHEDULABLE = "Unschedulable"
    VOLUME_NOT_MADE = "VolumeNotMade"
    WAITING_FOR_GATEWAY = "WaitingForGateway"
    WAITING_FOR_NATS = "WaitingForNats"
    WAITING_FOR_PODS = "WaitingForPods"
    WAITING_FOR_PREDECESSOR = "WaitingForPredecessor"


def truth(holds: bool) -> Truth:
    """Return the status of a condition that is known to hold or not."""
    return "True" if holds else "False"


class Finding(NamedTuple):
    """One condition without its bookkeeping."""

    type: str
    status: Truth
    reason: str
    message: str
    generation: int | None = None
    """Of the declaration that it speaks of, where that is not the newest one."""


def conditions(
    findings: Iterable[Finding], generation: int, previous: Iterable[Mapping[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    """Return conditions with the time at which each last changed its status (not its words)."""
    before = {each["type"]: each for each in previous}
    found = []
    for finding in findings:
        known = before.get(finding.type)
        unchanged = known is not None and known.get("status") == finding.status
        found.append(
            {
                "type": finding.type,
                "status": finding.status,
                "reason": str(finding.reason),
                "message": finding.message[:MESSAGE_LIMIT],
                "lastTransitionTime": known["lastTransitionTime"] if known is not None and unchanged else instant(now),
                "observedGeneration": generation if finding.generation is None else finding.generation,
            }
        )
    return found


def previous_finding(previous: Mapping[str, Any], kind: str) -> Finding | None:
    """Return what a previous status said of a condition; None when it said nothing."""
    known = next((each for each in previous.get("conditions", ()) if each["type"] == kind), None)
    if known is None:
        return None
    return Finding(
        kind, known["status"], known["reason"], known.get("message", ""), int(known.get("observedGeneration", 0))
    )


def instant(at: datetime) -> str:
    """Return an aware datetime as a status writes it, UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def instant_of(text: str | None) -> datetime | None:
    """Return the instant that a status says, UTC; None where it says none."""
    return parse_instant(text) if text else None


def listed(words: Iterable[str], most: int = 10) -> str:
    """Return words as a list for a sentence, the first ones of many."""
    found = list(words)
    more = [f"{len(found) - most} more"] if len(found) > most else []
    return ", ".join([*found[:most], *more])
