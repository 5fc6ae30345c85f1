"""The same days replayed in different ways: undisturbed over either bus, and with its process or NATS killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from bellwether.local.files import load_system
from bellwether.local.registry import registry
from bellwether.local.replay import ReplayOptions, replayed
from bellwether.messages.scheduling import ReplayState
from bellwether.runtime.declaration import encode_declaration
from bellwether.spec.models import TradingSystem
from harness.nats import UID, NatsServer, nats_server
from harness.replayed import until
from harness.system import Connect, running
from soak import evidence
from soak.evidence import Evidence
from soak.report import Kind, Trial
from soak.victim import STRIKE

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "manifests" / "samples" / "replay.yaml"
SERVED = ("market-data", "data-quality", "sentiment", "ml-model", "prediction", "paper-trading", "scheduler")
ACK_WAIT = 2.0
"""Seconds after which an event that a killed process had in hand comes again; 30 in a system of one's own."""
DEADLINE = 240.0
"""Seconds without a step after which a life of the process is taken to hang."""
END_SECONDS = 30.0
SHORT_OUTAGE = (0.0, 1.0)
LONG_OUTAGE = (5.0, 8.0)
"""Seconds that NATS is unreachable; the long one outlasts the patience of a call without a connection."""
LONG_OUTAGES = 0.1
GAPS: dict[Kind, int] = {"process": 400, "nats": 600, "both": 400, "command": 1200}
"""A strike comes after at most so many points; a session is about 100."""


def days(first: str, last: str) -> TradingSystem:
    """Return the sample replay from one day to another, as fast as it goes.

    It acts on weaker signals than the sample and closes positions the next day, so that there are many orders; one
    of them a session, so that which one it is depends on the order in which decisions arrive.
    """
    plain = replayed(load_system(SAMPLE), ReplayOptions(first, last)).model_dump(by_alias=True, exclude_none=True)
    plain["spec"]["predictions"]["margin"] = "0.001"
    plain["spec"]["trading"]["exit"]["horizonSessions"] = 1
    plain["spec"]["trading"]["risk"]["maxOrdersPerSession"] = 1
    return TradingSystem.model_validate(plain)


async def undisturbed(
    folder: Path,
    trained: Path | None,
    system: TradingSystem,
    connect: Connect | None = None,
    *,
    group_commit: bool = False,
) -> Evidence:
    """Replay to the end in this process, over a MemoryBus of its own or where `connect` leads.

    Without a `trained` model the folder's replay is gone on with.
    """
    data = folder / "data"
    if trained is not None:
        await asyncio.to_thread(_with_model, data, trained)
    async with running(
        registry(SERVED), data_dir=data, declaration=system, connect=connect, sampling=0.0, group_commit=group_commit
    ) as desk:
        done = 0

        async def ended() -> bool:
            nonlocal done
            state = await desk.call("scheduler", "get_replay", None, ReplayState)
            if state.state == "failed":
                raise RuntimeError(f"the replay failed: {state.error}")
            done = state.sessions_done
            return bool(state.state == "complete")

        await until(ended, progress=lambda: done)
        for peer in ("market-data", "prediction", "paper-trading", "scheduler"):
            await desk.settle(peer)
    return evidence.gather(data)


async def undisturbed_over_nats(folder: Path, trained: Path, system: TradingSystem) -> Evidence:
    """Replay to the end in this process, over a NATS server of its own."""
    async with nats_server(folder / "nats", ack_wait=ACK_WAIT) as server:
        return await undisturbed(folder, trained, system, server.connect)


class StruckReplay:
    """A replay in a process of its own, beside a NATS server of its own; what the trial says is killed repeatedly."""

    def __init__(self, folder: Path, system: TradingSystem, trial: Trial) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._log = folder / "process.log"
        self._system = system
        self._trial = trial
        self._chance = random.Random(trial.seed)  # noqa: S311 (nothing secret: the same seed must choose the same)

    async def run(self, trained: Path, expected: Evidence, strikes: int) -> None:
        """Replay to the end with at most `strikes` kills, and write down what does not hold."""
        trial, began = self._trial, time.monotonic()
        await asyncio.to_thread(_with_model, self._data, trained)
        (self._folder / "system.json").write_bytes(encode_declaration(self._system))
        async with nats_server(self._folder / "nats", ack_wait=ACK_WAIT) as server:
            server.write_keys(self._folder / "keys")
            complete = False
            while not complete and not trial.violations:
                complete = await self._live(server, self._gaps(strikes - len(trial.strikes)))
        if complete:
            trial.violations += evidence.violations(self._data)
            trial.violations += evidence.differences(expected, evidence.gather(self._data))
        trial.violations += self._complaints()
        trial.seconds = time.monotonic() - began

    def _gaps(self, left: int) -> list[int]:
        # A process ends once; the server can be killed more than once in its life.
        count = left if self._trial.kind == "nats" else min(left, 1)
        return [self._chance.randint(1, GAPS[self._trial.kind]) for _ in range(count)]

    async def _live(self, server: NatsServer, gaps: list[int]) -> bool:
        """Run the process once; return whether the replay came to its end."""
        async with self._process(server.url, gaps) as process:
            hearing = asyncio.ensure_future(self._hear(process, server))
            complete = asyncio.ensure_future(_until(self._complete, self._written))
            try:
                await asyncio.wait({hearing, complete}, return_when=asyncio.FIRST_COMPLETED)
                if complete.done():
                    complete.result()
                    self._ask_to_end(process)
                code = await asyncio.wait_for(process.wait(), END_SECONDS)
                await hearing
            except TimeoutError:
                self._violated(f"it did not come to an end: the replay is {evidence.replay_state(self._data)}")
                return False
            finally:
                for task in (hearing, complete):
                    task.cancel()
                await asyncio.gather(hearing, complete, return_exceptions=True)
        if code not in (0, -signal.SIGKILL):
            self._violated(f"it ended with {code}")
        return code == 0

    def _ask_to_end(self, process: asyncio.subprocess.Process) -> None:
        # The command ends by itself.
        if self._trial.kind != "command":
            process.send_signal(signal.SIGTERM)

    @contextlib.asynccontextmanager
    async def _process(self, url: str, gaps: list[int]) -> AsyncIterator[asyncio.subprocess.Process]:
        environ = {
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'services'}:{ROOT / 'tools' / 'soak'}",
            "BELLWETHER_SYSTEM": self._system.metadata.name,
            "BELLWETHER_UID": UID,
            "BELLWETHER_DATA_DIR": str(self._data),
            "BELLWETHER_NATS_URL": url,
            "BELLWETHER_KEYS_DIR": str(self._folder / "keys"),
            "BELLWETHER_DECLARATION": str(self._folder / "system.json"),
            "BELLWETHER_HEALTH_HOST": "127.0.0.1",
            "BELLWETHER_HEALTH_PORT": "0",
            "BELLWETHER_SAMPLING": "0",
        }
        how = "stand" if self._trial.kind == "nats" else "end"
        command = [sys.executable, "-m", "soak.victim", how, ",".join(map(str, gaps)), *self._command()]
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command, env=environ, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _command(self) -> list[str]:
        if self._trial.kind == "command":
            return ["replay", str(self._folder / "system.json"), "--data", str(self._data), "-o", "json"]
        return ["serve", "--services", ",".join(SERVED)]

    async def _hear(self, process: asyncio.subprocess.Process, server: NatsServer) -> None:
        """Write down each strike; kill the server at those that are its own."""
        reported, answer = process.stdout, process.stdin
        if reported is None or answer is None:
            raise RuntimeError("the process has no pipes")
        async for line in reported:
            words = line.decode().strip()
            if not words.startswith(STRIKE):
                continue
            self._trial.strikes.append(words.removeprefix(STRIKE))
            if self._trial.kind in ("nats", "both"):
                await server.kill()
                if self._trial.kind == "nats":
                    answer.write(b"\n")
                await asyncio.sleep(self._outage())
                await server.start()

    def _outage(self) -> float:
        return self._chance.uniform(*(LONG_OUTAGE if self._chance.random() < LONG_OUTAGES else SHORT_OUTAGE))

    def _complete(self) -> bool:
        return evidence.replay_state(self._data) == "complete" and not evidence.unpublished(self._data)

    def _written(self) -> float:
        """Return when a step was stored last; 0 before the first."""
        # It goes when the process ends or starts, at any time.
        with contextlib.suppress(FileNotFoundError):
            return (self._data / "slots.db-wal").stat().st_mtime
        return 0.0

    def _violated(self, words: str) -> None:
        lines = self._log.read_text(errors="replace").splitlines()
        self._trial.violations.append(f"{words}; its last words: {' / '.join(lines[-3:])}")

    def _complaints(self) -> list[str]:
        lines = self._log.read_text(errors="replace").splitlines()
        return [f"given up: {line}" for line in lines if "is a dead letter" in line]


async def struck(
    folder: Path, trained: Path, system: TradingSystem, expected: Evidence, *, kind: Kind, seed: int, strikes: int
) -> Trial:
    """Replay with at most `strikes` kills at points that the seed chooses; return what came of it."""
    trial = Trial(seed, kind, [], [])
    await StruckReplay(folder, system, trial).run(trained, expected, strikes)
    return trial


async def _until(condition: Callable[[], bool], progress: Callable[[], object]) -> None:
    async def asked() -> bool:
        return await asyncio.to_thread(condition)

    waiting: Callable[[], Awaitable[bool]] = asked
    await until(waiting, DEADLINE, progress)


def _with_model(data: Path, trained: Path) -> Path:
    shutil.copytree(trained, data / "ml-model")
    return data
