"""Deadlines of many short pieces of work, watched by one timer instead of one each."""

from __future__ import annotations

import asyncio
from typing import Any

from bellwether.runtime.clock import monotonic

LOOK_SECONDS = 0.05


class Deadlines:
    """Cancels tasks whose time is over; it looks twenty times a second while there are any.

    task = deadlines.begin(deadline)
    try:
        return await work
    except asyncio.CancelledError:
        if deadlines.cancelled(task): ...   # it was the deadline, nobody else
        raise
    finally:
        deadlines.end(task)
    """

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[Any], float] = {}
        self._over: set[asyncio.Task[Any]] = set()
        self._looking = False

    def begin(self, deadline: float) -> asyncio.Task[Any]:
        """Watch the current task until a moment of the monotonic clock."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline is for work within a task")
        self._running[task] = deadline
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
        return task

    def end(self, task: asyncio.Task[Any]) -> None:
        """Watch the task no more."""
        self._running.pop(task, None)
        self._over.discard(task)

    def cancelled(self, task: asyncio.Task[Any]) -> bool:
        """Whether it was the deadline that cancelled the task; then the cancellation counts as handled."""
        if task not in self._over:
            return False
        self._over.discard(task)
        task.uncancel()
        return True

    def _look(self) -> None:
        now = monotonic()
        for task in [task for task, deadline in self._running.items() if deadline <= now]:
            del self._running[task]
            self._over.add(task)
            task.cancel()
        self._looking = bool(self._running)
        if self._looking:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
