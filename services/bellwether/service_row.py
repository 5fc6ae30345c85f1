"""What is said of one service: what it needs, serves, publishes, consumes, stores and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Priority = Literal["normal", "high", "urgent"]

PRIORITIES: tuple[Priority, ...] = ("urgent", "high", "normal")

External = Literal["dns", "yahoo", "feeds", "ig", "otlp", "notify", "s3"]


@dataclass(frozen=True)
class Resources:
    """What one service asks of a node in the standard profile: thousandths of a CPU, mebibytes (request = limit)."""

    cpu_millis: int
    memory_mebibytes: int


@dataclass(frozen=True)
class ServiceRow:
    """One service of the system."""

    name: str
    purpose: str
    requires: tuple[str, ...] = ()
    """Services that must be up first; they decide the start order."""
    calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Per peer, the methods that this service may call."""
    watches: bool = False
    """Whether it asks every other service for its health; `calls` names what else it asks."""
    serves: tuple[str, ...] = ()
    """Methods of its own, besides those that every service has."""
    publishes: Mapping[str, Priority | tuple[Priority, ...]] = field(default_factory=dict)
    """Event types and the priorities each may be published with; the first is used when none is named."""
    consumes: tuple[str, ...] = ()
    """Event types or patterns such as `order_*`."""
    ordered: bool = False
    """True: events are handled one at a time, in the order they were published."""
    store: str | None = None
    """File name of the database that this service alone opens."""
    volume: bool = False
    """Whether it keeps files of its own (a store has a volume in any case)."""
    scratch: bool = False
    """Whether its files may go with its pod: then it has no volume, and is free to run on any node."""
    external: tuple[External, ...] = ()
    """Hosts outside the cluster that it talks to."""
    http_port: int | None = None
    """The port that people and other systems reach it on."""
    resources: Resources = Resources(50, 128)

    @property
    def needs_volume(self) -> bool:
        """Whether its pod has a volume and therefore exactly one replica."""
        return self.volume or (self.store is not None and not self.scratch)

    def priorities(self, event_type: str) -> tuple[Priority, ...]:
        """Return the priorities that it may publish a type with, its usual one first; empty: it publishes none."""
        declared = self.publishes.get(event_type, ())
        return (declared,) if isinstance(declared, str) else declared

    @property
    def publications(self) -> tuple[tuple[str, Priority], ...]:
        """Every pair of event type and priority that it may publish."""
        return tuple((event, priority) for event in self.publishes for priority in self.priorities(event))
