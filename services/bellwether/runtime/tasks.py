"""Tasks: ended for certain, woken by news or after a while, and cancelled at their deadlines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from bellwether.runtime.clock import monotonic

AGAIN_SECONDS = 0.2
LOOK_SECONDS = 0.05

T = TypeVar("T")

_log = logging.getLogger(__name__)


async def end_tasks(tasks: Iterable[asyncio.Task[Any]], timeout: float = 2.0) -> None:
    """Cancel tasks and wait until they have ended, for at most `timeout` seconds; one that does not is named.

    A cancellation can get lost on its way, so it is repeated.
    """
    left = {task for task in tasks if not task.done()}
    end = monotonic() + timeout
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
        if left and monotonic() >= end:
            _log.warning("did not end: %s", ", ".join(sorted(task.get_name() for task in left)))
            return


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


class Watch:
    """One piece of work: its task, when its time is over, and whether it was."""

    __slots__ = ("deadline", "over", "task")

    def __init__(self, task: asyncio.Task[Any], deadline: float) -> None:
        self.task = task
        self.deadline = deadline
        self.over = False


class Deadlines:
    """Cancels tasks whose time is over; it looks twenty times a second while there are any.

    One task may do several pieces of work, one within the other.
    """

    def __init__(self) -> None:
        self._running: dict[Watch, None] = {}
        self._looking = False

    async def within(self, deadline: float, work: Awaitable[T], late: Callable[[], Exception]) -> T:
        """Return what the work returns; past the deadline (monotonic clock) it is cancelled and `late()` raised."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline is for work within a task")
        watch = Watch(task, deadline)
        self._running[watch] = None
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
        try:
            return await work
        except asyncio.CancelledError:
            if not watch.over:
                raise
            # It was the deadline and nobody else, so the cancellation counts as handled.
            task.uncancel()
            raise late() from None
        finally:
            self._running.pop(watch, None)

    def _look(self) -> None:
        now = monotonic()
        for watch in [watch for watch in self._running if watch.deadline <= now]:
            del self._running[watch]
            watch.over = True
            watch.task.cancel()
        self._looking = bool(self._running)
        if self._looking:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
