"""Waiting for a condition, with a deadline and without a fixed sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

DEADLINE = 120.0
"""Seconds: far more than anything takes that is awaited here, also where many tests share few processors."""
NOT_YET = (LookupError, StopIteration)
"""What a probe raises of an object, a field or an entry that is not there (yet). Loops that ask a probe again and again
take it for "no", and name it when the time is over."""


async def until(condition: Callable[[], Any], deadline: float = DEADLINE) -> None:
    """Return once the condition holds.

    Raises:
        TimeoutError: if it does not within `deadline` seconds.
    """
    last: object = None
    try:
        async with asyncio.timeout(deadline):
            while True:
                try:
                    if last := condition():
                        return
                except NOT_YET as error:
                    last = error
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise TimeoutError(f"not within {deadline:g} s; last: {last!r}") from None
