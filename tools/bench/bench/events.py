"""Rates of durable events: published, and consumed, by our runtime beside raw nats-py."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.events_peer import FETCH, KINDS, ROWS, Kind, identity_of
from bench.report import Figure, Section
from bench.rpc import AIM, TRACED_AIM, Round, paired_ratios
from bench.rpc_peer import CONCURRENCY
from harness.nats import NatsServer, nats_server

ROUNDS = 5
SECONDS = 2.0
LONGEST = 120.0

_HOW = (
    "All kinds in this run, on one nats-server with the keys and permissions of a system, its store as in a replay "
    f"(not flushed at each write); one process at a time, uvloop, {ROUNDS} rounds of {SECONDS:g} s in which the kinds "
    f"take turns; ratios are taken within each round. Publishing: {CONCURRENCY} events in flight, each with an id by "
    "which the stream drops repeats, until the server says that it is stored. Raw nats-py sends the bytes that our "
    "runtime sends; ours encodes data and envelope. `traced` makes and sends a root span with a publish span for every "
    "event. "
    f"Consuming: what was published before, by a durable consumer. Raw nats-py has `fetch({FETCH})` and acknowledges "
    "each event without looking into it; our runtime decodes envelope and data, watches a deadline and runs a typed "
    "handler for each. A process that keeps one core busy is as fast as its CPU an event lets it be, so that is what "
    "is judged: unlike the rate it stays what it is when others use the machine."
)


def measure() -> Section:
    """Let each kind run in turn, several times, and take medians."""
    rounds = asyncio.run(_all_rounds())
    rates = {kind: [one.rate for one in found] for kind, found in rounds.items()}
    work = {kind: [one.cpu_microseconds for one in found] for kind, found in rounds.items()}
    aims: dict[Kind, tuple[Kind, float]] = {
        "publish ours": ("publish raw", AIM),
        "publish traced": ("publish raw", TRACED_AIM),
        "consume ours": ("consume raw", AIM),
    }
    figures = []
    for kind, (raw, aim) in aims.items():
        ratios = paired_ratios(work[raw], work[kind])
        note = f"rounds {min(ratios):.2f} to {max(ratios):.2f}"
        what = f"{KINDS[kind]}: CPU an event of raw nats-py / ours, median of the rounds"
        figures.append(Figure(what, statistics.median(ratios), "", aim, "higher", note))
        beside = statistics.median(paired_ratios(rates[kind], rates[raw]))
        figures.append(Figure(f"{KINDS[kind]}: rate / that of raw nats-py", beside, ""))
    for kind, words in KINDS.items():
        note = f"rounds {min(rates[kind]):,.0f} to {max(rates[kind]):,.0f}"
        figures += [
            Figure(f"{words}: events a second", statistics.median(rates[kind]), "/s", note=note),
            Figure(f"{words}: CPU an event", statistics.median(work[kind]), "µs"),
        ]
    return Section("Rate of durable events", _HOW, figures)


async def _all_rounds() -> Mapping[Kind, list[Round]]:
    rounds: dict[Kind, list[Round]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        async with nats_server(Path(folder) / "nats", ROWS) as server:
            keys = server.write_keys(Path(folder) / "keys")
            for number in range(ROUNDS):
                publishing = [kind for kind in KINDS if kind.startswith("publish")]
                consuming = [kind for kind in KINDS if kind.startswith("consume")]
                # Every other round in reverse, so that none always follows the same neighbour.
                step = 1 if number % 2 == 0 else -1
                for kind in [*publishing[::step], *consuming[::step]]:
                    rounds[kind].append(await _round(kind, server, keys))
    return rounds


async def _round(kind: Kind, server: NatsServer, keys: Path) -> Round:
    seed = keys / f"{identity_of(kind)}.nk"
    # Consuming is faster than publishing, and must not run dry.
    seconds = SECONDS if kind.startswith("publish") else SECONDS / 2
    command = [sys.executable, "-m", "bench.events_peer", kind, server.url, str(seed), str(seconds)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        reported, _ = await asyncio.wait_for(process.communicate(), LONGEST)
    finally:
        if process.returncode is None:
            process.kill()
    if not reported:
        raise RuntimeError(f"{kind} ended with {process.returncode} and said nothing")
    found = json.loads(reported)
    if not found["calls"] or not found["seconds"]:
        raise RuntimeError(f"{kind}: no event within {seconds:g} s; this machine is too busy to measure")
    return Round(found["calls"] / found["seconds"], found["cpu"] / found["all_calls"] * 1e6, found.get("p50", 0) * 1e6)
