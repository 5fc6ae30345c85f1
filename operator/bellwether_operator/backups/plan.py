"""Which backup of a system is to be made now, which one removed, and whether one is overdue. Pure.

A backup that is due is a slot: the session names it, so it is made once however often the operator looks. What was made
last is kept in the system's status, and one that somebody deleted is not made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from bellwether.backups.retention import Kept, outlived
from bellwether.market.declared import backup_rule, calendar_of
from bellwether.market.sessions import CalendarError, OutsideCalendar
from bellwether.market.slots import LONGEST_OFFSET, LONGEST_USE, Slot, slots
from bellwether.spec.backup import Backup, BackupLocation
from bellwether.spec.fields import parse_days
from bellwether.spec.models import TradingSystemSpec
from bellwether_operator.backups.steps import State
from bellwether_operator.report.finding import instant, instant_of

_LOOK_BACK = LONGEST_OFFSET + LONGEST_USE
_LOOK_AHEAD = LONGEST_OFFSET + timedelta(days=5)


class Known(NamedTuple):
    """A TradingBackup of the system."""

    name: str
    uid: str
    own: bool
    """Whether the operator made it, for this very system: only those are removed by it."""
    state: State
    made: datetime
    cut_at: datetime | None
    place: str = ""
    """The location that is a repository; empty: it is of volume snapshots."""
    kind: str = "full"


class ScheduleRow(NamedTuple):
    """What the system's status keeps of backups by schedule."""

    since: datetime
    """Since when they are made: what was due earlier is nobody's affair."""
    made: date | None = None
    """The session of the newest one that was made."""
    next: datetime | None = None
    """When the next one is due."""


@dataclass(frozen=True)
class Plan:
    """What is to be done about backups."""

    make: Slot | None = None
    locations: tuple[str, ...] = ()
    """Where to: volume snapshots come first."""
    remove: str | None = None
    overdue: str | None = None
    """In words, that the newest session is not in a good backup though it should be."""
    row: ScheduleRow | None = None
    due: datetime | None = None
    """When something about this changes next."""


def snapshot_location(backup: Backup | None) -> BackupLocation | None:
    """Return the location that the operator makes backups in; None where none of its kind is declared."""
    locations = () if backup is None else backup.locations
    return next((each for each in locations if each.kind == "volumeSnapshots"), None)


def full_or_incremental(backup: Backup, place: str, known: Sequence[Known]) -> str:
    """Return the kind of the next backup by schedule: each of volume snapshots is whole."""
    if not place or backup.schedule is None:
        return "full"
    good = sorted((one for one in known if one.place == place and one.state == "complete"), key=_age, reverse=True)
    since_full = next((number for number, one in enumerate(good) if one.kind == "full"), None)
    return "full" if since_full is None or since_full + 1 >= backup.schedule.full_every else "incremental"


def planned(spec: TradingSystemSpec, before: ScheduleRow | None, known: Sequence[Known], now: datetime) -> Plan:
    """Return what is to be done now; nothing by itself where no location is declared that a cluster can reach."""
    backup, snapshots = spec.backup, snapshot_location(spec.backup)
    if backup is None:
        return Plan()
    places = ([] if snapshots is None else [""]) + [one.name for one in backup.repositories_in_cluster]
    if not places:
        return Plan()
    locations = tuple(place or ("" if snapshots is None else snapshots.name) for place in places)
    remove = to_remove(known, now, count=backup.retention.count, age=parse_days(backup.retention.age))
    if backup.schedule is None or spec.clock.mode == "replay":
        return Plan(locations=locations, remove=remove)
    row = before or ScheduleRow(now)
    try:
        rules, calendar = backup_rule(backup), calendar_of(spec.market)
        past = slots(rules, calendar, max(row.since, now - _LOOK_BACK), now + timedelta(microseconds=1))
    except (CalendarError, ValueError):
        return Plan(locations=locations, remove=remove, row=row)  # the calendar's own condition says so
    try:
        coming = next((each for each in slots(rules, calendar, now, now + _LOOK_AHEAD) if each.due > now), None)
    except OutsideCalendar:
        coming = None
    row = row._replace(next=None if coming is None else coming.due)
    make = _to_make(past, row, known, now)
    ends = [slot.useful_until for slot in past if slot.useful_until > now]
    return Plan(
        make=make,
        locations=locations,
        remove=remove,
        overdue=next((words for each in places if (words := _overdue(past, each, known, now))), None),
        row=row,
        due=min([*ends, *([coming.due] if coming is not None else [])], default=None),
    )


def made(row: ScheduleRow, slot: Slot) -> ScheduleRow:
    """Return the row once the backup of a slot is there."""
    return row._replace(made=slot.session)


def to_remove(known: Sequence[Known], now: datetime, *, count: int, age: timedelta) -> str | None:
    """Return the one backup that is to be removed next, the oldest first; None while one is on its way out.

    The newest good one always stays. One that failed goes when a newer good one is there, or many newer failed ones.
    What a repository holds is removed by its own retention, which is the same; its TradingBackup goes after it.
    """
    own = [each for each in known if each.own]
    if any(each.state == "pruning" for each in own):
        return None
    places = sorted({each.place for each in own})
    good = {each.name for each in own if each.place and each.state == "complete"}
    gone = [name for place in places for name in _outlived([one for one in own if one.place == place], now, count, age)]
    return next((name for name in gone if name not in good), None)


def _outlived(own: Sequence[Known], now: datetime, count: int, age: timedelta) -> list[str]:
    ended = [each for each in own if each.state in {"complete", "failed"}]
    kept = [Kept(each.name, each.cut_at or each.made, each.state == "complete") for each in ended]
    gone = outlived(kept, now, count=count, age=age)
    failed = sorted((one for one in kept if not one.verified), key=lambda one: (one.cut, one.id))
    return gone + [one.id for one in failed[: max(0, len(failed) - count)] if one.id not in gone]


def _to_make(past: Sequence[Slot], row: ScheduleRow, known: Sequence[Known], now: datetime) -> Slot | None:
    """Return the newest slot, where it is still useful and nothing was made for it.

    One that still waits for its turn holds up the next one: that one would keep the very same state.
    """
    if not past or any(each.own and each.state == "running" and each.cut_at is None for each in known):
        return None
    newest = past[-1]
    done = row.made is not None and newest.session <= row.made
    return None if done or now > newest.useful_until else newest


def _overdue(past: Sequence[Slot], place: str, known: Sequence[Known], now: datetime) -> str | None:
    over = [slot for slot in past if slot.useful_until <= now]
    if not over:
        return None
    slot = over[-1]
    good = [one for one in known if one.place == place and one.state == "complete" and one.cut_at is not None]
    newest = max(good, key=_age, default=None)
    if newest is not None and (newest.cut_at or newest.made) >= slot.due:
        return None
    last = "there is no good one" if newest is None else f"the newest good one is {newest.name} of {_said(newest)}"
    where = f" in {place}" if place else ""
    return f"the backup of session {slot.session}{where} was due {slot.due:%Y-%m-%d %H:%M} UTC; {last}"


def _age(known: Known) -> datetime:
    return known.cut_at or known.made


def _said(known: Known) -> str:
    return f"{known.cut_at or known.made:%Y-%m-%d %H:%M} UTC"


def schedule_row_of(status: Mapping[str, Any]) -> ScheduleRow | None:
    """Return what a system's status says of backups."""
    found = status.get("backups") or {}
    since = instant_of(found.get("since"))
    if since is None:
        return None
    day = found.get("made")
    return ScheduleRow(since, None if not day else date.fromisoformat(day), instant_of(found.get("next")))


def schedule_row_status(row: ScheduleRow) -> dict[str, str]:
    """Return a row as a status writes it."""
    found = {"since": instant(row.since)}
    found |= {} if row.made is None else {"made": row.made.isoformat()}
    return found | ({} if row.next is None else {"next": instant(row.next)})
