"""A system that trades is moved from one profile to the other and back, killed each time, and comes to the same end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from bellwether.render.kubernetes.moves import Profile, holdings
from bellwether.runtime.declaration import encode_declaration
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES
from harness.nats import UID, NatsServer
from harness.replayed import until
from soak import evidence, replays

pytestmark = pytest.mark.integration

DAYS = ("2009-01-02", "2009-02-27")
DEADLINE = 150.0


class Trader:
    """The services of a system as processes, on the volumes of one profile or the other."""

    def __init__(self, folder: Path, system: TradingSystem, trained: Path) -> None:
        self._folder = folder
        self._volumes = folder / "volumes"
        self._log = folder / "services.log"
        for profile in ("compact", "standard"):
            for component in holdings(profile):
                (self._volumes / profile / component).mkdir(parents=True)
        shutil.copytree(trained, self._volumes / "compact" / "system" / "ml-model")
        (folder / "system.json").write_bytes(encode_declaration(system))

    def volume(self, profile: Profile, component: str) -> Path:
        return self._volumes / profile / ("system" if profile == "compact" else component)

    @contextlib.asynccontextmanager
    async def running(self, profile: Profile) -> AsyncIterator[None]:
        """Run everything, and kill it at the end."""
        kept = self.volume(profile, "nats") / "nats"
        server = NatsServer(kept, SERVICES, always_sync=False, ack_wait=replays.ACK_WAIT)
        server.write_keys(self._folder / "keys")
        async with AsyncExitStack() as stack:
            await server.start()
            stack.push_async_callback(server.kill)
            await server.bootstrap()
            together = [",".join(replays.SERVED)] if profile == "compact" else list(replays.SERVED)
            for services in together:
                await stack.enter_async_context(self._process(services, self.volume(profile, services), server.url))
            yield

    @contextlib.asynccontextmanager
    async def _process(self, services: str, data: Path, url: str) -> AsyncIterator[None]:
        environ = {
            **os.environ,
            "BELLWETHER_SYSTEM": "replay",
            "BELLWETHER_UID": UID,
            "BELLWETHER_DATA_DIR": str(data),
            "BELLWETHER_NATS_URL": url,
            "BELLWETHER_KEYS_DIR": str(self._folder / "keys"),
            "BELLWETHER_DECLARATION": str(self._folder / "system.json"),
            "BELLWETHER_HEALTH_HOST": "127.0.0.1",
            "BELLWETHER_HEALTH_PORT": "0",
            "BELLWETHER_SAMPLING": "0",
        }
        command = [sys.executable, "-m", "bellwether", "serve", "--services", services]
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=log, stderr=log)
        try:
            yield
            assert process.returncode is None, self._log.read_text()[-3000:]
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def sessions(self, profile: Profile) -> int:
        """Return how many sessions the ledger has closed."""
        path = self.volume(profile, "paper-trading") / "ledger.db"
        with contextlib.suppress(sqlite3.OperationalError), closing(sqlite3.connect(path)) as ledger:
            return int(ledger.execute("SELECT count(*) FROM equity").fetchone()[0])
        return 0

    def complete(self, profile: Profile) -> bool:
        return evidence.replay_state(self.volume(profile, "scheduler")) == "complete"

    def move(self, number: int, source: Profile, target: Profile) -> None:
        words = ["--number", str(number), "--from", source, "--to", target]
        folders = ["--source", str(self._volumes / source), "--target", str(self._volumes / target)]
        done = subprocess.run(
            [sys.executable, "-m", "bellwether", "move", *words, *folders],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, done.stderr


async def come_true(condition: Callable[[], bool]) -> None:
    async def asked() -> bool:
        return await asyncio.to_thread(condition)

    await until(asked, DEADLINE)


async def test_a_system_that_moves_to_the_other_profile_and_back_decides_and_trades_as_if_it_had_not(
    tmp_path: Path, trained: Path
) -> None:
    system = replays.days(*DAYS)
    expected = await replays.undisturbed(tmp_path / "undisturbed", trained, system, group_commit=True)
    assert expected.ledger
    trader = Trader(tmp_path, system, trained)
    async with trader.running("compact"):
        await come_true(lambda: trader.sessions("compact") >= 10)
    assert not trader.complete("compact")
    assert (trader.volume("compact", "paper-trading") / "ledger.db-wal").stat().st_size
    trader.move(1, "compact", "standard")
    assert list((trader.volume("standard", "nats") / "nats").rglob("streams/EVENTS/msgs/*.blk"))
    began = trader.sessions("standard")
    assert began >= 10
    async with trader.running("standard"):
        await come_true(lambda: trader.sessions("standard") >= began + 10)
    assert not trader.complete("standard")
    trader.move(2, "standard", "compact")
    assert trader.sessions("compact") >= began + 10
    async with trader.running("compact"):
        await come_true(lambda: trader.complete("compact"))
        await come_true(lambda: not evidence.unpublished(trader.volume("compact", "scheduler")))
    data = trader.volume("compact", "scheduler")
    assert evidence.violations(data) == []
    assert evidence.differences(expected, evidence.gather(data)) == []
