"""Which changes of a status are worth an Event. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from bellwether.render.kubernetes.context import content_hash
from bellwether_operator.observe.kinds import SYSTEMS
from bellwether_operator.report.finding import Reason

NOTE_LIMIT = 1000
MISSED = "SlotMissed"
_RECORDED: Mapping[str, Mapping[str, str]] = {
    "Ready": {"True": "Normal", "False": "Warning", "Unknown": "Warning"},
    "Stalled": {"True": "Warning", "False": "Normal"},
    "CalendarCurrent": {"False": "Warning"},
    "SafeToTrade": {"False": "Warning"},
    "BackupHealthy": {"False": "Warning"},
    "RestoreVerified": {"False": "Warning"},
    "RolloutPending": {"True": "Normal"},
    "Contested": {"True": "Warning"},
}
"""Which status of which condition is reported when it comes to be, and as what type of Event."""
_AT_FIRST = {"Ready": "False", "Stalled": "False"}
"""What a system that was never looked at is taken for, so that its beginning is not reported."""


class EventRecord(NamedTuple):
    """What an Event says. Records with the same identity are the same Event."""

    type: str
    reason: str
    action: str
    note: str
    identity: tuple[str, ...]


def event_records(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[EventRecord]:
    """Return what a person wants to hear of between two statuses of a system."""
    changed = transitions(before.get("conditions", ()), after.get("conditions", ()))
    missed = missed_slots(before.get("tasks", ()), after.get("tasks", ()))
    return [*changed, *missed, *restores(before.get("restore") or {}, after.get("restore") or {})]


def transitions(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> list[EventRecord]:
    """Return the conditions whose status became one that is reported."""
    known = {**_AT_FIRST, **{each["type"]: each["status"] for each in before}}
    return [
        _of_condition(each, _RECORDED[each["type"]][each["status"]])
        for each in after
        if known.get(each["type"]) != each["status"] and each["status"] in _RECORDED.get(each["type"], {})
    ]


def missed_slots(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> list[EventRecord]:
    """Return the tasks that have a newer missed slot than before."""
    known = {row["name"]: row.get("missed", "") for row in before}
    found = []
    for row in after:
        name, due = row["name"], row.get("missed", "")
        # Instants of one form are in order as text.
        if due > known.get(name, ""):
            note = f"Task {name} was due at {due} and was not done while it was useful"
            found.append(EventRecord("Warning", MISSED, "TaskMissed", note, (MISSED, name, due)))
    return found


def restores(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[EventRecord]:
    """Return that a restore in place has started, or what came of it."""
    if not after or (before.get("requested"), before.get("step")) == (after["requested"], after["step"]):
        return []
    what = f"backup {after['backup']} of {after['location']}"
    if after["step"] == "Ended":
        good = after["outcome"] == "Restored"
        kind, reason = ("Normal", Reason.RESTORED) if good else ("Warning", Reason.RESTORE_REFUSED)
        return [_restore(kind, reason, f"{what}: {after['message']}", after)]
    if before.get("requested") == after["requested"]:
        return []
    return [_restore("Normal", Reason.RESTORING, f"{what} is to be restored in place, without pods meanwhile", after)]


def _restore(kind: str, reason: Reason, note: str, row: Mapping[str, Any]) -> EventRecord:
    return EventRecord(kind, str(reason), "RestoreChanged", note, (str(reason), str(row["requested"])))


def _of_condition(condition: Mapping[str, Any], kind: str) -> EventRecord:
    # That nothing is traded where nothing is to be traded is no cause for a warning.
    wanted = condition["reason"] == Reason.TRADING_OFF
    return EventRecord(
        type="Normal" if wanted else kind,
        reason=condition["reason"],
        action=f"{condition['type']}Changed",
        note=f"{condition['type']} is {condition['status']}: {condition['message']}",
        identity=tuple(condition[name] for name in ("type", "status", "reason", "lastTransitionTime")),
    )


def event(system: Mapping[str, Any], record: EventRecord, now: datetime) -> dict[str, Any]:
    """Return the Event for a record; the same record gives the same name, so it is reported once."""
    metadata = system["metadata"]
    identity = [metadata["uid"], *record.identity]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{content_hash(identity, 16)}", "namespace": metadata["namespace"]},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": record.type,
        "reason": record.reason,
        "action": record.action,
        "note": record.note[:NOTE_LIMIT],
        "reportingController": "bellwether.dev/operator",
        "reportingInstance": "bellwether-operator",
        "regarding": {
            "apiVersion": SYSTEMS.api_version,
            "kind": SYSTEMS.kind,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
    }
