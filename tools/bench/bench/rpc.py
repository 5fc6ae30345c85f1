"""RPC rate of our runtime beside raw nats-py: one server, each side in its own process, the rounds in turn."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report import Figure, Section
from bench.rpc_peer import CALLEE, CALLER, CONCURRENCY, KINDS, ROWS, Kind
from harness.nats import NatsServer, nats_server

ROUNDS = 5
SECONDS = 3.0
LONGEST = 60.0
AIM, TRACED_AIM = 0.85, 0.5
"""Of raw nats-py's rate: what our runtime should reach, without and with traces."""
"""Seconds after which a side that says nothing has failed."""


@dataclass(frozen=True)
class Round:
    """What one pair of processes did: calls a second, and CPU microseconds of both sides together for each call."""

    rate: float
    cpu_microseconds: float
    p50_microseconds: float


def measure() -> Section:
    """Let each kind run in turn, several times, and take medians."""
    rounds = asyncio.run(_all_rounds())
    raw = [one.rate for one in rounds["raw"]]
    ratios = paired_ratios([one.rate for one in rounds["ours"]], raw)
    traced = paired_ratios([one.rate for one in rounds["traced"]], raw)
    figures = [
        Figure("our runtime / raw nats-py, median of the rounds", statistics.median(ratios), "", AIM, "higher"),
        Figure("the same, lowest round", min(ratios), ""),
        Figure("the same, highest round", max(ratios), ""),
        Figure(
            "our runtime, traced / raw nats-py, median of the rounds",
            statistics.median(traced),
            "",
            TRACED_AIM,
            "higher",
            f"rounds {min(traced):.2f} to {max(traced):.2f}",
        ),
    ]
    for kind, words in KINDS.items():
        rates = [one.rate for one in rounds[kind]]
        note = f"rounds {min(rates):,.0f} to {max(rates):,.0f}"
        figures += [
            Figure(f"{words}: calls a second", statistics.median(rates), "/s", note=note),
            Figure(
                f"{words}: CPU of both sides a call",
                statistics.median(one.cpu_microseconds for one in rounds[kind]),
                "µs",
            ),
            Figure(f"{words}: p50", statistics.median(one.p50_microseconds for one in rounds[kind]) / 1000, "ms"),
        ]
    return Section("RPC rate", _HOW, figures)


_HOW = (
    "All kinds in this run, on one nats-server with the keys and permissions of a system: a serving and a "
    f"calling process for each kind, {CONCURRENCY} calls in flight, uvloop, {ROUNDS} rounds of {SECONDS:g} s "
    "in which the kinds take turns; the ratio is taken within each round. Raw nats-py sends and echoes the "
    "bytes that our runtime sends, without looking into them, on a callback of its own. Ours adds the "
    "envelope, typed JSON both ways, the time budget, the bound on concurrent handlers and the figures. `raw "
    "nats-py with typed JSON` decodes and encodes the same payload and does nothing else. `traced` makes and "
    "sends a client trace with a server span for every call."
)


def paired_ratios(ours: Sequence[float], raw: Sequence[float]) -> list[float]:
    """Return the ratio within each round: what else the machine does then bears on both."""
    return [mine / theirs for mine, theirs in zip(ours, raw, strict=True)]


async def _all_rounds() -> Mapping[Kind, list[Round]]:
    rounds: dict[Kind, list[Round]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        async with nats_server(Path(folder) / "nats", ROWS) as server:
            keys = server.write_keys(Path(folder) / "keys")
            for number in range(ROUNDS):
                # Every other round in reverse, so that none always follows the same neighbour.
                for kind in list(KINDS)[:: 1 if number % 2 == 0 else -1]:
                    rounds[kind].append(await _round(kind, server, keys))
    return rounds


async def _round(kind: Kind, server: NatsServer, keys: Path) -> Round:
    serving = await _peer("serve", kind, server.url, keys / f"{CALLEE}.nk")
    try:
        await _line(serving)
        calling = await _peer("call", kind, server.url, keys / f"{CALLER}.nk")
        try:
            called = json.loads(await _line(calling))
            await asyncio.wait_for(calling.wait(), LONGEST)
        finally:
            _end(calling)
        assert serving.stdin is not None  # noqa: S101 - asked for below
        serving.stdin.close()
        served = json.loads(await _line(serving))
        await asyncio.wait_for(serving.wait(), LONGEST)
    finally:
        _end(serving)
    cpu = (called["cpu"] + served["cpu"]) / called["all_calls"]
    return Round(called["calls"] / called["seconds"], cpu * 1e6, called["p50"] * 1e6)


async def _peer(side: str, kind: Kind, url: str, seed: Path) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "bench.rpc_peer", side, kind, url, str(seed), str(SECONDS)]
    return await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)


async def _line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None  # noqa: S101 - asked for above
    line = await asyncio.wait_for(process.stdout.readline(), LONGEST)
    if not line:
        raise RuntimeError(f"a side of the RPC measurement ended with {await process.wait()} and said nothing")
    return line


def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
