"""Waiting for a condition, with a deadline and without a fixed sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

DEADLINE = 30.0


async def until(condition: Callable[[], Any], deadline: float = DEADLINE) -> None:
    """Return once the condition holds.

    Raises:
        TimeoutError: if it does not within `deadline` seconds.

    """
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110 (the condition is anything, it sets no event)
            await asyncio.sleep(0.005)
