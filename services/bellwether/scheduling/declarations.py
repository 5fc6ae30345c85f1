"""The versions of a live declaration, which slots were to be done by them, and the table that keeps them.

An edit changes what is due from then on, and nothing that was due before. So a slot whose use ended while a version was
in force was done or missed by that version, whatever came later. Only what takes a transaction touches the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal, NamedTuple, TypeVar

import msgspec

from bellwether.market.sessions import Calendar, Override, load_calendar
from bellwether.market.slots import Slot, TaskRule, slot_named, slots
from bellwether.messages.scheduling import SlotJob
from bellwether.scheduling.jobs import ScheduledJob
from bellwether.storage.store import Transaction

K = TypeVar("K", str, date)
V = TypeVar("V")
_NEVER = datetime.min.replace(tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class Timing(msgspec.Struct, frozen=True):
    """What a declaration says about time. It is kept as JSON, so it has a form of its own."""

    exchange: str
    overrides: tuple[Override, ...] = ()
    tasks: tuple[TaskRule, ...] = ()

    @property
    def calendar(self) -> Calendar:
        """The exchange's sessions with the overrides."""
        return load_calendar(self.exchange, self.overrides)


class Version(NamedTuple):
    """What a declaration says about time while it is in force: from when the scheduler first saw it (UTC)."""

    effective_from: datetime
    timing: Timing
    since_by_task: Mapping[str, datetime] = {}
    """Since when (UTC) each of its tasks has been due at its present time."""
    since_by_session: Mapping[date, datetime] = {}
    """Since when (UTC) each session has had the hours that an override gave it or took back."""

    def counts(self, slot: Slot) -> bool:
        """Whether a slot of this version was to be done.

        Its task must have been there when it was due. The hours of its session may have come while it was of use.
        """
        hours_since = self.since_by_session.get(slot.session, slot.useful_until)
        return slot.due >= self.since_by_task[slot.task] and slot.useful_until >= hours_since

    def with_jobs(self, jobs: Iterable[ScheduledJob]) -> Version:
        """Return the version with scheduled jobs as further tasks; a declared task takes the name of a job over."""
        extra = {job.rule: job.created_at for job in jobs if job.rule.name not in self.since_by_task}
        timing = msgspec.structs.replace(self.timing, tasks=(*self.timing.tasks, *extra))
        since = {**self.since_by_task, **{rule.name: created for rule, created in extra.items()}}
        return self._replace(timing=timing, since_by_task=since)


def next_version(before: Version | None, timing: Timing, effective_from: datetime) -> Version:
    """Return the version that follows another one; what both say counts from where it did before."""
    before = before or Version(effective_from, Timing(timing.exchange))
    was, now = _overrides(before.timing), _overrides(timing)
    return Version(
        effective_from,
        timing,
        _since(_times_of_tasks(before.timing), before.since_by_task, _times_of_tasks(timing), effective_from),
        # A day whose override was taken back is remembered.
        _since(was, before.since_by_session, dict.fromkeys(before.since_by_session) | now, effective_from),
    )


def _since(was: Mapping[K, V], since: Mapping[K, datetime], now: Mapping[K, V], start: datetime) -> dict[K, datetime]:
    return {key: since.get(key, start) if was.get(key) == value else start for key, value in now.items()}


def _times_of_tasks(timing: Timing) -> dict[str, object]:
    """Return what decides when each task is due; how long its work is of use does not."""
    return {rule.name: (timing.exchange, rule.anchor, rule.offset, rule.at) for rule in timing.tasks}


def _overrides(timing: Timing) -> dict[date, Override | None]:
    return {override.day: override for override in timing.overrides}


class Action(NamedTuple):
    """Something due now: a session's open or close, a slot to run, or a slot that was missed."""

    kind: Literal["open", "close", "run", "missed"]
    name: str
    session: date
    due: datetime
    task: str = ""


def due_slots(
    versions: Sequence[Version], over: Mapping[str, datetime], since: datetime, now: datetime
) -> list[Action]:
    """Return the slots due from `since` until now that are not over, by time: to run while useful, else missed.

    `versions` are those of the declaration, oldest first; the last one is in force. `over` is as in `is_open`.
    """
    found: dict[str, Action] = {}
    for version, end in zip(versions, [*(one.effective_from for one in versions[1:]), None], strict=True):
        for slot in slots(version.timing.tasks, version.timing.calendar, since, (end or now) + _TICK):
            missed = slot.useful_until < (end or now)
            if (missed or end is None) and version.counts(slot) and is_open(slot, over):
                kind: Literal["run", "missed"] = "missed" if missed else "run"
                found[slot.name] = Action(kind, slot.name, slot.session, slot.due, slot.task)
    return sorted(found.values(), key=lambda action: action.due)


def is_open(slot: Slot, over: Mapping[str, datetime]) -> bool:
    """Whether a slot is still to be done or judged; `over` has by name until when one that is due is over."""
    return over.get(slot.name, _NEVER) < slot.due


def is_due_again(job: SlotJob, version: Version) -> bool:
    """Whether a slot that is known to be missed was moved to later in time, so that it is still to be done."""
    if job.status != "missed":
        return False
    slot = slot_named(job.name, version.timing.tasks, version.timing.calendar)
    return slot is not None and slot.due > job.due and version.counts(slot)


KEPT = timedelta(days=20)
"""How long a version is kept that is no longer in force. Longer than slots are judged."""

_LAST = "SELECT number, spec FROM declarations ORDER BY number DESC LIMIT 1"
_ADD = "INSERT INTO declarations (generation, spec, effective_from) VALUES (?, ?, ?)"
_TAKE_OVER = "UPDATE declarations SET generation = ?, spec = ? WHERE number = ?"
# The first one stays: it says when the system started.
_FORGET = (
    "DELETE FROM declarations WHERE number > (SELECT min(number) FROM declarations) "
    "AND number < (SELECT max(number) FROM declarations WHERE effective_from <= ?)"
)
_ALL = "SELECT effective_from, spec FROM declarations ORDER BY number"
_decoder = msgspec.json.Decoder(Timing)


class History(NamedTuple):
    """When the live system first started (UTC), and the versions of its declaration since, oldest first."""

    began: datetime
    versions: Sequence[Version]


def see(tx: Transaction, generation: int, timing: Timing, now: datetime) -> History:
    """Note what is in force at `now` (aware), and return the history with it.

    The one seen last is in force, whatever its generation: a restored system counts them from another start.
    """
    spec = msgspec.json.encode(timing).decode()
    number, last = tx.driver.execute(_LAST).fetchone() or (None, None)
    if number is not None and last is None:
        # An earlier release kept no declarations: its system has had this one all along.
        tx.driver.execute(_TAKE_OVER, (generation, spec, number))
    elif last != spec:
        tx.driver.execute(_ADD, (generation, spec, now.isoformat()))
        tx.driver.execute(_FORGET, ((now - KEPT).isoformat(),))
    return history(tx) or History(now, ())


def history(tx: Transaction) -> History | None:
    """Return what is kept, None before a live system's first start."""
    rows = [(datetime.fromisoformat(at), spec) for at, spec in tx.driver.execute(_ALL)]
    versions: list[Version] = []
    for at, spec in rows:
        if spec is not None:
            versions.append(next_version(versions[-1] if versions else None, _decoder.decode(spec), at))
    return History(rows[0][0], versions) if rows else None
