"""A live clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import datetime


class Present:
    """Domain time is what the test says it is; messages do not move it."""

    live = True

    def __init__(self, now: datetime) -> None:
        self.instant = now

    def now(self) -> datetime:
        """Return the instant, in UTC."""
        return self.instant

    def observe(self, as_of: datetime) -> None:
        """Ignore it: the present does not follow messages."""
