from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bellwether.messages.monitoring import Alert, ServiceFigures, SystemFigures, SystemMetrics
from bellwether.monitoring.judging import Key, alerts, judged, observations, processes, service_figures
from bellwether.runtime.alarm import AlarmState

AT = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
MACHINE = SystemFigures("host", 10.0, 40.0, 20.0)


def health(**changed: Any) -> ServiceFigures:
    values = {"status": "healthy", "memory_usage": 100.0, "cpu_usage": 3.0, "uptime": 5.0, "process": "host:1"}
    return service_figures(values | changed)


def metrics(services: dict[str, ServiceFigures], machine: SystemFigures = MACHINE) -> SystemMetrics:
    return SystemMetrics(AT, services, machine, processes(services), 0.0)


def wrong(found: SystemMetrics, states: dict[Key, AlarmState] | None = None) -> list[Alert]:
    seen = observations(found)
    return alerts(judged(states or {}, seen, AT), seen)


def test_nothing_is_wrong_with_a_healthy_system() -> None:
    assert wrong(metrics({"prediction": health(), "monitoring": health()})) == []


def test_a_service_that_is_unreachable_or_unhealthy_is_critical_and_says_why() -> None:
    found = wrong(
        metrics(
            {
                "ml-model": service_figures("nobody serves ml-model.health now"),
                "prediction": health(status="starting"),
                "scheduler": health(status="degraded", warning="a session is late"),
            }
        )
    )
    assert [(one.type, one.severity, one.service, one.message) for one in found] == [
        (
            "service_unhealthy",
            "critical",
            "ml-model",
            "ml-model is unreachable: nobody serves ml-model.health now",
        ),
        ("service_unhealthy", "critical", "prediction", "prediction is starting"),
    ]


def test_memory_above_80_percent_is_a_warning() -> None:
    assert wrong(metrics({}, SystemFigures("host", 10.0, 80.0, 20.0))) == []
    (found,) = wrong(metrics({}, SystemFigures("container", 10.0, 80.5, 20.0)))
    assert (found.type, found.severity, found.service) == ("memory_high", "warning", "system")
    assert found.message == "memory of system is 80.5 % of the container's limit; the limit is 80 %"


def test_memory_that_was_not_measured_is_no_alert() -> None:
    assert wrong(metrics({"prediction": health()}, SystemFigures("host", None, None, None))) == []


def test_the_container_of_a_service_has_its_own_limit() -> None:
    services = {
        "prediction": health(process="pod-1:7", memory_percent=91.0),
        "monitoring": health(process="pod-2:7", memory_percent=85.0),
    }
    (found,) = wrong(metrics(services))
    assert (found.type, found.service) == ("memory_high", "prediction")


def test_one_process_of_many_services_is_counted_and_warned_of_once() -> None:
    services = {name: health(memory_percent=91.0) for name in ("prediction", "scheduler", "gateway")}
    services["scheduler"] = health(memory_percent=91.0, memory_usage=101.0)
    (process,) = processes(services)
    assert process.services == ["prediction", "scheduler", "gateway"]
    assert process.memory_usage == 101.0
    assert [one.service for one in wrong(metrics(services))] == ["prediction"]
    services["monitoring"] = health(memory_percent=91.0)
    assert [one.service for one in wrong(metrics(services, SystemFigures("container", 1.0, 91.0, 2.0)))] == ["system"]


def test_processes_on_two_machines_are_two() -> None:
    found = processes({"a": health(process="x:7"), "b": health(process="y:7"), "c": health(process=None)})
    assert [one.services for one in found] == [["a"], ["b"], ["c"]]


def test_an_alert_says_since_when_and_what_is_not_seen_keeps_its_state() -> None:
    away = metrics({"prediction": service_figures("away")})
    earlier = AT - timedelta(minutes=3)
    states: dict[Key, AlarmState] = {("service_unhealthy", "prediction"): AlarmState(earlier, 2, True)}
    (found,) = wrong(away, states)
    assert found.since == earlier
    assert judged(states, [], AT) == states


def test_an_answer_of_another_shape_is_unknown_and_not_zero() -> None:
    found = service_figures({"status": "healthy", "memory_usage": "much", "cpu_usage": None, "uptime": True})
    assert (found.healthy, found.memory_usage, found.cpu_usage, found.uptime) == (True, None, None, None)
    assert not service_figures({}).healthy
