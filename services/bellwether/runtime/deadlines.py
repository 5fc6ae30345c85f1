"""Deadlines of many short pieces of work, watched by one timer instead of one each."""

from __future__ import annotations

import asyncio
from typing import Any

from bellwether.runtime.clock import monotonic

LOOK_SECONDS = 0.05


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

    watch = deadlines.begin(deadline)
    try:
        return await work
    except asyncio.CancelledError:
        if deadlines.cancelled(watch): ...   # it was the deadline, nobody else
        raise
    finally:
        deadlines.end(watch)
    """

    def __init__(self) -> None:
        self._running: dict[Watch, None] = {}
        self._looking = False

    def begin(self, deadline: float) -> Watch:
        """Watch the current task until a moment of the monotonic clock."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline is for work within a task")
        watch = Watch(task, deadline)
        self._running[watch] = None
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
        return watch

    def end(self, watch: Watch) -> None:
        """Watch the work no more."""
        self._running.pop(watch, None)

    def cancelled(self, watch: Watch) -> bool:
        """Whether it was the deadline that cancelled the task; then the cancellation counts as handled."""
        if not watch.over:
            return False
        watch.over = False
        watch.task.uncancel()
        return True

    def _look(self) -> None:
        now = monotonic()
        for watch in [watch for watch in self._running if watch.deadline <= now]:
            del self._running[watch]
            watch.over = True
            watch.task.cancel()
        self._looking = bool(self._running)
        if self._looking:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
