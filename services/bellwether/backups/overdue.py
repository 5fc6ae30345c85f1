"""Whether backups and their tests are due or wanting, by the records of a system of one machine. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import get_args

from bellwether.backups.records import Record
from bellwether.market.declared import backup_rule, calendar_of
from bellwether.market.slots import LONGEST_OFFSET, LONGEST_USE, Slot, slots
from bellwether.spec.backup import Backup, Weekday
from bellwether.spec.fields import parse_duration
from bellwether.spec.models import TradingSystemSpec

_FIRST_PAUSE = parse_duration("5m")
_LONGEST_PAUSE = parse_duration("120h")
_LONGEST_WITHOUT_DRILL = parse_duration("336h")
_WEEKDAYS = get_args(Weekday)


def due_slot(records: list[Record], spec: TradingSystemSpec, now: datetime) -> Slot | None:
    """Return the newest slot of the declared schedule, if it is of use and no complete backup was started since."""
    if spec.clock.mode == "replay":
        return None
    look_back = now - LONGEST_OFFSET - LONGEST_USE
    past = slots(backup_rule(spec.backup), calendar_of(spec.market), look_back, now + timedelta(microseconds=1))
    if not past or now > past[-1].useful_until:
        return None
    made = any(one.state == "complete" and one.started >= past[-1].due for one in records)
    return None if made else past[-1]


def waits_for_retry(records: list[Record], slot: Slot, now: datetime) -> str | None:
    """Return in words that a slot's backup failed and is not retried yet, None when it may be.

    The first pause is five minutes; the next ones are as long as the time since the first try, so that each doubles.
    """
    failed = [one for one in records if one.state == "failed" and one.started >= slot.due]
    if not failed:
        return None
    again = failed[-1].started + max(_FIRST_PAUSE, failed[-1].started - failed[0].started)
    if now >= again:
        return None
    return f"backup {failed[-1].id} failed: {failed[-1].reason}; it is made again from {again:%H:%M} UTC on"


def drilled_on(declared: Backup, session: str) -> bool:
    """Whether the backup of a session is to be restored for a test."""
    return declared.drill is not None and _WEEKDAYS[date.fromisoformat(session).weekday()] in declared.drill.weekdays


def overdue(records: list[Record], declared: Backup, now: datetime) -> str | None:
    """Return in words that backups are wanting, None when they are as they should be, or are not scheduled.

    The longest pause between two sessions is taken as five days: a long week-end.
    """
    if declared.schedule is None:
        return None
    good = [one for one in records if one.state == "complete"]
    failed = records[-1] if records and records[-1].state == "failed" else None
    why = f"; the last one failed: {failed.reason}" if failed is not None else ""
    if not good:
        return f"no backup is complete yet{why}" if failed is not None else None
    age = now.astimezone(UTC) - good[-1].started
    if age > _LONGEST_PAUSE + parse_duration(declared.schedule.useful_until):
        return f"the newest complete backup {good[-1].id} is {age.days} days old{why}"
    return f"backup {failed.id} failed: {failed.reason}" if failed is not None else None


def drill_overdue(drills: list[Record], backups: list[Record], declared: Backup, now: datetime) -> str | None:
    """Return in words that the declared drill is wanting, None when it is as it should be, or none is declared.

    A drill comes at least once a week, after a backup: two weeks without a good one are too long.
    """
    if declared.drill is None:
        return None
    ended = [one for one in drills if one.state != "running"]
    if ended and ended[-1].state == "failed":
        return f"the drill of backup {ended[-1].id} failed: {ended[-1].reason}"
    # Before the first drill time counts from the first complete backup.
    proven = [one.started for one in ended] or [one.started for one in backups if one.state == "complete"][:1]
    if not proven or now.astimezone(UTC) - proven[-1] <= _LONGEST_WITHOUT_DRILL:
        return None
    days = (now.astimezone(UTC) - proven[-1]).days
    return f"no drill has proven a backup for {days} days"
