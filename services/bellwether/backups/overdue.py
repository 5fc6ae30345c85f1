"""Whether backups and their tests are wanting, by the records of a local run. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from bellwether.backups.records import Record
from bellwether.spec.backup import Backup
from bellwether.spec.fields import parse_duration

_LONGEST_PAUSE = parse_duration("120h")
_LONGEST_WITHOUT_DRILL = parse_duration("336h")


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
