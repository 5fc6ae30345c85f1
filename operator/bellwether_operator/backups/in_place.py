"""A running system that is restored in place. Pure: from what is there follows the one thing to be done next.

    1  ask        what the gateway shows is written to the system's status, before anything is done by it
    2  Stopping   the system is to have no pods; wait until it has none, and until no backup cuts its volumes
    3  Restoring  a Job checks the backup and exchanges what the volumes hold; asked again it does nothing
    4  Starting   the system has pods again, halted; wait until they are ready, or another one is asked for
    5  Ended      Restored, or Refused: then what was there is as it was, and the pods start with that

Everything that a step needs is in the API server, so the operator can be killed at any of them and goes on by looking
again. Only the Job's program says that a restore is refused, by its exit code: it alone knows that nothing was
exchanged. A Job that failed otherwise is made again by whoever deletes it, and the system has no pods until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from bellwether.render.kubernetes.filling import RestoreOrder
from bellwether_operator.gateway_view import RestoreAsked
from bellwether_operator.observe.kinds import Observed
from bellwether_operator.report.finding import instant, instant_of

PATIENCE = timedelta(hours=1)
"""How long after the start of a restore its Job waits for what may pass."""
FUTILE = "PodFailurePolicy"
"""Why a Job has failed whose program said that trying again cannot help."""
Step = Literal["Stopping", "Restoring", "Starting", "Ended"]
Outcome = Literal["", "Restored", "Refused"]
_WORDS = 1000


class RestoreRow(NamedTuple):
    """What the system's status keeps of the restore that was asked for last."""

    backup: str
    location: str
    requested: datetime
    started: datetime
    step: Step
    outcome: Outcome = ""
    message: str = ""
    ended: datetime | None = None

    @property
    def request(self) -> str:
        """What it goes by: when it was asked for."""
        return f"{self.requested:%Y%m%dT%H%M%SZ}"

    @property
    def under_way(self) -> bool:
        """Whether it is not over."""
        return self.step != "Ended"

    @property
    def without_pods(self) -> bool:
        """Whether the system is to have no pods."""
        return self.step in {"Stopping", "Restoring"}

    @property
    def order(self) -> RestoreOrder | None:
        """What the Job is to do; None where there is to be none."""
        if self.step != "Restoring":
            return None
        return RestoreOrder(self.request, self.backup, self.location, instant(self.started + PATIENCE))

    @property
    def words(self) -> str:
        """How far it is, for a person."""
        return f"backup {self.backup} of {self.location} is restored in place: {self.message}"


@dataclass(frozen=True)
class RestorePicture:
    """What is there besides."""

    now: datetime
    uid: str
    """Of the system."""
    asked: RestoreAsked | None = None
    """What the gateway shows."""
    pods: tuple[str, ...] = ()
    """The components that may still have pods."""
    ready: bool = False
    """Whether all pods that are declared are ready."""
    hindrance: str | None = None
    """Why it is waited though there are no pods, in words: a backup cuts the volumes, or the system is paused."""
    job: Observed | None = None
    """The Job of this restore."""
    said: str = ""
    """What its newest pod said as it failed."""


def next_row(before: RestoreRow | None, seen: RestorePicture) -> RestoreRow | None:
    """Return how far the restore is now; None where none was ever asked for."""
    if before is not None and before.step == "Stopping":
        return _stopping(before, seen)
    if before is not None and before.step == "Restoring":
        return _restoring(before, seen)
    row = _asked(before, seen)
    if row is None or row.step != "Starting":
        return row
    return _starting(row, seen)


def _starting(before: RestoreRow, seen: RestorePicture) -> RestoreRow:
    if seen.ready:
        message = "restored, halted: compare, then `bellwether resume`; what was there is kept aside on the volumes"
        return before._replace(step="Ended", message=message, ended=seen.now)
    return before if seen.hindrance is None else before._replace(message=seen.hindrance)


def is_over(row: RestoreRow | None, asked: RestoreAsked) -> bool:
    """Whether the gateway shows a request that is dealt with: it can take another one, once it knows that."""
    return row is not None and asked.at <= row.requested and (not row.under_way or asked.at < row.requested)


def _asked(before: RestoreRow | None, seen: RestorePicture) -> RestoreRow | None:
    asked = seen.asked
    # Streams that were restored may hold an older request, and those of another system that system's.
    if asked is None or asked.uid != seen.uid or (before is not None and asked.at <= before.requested):
        return before
    now = seen.now.astimezone(UTC).replace(microsecond=0)
    return RestoreRow(asked.backup, asked.location, asked.at, now, "Stopping", message="the pods are to end")


def _stopping(before: RestoreRow, seen: RestorePicture) -> RestoreRow:
    if seen.hindrance is not None:
        return before._replace(message=seen.hindrance)
    if seen.pods:
        return before._replace(message=f"waiting until these have no pods: {', '.join(seen.pods)}")
    return before._replace(step="Restoring", message="a Job checks the backup beside what is there")


def _restoring(before: RestoreRow, seen: RestorePicture) -> RestoreRow:
    ended = {one["type"]: one for one in _conditions(seen.job) if one.get("status") == "True"}
    if "Complete" in ended:
        return before._replace(step="Starting", outcome="Restored", message="the volumes hold it, the pods start")
    if "Failed" not in ended or seen.job is None:
        said = f"; tried again after: {seen.said}" if seen.said else ""
        return before._replace(message=f"a Job checks the backup beside what is there{said}"[:_WORDS])
    why = seen.said or str(ended["Failed"].get("message", ""))
    if ended["Failed"].get("reason") == FUTILE:
        message = f"it was not restored, what was there is as it was, halted: {why}"[:_WORDS]
        return before._replace(step="Ended", outcome="Refused", message=message, ended=seen.now)
    again = f"delete Job {seen.job.key.name} for another try"
    message = f"its Job failed, and nobody says what the volumes hold: {why[: _WORDS // 2]}; {again}"
    return before._replace(message=message)


def _conditions(job: Observed | None) -> list[Mapping[str, Any]]:
    return [] if job is None else list(job.status.get("conditions") or ())


def restore_row_of(status: Mapping[str, Any]) -> RestoreRow | None:
    """Return what a system's status says of the restore that was asked for last."""
    found = status.get("restore")
    requested = None if not found else instant_of(found.get("requested"))
    if not found or requested is None:
        return None
    return RestoreRow(
        backup=str(found["backup"]),
        location=str(found["location"]),
        requested=requested,
        started=instant_of(found.get("started")) or requested,
        step=found["step"],
        outcome=found.get("outcome", ""),
        message=str(found.get("message", "")),
        ended=instant_of(found.get("ended")),
    )


def restore_row_status(row: RestoreRow) -> dict[str, str]:
    """Return a row as a status writes it."""
    found = {
        "backup": row.backup,
        "location": row.location,
        "requested": instant(row.requested),
        "started": instant(row.started),
        "step": row.step,
        "outcome": row.outcome,
        "message": row.message[:_WORDS],
    }
    return found if row.ended is None else {**found, "ended": instant(row.ended)}
