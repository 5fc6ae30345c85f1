"""What the declaration says about time, ready to use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from bellwether.market.declared import backup_rule, overrides_of, task_rules
from bellwether.market.sessions import Calendar
from bellwether.market.slots import TaskRule
from bellwether.runtime.declaration import DeclarationHolder
from bellwether.runtime.errors import RpcError
from bellwether.scheduling.declarations import Timing
from bellwether.spec.fields import parse_duration
from bellwether.spec.models import TradingSystem


@dataclass(frozen=True)
class TimeSettings:
    """What the declaration says about sessions, tasks and the clock."""

    system: TradingSystem
    timing: Timing
    calendar: Calendar
    tasks: tuple[TaskRule, ...]
    pace: timedelta
    first: date | None
    last: date | None
    model: str

    @property
    def replays(self) -> bool:
        """Whether history is stepped through."""
        return self.system.spec.clock.mode == "replay"


class Reader:
    """Reads the declaration in force, and again only when it is another one."""

    def __init__(self, holder: DeclarationHolder, *, backs_up: bool = False) -> None:
        """Take where the declaration is, and whether this scheduler also has backups made when they are due."""
        self._holder = holder
        self._backs_up = backs_up
        self._settings: TimeSettings | None = None

    @property
    def known(self) -> bool:
        """Whether there is a declaration yet."""
        return self._holder.known

    @property
    def settings(self) -> TimeSettings:
        """The settings in force.

        Raises:
            RpcError: NO_DECLARATION before one has arrived.
        """
        if not self._holder.known:
            raise RpcError("NO_DECLARATION", "the scheduler has no declaration yet; it comes from a file or the bus")
        system = self._holder.current
        if self._settings is None or self._settings.system is not system:
            self._settings = read(system, backs_up=self._backs_up)
        return self._settings


def read(system: TradingSystem, *, backs_up: bool = False) -> TimeSettings:
    """Return what a declaration says about time.

    Raises:
        ValueError: when overrides or tasks do not fit the calendar, naming them.
    """
    clock = system.spec.clock
    rules = task_rules(system.spec.tasks)
    declared = {rule.name for rule in rules}
    if backs_up and clock.mode == "live":
        # A task of this name is the person's own: it says when.
        rules += [rule for rule in backup_rule(system.spec.backup) if rule.name not in declared]
    timing = Timing(system.spec.market.calendar, overrides_of(system.spec.market), tuple(rules))
    return TimeSettings(
        system=system,
        timing=timing,
        calendar=timing.calendar,
        tasks=timing.tasks,
        pace=parse_duration(clock.pace),
        first=None if clock.from_ is None else date.fromisoformat(clock.from_),
        last=None if clock.to is None else date.fromisoformat(clock.to),
        model=system.spec.predictions.model,
    )
