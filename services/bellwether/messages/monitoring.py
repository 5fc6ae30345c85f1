"""What monitoring answers and publishes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

AlertType = Literal["memory_high", "service_unhealthy"]


class ServiceFigures(msgspec.Struct, frozen=True):
    """One service as its `health` says it; `unreachable`, and the rest unknown (None), when it does not answer."""

    status: str
    healthy: bool
    process: str | None = None
    """Of which process it is; services that name the same one share its memory and CPU."""
    uptime: float | None = None
    """Seconds."""
    memory_usage: float | None = None
    """MiB of its whole process."""
    memory_percent: float | None = None
    """Of the limit of its container, with everything that runs in there; None without a limit."""
    cpu_usage: float | None = None
    """Percent of one core, of its whole process."""
    last_error: str | None = None


class ProcessFigures(msgspec.Struct, frozen=True):
    """One process, counted once however many services it holds; units as in `ServiceFigures`."""

    process: str
    services: list[str]
    memory_usage: float | None
    memory_percent: float | None
    cpu_usage: float | None


class SystemFigures(msgspec.Struct, frozen=True):
    """Percent of the machine that monitoring runs on, or of its container's limits; None: not measured."""

    scope: Literal["container", "host"]
    cpu_percent: float | None
    memory_percent: float | None
    disk_usage: float | None


class SystemMetrics(msgspec.Struct, frozen=True):
    """Every service of the topology, the processes they are in, and the machine."""

    timestamp: datetime
    services: dict[str, ServiceFigures]
    system: SystemFigures
    processes: list[ProcessFigures]
    memory_usage: float
    """MiB of all processes that answered."""


class Alert(msgspec.Struct, frozen=True):
    """Something is wrong at this moment. `service` is `system` for the machine."""

    type: AlertType
    severity: Literal["warning", "critical"]
    service: str
    message: str
    since: datetime


class Alerts(msgspec.Struct, frozen=True):
    """All that is wrong at this moment, critical first."""

    timestamp: datetime
    alerts: list[Alert]


class SystemAlert(msgspec.Struct, frozen=True):
    """An alert was raised, or is over (`resolved`); each is published once."""

    state: Literal["raised", "resolved"]
    type: AlertType
    severity: Literal["warning", "critical"]
    service: str
    message: str
    since: datetime
