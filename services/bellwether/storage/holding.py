"""A hold: for some seconds nothing of a service is written, so that its volume can be copied in one state.

Whoever writes waits at the gate. The hold ends when it is let go, or by itself at its deadline, so a caller that is
gone stops nobody for longer. Whether it lasted all the time is known at the end: a copy counts only if it did.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

LONGEST_SECONDS = 30.0


class Holding:
    """The gate of one service's writes; it is open unless somebody holds it."""

    def __init__(self) -> None:
        self._gate: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._id = ""
        self._kept = ""
        """The hold that was let go last and had lasted until then."""
        self.note: Path | None = None
        """The note of what is held, which goes before anything is written again."""

    @property
    def active(self) -> bool:
        """Whether writes wait now."""
        return self._gate is not None

    def begin(self, hold: str, seconds: float) -> None:
        """Let writes wait from now on, for so many seconds at most; an earlier hold is broken by it."""
        self.end()
        self._gate, self._id = asyncio.Event(), hold
        self._timer = asyncio.get_running_loop().call_later(min(seconds, LONGEST_SECONDS), self.end)

    def end(self) -> None:
        """Let writes go on, whoever holds them: that hold is broken."""
        gate, self._gate, self._id = self._gate, None, ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.note is not None:
            self.note.unlink(missing_ok=True)
        if gate is not None:
            gate.set()

    def let_go(self, hold: str) -> bool:
        """Let writes go on after a hold, and return whether it lasted until now; asked again it answers the same."""
        if self._id == hold:
            self._kept = hold
            self.end()
        return self._kept == hold

    async def wait(self) -> None:
        """Wait until writing is allowed."""
        while (gate := self._gate) is not None:
            await gate.wait()
