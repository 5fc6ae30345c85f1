"""What a plan says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum

from bellwether.change.compare import FieldChange
from bellwether.change.steps import Drift, Step, Wait
from bellwether.market.sessions import Session
from bellwether.spec.validate import Problem


class Effect(Enum):
    """How a changed field of the declaration comes into force."""

    LIVE = "live"
    """It is delivered to the running services at once; no pod is replaced for it."""
    PODS = "pods"
    """Pods are replaced, started or stopped."""
    OBJECTS = "objects"
    """Objects change, but no pod does."""
    OPERATOR = "operator"
    """It says what the operator does from now on; nothing changes for it now."""


@dataclass(frozen=True)
class Declared:
    """A field of the declaration that changes, and how the change comes into force."""

    change: FieldChange
    effect: Effect


@dataclass(frozen=True)
class Restart:
    """Pods that start, stop, or are replaced."""

    verb: str
    """start, stop or restart."""
    kind: str
    name: str
    """Of the object that keeps the pods."""
    pods: tuple[str, ...]
    """Their names; `*` stands for what Kubernetes makes up."""
    why: tuple[str, ...]
    wait: Wait | None


@dataclass(frozen=True)
class SlotChange:
    """A run of a task that is due at another time than before; None: not at all (UTC)."""

    task: str
    session: date
    old: datetime | None
    new: datetime | None


@dataclass(frozen=True)
class Plan:
    """What applying a declaration would do."""

    system: str
    namespace: str
    at: datetime
    """The instant of which it speaks."""
    time_zone: str
    """The exchange's."""
    session: Session | None = None
    """The session that is under way then; none in a replay."""
    created: bool = False
    """Whether the system is not there yet."""
    refusals: tuple[Problem, ...] = ()
    """Why nothing of it would be done; then nothing else is said."""
    declared: tuple[Declared, ...] = ()
    steps: tuple[Step, ...] = ()
    restarts: tuple[Restart, ...] = ()
    slots: tuple[SlotChange, ...] = ()
    drift: tuple[Drift, ...] = ()
    """What is not as declared now, and is put right whether or not the file is applied."""
    notes: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.refusals or self.declared or self.drift or self.steps)
