"""One side of the events measurement, as a process: `python -m bench.events_peer KIND URL SEED SECONDS`."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import msgspec
import uvloop

from bellwether.messages import envelope
from bellwether.messages.envelope import Event
from bellwether.naming import EVENT_STREAM, consumer_name, event_subject, message_id
from bellwether.runtime.bus import MESSAGE_ID_HEADER
from bellwether.runtime.call import Call
from bellwether.runtime.service import Service
from bellwether.service_row import ServiceRow
from bench.rpc_peer import AS_OF, connect, context_of, load, say

Kind = Literal["publish raw", "publish ours", "publish traced", "consume raw", "consume ours"]
KINDS: Mapping[Kind, str] = MappingProxyType(
    {
        "publish raw": "publish, raw nats-py",
        "publish ours": "publish, our runtime",
        "publish traced": "publish, our runtime, traced",
        "consume raw": "consume, raw nats-py with fetch(100)",
        "consume ours": "consume, our runtime",
    }
)
SOURCE, SINK, RAW_SINK = "source", "sink", "raw-sink"
TYPE = "tick"
FETCH = 100
WARM_SECONDS = 0.5
ROWS: Mapping[str, ServiceRow] = MappingProxyType(
    {
        SOURCE: ServiceRow(SOURCE, "publishes", publishes={TYPE: "normal"}),
        SINK: ServiceRow(SINK, "consumes", consumes=(TYPE,)),
        RAW_SINK: ServiceRow(RAW_SINK, "consumes", consumes=(TYPE,)),
        "gateway": ServiceRow("gateway", "writes the declaration"),
    }
)


class Tick(msgspec.Struct, frozen=True):
    """An event of the size that the trading path has."""

    symbol: str
    values: dict[str, float]


TICK = Tick("AAPL", {"rsi": 51.25, "return_1": 0.0125, "return_5": -0.03125, "volatility": 0.021})
# What our runtime puts on the wire for it, so that raw nats-py carries as many bytes.
BODY = envelope.encode(
    envelope.EventEnvelope(
        "tick-1-1000", TYPE, AS_OF, SOURCE, "normal", envelope.LIVE, msgspec.Raw(envelope.encode(TICK))
    )
)


def identity_of(kind: Kind) -> str:
    """Return whose key a side has."""
    if kind.startswith("publish"):
        return SOURCE
    return RAW_SINK if kind == "consume raw" else SINK


class Count:
    """Counts events between a beginning and an end of the process's clock, and their CPU time."""

    def __init__(self, seconds: float) -> None:
        self.begin = time.perf_counter() + WARM_SECONDS
        self.end = self.begin + seconds
        self.number = self.all = 0
        self.last = self.begin
        self.over = asyncio.Event()
        self._cpu = time.process_time()

    def one(self) -> None:
        """Count an event."""
        now = time.perf_counter()
        self.all += 1
        if self.begin <= now < self.end:
            self.number += 1
            self.last = now
        elif now >= self.end:
            self.over.set()

    def reported(self) -> dict[str, float]:
        """Return what was counted, as the parent reads it."""
        cpu = time.process_time() - self._cpu
        return {"calls": self.number, "seconds": self.last - self.begin, "all_calls": self.all, "cpu": cpu}


async def main(kind: Kind, url: str, seed: Path, seconds: float) -> None:
    """Publish or consume for some seconds; say what it took as one line of JSON."""
    if kind == "publish raw":
        await _publish_raw(url, seed, seconds)
    elif kind == "consume raw":
        await _consume_raw(url, seed, seconds)
    elif kind == "consume ours":
        await _consume_ours(url, seed, seconds)
    else:
        await _publish_ours(url, seed, seconds, traced=kind == "publish traced")


async def _publish_raw(url: str, seed: Path, seconds: float) -> None:
    client = await connect(SOURCE, url, seed)
    stream = client.jetstream()
    numbers = itertools.count()
    subject = event_subject("normal", TYPE)

    async def once() -> None:
        unique = message_id("", envelope.LIVE, f"tick-{os.getpid()}-{next(numbers)}")
        await stream.publish(subject, BODY, headers={MESSAGE_ID_HEADER: unique})

    say(await load(once, seconds))
    await client.close()


async def _publish_ours(url: str, seed: Path, seconds: float, *, traced: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        service = Service(SOURCE, context_of(ROWS, SOURCE, url, seed, Path(folder)))
        await service.start()
        numbers = itertools.count()

        async def publish(call: Call) -> None:
            await call.publish_event(TYPE, TICK, event_id=f"tick-{os.getpid()}-{next(numbers)}")

        async def once() -> None:
            call = service.call(budget=30.0)
            if traced:
                with call.start_root("measured") as work:
                    await publish(work)
            else:
                await publish(call)

        say(await load(once, seconds))
        await service.stop()


async def _consume_raw(url: str, seed: Path, seconds: float) -> None:
    client = await connect(RAW_SINK, url, seed)
    stream = client.jetstream()
    lane = await stream.pull_subscribe_bind(consumer_name(RAW_SINK, "normal"), EVENT_STREAM)
    count = Count(seconds)
    while not count.over.is_set():
        for message in await lane.fetch(FETCH):
            count.one()
            await message.ack()
    say(count.reported())
    await client.close()


async def _consume_ours(url: str, seed: Path, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        service = Service(SINK, context_of(ROWS, SINK, url, seed, Path(folder)))
        count = Count(seconds)

        @service.on_event(TYPE)
        async def tick(event: Event[Tick], call: Call) -> None:
            count.one()

        await service.start()
        await count.over.wait()
        say(count.reported())
        await service.stop()


if __name__ == "__main__":
    _, given_kind, given_url, given_seed, given_seconds = sys.argv
    chosen: Kind = next(kind for kind in KINDS if kind == given_kind)
    uvloop.run(main(chosen, given_url, Path(given_seed), float(given_seconds)))
