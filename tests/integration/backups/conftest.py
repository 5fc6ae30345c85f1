"""The state of a local run that has replayed some sessions, made once; each test works on a copy of it."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bellwether.backups.locations import repositories
from bellwether.backups.making import BackupRequest, Making
from bellwether.backups.manifest import Kind
from bellwether.backups.records import Record
from bellwether.backups.restic import Repository
from bellwether.local.backup_places import Place, nats_over, of_run, source_of
from bellwether.local.replay import ServiceCaller, running
from bellwether.local.state import RunDirectory
from bellwether.messages.scheduling import ReplayState
from bellwether.naming import event_subject
from bellwether.render.nats import BOOTSTRAP
from bellwether.runtime.bootstrap import bootstrap
from bellwether.runtime.declaration import encode_declaration
from bellwether.runtime.nats_bus import NatsBus
from bellwether.spec.models import TradingSystem
from harness.until import DEADLINE

EVENTS = 40
PASSWORD = "correct-horse-battery"
RELEASE = "dev"


def system_of(**backup: Any) -> TradingSystem:
    """Return a replay of two weeks, with the given spec.backup."""
    spec = {
        "market": {"calendar": "XNYS"},
        "symbols": ["AAPL", "IBM"],
        "data": {"provider": "replay"},
        "clock": {"mode": "replay", "from": "2009-01-02", "to": "2009-01-16", "pace": "0s"},
        "trading": {"mode": "simulated", "currency": "USD"},
        "backup": backup or None,
    }
    return TradingSystem.model_validate({"metadata": {"name": "kept"}, "spec": spec})


@dataclass(frozen=True)
class Lab:
    """One system whose backups are made in this process."""

    place: Place
    system: TradingSystem
    said: list[str]

    def order(self, kind: Kind = "incremental") -> BackupRequest:
        assert self.system.spec.backup is not None
        return BackupRequest(
            "kept", RELEASE, kind, repositories(self.system.spec.backup, None), self.system.spec.backup.retention
        )

    async def make(self, kind: Kind = "incremental") -> Record:
        with self.place.records.held():
            async with source_of(self.place) as source:
                machine = self.place.machine(os.environ)
                return await Making(self.order(kind), source, machine, self.place.records, self.said.append).make()

    def repository(self) -> Repository:
        from bellwether.backups.locations import opened

        return opened(self.order().locations[0], self.place.machine(os.environ), make=False)

    def declare(self, **backup: Any) -> Lab:
        system = system_of(**backup)
        self.place.declaration.write_bytes(encode_declaration(system))
        return replace(self, system=system)


@pytest.fixture(scope="session")
def replayed_state(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run's folder: databases of a replay at its end, a stream with events, no process."""
    root = tmp_path_factory.mktemp("kept") / "state"
    asyncio.run(_fill(root, trained))
    return root


async def _completed(services: ServiceCaller) -> None:
    while (await services.ask("scheduler", "get_replay", None, ReplayState)).state != "complete":  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def _fill(root: Path, trained: Path) -> None:
    directory = RunDirectory(root)
    shutil.copytree(trained, directory.data / "ml-model")
    system = system_of(locations=[{"name": "disk", "kind": "folder", "path": "/none", "secretRef": {"name": "repo"}}])
    async with running(system, directory.data, 0.0) as services:
        await _completed(services)
    async with nats_over(directory) as url:
        seed = directory.keys / f"{BOOTSTRAP}.nk"
        await bootstrap(url, seed)
        bus = NatsBus(url, "market-data", directory.keys / "market-data.nk")
        await bus.start()
        assert await bus.wait_connected(DEADLINE)
        for number in range(EVENTS):
            subject = event_subject("normal", "market_data_updated")
            await bus.publish_event(subject, b"x" * 20_000, message_id=f"event-{number}")
        await bus.close()
    shutil.rmtree(directory.keys)


@pytest.fixture
def lab(replayed_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A copy of the state that keeps its backups in a folder."""
    if shutil.which("restic") is None:
        pytest.skip("restic is not installed: python -m devcluster needs --install")
    root = tmp_path / "state"
    shutil.copytree(replayed_state, root)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "repo").write_text(f"password={PASSWORD}\naccessKey=key\nsecretKey=secret\n")
    (secrets / "repo").chmod(0o600)
    monkeypatch.setenv("BELLWETHER_SECRETS", str(secrets))
    monkeypatch.setenv("BELLWETHER_STATE", str(root))
    place = of_run(root)
    folder = {"name": "disk", "kind": "folder", "path": str(tmp_path / "repo"), "secretRef": {"name": "repo"}}
    return Lab(place, system_of(), []).declare(locations=[folder])
