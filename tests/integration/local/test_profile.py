"""A system that trades goes on with the other profile, from a backup of its volumes, as if nothing had been."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bellwether.local.volumes import Adoption, adopt
from bellwether.render.kubernetes.volumes import kept_on
from bellwether.render.kubernetes.workloads import PROFILES, Profile, claims_of
from bellwether.runtime.declaration import encode_declaration
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES
from harness.nats import UID, NatsServer
from harness.replayed import until
from soak import evidence, replays

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

DAYS = ("2009-01-02", "2009-01-23")
DEADLINE = 150.0
PACE = "500ms"
WHOSE = Adoption(UID, "replay", "backup friday")
RESUME = "INSERT INTO halts (kind, source, reason, at) VALUES ('resume', 'test', 'compared', ?)"


class Trader:
    """The services of a system as processes, on the volumes of one profile or the other."""

    def __init__(self, folder: Path, system: TradingSystem, trained: Path) -> None:
        self._folder = folder
        self._volumes = folder / "volumes"
        self._log = folder / "services.log"
        self._system = system
        for profile in PROFILES:
            for component in replays.SERVED:
                self.volume(profile, component).mkdir(parents=True, exist_ok=True)
        shutil.copytree(trained, self.volume("compact", "ml-model") / "ml-model")

    def volume(self, profile: Profile, component: str) -> Path:
        return self._volumes / profile / ("system" if profile == "compact" else component)

    @contextlib.asynccontextmanager
    async def running(self, profile: Profile) -> AsyncIterator[None]:
        """Run everything, and kill it at the end: compact in the middle of the days, which are slow there for that."""
        clock = self._system.spec.clock.model_copy(update={"pace": PACE if profile == "compact" else "0s"})
        system = self._system.model_copy(update={"spec": self._system.spec.model_copy(update={"clock": clock})})
        (self._folder / "system.json").write_bytes(encode_declaration(system))
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

    def volumes(self, profile: Profile) -> list[Path]:
        return sorted(self.volume(profile, "nats").parent.iterdir())

    def restore_with(self, profile: Profile) -> None:
        """Make each volume of a profile from the snapshot that the operator names, as its pod does before it starts."""
        for component in claims_of(self._system, profile):
            shutil.copytree(self.volume("compact", "system"), self.volume(profile, component), dirs_exist_ok=True)
            adopt(self.volume(profile, component), WHOSE, datetime.now(UTC), kept_on(component))

    def complete(self, profile: Profile) -> bool:
        return evidence.replay_state(self.volume(profile, "scheduler")) == "complete"


async def come_true(condition: Callable[[], bool]) -> None:
    async def asked() -> bool:
        return await asyncio.to_thread(condition)

    await until(asked, DEADLINE)


def gathered(trader: Trader, target: Path) -> Path:
    """Return one folder with everything that the volumes of standard hold."""
    target.mkdir()
    for volume in trader.volumes("standard"):
        for path in volume.iterdir():
            (target / path.name).symlink_to(path)
    return target


async def test_from_a_backup_of_its_one_volume_it_goes_on_with_a_volume_per_service_as_if_it_had_not(
    tmp_path: Path, trained: Path
) -> None:
    system = replays.days(*DAYS)
    expected = await replays.undisturbed(tmp_path / "undisturbed", trained, system, group_commit=True)
    assert expected.ledger
    trader = Trader(tmp_path, system, trained)
    async with trader.running("compact"):
        await come_true(lambda: trader.sessions("compact") >= 4)
    assert not trader.complete("compact")
    trader.restore_with("standard")
    ledger = trader.volume("standard", "paper-trading") / "ledger.db"
    assert {path.name for path in ledger.parent.iterdir()} <= {"ledger.db", "ledger.db-wal", "ledger.db-shm"}
    assert {path.name for path in trader.volume("standard", "nats").iterdir()} == {"nats"}
    assert trader.sessions("standard") >= 4
    with closing(sqlite3.connect(ledger)) as database, database:
        assert database.execute("SELECT kind, source FROM halts").fetchall() == [("halt", "restore")]
        database.execute(RESUME, (datetime.now(UTC).isoformat(),))
    async with trader.running("standard"):
        await come_true(lambda: trader.complete("standard"))
        await come_true(lambda: not any(evidence.unpublished(volume) for volume in trader.volumes("standard")))
    data = gathered(trader, tmp_path / "together")
    assert evidence.violations(data) == []
    assert evidence.differences(expected, evidence.gather(data)) == []
