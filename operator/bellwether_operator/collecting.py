"""When Python's collector looks for cycles: seldom over everything, since that stops all work meanwhile.

With 300 systems a full collection took 170 to 460 ms, and by default it came every few seconds while passes were made.
What lives long here, the picture and the workers, is almost never part of a cycle that dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator

YOUNG = 5_000
"""Objects made, less those freed, before the youngest are looked at."""
MIDDLE = 10
NEVER = 1_000_000_000
FIRST_SECONDS = 60.0
"""By then what was there at the start is listed and looked at."""


@contextlib.asynccontextmanager
async def collecting(period: float) -> AsyncIterator[None]:
    """While the block lasts, look at young objects often, and at all of them only once in so many seconds."""
    before = gc.get_threshold()
    gc.set_threshold(YOUNG, MIDDLE, NEVER)
    task = asyncio.create_task(_now_and_then(period), name="collect")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        gc.unfreeze()
        gc.set_threshold(*before)


def collect_all() -> int:
    """Look at everything once, and set aside what is left until the next time; return how much was freed."""
    gc.unfreeze()
    freed = gc.collect()
    gc.freeze()
    return freed


async def _now_and_then(period: float) -> None:
    await asyncio.sleep(min(FIRST_SECONDS, period))
    while True:
        collect_all()
        await asyncio.sleep(period)
