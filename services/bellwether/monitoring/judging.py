"""What the answers of all services mean: figures per service and process, and the alerts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from bellwether.messages.monitoring import AlarmReading, Alert, ProcessFigures, ServiceFigures, SystemMetrics
from bellwether.monitoring.book import FAILING, AlertBook, failing
from bellwether.naming import DEAD_STREAM
from bellwether.runtime.alarm import CLEAR, Alarm, AlarmState
from bellwether.spec.notifications import Notification

NAME = "monitoring"
SYSTEM = "system"
MEMORY_HIGH = Alarm(raise_at=80.0, clear_at=75.0, severity="warning")
UNHEALTHY = Alarm(raise_at=0.0, clear_at=0.0, severity="critical", looks=2)
"""Of 1 (unhealthy) and 0. Two looks: a pod that is replaced is unreachable for a few seconds."""

NOT_DELIVERED = Alarm(raise_at=0.0, clear_at=0.0, severity="critical")
DEAD = Alarm(raise_at=0.0, clear_at=0.0, severity="warning")
FILLING = Alarm(raise_at=90.0, clear_at=80.0, severity="warning")
NATS = "nats"
MEASURED = frozenset({"memory_high", "service_unhealthy", "dead_letters", "jetstream_filling", FAILING})
"""Types that monitoring itself measures; services report the others."""

Key = tuple[str, str]
States = Mapping[Key, AlarmState]


@dataclass(frozen=True)
class Observation:
    """One value that an alarm judges; the message says it in words, good or bad."""

    type: str
    service: str
    alarm: Alarm
    value: float | None
    message: str

    @property
    def key(self) -> Key:
        """What its state is kept under."""
        return self.type, self.service


def service_figures(health: Mapping[str, Any] | str) -> ServiceFigures:
    """Return a service's figures from its answer to `health`, or from the words why there is none."""
    if isinstance(health, str):
        return ServiceFigures("unreachable", False, last_error=health)
    status = str(health.get("status", "unknown"))
    return ServiceFigures(
        status=status,
        healthy=bool(health.get("ready", status in ("healthy", "degraded"))),
        process=_text(health.get("process")),
        uptime=_number(health.get("uptime")),
        memory_usage=_number(health.get("memory_usage")),
        memory_percent=_number(health.get("memory_percent")),
        cpu_usage=_number(health.get("cpu_usage")),
        last_error=_text(health.get("last_error")) or _text(health.get("warning")),
        alarms=_readings(health.get("alarms")),
    )


def _readings(given: Any) -> list[AlarmReading]:
    """Return what a service says is wrong; what cannot be read is of another release, and left out."""
    found: list[AlarmReading] = []
    for one in given if isinstance(given, list) else ():
        try:
            found.append(one if isinstance(one, AlarmReading) else msgspec.convert(one, AlarmReading))
        except msgspec.ValidationError:
            continue
    return found


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def processes(services: Mapping[str, ServiceFigures]) -> list[ProcessFigures]:
    """Return each process once; what does not name its process counts as one of its own."""
    held: dict[str, list[str]] = {}
    for name, one in services.items():
        if one.memory_usage is not None:
            held.setdefault(one.process or name, []).append(name)
    # The services of a process measured it shortly apart: the largest is on the safe side.
    return [
        ProcessFigures(
            process=process,
            services=names,
            memory_usage=_largest(services[name].memory_usage for name in names),
            memory_percent=_largest(services[name].memory_percent for name in names),
            cpu_usage=_largest(services[name].cpu_usage for name in names),
        )
        for process, names in held.items()
    ]


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def observations(metrics: SystemMetrics) -> list[Observation]:
    """Return everything that is watched: the memory of the machine and of each container, and each service."""
    machine = metrics.system
    what = "of the container's limit" if machine.scope == "container" else "of the machine's memory"
    found = [_memory(SYSTEM, machine.memory_percent, what)]
    for process in metrics.processes:
        # Its own container is the machine's figure already.
        if NAME not in process.services and process.memory_percent is not None:
            found.append(_memory(process.services[0], process.memory_percent, "of its container's limit"))
    for name, service in metrics.services.items():
        reason = f": {service.last_error}" if service.last_error else ""
        message = f"{name} is {service.status}{reason}"
        found.append(Observation("service_unhealthy", name, UNHEALTHY, float(not service.healthy), message))
    for name, held in metrics.streams.items():
        if name == DEAD_STREAM:
            found.append(Observation("dead_letters", NATS, DEAD, float(held.messages), f"{held.messages} dead letters"))
        elif held.max_bytes:
            percent = round(100.0 * held.bytes / held.max_bytes, 1)
            message = f"stream {name} uses {percent:g} % of its {held.max_bytes // 2**20} MiB"
            found.append(Observation("jetstream_filling", NATS, FILLING, percent, message))
    return found


def _memory(name: str, percent: float | None, what: str) -> Observation:
    said = "unknown" if percent is None else f"{percent:g} %"
    message = f"memory of {name} is {said} {what}; the limit is {MEMORY_HIGH.raise_at:g} %"
    return Observation("memory_high", name, MEMORY_HIGH, percent, message)


def reported(metrics: SystemMetrics, states: States) -> list[Observation]:
    """Return what services say of themselves: what is wrong, and that what was wrong is so no more.

    A service that does not answer says nothing, so its alarms stay as they are.
    """
    found: list[Observation] = []
    filling: set[str] = set()
    for name, service in metrics.services.items():
        for one in service.alarms:
            # Services of one process share its volume, which is reported once.
            if one.type == "volume_filling" and service.process is not None:
                if service.process in filling:
                    continue
                filling.add(service.process)
            alarm = Alarm(raise_at=0.0, clear_at=0.0, severity=one.severity)
            found.append(Observation(one.type, name, alarm, None if one.unknown else 1.0, one.message))
        said = {one.type for one in service.alarms}
        if service.status == "unreachable":
            continue
        for (kind, of), state in states.items():
            if of == name and kind not in said and kind not in MEASURED and state.since is not None:
                alarm = Alarm(raise_at=0.0, clear_at=0.0, severity="warning")
                found.append(Observation(kind, name, alarm, 0.0, f"{name}: {kind.replace('_', ' ')} is over"))
    return found


def failing_channels(book: AlertBook, channels: Iterable[Notification], states: States) -> list[Observation]:
    """Return whether each channel delivers what it owes; one that is declared no more fails no more."""
    reasons = failing(book)
    known = [one.name for one in channels]
    gone = [of for kind, of in states if kind == FAILING and of not in known]
    return [
        Observation(
            FAILING,
            name,
            NOT_DELIVERED,
            float(name in reasons and name in known),
            f"notification {name} is not delivered: {reasons[name]}"
            if name in reasons
            else f"notification {name} is delivered",
        )
        for name in [*known, *gone]
    ]


def judged(states: States, seen: Iterable[Observation], at: datetime) -> dict[Key, AlarmState]:
    """Return the state of each alarm after a look. What was not observed keeps its state: it is unknown."""
    after = dict(states)
    for one in seen:
        after[one.key] = one.alarm.judge(states.get(one.key, CLEAR), one.value, at)
    return after


def alerts(states: States, seen: Iterable[Observation]) -> list[Alert]:
    """Return what is wrong, critical first and then by service; also what no alarm has been raised for yet."""
    found = [
        Alert(one.type, one.alarm.severity, one.service, one.message, state.since)
        for one in seen
        if (state := states.get(one.key, CLEAR)).since is not None
    ]
    return sorted(found, key=lambda one: (one.severity != "critical", one.service, one.type))
