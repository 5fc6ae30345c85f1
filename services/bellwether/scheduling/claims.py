"""Claims of slots: started once, done once. All functions run inside a transaction of the store."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import func, select

from bellwether.messages.fields import from_row
from bellwether.messages.scheduling import Job, SlotJob
from bellwether.scheduling.tables import slots
from bellwether.storage.store import Transaction

Status = Literal["running", "completed", "failed", "missed"]

SESSION_CLOSE = "session_close"
DONE = datetime.max.replace(tzinfo=UTC)
"""Until when a slot that was done stays done, wherever it is moved to."""

# A slot that was missed and then moved to later is due again: nothing of it happened. Instants in UTC sort as text.
_OPEN = "WHERE status IN ('running', 'failed') OR (status = 'missed' AND due < excluded.due)"
_CLAIM = (
    "INSERT INTO slots (run, name, task, session, due, status, attempts, started_at) "
    "VALUES (?, ?, ?, ?, ?, 'running', 1, ?) ON CONFLICT (run, name) DO UPDATE SET status = 'running', "
    "due = excluded.due, attempts = attempts + 1, started_at = excluded.started_at, ended_at = NULL, error = NULL "
    + _OPEN
)
_MISSED = (
    "INSERT INTO slots (run, name, task, session, due, status, attempts, ended_at) "
    "VALUES (?, ?, ?, ?, ?, 'missed', 0, ?) ON CONFLICT (run, name) DO UPDATE SET "
    "status = 'missed', due = excluded.due, ended_at = excluded.ended_at " + _OPEN
)
_INTERRUPT = "UPDATE slots SET status = 'failed', ended_at = ?, error = ? WHERE run = ? AND status = 'running'"
_INTERRUPTED = "INTERRUPTED: the scheduler ended before this work did"
_END = "UPDATE slots SET status = ?, ended_at = ?, result = ?, error = ? WHERE run = ? AND name = ?"


class Due(NamedTuple):
    """What is claimed: the slot's name, its task, its session and the instant it was due."""

    name: str
    task: str
    session: date
    due: datetime


class Failed(NamedTuple):
    """How many slots of a run failed for good, and the first of them with its reason."""

    slots: int = 0
    first: str = ""

    def and_one(self, name: str, error: str) -> Failed:
        """Return these and one more."""
        return Failed(self.slots + 1, self.first or f"{name}: {error}")


NONE_FAILED = Failed()


def claim(tx: Transaction, run: str, due: Due, now: datetime) -> bool:
    """Claim a slot; False when it was done (or missed) before. One that never came to an end is claimed again."""
    row = (run, due.name, due.task, due.session.isoformat(), due.due.isoformat(), now.isoformat())
    return tx.driver.execute(_CLAIM, row).rowcount == 1


def miss(tx: Transaction, run: str, due: Due, now: datetime) -> bool:
    """Record that a slot was not done while it was useful; False when it was done or recorded before."""
    row = (run, due.name, due.task, due.session.isoformat(), due.due.isoformat(), now.isoformat())
    return tx.driver.execute(_MISSED, row).rowcount == 1


def complete(tx: Transaction, run: str, name: str, now: datetime, result: Mapping[str, Any]) -> None:
    """Record that a slot is done."""
    row = ("completed", now.isoformat(), msgspec.json.encode(result).decode(), None, run, name)
    tx.driver.execute(_END, row)


def fail(tx: Transaction, run: str, name: str, now: datetime, error: str) -> None:
    """Record that a try of a slot failed; it may be claimed again."""
    tx.driver.execute(_END, ("failed", now.isoformat(), None, error, run, name))


def interrupt(tx: Transaction, run: str, now: datetime) -> None:
    """Record that whatever still runs came to no end: its process is gone. It may be claimed again."""
    tx.driver.execute(_INTERRUPT, (now.isoformat(), _INTERRUPTED, run))


def failed(tx: Transaction, run: str) -> Failed:
    """Return the slots of a run that failed."""
    query = select(slots.c.name, slots.c.error).where(slots.c.run == run, slots.c.status == "failed")
    rows = [(str(row.name), str(row.error)) for row in tx.execute(query.order_by(slots.c.due, slots.c.name))]
    return Failed(len(rows), ": ".join(rows[0])) if rows else NONE_FAILED


def find(tx: Transaction, run: str, name: str) -> Job | None:
    """Return a claimed slot as a job."""
    row = tx.execute(select(slots).where(slots.c.run == run, slots.c.name == name)).mappings().first()
    return None if row is None else job_from(dict(row))


def newest(tx: Transaction, run: str, limit: int) -> list[Job]:
    """Return claimed slots, newest first."""
    query = select(slots).where(slots.c.run == run).order_by(slots.c.due.desc(), slots.c.name).limit(limit)
    return [job_from(dict(row)) for row in tx.execute(query).mappings()]


def recent(tx: Transaction, run: str, tasks: Collection[str], since: datetime, limit: int) -> list[SlotJob]:
    """Return what became of these tasks' slots due since then, newest first; not of jobs that do the same work."""
    query = (
        select(slots)
        .where(
            slots.c.run == run,
            slots.c.due >= since.isoformat(),
            slots.c.task.in_(tasks),
            # A job has its type for a task, and a name of its own.
            slots.c.name == slots.c.task + "-" + func.replace(slots.c.session, "-", ""),
        )
        .order_by(slots.c.due.desc(), slots.c.name)
        .limit(limit)
    )
    return [from_row(SlotJob, dict(row)) for row in tx.execute(query).mappings()]


def over(tx: Transaction, run: str, since: datetime) -> dict[str, datetime]:
    """Return the slots due since then that came to an end, with when each was due if it was missed, else `DONE`."""
    query = select(slots.c.name, slots.c.due, slots.c.status).where(
        slots.c.run == run, slots.c.due >= since.isoformat(), slots.c.status.in_(("completed", "missed"))
    )
    return {row.name: datetime.fromisoformat(row.due) if row.status == "missed" else DONE for row in tx.execute(query)}


def last_missed(tx: Transaction, run: str, since: datetime) -> list[str]:
    """Return the tasks whose newest slot due since then was missed, with the instant it was due, sorted."""
    query = (
        select(slots.c.task, slots.c.due, slots.c.status)
        .where(slots.c.run == run, slots.c.due >= since.isoformat(), slots.c.status.in_(("completed", "missed")))
        .order_by(slots.c.due)
    )
    newest = {row.task: row for row in tx.execute(query)}
    return sorted(f"{task} of {row.due[:16]} UTC" for task, row in newest.items() if row.status == "missed")


def job_from(row: Mapping[str, Any]) -> Job:
    """Return a slot's row as a job."""
    started = row["started_at"]
    return Job(
        id=row["name"],
        type=row["task"],
        schedule_time=row["due"],
        params={"session": row["session"], "attempts": row["attempts"]},
        status=row["status"],
        next_run=None,
        last_run=None if started is None else datetime.fromisoformat(started),
        last_result=None if row["result"] is None else json.loads(row["result"]),
        last_error=row["error"],
    )
