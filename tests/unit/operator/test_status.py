"""The status as a whole: every condition in every state, what Ready may say, and that it rests when nothing happens."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwether.spec.status import TradingSystemStatus
from bellwether.topology import SERVICES
from bellwether_operator.gateway_view import GatewayView
from bellwether_operator.halting import Halting
from bellwether_operator.report.finding import CONDITIONS, Reason
from bellwether_operator.report.observation import Observation, TaskRow, Workload
from bellwether_operator.report.status import status
from harness.statuses import (
    ALL_WELL,
    CLOSE,
    HELD,
    NEXT,
    NOW,
    OPEN,
    READY,
    SCENES,
    Scene,
    declared,
    seen,
    view,
)

LATER = NOW + timedelta(minutes=5)
TABLE = Path(__file__).parents[3] / "docs" / "conditions.md"


def condition(found: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(each for each in found["conditions"] if each["type"] == kind)


def ready(found: dict[str, Any]) -> tuple[str, str, int]:
    said = condition(found, "Ready")
    return said["status"], said["reason"], said["observedGeneration"]


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_every_state_is_reported_by_all_conditions_in_their_order(scene: Scene) -> None:
    found = scene.status()
    assert [each["type"] for each in found["conditions"]] == list(CONDITIONS)
    assert scene.expected.items() <= scene.conditions().items()
    assert all(each["message"] for each in found["conditions"])
    assert all(re.fullmatch("[A-Z][A-Za-z]+", each["reason"]) for each in found["conditions"])
    assert TradingSystemStatus.model_validate(found)


def test_the_scene_where_all_is_well_names_every_condition() -> None:
    assert tuple(ALL_WELL) == CONDITIONS
    assert READY.conditions() == ALL_WELL
    assert {each["observedGeneration"] for each in READY.status()["conditions"]} == {2}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_an_idle_system_has_the_same_status_pass_after_pass(scene: Scene) -> None:
    before = scene.status()
    system = None if scene.seen.invalid is not None else declared(scene.generation, **scene.spec)
    assert status(system, scene.generation, scene.seen, before, scene.now + timedelta(minutes=5)) == before


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_what_is_stalled_is_not_on_its_way(scene: Scene) -> None:
    """A reader of both takes the first that is true, so that one would hide the other."""
    found = scene.conditions()
    assert not (found["Stalled"][0] == "True" and found["Reconciling"][0] == "True")


def test_the_documentation_has_each_reason_where_it_is_given() -> None:
    table = {}
    for line in TABLE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0].strip("`") in CONDITIONS:
            table[cells[0].strip("`")] = set(re.findall(r"`([A-Z][A-Za-z]+)`", cells[4]))
    given_reasons: dict[str, set[str]] = {kind: set() for kind in CONDITIONS}
    for scene in SCENES.values():
        for kind, (_, reason) in scene.conditions().items():
            given_reasons[kind].add(reason)
    assert list(table) == list(CONDITIONS)
    assert table == {
        kind: reasons - {"Invalid"} | ({"Invalid"} & table[kind]) for kind, reasons in given_reasons.items()
    }
    assert set().union(*given_reasons.values()) == {str(reason) for reason in Reason}


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    before = Scene({}, seen(workloads=(Workload("system", 1, ready=False),))).status()
    after = status(declared(), 2, seen(), before, LATER)
    assert condition(after, "Ready")["lastTransitionTime"] == "2026-11-23T01:05:00Z"
    assert condition(after, "Accepted")["lastTransitionTime"] == "2026-11-23T01:00:00Z"


def test_a_declaration_that_cannot_be_read_names_the_field() -> None:
    found = SCENES["invalid"].status()
    assert condition(found, "Ready")["message"] == "spec.symbols: too short"
    assert found["observedGeneration"] == 2


def test_an_override_that_does_not_fit_is_named() -> None:
    found = SCENES["an override does not fit"].status()
    words = (
        "spec.market.overrides[0]: override 2026-12-25: XASX has no session on that day; an extra session needs open"
    )
    assert condition(found, "Accepted")["message"].startswith(words)


def test_what_nobody_looked_at_is_left_as_it_was() -> None:
    before, found = READY.status(), SCENES["an override does not fit, so nobody looks"].status()
    assert (found["services"], found["gateway"]) == (before["services"], before["gateway"])
    halted = {**before, "halts": ["latch: by hand"]}
    unreadable = status(None, 3, Observation(invalid="spec.symbols: too short"), halted, LATER)
    kept = ("services", "halts", "gateway", "release")
    assert [unreadable[name] for name in kept] == [halted[name] for name in kept]


def test_an_offset_of_weeks_is_no_fault_of_the_calendar() -> None:
    tasks = [{"name": "morning_analysis", "anchor": "open", "offset": "-200h"}]
    found = Scene({}, spec={"tasks": tasks})
    assert found.conditions()["Accepted"] == ("False", "DoesNotFit")
    assert found.conditions()["CalendarCurrent"] == ("True", "Current")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"failed": ("Service demo-nats: timed out",)}, "Retrying"),
        ({"waiting": ("Service demo-nats",)}, "WaitingForPredecessor"),
        ({"held": (HELD,), "held_until": CLOSE}, "SessionOpen"),
    ],
)
def test_an_edit_that_was_not_applied_leaves_ready_with_the_generation_in_force(
    what: dict[str, Any], reason: str
) -> None:
    edited = seen(view=view(3), **what)
    found = status(declared(3), 3, edited, READY.status(), LATER)
    assert ready(found) == ("True", "Ready", 2)
    assert found["observedGeneration"] == 3
    assert condition(found, "Reconciling")["reason"] == reason
    # A pod that goes and comes back in the meantime changes nothing about that.
    gone = status(declared(3), 3, replace(edited, workloads=(Workload("system", 1, ready=False),)), found, LATER)
    assert ready(gone) == ("False", "WaitingForNats", 2)
    assert ready(status(declared(3), 3, edited, gone, LATER)) == ("True", "Ready", 2)
    # Nor does an operator that starts again, nor a gateway that is silent.
    again = status(declared(3), 3, replace(edited, view=None, view_pending=True), found, LATER)
    assert ready(again) == ("True", "Ready", 2)
    silent = status(declared(3), 3, replace(edited, view=None), again, LATER)
    assert ready(silent) == ("Unknown", "GatewayUnreachable", 2)
    assert ready(status(declared(3), 3, seen(view=view(3)), silent, LATER)) == ("True", "Ready", 3)


def test_what_never_was_in_force_is_not_ready() -> None:
    refused = status(declared(3), 3, seen(refused=("Service x: no",)), READY.status(), LATER)
    found = status(declared(3), 3, seen(view=view(3), failed=("Service x: timed out",)), refused, LATER)
    assert ready(found) == ("False", "Retrying", 3)


PASSES = st.builds(
    lambda what, generation, pods, heard, pending: (
        generation,
        seen(
            **what,
            workloads=(Workload("system", 1, ready=pods),),
            view=view(heard) if heard else None,
            view_pending=pending,
        ),
    ),
    st.sampled_from(
        [
            {},
            {"failed": ("x",)},
            {"waiting": ("x",)},
            {"held": ("x",)},
            {"refused": ("x",)},
            {"taken": ("x",)},
            {"contested": ("x",)},
            {"paused_until": CLOSE, "pending": ("x",)},
        ]
    ),
    st.integers(0, 1),
    st.booleans(),
    st.integers(0, 8),
    st.booleans(),
)


@given(st.lists(PASSES, max_size=8))
def test_whatever_happens_ready_is_never_true_of_a_generation_that_was_not_applied_and_heard_of(
    passes: list[tuple[int, Observation]],
) -> None:
    generation, applied, heard, found = 1, 0, 0, dict[str, Any]()
    for step, each in passes:
        generation += step
        found = status(declared(generation), generation, each, found, NOW)
        clean = each.applied and not (each.refused or each.taken)
        applied = generation if clean else applied
        heard = max(heard, each.view.generation if each.view is not None else 0)
        truth, _, speaks_of = ready(found)
        if truth == "True":
            assert speaks_of <= applied
            assert speaks_of <= heard


def test_a_new_operator_does_not_take_back_what_was_said() -> None:
    before = READY.status()
    pending = seen(view=None, view_pending=True)
    assert status(declared(), 2, pending, before, LATER) == before
    later = status(declared(), 2, seen(view=None), before, LATER)
    assert ready(later) == ("Unknown", "GatewayUnreachable", 2)
    assert condition(later, "SafeToTrade")["status"] == "Unknown"


def test_a_new_operator_believes_nothing_about_a_system_whose_pods_are_down() -> None:
    down = seen(view=None, view_pending=True, workloads=(Workload("system", 1, ready=False),))
    found = status(declared(), 2, down, READY.status(), LATER)
    assert condition(found, "SafeToTrade")["reason"] == "GatewayUnreachable"


def test_what_was_ready_in_another_generation_counts_for_nothing() -> None:
    after = status(declared(3), 3, seen(view=None, view_pending=True), READY.status(), LATER)
    assert ready(after) == ("False", "WaitingForGateway", 3)


def test_what_a_service_says_is_of_the_generation_that_it_had() -> None:
    acknowledged = {**dict.fromkeys(SERVICES, 3), "paper-trading": 2}
    found = status(declared(3), 3, seen(view=view(3, acknowledged=acknowledged)), READY.status(), LATER)
    assert condition(found, "SafeToTrade")["observedGeneration"] == 2
    assert condition(found, "DataFresh")["observedGeneration"] == 3


def test_standard_names_the_service_that_is_not_ready() -> None:
    rows = (Workload("nats", 1, ready=True), *(Workload(name, 1, name != "scheduler") for name in SERVICES))
    found = Scene({}, seen(workloads=rows), spec={"profile": "standard"})
    assert found.conditions()["Available"] == ("False", "WaitingForPods")
    assert {each["name"] for each in found.status()["services"] if not each["ready"]} == {"scheduler"}


def test_a_service_that_is_switched_off_is_not_ready_and_does_not_hold_up() -> None:
    rows = (
        Workload("nats", 1, ready=True),
        *(Workload(name, int(name != "scheduler"), ready=True) for name in SERVICES),
    )
    found = Scene({}, seen(workloads=rows), spec={"profile": "standard"})
    assert found.conditions()["Available"] == ("True", "PodsReady")
    assert {each["name"] for each in found.status()["services"] if not each["ready"]} == {"scheduler"}


def test_paused_says_until_when_why_and_what_waits() -> None:
    scene = Scene({}, seen(paused_until=CLOSE, paused_reason="storage is being moved", pending=(HELD,)))
    words = (
        "until 2026-11-23T05:00:00Z: nothing is changed but schedules and disruption budgets (storage is being moved); "
        "what waits: StatefulSet demo: image: v1 -> v2"
    )
    assert condition(scene.status(), "Reconciling")["message"] == words
    assert condition(scene.status(), "Ready")["message"] == words


def test_a_pause_does_not_hide_a_halt_that_is_being_delivered() -> None:
    found = Scene({}, seen(paused_until=CLOSE, view=view(1))).conditions()
    assert found["Ready"] == ("False", "Delivering")
    assert found["Reconciling"] == ("True", "Delivering")


def test_a_held_rollout_says_what_waits_and_until_when() -> None:
    words = "waits for the session's close at 2026-11-23T05:00:00Z: StatefulSet demo: image: v1 -> v2"
    assert condition(SCENES["held until the close"].status(), "RolloutPending")["message"] == words


def halts(previous: dict[str, Any], found: Observation, **spec: Any) -> list[str]:
    reported: list[str] = status(declared(**spec), 2, found, previous, NOW).get("halts", [])
    return reported


def test_halts_come_from_the_ledger_the_declaration_and_the_operator() -> None:
    latched = seen(view=view(halts=("latch: by hand",)))
    stopped = {"trading": {"mode": "simulated", "halted": True}}
    assert halts({}, latched) == ["latch: by hand"]
    assert halts({}, latched, **stopped) == ["spec.trading.halted is true", "latch: by hand"]
    forced = "the trader did not acknowledge the halt: its pods are stopped"
    assert halts({}, replace(latched, forced=forced), **stopped) == [
        "spec.trading.halted is true",
        forced,
        "latch: by hand",
    ]
    assert "halts" not in READY.status()


def test_a_latch_whose_reason_names_the_field_is_a_latch() -> None:
    latch = "cli: spec.trading.halted was forgotten"
    stopped = {"trading": {"mode": "simulated", "halted": True}}
    assert halts({"halts": [latch]}, seen(view=None)) == [latch]
    assert halts({}, seen(view=view(halts=(latch,))), **stopped) == ["spec.trading.halted is true", latch]


def test_a_latch_stays_known_while_nobody_answers_and_a_declared_halt_does_not() -> None:
    before = {"halts": ["spec.trading.halted is true", "latch: by hand"]}
    assert halts(before, seen(view=None)) == ["latch: by hand"]
    assert halts(before, seen(view=view(halts=None))) == ["latch: by hand"]
    assert halts(before, seen(view=view(halts=()))) == []


def test_a_halt_that_is_forced_is_listed_as_it_stands_now_while_nobody_answers() -> None:
    halting, stopped = Halting(), {"trading": {"mode": "simulated", "halted": True}}
    halting.step(True, 2, 1, False, 100.0)
    first = halting.step(True, 2, 1, False, 105.0).words
    before = {"halts": halts({"halts": ["latch: by hand"]}, seen(view=None, forced=first), **stopped)}
    then = halting.step(True, 2, 1, True, 140.0).words
    assert first != then
    assert halts(before, seen(view=None, forced=then), **stopped) == [
        "spec.trading.halted is true",
        then,
        "latch: by hand",
    ]
    assert halts(before, seen(view=None)) == ["latch: by hand"], "the halt was taken back"


def test_the_session_under_way_is_reported_else_the_next_one() -> None:
    session = READY.status()["session"]
    assert session == {
        "state": "Open",
        "date": "2026-11-23",
        "opens": "2026-11-22T23:00:00Z",
        "closes": "2026-11-23T05:00:00Z",
        "irregular": False,
    }
    period = READY.seen.period
    assert period is not None
    closed = Scene({}, seen(period=replace(period, session=None))).status()["session"]
    assert (closed["state"], closed["date"], closed["opens"]) == (
        "Closed",
        NEXT.day.isoformat(),
        "2026-11-23T23:00:00Z",
    )
    assert "session" not in SCENES["replayed"].status()


def test_tasks_are_reported_and_the_past_stays_known_while_nobody_answers() -> None:
    due = datetime(2026, 11, 23, 22, 30, tzinfo=UTC)
    rows = (TaskRow("morning_analysis", due, OPEN, OPEN - timedelta(days=3)), TaskRow("evening_analysis"))
    reported = Scene({}, seen(tasks=rows)).status()
    assert reported["tasks"] == [
        {
            "name": "morning_analysis",
            "next": "2026-11-23T22:30:00Z",
            "last": "2026-11-22T23:00:00Z",
            "missed": "2026-11-19T23:00:00Z",
        },
        {"name": "evening_analysis"},
    ]
    unknown = (TaskRow("morning_analysis", due), TaskRow("evening_analysis"))
    assert status(declared(), 2, seen(tasks=unknown, view=None), reported, LATER)["tasks"] == reported["tasks"]
    assert status(declared(), 2, seen(tasks=unknown), reported, LATER)["tasks"][0] == {
        "name": "morning_analysis",
        "next": "2026-11-23T22:30:00Z",
    }


def test_a_status_fits_its_bounds_however_much_there_is_to_say() -> None:
    flood = tuple(f"{number} " + "x" * 400 for number in range(60))
    found = status(
        declared(),
        2,
        seen(
            failed=flood,
            held=flood,
            contested=flood,
            forced="y" * 4000,
            tasks=tuple(TaskRow(f"task_{number}", NOW) for number in range(30)),
            view=view(halts=flood),
        ),
        {},
        NOW,
    )
    assert TradingSystemStatus.model_validate(found)


def test_a_replay_that_was_complete_stays_so_while_the_gateway_is_silent() -> None:
    scene = SCENES["replay complete"]
    after = status(declared(**scene.spec), 2, replace(scene.seen, view=None), scene.status(), LATER)
    assert condition(after, "DataFresh")["reason"] == "ReplayComplete"


def test_two_views_are_equal_when_the_same_was_said() -> None:
    assert view() == replace(view(), at=99.0)
    assert view() != view(safety=None)
    assert GatewayView(0.0) == GatewayView(1.0)
