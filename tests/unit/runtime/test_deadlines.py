from __future__ import annotations

import asyncio

import pytest

from bellwether.runtime.clock import monotonic
from bellwether.runtime.tasks import Deadlines
from harness.until import DEADLINE


async def watched(deadlines: Deadlines, work: asyncio.Future[None], seconds: float) -> str:
    try:
        await deadlines.within(monotonic() + seconds, work, TimeoutError)
    except TimeoutError:
        return "too late"
    return "in time"


async def test_work_past_its_deadline_is_cancelled_and_its_task_lives_on() -> None:
    deadlines = Deadlines()
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def twice() -> list[str]:
        return [await watched(deadlines, never, 0.01), await watched(deadlines, asyncio.sleep(0, None), DEADLINE)]  # type: ignore[arg-type]

    assert await asyncio.wait_for(twice(), 2 * DEADLINE) == ["too late", "in time"]


async def test_a_cancellation_by_someone_else_is_not_taken_for_the_deadline() -> None:
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(watched(Deadlines(), never, 60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
