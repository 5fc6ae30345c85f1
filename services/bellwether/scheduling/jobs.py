"""Jobs that somebody scheduled besides the declared tasks: their timing, and the task each of them does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any, NamedTuple

from sqlalchemy import insert, select, update

from bellwether.market.slots import LONGEST_OFFSET, TaskRule
from bellwether.messages.scheduling import ScheduleJob
from bellwether.runtime.errors import RpcError
from bellwether.scheduling.tables import jobs
from bellwether.spec.fields import parse_duration
from bellwether.spec.tasks import SCHEDULER_NAMES
from bellwether.storage.store import Transaction

UNKNOWN_TYPE_AT = time(9, 0)
"""When a job of an unknown type without a time of its own runs, at the exchange."""
USEFUL_FOR = timedelta(minutes=15)

_JOB_ID = re.compile(r"^[a-z](?:[-_a-z0-9]*[a-z0-9])?$")
SLOT_LIKE = re.compile(r"-[0-9]{8}$")


class ScheduledJob(NamedTuple):
    """A scheduled job: when it is due, the type of work, and what it was given."""

    rule: TaskRule
    type: str
    params: dict[str, Any]
    created_at: datetime


def job_of(request: ScheduleJob, declared: Sequence[TaskRule], now: datetime) -> ScheduledJob:
    """Return the job that a request describes.

    `params` may give `anchor` (open, close or time) with `offset` or `time`; without them a declared type has its
    declared time, and an unknown one 09:00 at the exchange.

    Raises:
        RpcError: INVALID_PARAMS, naming the field and what would be right.
    """
    if not _JOB_ID.fullmatch(request.job_id) or len(request.job_id) > 40 or SLOT_LIKE.search(request.job_id):
        raise RpcError(
            "INVALID_PARAMS",
            f"job_id: {request.job_id!r} must be up to 40 of a-z, 0-9, - and _, begin with a letter, and not end in "
            "eight digits as a slot does",
        )
    if request.job_id in SCHEDULER_NAMES:
        raise RpcError("INVALID_PARAMS", f"job_id: {request.job_id!r} is the scheduler's own: take another name")
    if any(task.name == request.job_id for task in declared):
        raise RpcError("INVALID_PARAMS", f"job_id: {request.job_id!r} is a declared task; its slots run by themselves")
    params = dict(request.params)
    try:
        rule = _rule(request, declared, params)
    except ValueError as error:
        raise RpcError("INVALID_PARAMS", f"params: {error}") from None
    return ScheduledJob(rule, request.job_type, params, now)


def _rule(request: ScheduleJob, declared: Sequence[TaskRule], params: Mapping[str, Any]) -> TaskRule:
    of_type = next((task for task in declared if task.name == request.job_type), None)
    timed = {"anchor", "offset", "time"} & set(params)
    if not timed and of_type is not None:
        return TaskRule(request.job_id, of_type.anchor, of_type.offset, of_type.at, of_type.useful_for)
    anchor = params.get("anchor", "time")
    if anchor == "time":
        at = UNKNOWN_TYPE_AT if "time" not in params else _time_of_day(str(params["time"]))
        return TaskRule(request.job_id, "time", at=at, useful_for=USEFUL_FOR)
    if anchor not in ("open", "close"):
        raise ValueError(f"anchor {anchor!r} must be open, close or time")
    return TaskRule(request.job_id, anchor, _offset(str(params.get("offset", "0s"))), useful_for=USEFUL_FOR)


def _time_of_day(text: str) -> time:
    try:
        found = time.fromisoformat(text)
    except ValueError:
        raise ValueError(f"time {text!r} must be a time of day on the exchange's clock, as in 10:30") from None
    if found.tzinfo is not None:
        raise ValueError(f"time {text!r} is read on the exchange's clock: write it without a zone, as in 10:30")
    return found


def _offset(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except OverflowError:
        raise ValueError(f"offset {text!r} is longer than {LONGEST_OFFSET.days} days") from None


def add(tx: Transaction, job: ScheduledJob) -> None:
    """Store a job; a job of the same id is replaced."""
    rule = job.rule
    values = {
        "id": rule.name,
        "type": job.type,
        "anchor": rule.anchor,
        "seconds": rule.offset.total_seconds(),
        "time": None if rule.at is None else rule.at.isoformat(),
        "params": json.dumps(job.params),
        "status": "pending",
        "created_at": job.created_at.isoformat(),
        "useful_seconds": rule.useful_for.total_seconds(),
    }
    tx.execute(insert(jobs).prefix_with("OR REPLACE"), values)


def pending(tx: Transaction) -> list[ScheduledJob]:
    """Return the jobs that are scheduled and not stopped, by id."""
    rows = tx.execute(select(jobs).where(jobs.c.status == "pending").order_by(jobs.c.id)).mappings()
    return [_job_from(dict(row)) for row in rows]


def stop_all(tx: Transaction) -> int:
    """Let no scheduled job run any more; return how many were stopped."""
    return tx.execute(update(jobs).where(jobs.c.status == "pending").values(status="stopped")).rowcount


def _job_from(row: Mapping[str, Any]) -> ScheduledJob:
    useful = row["useful_seconds"]
    rule = TaskRule(
        name=row["id"],
        anchor=row["anchor"],
        offset=timedelta(seconds=row["seconds"]),
        at=None if row["time"] is None else time.fromisoformat(row["time"]),
        useful_for=USEFUL_FOR if useful is None else timedelta(seconds=useful),
    )
    return ScheduledJob(rule, row["type"], json.loads(row["params"]), datetime.fromisoformat(row["created_at"]))
