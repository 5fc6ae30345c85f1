"""The client of a slot's Job as a process of its own, with a real NATS server and a real scheduler."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bellwether.market.slots import epoch_minutes
from bellwether.messages.scheduling import Job, Jobs
from bellwether.runtime.bus import RequestTimeout
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.nats_bus import NatsBus
from bellwether.runtime.service import Service
from bellwether.scheduling.client import DONE, ENDED, WRONG
from bellwether.scheduling.service import create
from bellwether.trading import service as trading
from harness.clock import Present
from harness.nats import NatsServer, nats_server
from harness.system import System, running
from harness.until import DEADLINE, until
from integration.trading.peers import ROWS, Peers, declaration

pytestmark = pytest.mark.integration

SERVICES = Path(__file__).resolve().parents[3] / "services"
DUE = datetime(2026, 1, 5, 14, 15, tzinfo=UTC)
SLOT = "prediction_generation-20260105"
HOLIDAY = datetime(2026, 1, 1, 14, 15, tzinfo=UTC)
NOT_TAKEN_IN = (
    "sqlalchemy",
    "pydantic",
    "onnxruntime",
    "fastapi",
    "opentelemetry",
    "numpy",
    "yaml",
    "typer",
    "rich",
    "cryptography",
    "aiohttp",
    "kubernetes",
)
IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)


def named(slot: str) -> dict[str, str]:
    return {"BELLWETHER_SLOT": slot}


def timed(minute: datetime, task: str = "prediction_generation") -> dict[str, str]:
    job = f"demo-{task.replace('_', '-')}-{minute:%Y%m-%H%M}-{epoch_minutes(minute)}"
    return {"BELLWETHER_TASK": task, "BELLWETHER_JOB": job}


class Client:
    """The process, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def words(self) -> str:
        # The last line may be written just now.
        whole = self.log.read_text().rpartition("\n")[0].splitlines()
        return "\n".join(json.loads(line)["msg"] for line in whole if line[:1] == "{")

    async def code(self) -> int:
        async with asyncio.timeout(DEADLINE):
            return await self.process.wait()


@dataclass
class Bench:
    """A scheduler with made-up peers on a real server, and clients that are ended with it."""

    folder: Path
    server: NatsServer
    clock: Present
    peers: Peers
    clients: list[Client] = field(default_factory=list)
    system: System | None = None

    async def start(self, reported: dict[str, str], *python: str, timeout: float = 5 * DEADLINE) -> Client:
        log = self.folder / f"client-{len(self.clients)}.log"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(SERVICES),
            "BELLWETHER_NATS_URL": self.server.url,
            "BELLWETHER_KEYS_DIR": str(self.folder / "keys"),
            **reported,
        }
        command = [sys.executable, *python, "-m", "bellwether", "execute-slot", "--timeout", str(timeout)]
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=errors)
        self.clients.append(Client(process, log))
        return self.clients[-1]

    async def jobs(self) -> dict[str, str]:
        assert self.system is not None
        found: Jobs = await self.system.call("scheduler", "list_jobs", {}, Jobs)
        return {job.id: job.status for job in found.jobs}

    async def ask(self, slot: str) -> Job:
        assert self.system is not None
        found: Job = await self.system.call("scheduler", "execute_job", {"job_id": slot}, Job)
        return found

    @property
    def asking(self) -> int:
        """How many calls the scheduler has in hand."""
        assert self.system is not None
        return self.system.services["scheduler"].server.in_flight

    @property
    def batches(self) -> int:
        return sum(1 for name, _ in self.peers.calls if name == "generate_predictions")

    @contextlib.asynccontextmanager
    async def scheduler(self) -> AsyncIterator[System]:
        """Run the scheduler, whose own clockwork stands still, over the server."""
        system = declaration(
            data={"provider": "csv", "csv": {"directory": "bars"}}, clock={"mode": "live"}, trading={"mode": "off"}
        )
        builds = {**self.peers.builds(), "paper-trading": trading.create, "scheduler": _still}
        async with running(
            builds,
            data_dir=self.folder / "data",
            declaration=system,
            rows=ROWS,
            connect=self.server.connect,
            clock=self.clock,
        ) as found:
            await found.connected()
            self.system = found
            yield found


def _still(context: ServiceContext) -> Service:
    service = create(context)
    service._background.clear()
    return service


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path / "nats", ROWS) as found:
        found.write_keys(tmp_path / "keys")
        yield found


@pytest.fixture
async def silent(tmp_path: Path, server: NatsServer) -> AsyncIterator[Bench]:
    """A bench without its scheduler."""
    bench = Bench(tmp_path, server, Present(DUE), Peers())
    yield bench
    for client in bench.clients:
        if client.process.returncode is None:
            client.process.kill()
            await client.process.wait()


@pytest.fixture
async def bench(silent: Bench) -> AsyncIterator[Bench]:
    async with silent.scheduler():
        yield silent


async def test_a_slot_runs_once_although_a_cron_job_and_a_slots_job_ask_for_it_at_once(bench: Bench) -> None:
    _, gate = bench.peers.hold("generate_predictions")
    clients = [await bench.start(reported) for reported in (timed(DUE), named(SLOT))]
    await until(lambda: bench.asking == 2)
    gate.set()
    assert [await client.code() for client in clients] == [DONE, DONE]
    assert all(f"is completed ({SLOT})" in client.words for client in clients)
    assert bench.batches == 1
    assert (await bench.jobs())[SLOT] == "completed"


async def test_what_a_killed_client_began_is_done_and_its_next_try_gets_the_stored_answer(bench: Bench) -> None:
    began, gate = bench.peers.hold("generate_predictions")
    first = await bench.start(timed(DUE))
    async with asyncio.timeout(DEADLINE):
        await began.wait()
    first.process.kill()
    assert await first.code() == -signal.SIGKILL
    gate.set()
    second = await bench.start(timed(DUE))
    assert await second.code() == DONE
    assert f"is completed ({SLOT})" in second.words
    third = await bench.start(named(SLOT))
    assert await third.code() == DONE
    assert bench.batches == 1


async def test_a_job_that_lasts_beyond_the_next_slot_holds_nothing_up_and_each_runs_once(bench: Bench) -> None:
    began, gate = bench.peers.hold("generate_predictions")
    first = await bench.start(timed(DUE))
    async with asyncio.timeout(DEADLINE):
        await began.wait()
    bench.clock.instant = DUE + timedelta(hours=7, minutes=45)
    evening = "evening_analysis-20260105"
    second = [await bench.start(named(evening)) for _ in range(2)]
    assert [await client.code() for client in second] == [DONE, DONE]
    found = await bench.jobs()
    assert (found[SLOT], found[evening]) == ("running", "completed")
    gate.set()
    assert await first.code() == DONE
    assert (await bench.jobs())[SLOT] == "completed"
    outcomes = [name for name, _ in bench.peers.calls if name == "record_outcomes"]
    assert (bench.batches, len(outcomes)) == (1, 1)


async def test_on_a_closed_day_there_is_nothing_to_do(bench: Bench) -> None:
    bench.clock.instant = HOLIDAY
    clients = [await bench.start(reported) for reported in (timed(HOLIDAY), named("prediction_generation-20260101"))]
    assert [await client.code() for client in clients] == [DONE, DONE]
    assert "is not a slot" in clients[0].words
    assert "nothing is due at XNYS within 2026-01-01T14:15" in clients[0].words
    assert "XNYS does not trade on 2026-01-01" in clients[1].words
    assert bench.batches == 0


async def test_a_client_that_comes_too_early_waits_for_its_slot(bench: Bench) -> None:
    bench.clock.instant = DUE - timedelta(seconds=0.2)
    client = await bench.start(timed(DUE))
    await until(lambda: "waits: NOT_DUE_YET" in client.words)
    assert bench.batches == 0
    bench.clock.instant = DUE
    assert await client.code() == DONE
    assert bench.batches == 1


async def test_a_slot_whose_use_is_over_is_reported_as_missed(bench: Bench) -> None:
    bench.clock.instant = DUE + timedelta(minutes=16)
    client = await bench.start(named(SLOT))
    assert await client.code() == DONE
    assert f"is missed ({SLOT})" in client.words
    assert bench.batches == 0


async def test_a_client_outlasts_server_scheduler_and_peer_that_are_unreachable(silent: Bench) -> None:
    await silent.server.kill()
    client = await silent.start(timed(DUE))
    await until(lambda: "cannot reach NATS" in client.words)
    await silent.server.start()
    await until(lambda: "nobody serves" in client.words)
    silent.peers.away["generate_predictions"] = 1
    async with silent.scheduler():
        assert await client.code() == DONE
    assert "is completed" in client.words
    assert silent.batches == 2


@pytest.mark.parametrize("away", [False, True], ids=["connected", "without a server"])
async def test_a_client_that_is_asked_to_end_does_so_and_the_slot_goes_on(bench: Bench, away: bool) -> None:
    began, gate = bench.peers.hold("generate_predictions")
    client = await bench.start(timed(DUE))
    async with asyncio.timeout(DEADLINE):
        await began.wait()
    if away:
        await bench.server.kill()
        await until(lambda: "lost its connection" in client.words)
    client.process.send_signal(signal.SIGTERM)
    assert await client.code() == ENDED
    assert "asked to end" in client.words
    if away:
        await bench.server.start()
        assert bench.system is not None
        await bench.system.connected()
    gate.set()
    answer = await bench.ask(SLOT)
    # What the scheduler itself was asking for is lost with the server, and this try asks for it again.
    assert (answer.status, bench.batches) == ("completed", 2 if away else 1)


def refused(bus: NatsBus, words: str) -> bool:
    return words in str(bus.last_error).lower()


async def test_the_jobs_key_opens_nothing_but_its_question(bench: Bench) -> None:
    body = b'{"request_id":"1","source":"job","budget":1,"params":{"job_id":"mine"}}'
    async with bench.server.connected("job") as bus:
        for subject in (
            "bw.rpc.scheduler.execute_job",
            "bw.rpc.scheduler.stop_all_jobs",
            "bw.rpc.prediction.generate_predictions",
        ):
            with pytest.raises(RequestTimeout):
                await bus.request(subject, body, timeout=1.0)
            await until(partial(refused, bus, f'permissions violation for publish to "{subject}"'))
    assert bench.batches == 0


@pytest.mark.parametrize("asked", ["mine", "mine-20260105", "mine@20260105T1415Z", "prediction_generation"])
async def test_a_job_is_refused_whatever_is_no_slot_of_a_declared_task(bench: Bench, asked: str) -> None:
    """A scheduled job is for whoever may call `execute_job`: asked for by a Job, it would run again at each try."""
    wish = {"job_id": "mine", "job_type": "prediction_generation", "params": {"anchor": "open", "offset": "-15m"}}
    assert bench.system is not None
    await bench.system.call("scheduler", "schedule_market_aware_job", wish, Job)
    client = await bench.start(named(asked))
    assert await client.code() == DONE
    assert f"{asked} is not a slot, so there is nothing to do" in client.words
    assert bench.batches == 0
    # An operator of the system runs it, and asking again within its slot does nothing more.
    answers = [await bench.ask("mine") for _ in range(2)]
    assert [(one.id, one.status) for one in answers] == [("mine-20260105", "completed")] * 2
    assert bench.batches == 1


async def test_a_client_that_is_given_nothing_says_what_it_needs(bench: Bench) -> None:
    client = await bench.start({})
    assert await client.code() == WRONG
    assert "give either the name of a slot" in client.log.read_text()


async def test_a_client_takes_in_nothing_of_the_services(bench: Bench) -> None:
    client = await bench.start(timed(DUE), "-X", "importtime")
    assert await client.code() == DONE
    imported = set(IMPORTED.findall(client.log.read_text()))
    assert {"nats", "msgspec", "bellwether.scheduling.client"} <= imported, "the list of imports is not whole"
    # nats-py asks for aiohttp and is answered that there is none: the question is listed, nothing below it is.
    imported.discard("aiohttp")
    large = {name for name in imported for root in NOT_TAKEN_IN if name == root or name.startswith(root + ".")}
    assert not large
    own: list[Any] = sorted(name for name in imported if name.startswith("bellwether.scheduling."))
    assert own == ["bellwether.scheduling.client"]
