"""Alarms that services tell of in their health, and those of streams and volumes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bellwether.messages.alarms import ALARMS, alarm
from bellwether.messages.monitoring import StreamUse, SystemFigures, SystemMetrics
from bellwether.monitoring.judging import Key, judged, observations, processes, reported, service_figures
from bellwether.runtime.alarm import AlarmState
from bellwether.runtime.upkeep import lag_alarm, volume_alarm

AT = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
SERVICES = Path(__file__).parents[3] / "services" / "bellwether"


def seen(health: dict[str, Any] | str, states: dict[Key, AlarmState]) -> dict[Key, AlarmState]:
    services = {"paper-trading": service_figures(health)}
    found = SystemMetrics(AT, services, SystemFigures("host", 1.0, 1.0, 1.0), processes(services), 0.0)
    return judged(states, reported(found, states), AT)


def test_an_alarm_of_a_service_is_raised_stays_while_it_is_unreachable_and_is_over_when_it_says_nothing_of_it() -> None:
    key = ("trading_halted", "paper-trading")
    halted = msgspec.to_builtins(alarm("trading_halted", "by hand"))
    states = seen({"status": "healthy", "alarms": [halted]}, {})
    assert states[key].raised
    states = seen("nobody serves it", states)
    assert states[key].raised
    unknown = msgspec.to_builtins(alarm("trading_halted", "?", unknown=True))
    states = seen({"status": "healthy", "alarms": [unknown]}, states)
    assert states[key].raised
    assert not seen({"status": "healthy"}, states)[key].raised


def test_an_alarm_of_another_release_is_passed_over() -> None:
    assert service_figures({"status": "healthy", "alarms": [{"kind": "new"}, 7]}).alarms == []
    assert service_figures({"status": "healthy", "alarms": "none"}).alarms == []


def test_services_of_one_process_tell_of_their_volume_once() -> None:
    full = [msgspec.to_builtins(one) for one in volume_alarm(90.0)]
    health = {"status": "healthy", "process": "host:7", "alarms": full}
    services = {name: service_figures(health) for name in ("market-data", "prediction")}
    found = SystemMetrics(AT, services, SystemFigures("host", 1.0, 1.0, 1.0), processes(services), 0.0)
    assert [(one.type, one.service) for one in reported(found, {})] == [("volume_filling", "market-data")]


def test_streams_that_fill_and_dead_letters_are_alarms() -> None:
    streams = {"EVENTS": StreamUse(10, 95 * 2**20, 100 * 2**20), "DEAD": StreamUse(2, 100, None)}
    found = SystemMetrics(AT, {}, SystemFigures("host", 1.0, 1.0, 1.0), [], 0.0, streams)
    raised = judged({}, observations(found), AT)
    assert {key for key, state in raised.items() if state.raised} == {
        ("jetstream_filling", "nats"),
        ("dead_letters", "nats"),
    }


def test_a_volume_is_a_warning_then_critical_and_unknown_where_it_is_not_measured() -> None:
    assert volume_alarm(84.9) == []
    assert [one.severity for one in volume_alarm(85.0)] == ["warning"]
    assert [one.severity for one in volume_alarm(92.0)] == ["critical"]
    assert volume_alarm(None)[0].unknown
    assert lag_alarm(59.0, 3) == []
    assert lag_alarm(61.0, 3)[0].message == "3 or more events could not be published for 61 s"


def test_every_alarm_that_is_raised_anywhere_is_in_the_table_and_every_one_of_the_table_is_raised() -> None:
    source = "\n".join(path.read_text() for path in SERVICES.rglob("*.py") if path.name != "alarms.py")
    named = set(re.findall(r'\balarm\(\s*"([a-z_]+)"', source))
    named |= set(re.findall(r'Observation\(\s*"([a-z_]+)"', source)) | {"notification_failing"}
    named |= set(re.findall(r'_Side\("[a-z_]+", "([a-z_]+)"', source))
    assert named == set(ALARMS)


def test_every_service_that_finds_alarms_tells_monitoring_of_them() -> None:
    sources = {path: path.read_text() for path in SERVICES.rglob("service.py")}
    finders = {path: text for path, text in sources.items() if re.search(r"def alarms\(self\)", text)}
    assert finders
    silent = [str(path) for path, text in finders.items() if not re.search(r"\.on_alarms\(\w+\.alarms\)", text)]
    assert silent == []
