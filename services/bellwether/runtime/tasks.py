"""Ending tasks for certain: a cancellation can get lost on its way, so it is repeated until the task has ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from bellwether.runtime.clock import monotonic

AGAIN_SECONDS = 0.2

_log = logging.getLogger(__name__)


async def end_tasks(tasks: Iterable[asyncio.Task[Any]], timeout: float = 2.0) -> None:
    """Cancel tasks and wait until they have ended, for at most `timeout` seconds; one that does not is named."""
    left = {task for task in tasks if not task.done()}
    end = monotonic() + timeout
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
        if left and monotonic() >= end:
            _log.warning("did not end: %s", ", ".join(sorted(task.get_name() for task in left)))
            return
