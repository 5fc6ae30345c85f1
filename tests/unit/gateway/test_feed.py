from __future__ import annotations

import asyncio
import json

from bellwether.gateway.feed import QUEUE, Feed
from bellwether.messages.trading import HaltChanged, HaltState
from unit.gateway.conftest import Opened


async def test_a_slow_watcher_loses_the_oldest_and_is_told_how_many() -> None:
    feed = Feed()
    stream = feed.watch()
    assert (await anext(stream)).startswith(b"retry:")
    for number in range(QUEUE + 5):
        feed.send("tick", number)
    assert await anext(stream) == b'event: missed\ndata: {"messages":5}\n\n'
    assert await anext(stream) == b"event: tick\ndata: 5\n\n"
    feed.close()
    await stream.aclose()  # type: ignore[attr-defined]
    assert feed.watchers == 0


async def test_closing_ends_every_stream() -> None:
    feed = Feed()

    stream = feed.watch()
    await anext(stream)
    ending = asyncio.ensure_future(anext(stream, None))
    async with asyncio.timeout(10):
        feed.close()
        assert await ending is None


async def test_events_of_the_bus_reach_whoever_watches(gateway: Opened) -> None:
    async with asyncio.timeout(20), gateway.http.stream("GET", "/v1/events") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = reply.aiter_lines()
        assert (await anext(lines)).startswith("retry:")
        changed = HaltChanged(HaltState(True, ["cli: odd"]), "odd")
        await gateway.system.work().publish_event("halt_changed", changed, event_id="halt-1")
        async for line in lines:
            if line == "event: halt_changed":
                break
        told = json.loads((await anext(lines)).removeprefix("data: "))
        assert told["state"] == {"halted": True, "halts": ["cli: odd"]}
        assert told["reason"] == "odd"
