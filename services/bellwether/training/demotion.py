"""Whether a model's live outcomes are worse than the base rate by more than luck explains. Pure.

The rule looks at fixed numbers of realised sessions only: first at the declared minimum, then each time one more block
of sessions has come. The level is spent over those looks as the gate spends it over trials, so that looking every
evening demotes no model by luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bellwether.messages.registry import LiveDay
from bellwether.training.bootstrap import FEWEST_BLOCKS, block_length, resample
from bellwether.training.gate import level_of


class Look(NamedTuple):
    """What a look at live outcomes found. Gains are of log loss per decision, the base rate's less the model's."""

    number: int
    sessions: int
    gain: float
    bound: float
    """One-sided upper bound of the gain, at `level`."""
    level: float
    worse: bool

    @property
    def words(self) -> str:
        """Return what was found, in one line."""
        return (
            f"live log loss {self.gain:+.5f} better than the base rate over {self.sessions} sessions, upper bound "
            f"{self.bound:+.5f} at level {self.level:.2g}"
        )


def sessions_needed(minimum: int, horizon: int) -> int:
    """Return after how many sessions with outcomes the first look is taken."""
    return max(minimum, FEWEST_BLOCKS * block_length(horizon))


def newest_look(days: Sequence[LiveDay], horizon: int, *, minimum: int, level: float, margin: float) -> Look | None:
    """Return the newest look at a model's sessions with outcomes, oldest first; None before there are enough."""
    first, length = sessions_needed(minimum, horizon), block_length(horizon)
    if len(days) < first or level <= 0.0:
        return None
    number = (len(days) - first) // length + 1
    seen = days[: first + (number - 1) * length]
    spent = level_of(level, number)
    gains = resample([day.base - day.model for day in seen], [day.rows for day in seen], length)
    bound = gains.upper(spent)
    return Look(number, len(seen), gains.mean, bound, spent, worse=bound < -margin)
