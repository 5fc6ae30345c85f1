from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bellwether_operator.gateway_view import Refusal
from bellwether_operator.report.events import NOTE_LIMIT, event, event_records, transitions
from bellwether_operator.report.observation import TaskRow
from bellwether_operator.report.status import status
from harness.statuses import CLOSE, HELD, NOW, OPEN, READY, SCENES, Scene, declared, refused, seen

LATER = NOW + timedelta(minutes=5)
SYSTEM = {"metadata": {"name": "demo", "namespace": "trading", "uid": "uid-1"}}


def after_ready(scene: str) -> list[tuple[str, str, str]]:
    """Return what is reported when a system that was well comes into a state."""
    found = SCENES[scene]
    now = max(LATER, found.now)
    fresh = status(declared(found.generation, **found.spec), found.generation, found.seen, READY.status(), now)
    return [(each.type, each.action, each.reason) for each in event_records(READY.status(), fresh)]


@pytest.mark.parametrize(
    ("scene", "reported"),
    [
        ("ready", []),
        ("pods start", [("Warning", "ReadyChanged", "WaitingForNats")]),
        ("halted", [("Warning", "SafeToTradeChanged", "Halted")]),
        ("trading off", [("Normal", "SafeToTradeChanged", "TradingOff")]),
        ("safety unsaid", []),
        ("stale bars", []),
        ("held until the close", [("Normal", "RolloutPendingChanged", "SessionOpen")]),
        ("the calendar ends soon", [("Warning", "CalendarCurrentChanged", "HorizonNear")]),
        ("contested", [("Warning", "ReadyChanged", "Contested"), ("Warning", "ContestedChanged", "Contested")]),
        ("the gateway went silent", [("Warning", "ReadyChanged", "GatewayUnreachable")]),
    ],
)
def test_what_becomes_of_a_system_that_was_well_is_reported(scene: str, reported: list[tuple[str, str, str]]) -> None:
    assert after_ready(scene) == reported


@pytest.mark.parametrize("scene", ["halted", "held until the close", "contested", "the calendar ends soon"])
def test_the_way_back_is_reported_of_ready_and_stalled_only(scene: str) -> None:
    reported = event_records(SCENES[scene].status(), READY.status())
    assert {each.action for each in reported} <= {"ReadyChanged", "StalledChanged"}


def test_the_beginning_of_a_system_is_not_reported() -> None:
    assert event_records({}, SCENES["nothing there yet"].status()) == []
    assert [each.reason for each in event_records({}, READY.status())] == ["Ready"]


def test_other_words_for_the_same_status_are_not_reported_again() -> None:
    before = SCENES["halted"].status()
    other = refused(Refusal("DAILY_LOSS_EXCEEDED", "5200", "5000"))
    assert transitions(before["conditions"], Scene({}, other).status()["conditions"]) == []


def test_a_missed_slot_is_reported_once() -> None:
    def tasks(*rows: TaskRow) -> dict[str, Any]:
        return Scene({}, seen(tasks=rows)).status()

    missed = TaskRow("evening_analysis", CLOSE, None, OPEN)
    other = TaskRow("morning_analysis", CLOSE, None, OPEN)
    reported = event_records(tasks(TaskRow("evening_analysis", CLOSE)), tasks(missed, other))
    assert [each.note for each in reported] == [
        f"Task {name} was due at 2026-11-22T23:00:00Z and was not done while it was useful"
        for name in ("evening_analysis", "morning_analysis")
    ]
    assert {(each.type, each.reason, each.action) for each in reported} == {("Warning", "SlotMissed", "TaskMissed")}
    assert len({event(SYSTEM, each, NOW)["metadata"]["name"] for each in reported}) == 2
    assert event_records(tasks(missed), tasks(missed)) == []
    newer = TaskRow("evening_analysis", CLOSE, None, CLOSE)
    assert [each.identity[-1] for each in event_records(tasks(missed), tasks(newer))] == ["2026-11-23T05:00:00Z"]


def test_the_same_transition_has_the_same_event() -> None:
    (record,) = event_records({}, READY.status())
    first, again = event(SYSTEM, record, NOW), event(SYSTEM, record, LATER)
    assert first["metadata"]["name"] == again["metadata"]["name"]
    assert (first["type"], first["reason"]) == ("Normal", "Ready")
    assert first["note"] == "Ready is True: all services run and have the declaration"


def test_an_event_fits_the_api_servers_bounds() -> None:
    long = Scene({}, seen(held=tuple(f"{number}: {HELD}" for number in range(100)), held_until=CLOSE))
    (*_, record) = event_records(READY.status(), long.status())
    found = event(SYSTEM, record, NOW)
    assert len(found["note"]) == NOTE_LIMIT
    assert len(found["action"]) <= 128
    assert len(found["metadata"]["name"]) <= 253


RESTORE = {
    "backup": "20261120T213000Z",
    "location": "far",
    "requested": "2026-11-23T00:59:00Z",
    "step": "Stopping",
    "outcome": "",
    "message": "the pods are to end",
}


@pytest.mark.parametrize(
    ("before", "after", "reported"),
    [
        ({}, {}, []),
        ({}, {"restore": RESTORE}, [("Normal", "Restoring")]),
        ({"restore": RESTORE}, {"restore": {**RESTORE, "step": "Restoring"}}, []),
        (
            {"restore": {**RESTORE, "step": "Starting"}},
            {"restore": {**RESTORE, "step": "Ended", "outcome": "Restored"}},
            [("Normal", "Restored")],
        ),
        (
            {"restore": RESTORE},
            {"restore": {**RESTORE, "step": "Ended", "outcome": "Refused", "message": "wrong password"}},
            [("Warning", "RestoreRefused")],
        ),
        (
            {"restore": {**RESTORE, "step": "Ended"}},
            {"restore": {**RESTORE, "requested": "2026-11-23T01:30:00Z"}},
            [("Normal", "Restoring")],
        ),
    ],
)
def test_a_restore_in_place_is_reported_when_it_starts_and_when_it_is_over(
    before: dict[str, Any], after: dict[str, Any], reported: list[tuple[str, str]]
) -> None:
    found = event_records(before, after)
    assert [(each.type, each.reason) for each in found] == reported
    assert all(each.note.startswith("backup 20261120T213000Z of far") for each in found)
