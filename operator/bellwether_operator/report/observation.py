"""What a pass found out about a system, the one input of its status, and how old a service's word in it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from bellwether.render.kubernetes.context import Period
from bellwether.spec.models import TradingSystem
from bellwether_operator.gateway_view import GatewayView
from bellwether_operator.report.finding import Finding, Reason, previous_finding
from bellwether_operator.report.pods import Cause


@dataclass(frozen=True)
class Workload:
    """One StatefulSet or Deployment as far as it matters here."""

    component: str
    wanted: int
    ready: bool


class TaskRow(NamedTuple):
    """When a task is due next, when the newest done slot and the newest missed slot were due; None: there is none."""

    name: str
    next: datetime | None = None
    last: datetime | None = None
    missed: datetime | None = None


class BackupNews(NamedTuple):
    """The newest backup of a system that has ended."""

    name: str
    complete: bool
    words: str
    good: str = ""
    """Which is the newest complete one, in words; empty where there is none."""


class BackupsSeen(NamedTuple):
    """What is known of backups by schedule."""

    row: Mapping[str, str] | None = None
    """What the status keeps of them; None where none are made by schedule."""
    overdue: str | None = None
    """In words, that the newest session is in no good backup though it should be."""
    refused: str | None = None
    """In words, that one could not be made or removed."""


@dataclass(frozen=True)
class Observation:
    """Everything that a pass found out. Datetimes are aware."""

    invalid: str | None = None
    """Why the declaration cannot be read, though the schema let it through."""
    taken: Sequence[str] = ()
    """Children whose name somebody else's object has."""
    other_declaration: Sequence[str] = ()
    """Volumes with what was created under another declaration."""
    waiting: Sequence[str] = ()
    """Children that wait for a deleted predecessor's to go."""
    refused: Sequence[str] = ()
    """What the API server refused, in its words; asking again will not help by itself."""
    failed: Sequence[str] = ()
    """What did not work this time and is tried again."""
    notes: Sequence[str] = ()
    """What cannot be done as declared and is left as it is."""
    workloads: Sequence[Workload] = ()
    view: GatewayView | None = None
    """What the gateway last said; None when it was never reached, or too long ago."""
    view_pending: bool = False
    """Whether this operator has only just started to ask the gateway: what was said before still counts."""
    backup: BackupNews | None = None
    tested: BackupNews | None = None
    """The backup that was restored for a test last; complete: it was found whole."""
    backups: BackupsSeen = field(default_factory=BackupsSeen)
    release: str = ""
    volume_size: str | None = None
    """The largest size that a volume claim asks for."""
    gateway: str = ""
    period: Period | None = None
    """The session under way or the next one; None where it is not known."""
    tasks: Sequence[TaskRow] = ()
    held: Sequence[str] = ()
    """What waits for the session's close, one line each."""
    held_until: datetime | None = None
    held_for_backup: str | None = None
    """Why what is held waits, where it is not for the session's close but for a backup before a new release."""
    upgrade: Mapping[str, str] | None = None
    """What the status keeps of a release that is preceded by a backup."""
    contested: Sequence[str] = ()
    """Fields that somebody else keeps changing, and that are left alone for a while."""
    paused_until: datetime | None = None
    """Until when nothing is changed; None: not paused."""
    paused_reason: str | None = None
    pending: Sequence[str] = ()
    """What a pass would change if the system were not paused."""
    gone_back: Sequence[str] = ()
    """Rollouts that failed, so that what ran before runs again."""
    causes: Sequence[Cause] = ()
    """Why pods do not run, as far as that does not go by itself."""
    unrestorable: str | None = None
    """Why the volumes of a new system cannot be made from what it is to be restored from."""
    restore: Mapping[str, str] | None = None
    """What the status keeps of the restore in place that was asked for last."""
    restoring: str | None = None
    """In words, how far one is that is under way."""
    forced: str | None = None
    """Why the trader's pods are stopped: a halt that it did not acknowledge."""

    @property
    def applied(self) -> bool:
        """Whether everything that is declared was applied, so that the newest generation is in force."""
        waits = self.waiting or self.failed or self.held or self.pending or self.contested
        return not (waits or self.gone_back)

    @property
    def late(self) -> list[str]:
        """The components whose pods are not all ready."""
        return [each.component for each in self.workloads if not each.ready]

    @property
    def up(self) -> bool:
        """Whether all pods are ready."""
        return bool(self.workloads) and not self.late


@dataclass(frozen=True)
class Case:
    """What a condition is judged by: the declaration, what was found, what was said before, and the time (aware)."""

    system: TradingSystem
    generation: int
    seen: Observation
    previous: Mapping[str, Any]
    now: datetime


def unheard(case: Case, kind: str) -> Finding:
    """Return a condition that only the gateway could tell, while it does not answer.

    What was said before counts for a while after the operator's own restart, if the pods are up.
    """
    before = previous_finding(case.previous, kind)
    if before is not None and case.seen.view_pending and case.seen.up and before.reason != Reason.INVALID:
        return before
    return Finding(kind, "Unknown", Reason.GATEWAY_UNREACHABLE, "the gateway does not answer, so nobody can say")


def spoken_of(case: Case, view: GatewayView, service: str) -> int:
    """Return the generation that a service had when it said what it says."""
    return min(case.generation, view.generation, view.acknowledged.get(service, view.generation))
