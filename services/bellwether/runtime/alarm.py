"""An alarm: a limit at which it is raised, another at which it is cleared, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Severity = Literal["warning", "critical"]
Transition = Literal["raised", "resolved"]


@dataclass(frozen=True)
class AlarmState:
    """One alarm's memory; nothing is wrong while `since` is None."""

    since: datetime | None = None
    """When the limit was first passed, of the looks that found it passed without a break."""
    looks: int = 0
    """How many looks in a row found it passed."""
    raised: bool = False


CLEAR = AlarmState()


@dataclass(frozen=True)
class Alarm:
    """Raised by a value above `raise_at` and cleared at `clear_at` or below; with `low`, the other way round.

    Two limits keep a value that moves around one of them from raising the alarm again and again.
    """

    raise_at: float
    clear_at: float
    severity: Severity
    low: bool = False
    """Whether it is low values that are bad."""
    looks: int = 1
    """How many looks in a row must find the limit passed before it is raised."""

    def __post_init__(self) -> None:
        wrong = self.clear_at < self.raise_at if self.low else self.clear_at > self.raise_at
        if wrong:
            side = "below" if self.low else "above"
            raise ValueError(f"clear_at {self.clear_at:g} is {side} raise_at {self.raise_at:g}: it would never rest")

    def judge(self, before: AlarmState, value: float | None, at: datetime) -> AlarmState:
        """Return the state after a look. None is no measurement, which is neither good nor bad: nothing changes."""
        if value is None:
            return before
        if before.raised:
            return CLEAR if not self._passed(value, self.clear_at) else before
        if not self._passed(value, self.raise_at):
            return CLEAR
        looks = before.looks + 1
        return AlarmState(before.since or at, looks, looks >= self.looks)

    def _passed(self, value: float, limit: float) -> bool:
        return value < limit if self.low else value > limit


def transition(before: AlarmState, after: AlarmState) -> Transition | None:
    """Return what changed between two states that others should hear of once; None: nothing."""
    if before.raised == after.raised:
        return None
    return "raised" if after.raised else "resolved"
