from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bellwether.spec.models import TradingSystem, TradingSystemStatus
from bellwether.topology import SERVICES
from bellwether_operator.gateway import GatewayError, GatewayView, read_status
from bellwether_operator.report.events import event, transitions
from bellwether_operator.report.status import Observation, Workload, status

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def declared(generation: int = 2, **spec: Any) -> TradingSystem:
    document = {
        "metadata": {"name": "demo", "namespace": "trading", "uid": "uid-1", "generation": generation},
        "spec": {"clock": {"mode": "replay", "from": "2009-01-02"}, "data": {"provider": "replay"}, **spec},
    }
    return TradingSystem.model_validate(document)


def view(generation: int = 2, **acknowledged: int) -> GatewayView:
    acks = {name: acknowledged.get(name.replace("-", "_"), generation) for name in SERVICES}
    return GatewayView(0.0, generation, acks, dict.fromkeys(SERVICES, True))


READY = Observation(workloads=[Workload("system", 1, ready=True)], view=view(), release="v1", gateway="http://gw")


def conditions(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in found["conditions"]}


def fold(seen: Observation, previous: dict[str, Any] | None = None, generation: int = 2, **spec: Any) -> dict[str, Any]:
    return status(declared(generation, **spec), generation, seen, previous or {}, NOW)


def changed(**fields: Any) -> Observation:
    return Observation(**{**vars(READY), **fields})


def test_a_system_whose_services_have_the_declaration_is_ready() -> None:
    found = fold(READY)
    assert conditions(found) == {
        "Ready": ("True", "Ready"),
        "Accepted": ("True", "Accepted"),
        "Available": ("True", "PodsReady"),
        "MessagingReady": ("True", "NatsReady"),
        "Reconciling": ("False", "Settled"),
        "Stalled": ("False", "Progressing"),
    }
    assert {each["observedGeneration"] for each in found["conditions"]} == {2}
    assert TradingSystemStatus.model_validate(found)


def test_the_same_observation_later_gives_the_same_status() -> None:
    before = fold(READY)
    assert status(declared(), 2, READY, before, LATER) == before


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    before = fold(changed(workloads=[Workload("system", 1, ready=False)]))
    after = status(declared(), 2, READY, before, LATER)
    times = {each["type"]: each["lastTransitionTime"] for each in after["conditions"]}
    assert times["Ready"] == "2026-11-22T10:05:00Z"
    assert times["Accepted"] == "2026-11-22T10:00:00Z"


@pytest.mark.parametrize(
    ("seen", "ready", "other"),
    [
        (changed(workloads=[]), ("False", "WaitingForNats"), {"Available": ("False", "WaitingForPods")}),
        (
            changed(workloads=[Workload("system", 1, ready=False)]),
            ("False", "WaitingForNats"),
            {"Reconciling": ("True", "RollingOut")},
        ),
        (changed(taken=["ConfigMap x exists"]), ("False", "NameTaken"), {"Stalled": ("True", "NameTaken")}),
        (changed(refused=["Service x: no"]), ("False", "ApplyRefused"), {"Stalled": ("True", "ApplyRefused")}),
        (changed(failed=["Service x: later"]), ("True", "Ready"), {"Reconciling": ("True", "Retrying")}),
        (changed(waiting=["Service x"]), ("True", "Ready"), {"Reconciling": ("True", "WaitingForPredecessor")}),
        (changed(view=None), ("False", "WaitingForGateway"), {}),
        (changed(view=view(1)), ("False", "Delivering"), {"Reconciling": ("True", "Delivering")}),
        (changed(view=view(2, prediction=1)), ("False", "Delivering"), {"Reconciling": ("True", "Delivering")}),
        (
            changed(view=GatewayView(0.0, 2, {"prediction": 2}, {"prediction": False})),
            ("False", "ServicesNotReady"),
            {"Available": ("True", "PodsReady")},
        ),
    ],
    ids=[
        "nothing yet",
        "pods",
        "taken",
        "refused",
        "failed",
        "waiting",
        "no gateway",
        "behind",
        "one behind",
        "degraded",
    ],
)
def test_what_is_missing_is_said(seen: Observation, ready: tuple[str, str], other: dict[str, tuple[str, str]]) -> None:
    found = conditions(fold(seen))
    assert found["Ready"] == ready
    assert other.items() <= found.items()


def test_a_declaration_that_cannot_be_read_stalls_and_names_the_field() -> None:
    found = status(None, 4, Observation(invalid="spec.symbols: too short"), {}, NOW)
    assert conditions(found)["Accepted"] == ("False", "Invalid")
    assert conditions(found)["Stalled"] == ("True", "Invalid")
    assert found["conditions"][0]["message"] == "spec.symbols: too short"
    assert found["observedGeneration"] == 4
    assert TradingSystemStatus.model_validate(found)


def test_a_new_operator_does_not_take_back_what_was_ready() -> None:
    before = fold(READY)
    assert fold(changed(view=None, view_pending=True), before) == before
    assert conditions(fold(changed(view=None), before))["Ready"] == ("Unknown", "GatewayUnreachable")


def test_what_was_ready_in_another_generation_counts_for_nothing() -> None:
    before = fold(READY)
    after = fold(changed(view=None, view_pending=True), before, generation=3)
    assert conditions(after)["Ready"] == ("False", "WaitingForGateway")


def test_standard_waits_for_nats_and_names_each_service() -> None:
    rows = [Workload("nats", 1, ready=True), *(Workload(name, 1, name != "scheduler") for name in SERVICES)]
    found = fold(changed(workloads=rows), profile="standard")
    assert conditions(found)["MessagingReady"] == ("True", "NatsReady")
    assert conditions(found)["Available"] == ("False", "WaitingForPods")
    assert {each["name"] for each in found["services"] if not each["ready"]} == {"scheduler"}


def test_a_service_that_is_switched_off_is_not_ready_and_does_not_hold_up() -> None:
    rows = [
        Workload("nats", 1, ready=True),
        *(Workload(name, int(name != "scheduler"), ready=True) for name in SERVICES),
    ]
    found = fold(changed(workloads=rows), profile="standard")
    assert conditions(found)["Available"] == ("True", "PodsReady")
    assert {each["name"] for each in found["services"] if not each["ready"]} == {"scheduler"}


def test_halts_come_from_the_ledger_and_from_the_declaration() -> None:
    latched = GatewayView(0.0, 2, {}, {}, ("latch: by hand",))
    assert fold(changed(view=latched))["halts"] == ["latch: by hand"]
    both = fold(changed(view=latched), trading={"halted": True})
    assert both["halts"] == ["spec.trading.halted is true", "latch: by hand"]
    assert "halts" not in fold(READY)


def test_only_transitions_of_ready_and_stalled_are_told() -> None:
    before = fold(changed(workloads=[]))
    after = fold(READY, before)
    assert [each["type"] for each in transitions(before["conditions"], after["conditions"])] == ["Ready"]
    assert transitions(after["conditions"], after["conditions"]) == []
    assert transitions([], before["conditions"]) == []


def test_the_same_transition_has_the_same_event() -> None:
    system = {"metadata": {"name": "demo", "namespace": "trading", "uid": "uid-1"}}
    ready = fold(READY)["conditions"][0]
    first, again = event(system, ready, NOW), event(system, ready, LATER)
    assert first["metadata"]["name"] == again["metadata"]["name"]
    assert first["type"] == "Normal"
    stalled = next(each for each in fold(changed(taken=["x"]))["conditions"] if each["type"] == "Stalled")
    assert event(system, stalled, NOW)["type"] == "Warning"


def test_a_gateways_status_is_read_and_nonsense_refused() -> None:
    document = {
        "generation": 3,
        "services": [{"name": "prediction", "ready": True, "generation": 3, "uptime": 1.0}],
        "halts": ["x"],
    }
    assert read_status(document, 1.0) == GatewayView(1.0, 3, {"prediction": 3}, {"prediction": True}, ("x",))
    silent = {"services": [{"name": "prediction", "ready": False, "generation": -1}], "halts": None}
    assert read_status(silent, 1.0) == GatewayView(1.0, 0, {"prediction": 0}, {"prediction": False}, ())
    with pytest.raises(GatewayError, match="cannot be read"):
        read_status({"services": [{"ready": True}]}, 1.0)
