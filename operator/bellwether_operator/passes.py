"""One pass over one system: what it is about, what its stages gave, and what is remembered until the next one.

Each stage takes the values of those before it and gives one of its own, which nobody changes:

    layout     which volumes and pods there are to be (layout.py)
    release    which objects there are to be now: what waits, what was taken back (releasing.py)
    watch      rollouts that are under way or fail (rolling.py)
    halt       a halt that the trader does not acknowledge (forcing.py)
    apply      what was written (apply/)
    finish     slots, backups and the status (finishing.py)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from bellwether.change.world import Key
from bellwether.render.kubernetes.context import Manifest, Period, declaration_name
from bellwether.spec.fields import parse_instant
from bellwether.spec.models import TradingSystem
from bellwether_operator.apply.actions import Desired
from bellwether_operator.apply.applier import Findings, Written
from bellwether_operator.backups.in_place import RestoreRow
from bellwether_operator.backups.upgrades import Gate
from bellwether_operator.gateway_view import GatewayView
from bellwether_operator.halting import Halting
from bellwether_operator.layout import Layout
from bellwether_operator.observe.kinds import ChildKey, SystemKey
from bellwether_operator.observe.layouts import Expected
from bellwether_operator.report.pods import Cause
from bellwether_operator.when import Basis, Rest


class Rendered(NamedTuple):
    """What was rendered last, and from what."""

    basis: Basis
    desired: list[Desired]


@dataclass
class Memory:
    """What one worker remembers of its system between passes; all of it can be lost without harm."""

    uid: str = ""
    """Of the very system that all of this is about."""
    written: Written = field(default_factory=Written)
    halting: Halting = field(default_factory=Halting)
    rendered: Rendered | None = None
    """Let go once a pass finds nothing to do: it is the greater part of what a system takes."""
    rest: Rest | None = None
    """That the last pass left nothing to do, and over what."""
    accepted_generation: int | None = None
    """The generation that was taken up last, to be rendered and delivered."""
    accepted_at: float = 0.0
    """Since when there is a generation that no status speaks of yet (monotonic seconds)."""
    view: GatewayView | None = None
    gateway_up: bool = False
    """Whether a pod of the gateway is ready, whichever release it is of."""
    gateway_up_since: float | None = None
    """When this operator first saw the gateway's pod ready."""

    look_now: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the gateway is to be looked at: there is something to deliver, or it has come up."""
    late_since: float | None = None
    """Since when pods that are to be ready are not (monotonic seconds)."""
    forcing: bool = False
    """Whether the last pass had the trader stopped: its pods are down by our hand."""
    unkept: frozenset[str] = frozenset()
    """What was left out of the last status: the definition of TradingSystem is older than this operator."""
    next_at: float | None = None
    """When the time itself asks for another pass (monotonic seconds): an open or close, a slot, the end of a pause."""

    def about(self, uid: str) -> None:
        """Forget everything that was of another system of the same name."""
        if self.uid != uid:
            vars(self).update(vars(Memory(uid, look_now=self.look_now)))

    def accept(self, generation: int, reported: int | None) -> None:
        """Take up a generation: it is delivered beside whatever the pass has to write.

        `reported` is the one that the status speaks of: edits in quick succession do not put a status off for ever.
        """
        if self.accepted_generation == generation:
            return
        if self.accepted_generation is None or reported == self.accepted_generation:
            self.accepted_at = time.monotonic()
        self.accepted_generation = generation
        if self.gateway_up:
            self.look_now.set()


@dataclass(frozen=True)
class PassEnd:
    """How a pass ended."""

    writes: int
    retry: bool
    """Something did not work: again after a back-off."""
    all_ready: bool = True
    """False: pods are still being made; they may be waiting for a Secret that somebody deleted."""


@dataclass(frozen=True)
class Pass:
    """What one pass is about."""

    raw: dict[str, Any]
    key: SystemKey
    system: TradingSystem
    period: Period
    now: datetime
    memory: Memory

    @property
    def uid(self) -> str:
        """The system's identity."""
        return self.system.metadata.uid

    @property
    def paused_until(self) -> datetime | None:
        """Until when the system is paused (UTC); None: it is not."""
        paused = self.system.spec.paused
        until = None if paused is None else parse_instant(paused.until)
        return until if until is not None and self.now < until else None

    def start_value(self, desired: Sequence[Desired]) -> Desired:
        """Return the declaration as a starting process reads it."""
        return next(each for each in desired if each.key.name == declaration_name(self.system))


class Due(NamedTuple):
    """When a stage wants another pass though nothing happens."""

    at: tuple[datetime, ...] = ()
    """UTC."""
    within: tuple[float, ...] = ()
    """Seconds from now."""


NOT_DUE = Due()


@dataclass(frozen=True)
class Laid:
    """What the layout stage gave."""

    layout: Layout
    basis: Basis
    due: Due = NOT_DUE
    restore: RestoreRow | None = None
    """How far the restore in place is that was asked for last, for the status; the layout follows what that says."""


@dataclass(frozen=True)
class Released:
    """What the release stage gave; without objects where the last pass left nothing to do."""

    image: str
    """Of the release in force, which is an older one while a newer one waits."""
    desired: tuple[Desired, ...] = ()
    held: tuple[str, ...] = ()
    gone_back: Mapping[ChildKey, str] = field(default_factory=dict)
    """Workloads that keep the pod template that ran before, as the declared one did not come up, and why."""
    still_mounted: frozenset[ChildKey] = frozenset()
    """ConfigMaps that stay, since templates which are no longer declared mount them."""
    only: frozenset[str] | None = None
    """In a pause, the kinds that are kept as declared all the same."""
    gate: Gate = field(default_factory=Gate)
    """What a new release has to wait for."""
    there: Mapping[Key, Manifest] = field(default_factory=dict)
    """The workloads that are there, as the stage saw them."""
    annotated: int = 0
    """Annotations written on workloads."""
    due: Due = NOT_DUE


@dataclass(frozen=True)
class Watched:
    """What the watch over rollouts gave."""

    desired: tuple[Desired, ...] = ()
    gone_back: Mapping[ChildKey, str] = field(default_factory=dict)
    """Those of the release stage, and those that have failed now."""
    still_mounted: frozenset[ChildKey] = frozenset()
    rolling: bool = False
    """Whether new pods are watched over until they are up."""
    annotated: int = 0
    due: Due = NOT_DUE


@dataclass(frozen=True)
class Halted:
    """What the halt stage gave."""

    desired: tuple[Desired, ...] = ()
    urgent: frozenset[ChildKey] = frozenset()
    """What is applied although the system is paused, and although somebody fights over it: what a halt needs."""
    forced: str | None = None
    due: Due = NOT_DUE


@dataclass(frozen=True)
class Results:
    """What the stages of a pass gave, for its status."""

    laid: Laid
    released: Released
    watched: Watched
    halted: Halted
    found: Findings
    causes: Mapping[ChildKey, Cause]
    """Why the pods of workloads do not run."""
    workloads: Sequence[Expected]

    @property
    def due(self) -> Sequence[Due]:
        """When the stages want another pass."""
        return [self.laid.due, self.released.due, self.watched.due, self.halted.due, Due(tuple(self.found.due))]
