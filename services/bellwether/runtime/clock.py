"""The two clocks: domain time, in which trading happens, and monotonic time for budgets, which is always real."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

monotonic = time.monotonic


class Clock(Protocol):
    """Domain time. Handlers use `call.as_of`; this is for work that nobody's message started."""

    @property
    def live(self) -> bool:
        """Whether domain time is the present."""

    def now(self) -> datetime:
        """Return the domain time, in UTC."""

    def observe(self, as_of: datetime) -> None:
        """Learn the domain time that a message carried."""


class LiveClock:
    """Domain time is the present."""

    live = True

    def now(self) -> datetime:
        """Return the present, in UTC."""
        return datetime.now(UTC)

    def observe(self, as_of: datetime) -> None:
        """Ignore it: the present does not follow messages."""


class ReplayClock:
    """Domain time is the latest instant that a message carried; it never runs back."""

    live = False

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a replay's start needs a time zone")
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """Return the latest instant seen, in UTC."""
        return self._now

    def observe(self, as_of: datetime) -> None:
        """Step forward to the instant, if it is later."""
        self._now = max(self._now, as_of)
