"""How much may be asked: so many requests in any minute, and nothing for a while after a refusal (pure)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

WINDOW = 60.0
LIMITED = (timedelta(minutes=5), timedelta(hours=2))
FAULT = (timedelta(seconds=30), timedelta(minutes=15))
"""First and longest hold: after a 429, and after a fault of the network or of Yahoo."""
JITTER = 0.25


@dataclass
class Allowance:
    """The requests of the last minute, on a monotonic clock; what was used over the limit is waited for later."""

    per_minute: int
    _spent: deque[float] = field(default_factory=deque)

    def wait(self, now: float, wanted: int) -> float:
        """Return the seconds until so many more requests are within the limit; 0 when they are now."""
        self._forget(now)
        over = len(self._spent) + min(wanted, self.per_minute) - self.per_minute
        if over <= 0:
            return 0.0
        return self._spent[over - 1] + WINDOW - now

    def spend(self, now: float, count: int) -> None:
        """Count requests that were made."""
        self._spent.extend([now] * count)

    def used(self, now: float) -> int:
        """Return how many requests the last minute has."""
        self._forget(now)
        return len(self._spent)

    def _forget(self, now: float) -> None:
        while self._spent and self._spent[0] <= now - WINDOW:
            self._spent.popleft()


@dataclass(frozen=True)
class Hold:
    """Why nothing is asked, and until when; `times` counts refusals in a row."""

    until: datetime
    reason: str
    times: int = 1


def held(before: Hold | None, now: datetime, words: str, chance: float, *, limited: bool) -> Hold:
    """Return the hold after one more refusal: twice as long as the one before, by up to a quarter more or less.

    `chance` is from 0 to 1; `limited` says that Yahoo refused for too many requests, which is waited for longer than a
    fault of the network.
    """
    times = 1 if before is None else before.times + 1
    first, longest = LIMITED if limited else FAULT
    length = min(first * 2 ** min(times - 1, 10), longest)
    until = now + length * (1.0 + JITTER * (2.0 * chance - 1.0))
    return Hold(until, f"{words}; Yahoo is asked for nothing until {until:%H:%M:%S} UTC", times)
