"""How many requests IG is sent in a minute. Pure: instants are seconds of a monotonic clock."""

from __future__ import annotations

from collections import deque

MINUTE = 60.0


class Pace:
    """A window of one minute with room for `most` requests, and a pause after IG said that there were too many."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._sent: deque[float] = deque()
        self._paused_until = 0.0

    def wait(self, now: float) -> float:
        """Return in how many seconds a request may be sent; 0: now."""
        while self._sent and now - self._sent[0] >= MINUTE:
            self._sent.popleft()
        pause = max(0.0, self._paused_until - now)
        if len(self._sent) < self.most:
            return pause
        return max(pause, self._sent[len(self._sent) - self.most] + MINUTE - now)

    def sent(self, now: float) -> None:
        """Count a request."""
        self._sent.append(now)

    def pause(self, now: float, seconds: float = MINUTE) -> None:
        """Send nothing for a while: IG said that the allowance is used up."""
        self._paused_until = max(self._paused_until, now + seconds)
