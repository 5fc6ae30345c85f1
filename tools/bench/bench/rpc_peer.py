"""One side of the RPC measurement, as a process: `python -m bench.rpc_peer serve|call KIND URL SEED SECONDS`."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import msgspec
import uvloop

from bellwether.messages import envelope
from bellwether.naming import inbox_prefix, rpc_subject, rpc_subjects
from bellwether.runtime.call import Call
from bellwether.runtime.clock import ReplayClock
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.declaration import DeclarationHolder
from bellwether.runtime.nats_bus import NatsBus
from bellwether.runtime.nats_client import Client, Msg
from bellwether.runtime.service import Service
from bellwether.runtime.telemetry import Telemetry
from bellwether.service_row import ServiceRow

Kind = Literal["raw", "raw-json", "ours", "traced"]
KINDS: Mapping[Kind, str] = MappingProxyType(
    {
        "raw": "raw nats-py",
        "raw-json": "raw nats-py with typed JSON",
        "ours": "our runtime",
        "traced": "our runtime, traced",
    }
)
CONCURRENCY = 64
CALLEE = "callee"
CALLER = "caller"
METHOD = "score"
SUBJECT = rpc_subject(CALLEE, METHOD)
WARM_SECONDS = 1.0
BUDGET = 30.0
AS_OF = datetime(2009, 1, 2, 14, 30, tzinfo=UTC)
ROWS: Mapping[str, ServiceRow] = MappingProxyType(
    {
        CALLEE: ServiceRow(CALLEE, "answers", serves=(METHOD,)),
        CALLER: ServiceRow(CALLER, "asks", calls={CALLEE: (METHOD,)}),
        "gateway": ServiceRow("gateway", "writes the declaration"),
    }
)


class Features(msgspec.Struct, frozen=True):
    """A request of the size that the trading path has."""

    symbol: str
    values: dict[str, float]


class Score(msgspec.Struct, frozen=True):
    """A reply of the size that the trading path has."""

    symbol: str
    probability: float
    version: str


REQUEST = Features("AAPL", {"rsi": 51.25, "return_1": 0.0125, "return_5": -0.03125, "volatility": 0.021})
REPLY = Score("AAPL", 0.53125, "0123456789abcdef0123456789abcdef")
# What our runtime puts on the wire for them, so that raw nats-py carries as many bytes.
REQUEST_BODY = envelope.encode(
    envelope.Request("0123456789-1000", CALLER, BUDGET, AS_OF, params=msgspec.Raw(envelope.encode(REQUEST)))
)
REPLY_BODY = envelope.encode(
    envelope.Reply("success", "0123456789-1000", 0.0001234, result=msgspec.Raw(envelope.encode(REPLY)))
)

_features = msgspec.json.Decoder(Features)
_score = msgspec.json.Decoder(Score)


async def main(side: str, kind: Kind, url: str, seed: Path, seconds: float) -> None:
    """Serve until standard input ends, or call for some seconds; say what it took as one line of JSON."""
    runtime = kind in ("ours", "traced")
    if side == "serve":
        await (_serve_ours(url, seed) if runtime else _serve_raw(kind, url, seed))
    else:
        await (_call_ours(kind, url, seed, seconds) if runtime else _call_raw(kind, url, seed, seconds))


# Raw nats-py


async def connect(identity: str, url: str, seed: Path) -> Client:
    """Return an open connection of raw nats-py."""
    client = Client()
    await client.connect(url, nkeys_seed=str(seed), inbox_prefix=inbox_prefix(identity))
    return client


async def _serve_raw(kind: Kind, url: str, seed: Path) -> None:
    client = await connect(CALLEE, url, seed)

    async def echo(message: Msg) -> None:
        await client.publish(message.reply, REPLY_BODY)

    async def typed(message: Msg) -> None:
        found = _features.decode(message.data)
        await client.publish(message.reply, envelope.encode(Score(found.symbol, REPLY.probability, REPLY.version)))

    await client.subscribe(rpc_subjects(CALLEE), CALLEE, cb=typed if kind == "raw-json" else echo)
    await client.flush()
    await _until_stopped()
    await client.close()


async def _call_raw(kind: Kind, url: str, seed: Path, seconds: float) -> None:
    client = await connect(CALLER, url, seed)

    async def once() -> None:
        await client.request(SUBJECT, REQUEST_BODY, timeout=BUDGET)

    async def typed() -> None:
        _score.decode((await client.request(SUBJECT, envelope.encode(REQUEST), timeout=BUDGET)).data)

    say(await load(typed if kind == "raw-json" else once, seconds))
    await client.close()


# Our runtime


def context_of(rows: Mapping[str, ServiceRow], name: str, url: str, seed: Path, data: Path) -> ServiceContext:
    """Return what a service of a topology gets from its process."""
    return ServiceContext(
        row=rows[name],
        bus=NatsBus(url, name, seed),
        clock=ReplayClock(AS_OF),
        telemetry=Telemetry(name),
        declaration=DeclarationHolder(name, None),
        config=ProcessConfig(data_dir=data),
        rows=rows,
    )


async def _serve_ours(url: str, seed: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        service = Service(CALLEE, context_of(ROWS, CALLEE, url, seed, Path(folder)))

        @service.rpc(METHOD)
        async def score(request: Features, call: Call) -> Score:
            return Score(request.symbol, REPLY.probability, REPLY.version)

        await service.start()
        await _until_stopped()
        await service.stop()


async def _call_ours(kind: Kind, url: str, seed: Path, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        service = Service(CALLER, context_of(ROWS, CALLER, url, seed, Path(folder)))
        await service.start()

        async def once() -> None:
            await service.call(budget=BUDGET).request(CALLEE, METHOD, REQUEST, Score)

        async def traced() -> None:
            with service.call(budget=BUDGET).start_root("measured") as work:
                await work.request(CALLEE, METHOD, REQUEST, Score)

        say(await load(traced if kind == "traced" else once, seconds))
        await service.stop()


# Both


async def load(once: Callable[[], Awaitable[None]], seconds: float) -> dict[str, Any]:
    """Keep calls in flight for some seconds, after a second of warming up; `p50` is in seconds."""
    times: list[float] = []
    begin = time.perf_counter() + WARM_SECONDS
    end = begin + seconds
    all_calls = 0

    async def worker() -> None:
        nonlocal all_calls
        now = time.perf_counter()
        while now < end:
            started = now
            await once()
            now = time.perf_counter()
            all_calls += 1
            if begin <= now < end:
                times.append(now - started)

    cpu = time.process_time()
    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
    return {
        "calls": len(times),
        "seconds": seconds,
        "p50": statistics.median(times),
        "all_calls": all_calls,
        "cpu": time.process_time() - cpu,
    }


async def _until_stopped() -> None:
    """Say that it serves, wait until standard input ends, and say how much CPU time went by."""
    cpu = time.process_time()
    say({"serves": True})
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    say({"cpu": time.process_time() - cpu})


def say(values: Mapping[str, Any]) -> None:
    """Write values as one line of JSON."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _, given_side, given_kind, given_url, given_seed, given_seconds = sys.argv
    if given_kind not in KINDS:
        raise SystemExit(f"error: no kind {given_kind!r}; there are {', '.join(KINDS)}")
    chosen: Kind = next(kind for kind in KINDS if kind == given_kind)
    uvloop.run(main(given_side, chosen, given_url, Path(given_seed), float(given_seconds)))
