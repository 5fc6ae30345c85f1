from __future__ import annotations

import asyncio
import json
from pathlib import Path

from bellwether.gateway.feed import QUEUE, Feed
from bellwether.messages.trading import HaltChanged, HaltState
from harness.until import DEADLINE
from unit.gateway.conftest import Opened, opened
from unit.gateway.samples import ANSWERS, Seen


async def test_a_slow_watcher_loses_the_oldest_and_learns_how_many() -> None:
    feed = Feed()
    with feed.watching() as stream:
        assert (await anext(stream)).startswith(b"retry:")
        for number in range(QUEUE + 5):
            feed.send("tick", number)
        assert await anext(stream) == b'event: missed\ndata: {"messages":5}\n\n'
        assert await anext(stream) == b"event: tick\ndata: 5\n\n"
    assert feed.watchers == 0


async def test_closing_ends_every_stream() -> None:
    feed = Feed()
    with feed.watching() as stream:
        await anext(stream)
        ending = asyncio.ensure_future(anext(stream, None))
        async with asyncio.timeout(DEADLINE):
            feed.close()
            assert await ending is None


async def test_one_stream_too_many_is_refused_at_once_and_an_ended_one_makes_room(tmp_path: Path) -> None:
    async with asyncio.timeout(DEADLINE), opened(tmp_path, ANSWERS, Seen(), streams=1) as gateway:
        async with gateway.http.stream("GET", "/v1/events") as first:
            assert (await anext(first.aiter_lines())).startswith("retry:")
            refused = await gateway.http.get("/v1/events")
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "15"
            assert refused.json()["error"]["code"] == "TOO_MANY_STREAMS"
            assert refused.json()["error"]["message"].startswith("1 event streams are open")
            assert (await gateway.http.get("/v1/status")).status_code == 200
        while (again := await started(gateway)) == 503:  # the end of a stream is seen shortly after
            pass
        assert again == 200


async def test_events_of_the_bus_reach_whoever_watches(gateway: Opened) -> None:
    async with asyncio.timeout(DEADLINE), gateway.http.stream("GET", "/v1/events") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = reply.aiter_lines()
        assert (await anext(lines)).startswith("retry:")
        changed = HaltChanged(HaltState(True, ["cli: odd"]), "odd")
        await gateway.system.work().publish_event("halt_changed", changed, event_id="halt-1")
        async for line in lines:
            if line == "event: halt_changed":
                break
        reported = json.loads((await anext(lines)).removeprefix("data: "))
        assert reported["state"] == {"halted": True, "halts": ["cli: odd"]}
        assert reported["reason"] == "odd"


async def test_a_second_watcher_gets_each_event_once(gateway: Opened) -> None:
    stream = gateway.http.stream
    async with asyncio.timeout(DEADLINE), stream("GET", "/v1/events"), stream("GET", "/v1/events") as reply:
        lines = reply.aiter_lines()
        assert (await anext(lines)).startswith("retry:")
        for reason in ("odd", "even"):
            changed = HaltChanged(HaltState(True, ["cli: odd"]), reason)
            await gateway.system.work().publish_event("halt_changed", changed, event_id=f"halt-{reason}")
        found: list[str] = []
        async for line in lines:
            if line.startswith("data: ") and "reason" in line:
                found.append(json.loads(line.removeprefix("data: "))["reason"])
            if len(found) == 2:
                break
        assert found == ["odd", "even"]


async def started(gateway: Opened) -> int:
    """Return the status of a stream that is started."""
    async with gateway.http.stream("GET", "/v1/events") as reply:
        return reply.status_code
