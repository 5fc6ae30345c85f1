"""What monitoring answers and publishes, and what it is asked about dead letters."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

Severity = Literal["info", "warning", "critical"]


class AlarmReading(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a service says in `alarms` of its health: that something is wrong, or not known.

    What it does not name is well. One reading per type and service; the message names what it is about.
    """

    type: str
    severity: Literal["warning", "critical"]
    message: str
    unknown: bool = False
    """Not measured: an alarm that is raised stays so, and none is raised."""


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
    alarms: list[AlarmReading] = []
    """What it says is wrong, besides its own health."""


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


class StreamUse(msgspec.Struct, frozen=True):
    """What one stream of JetStream holds; `max_bytes` None: no limit."""

    messages: int
    bytes: int
    max_bytes: int | None


class SystemMetrics(msgspec.Struct, frozen=True):
    """Every service of the topology, the processes they are in, and the machine."""

    timestamp: datetime
    services: dict[str, ServiceFigures]
    system: SystemFigures
    processes: list[ProcessFigures]
    memory_usage: float
    """MiB of all processes that answered."""
    streams: dict[str, StreamUse] = {}
    """By name; empty where NATS could not be asked."""


class Alert(msgspec.Struct, frozen=True):
    """Something is wrong now. `service` is `system` for the machine."""

    type: str
    severity: Literal["warning", "critical"]
    service: str
    message: str
    since: datetime


class Alerts(msgspec.Struct, frozen=True):
    """All that is wrong now, critical first."""

    timestamp: datetime
    alerts: list[Alert]


class SystemAlert(msgspec.Struct, frozen=True):
    """An alert was raised, or is over (`resolved`); each is published once."""

    state: Literal["raised", "resolved"]
    type: str
    severity: Literal["warning", "critical"]
    service: str
    message: str
    since: datetime


class ChannelState(msgspec.Struct, frozen=True):
    """One declared notification: what it owes, and how it went."""

    name: str
    kind: str
    min_severity: Severity
    owed: int
    """Notices that are to be sent, those that quiet hours hold included."""
    held: int
    delivered: int
    """Of the notices that are still remembered."""
    failing: str | None = None
    """Why the tries fail; None while they do not."""
    last_delivered: datetime | None = None


class NoticeRecord(msgspec.Struct, frozen=True):
    """One notice and how far it is with each channel: pending, held, delivered, cancelled or given_up."""

    id: str
    timestamp: datetime
    state: str
    type: str
    service: str
    severity: Severity
    message: str
    deliveries: dict[str, str]


class ListNotifications(msgspec.Struct, frozen=True):
    """Ask for the newest notices."""

    limit: int = 50


class Notifications(msgspec.Struct, frozen=True):
    """The channels, and the newest notices first."""

    channels: list[ChannelState]
    notices: list[NoticeRecord]


class SendTestMessage(msgspec.Struct, frozen=True):
    """Ask for a test message to one channel, or to all."""

    name: str | None = None


class MessageOutcome(msgspec.Struct, frozen=True):
    """Whether a test message arrived at a channel, and if not, why."""

    name: str
    kind: str
    delivered: bool
    error: str | None = None


class SentTestMessages(msgspec.Struct, frozen=True):
    """What became of the test messages."""

    results: list[MessageOutcome]


class ListDeadLetters(msgspec.Struct, frozen=True):
    """Ask for the oldest dead letters from a number on."""

    after: int = 0
    limit: int = 50


class DeadLetterInfo(msgspec.Struct, frozen=True):
    """One dead letter: who gave it up, when (UTC), after how many attempts, and why."""

    number: int
    timestamp: datetime
    service: str
    type: str
    attempts: int
    error: str
    complete: bool
    """Whether the whole event is kept, so that it can be published again."""


class DeadLetters(msgspec.Struct, frozen=True):
    """Dead letters, oldest first, and how many there are in all."""

    total: int
    letters: list[DeadLetterInfo]


class PickDeadLetter(msgspec.Struct, frozen=True):
    """Name one dead letter by its number."""

    number: int


class DeadLetterBody(msgspec.Struct, frozen=True):
    """One dead letter with the event as it was published."""

    letter: DeadLetterInfo
    subject: str
    message_id: str
    body: str


class DeadLetterGone(msgspec.Struct, frozen=True):
    """What became of a dead letter: replayed or dropped."""

    number: int
    status: str
    message_id: str = ""
    """The id under which it was published again."""
