"""The steps of a backup in a repository: a folder or a bucket. Pure.

    1  begin     where it goes is written to the backup's status, before anybody is asked
    2  ask       the system's service `backup` makes it; asked again it says how far that is, and makes it only once
    3  retry     after a failure that may pass, a minute later
    4  forget    the TradingBackups of what the location keeps no more
    5  complete  the service has found it whole in the location

The service is asked by the TradingBackup's uid, which it writes into the repository: whoever was killed, operator or
service, what was made for this one is found there and not made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from msgspec.structs import replace

from bellwether_operator.backups.steps import Progress, Stored

PAUSE = timedelta(minutes=1)
"""How long after a failure it is tried again."""
PATIENCE = timedelta(hours=1)
"""How long after its start a failed try is followed by another one."""
LONGEST = timedelta(hours=12)
"""How long it may take, and how long nobody may say how far it is."""
_REASONS = {"reach": "Reaching", "copy": "Copying", "count": "Counting", "store": "Storing", "check": "Checking"}
_WORDS = 1000


class Place(NamedTuple):
    """A location that is a repository."""

    location: str
    where: str
    """The bucket's URL, or the claim and the folder in it."""


class Answer(NamedTuple):
    """What the service says of a backup."""

    state: str
    """waiting, running, complete or failed."""
    step: str = ""
    said: str = ""
    final: bool = False
    """Of one that failed: whether trying again cannot help."""
    id: str = ""
    kind: str = ""
    cut: datetime | None = None
    session: str = ""
    size: int = 0
    added: int = 0
    kept: tuple[str, ...] = ()
    """The ids of all backups of the system that count in the location."""


class BackupRequest(NamedTuple):
    """What the service is asked for."""

    id: str
    location: str
    kind: str
    attempt: int
    known: bool
    """Whether the location has had a repository: then none is made in the place of one that is gone."""


def declared_place(system: Mapping[str, Any] | None, name: str | None) -> Place | None:
    """Return the repository of a name that a TradingSystem declares; None where it is none, or of no cluster."""
    backup = ((system or {}).get("spec") or {}).get("backup") or {}
    for one in backup.get("locations") or ():
        if one["name"] == name and (one["kind"] == "s3" or one.get("volumeClaim")):
            return Place(one["name"], one.get("url") or f"{one['volumeClaim']}:{one['path']}")
    return None


def begin(before: Progress, place: Place, now: datetime) -> Progress:
    """Return the progress of a backup of which nobody was asked yet."""
    stored = Stored(place.location, place.where)
    words = f"the service backup is asked to make it in {place.location}"
    return replace(before, stored=stored, started_at=now, reason="Reaching", message=words)


def rests(stored: Stored, now: datetime) -> bool:
    """Whether it is not yet to be tried again."""
    return stored.retry_at is not None and now < stored.retry_at


def retry(before: Progress, stored: Stored) -> Progress:
    """Return the progress of one that is tried again."""
    return replace(before, stored=replace(stored, attempts=stored.attempts + 1, retry_at=None))


def heard(before: Progress, stored: Stored, answer: Answer, now: datetime) -> Progress:
    """Return the progress after what the service says."""
    if answer.state == "complete":
        return _complete(before, stored, answer, now)
    if answer.state == "failed" and (answer.final or now >= _since(before, now) + PATIENCE):
        tried = "" if answer.final else f" (tried {stored.attempts} times, given up after {PATIENCE})"
        return failed(before, "RepositoryFailed" if answer.final else "GivenUp", f"{answer.said}{tried}", now)
    if answer.state == "failed":
        at = now + PAUSE
        words = f"{answer.said}; tried again at {at:%H:%M:%S} UTC"
        return replace(before, stored=replace(stored, retry_at=at), reason="Retrying", message=words[:_WORDS])
    if now >= _since(before, now) + LONGEST:
        return failed(before, "GivenUp", f"not complete after {LONGEST}: {answer.said}", now)
    reason = "Waiting" if answer.state == "waiting" else _REASONS.get(answer.step, "Storing")
    return replace(before, reason=reason, message=answer.said or before.message)


def unheard(before: Progress, words: str, now: datetime) -> Progress:
    """Return the progress where nobody says how far it is; what the service does meanwhile goes on."""
    if now >= _since(before, now) + LONGEST:
        return failed(before, "GivenUp", f"nobody said in {LONGEST} how far it is: {words}", now)
    return replace(before, reason="Waiting", message=f"the system does not say how far it is: {words}"[:_WORDS])


def _complete(before: Progress, stored: Stored, answer: Answer, now: datetime) -> Progress:
    read = "every byte read again" if answer.kind == "full" else "what was there already was not stored again"
    of = f" of session {answer.session}" if answer.session else ""
    words = f"{answer.kind} backup {answer.id}{of} is whole in {stored.location}: {read}"
    done = replace(stored, id=answer.id, session=answer.session, size=answer.size, added=answer.added, retry_at=None)
    return replace(
        before, stored=done, cut_at=answer.cut, ended_at=now, state="complete", reason="Verified", message=words
    )


def failed(before: Progress, reason: str, words: str, now: datetime) -> Progress:
    """Return the progress of one that has failed."""
    return replace(before, state="failed", reason=reason, message=words[:_WORDS], ended_at=now)


def _since(before: Progress, now: datetime) -> datetime:
    return before.started_at or now
