"""A wait that ends when something happened or when its time is up, cheap enough for every event."""

from __future__ import annotations

import asyncio


class Wake:
    """Set by whoever has news, awaited by one task; without news it ends after `interval` seconds."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._event = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        """Say that there is news."""
        self._event.set()

    async def wait(self) -> None:
        """Wait for news or the end of the interval."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._tick)
        await self._event.wait()
        self._event.clear()

    def _tick(self) -> None:
        self._timer = None
        self._event.set()

    def stop(self) -> None:
        """End the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
