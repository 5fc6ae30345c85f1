"""Where the stores of a system on this machine are: of a local run, up or not, and of one under systemd."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bellwether.backups.handed_over import ServicesSource
from bellwether.backups.locations import Machine
from bellwether.backups.records import Records
from bellwether.backups.secrets import secrets_folder
from bellwether.backups.source import FileSource, holders, stores
from bellwether.local.files import RunError
from bellwether.local.nats import NatsChild
from bellwether.local.state import BACKUP, RunDirectory, identity, opened, write_keys
from bellwether.render.nats import BACKUP as BACKUP_SERVICE
from bellwether.render.nats import BOOTSTRAP
from bellwether.render.parts import NATS, parts
from bellwether.render.systemd import MACHINE
from bellwether.render.systemd.units import NATS_URL
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.declaration import encode_declaration, parse_declaration
from bellwether.runtime.job_calls import Peers
from bellwether.runtime.nats_bus import NatsBus
from bellwether.spec.models import TradingSystem

OWNER_SECONDS = 20.0
"""How long a service that is unreachable is waited for: as long as it takes to start again."""
SYSTEMD = Path("/")
"""Where the files of units lie."""


@dataclass(frozen=True)
class Place:
    """One system on this machine."""

    root: Path
    """The folder of its run; under systemd, of its units' data."""
    declaration: Path
    databases: Mapping[str, Path]
    folders: Mapping[str, Path]
    keys: Path
    fixed_nats: str | None = None
    """Where its NATS is, where that is known without looking."""

    @property
    def records(self) -> Records:
        """The records of its backups."""
        return Records(self.root / BACKUP)

    def machine(self, environ: Mapping[str, str] = os.environ) -> Machine:
        """Return what its locations need to know of this machine."""
        bundle = environ.get("BELLWETHER_CA_BUNDLE")
        claims = environ.get("BELLWETHER_BACKUP_CLAIMS")
        return Machine(
            secrets_folder(environ),
            self.root / BACKUP,
            self.root.parent,
            None if not bundle else Path(bundle),
            None if not claims else Path(claims),
        )

    def system(self) -> TradingSystem:
        """Return the declaration of its last start.

        Raises:
            RunError: if it never was started.
        """
        try:
            return parse_declaration(self.declaration.read_bytes())
        except FileNotFoundError:
            raise RunError(
                f"{self.root} is no system's state: name the folder of a run with --data or BELLWETHER_STATE"
            ) from None
        except ValueError as error:
            raise RunError(f"{self.declaration} is no declaration: {error}") from None


def of_run(root: Path) -> Place:
    """Return the places of a local run; absolute, since restic works in another folder."""
    root = root.absolute()
    run = RunDirectory(root)
    databases = {name: run.data / name for name in stores()}
    folders = {name: run.data / name for name in holders()}
    return Place(root, run.declaration, databases, folders, run.keys)


def of_units(machine: Path = SYSTEMD) -> Place:
    """Return the places of the system whose units are installed on this machine."""

    def at(path: str) -> Path:
        return machine / path.removeprefix("/")

    found = Place(at(MACHINE.data), at(MACHINE.declaration), {}, {}, at(MACHINE.keys), NATS_URL)
    part_of = {service: part.name for part in parts(found.system()) for service in part.services}
    databases = {
        name: at(f"{MACHINE.data}/{part_of[owner]}/{name}") for name, owner in stores().items() if owner in part_of
    }
    folders = {name: at(f"{MACHINE.data}/{part_of[name]}/{name}") for name in holders() if name in part_of}
    return Place(found.root, found.declaration, databases, folders, found.keys, NATS_URL)


def of_services(config: ProcessConfig) -> Place:
    """Return where a process works that makes backups of a system whose stores others have."""
    root = Path(tempfile.gettempdir()) / "bellwether-backup"
    return Place(root, config.declaration or root / "system.json", {}, {}, config.keys_dir or root, config.nats_url)


@contextlib.asynccontextmanager
async def handed_over(place: Place) -> AsyncIterator[ServicesSource]:
    """Give the stores of a system as its services hand them over to `backup`."""
    bus = NatsBus(str(place.fixed_nats), BACKUP_SERVICE, place.keys / f"{BACKUP_SERVICE}.nk")
    await bus.start()
    try:
        yield ServicesSource(bus, Peers(bus, BACKUP_SERVICE, OWNER_SECONDS), _as_on_the_bus(place.system()))
    finally:
        await bus.close()


def chosen(data: Path | None, *, systemd: bool, environ: Mapping[str, str] = os.environ) -> Place:
    """Return the system that is meant: --systemd, --data, BELLWETHER_STATE, else the newest run below ./.bellwether.

    Raises:
        RunError: if there is none.
    """
    if systemd:
        return of_units()
    root = data or Path(environ.get("BELLWETHER_STATE", ".bellwether"))
    # What `render compose` wrote has a system.json too, and below `data` a folder for each container.
    folders = (path for path in (root, *root.glob("*")) if not (path / "data" / NATS).exists())
    found = [path for path in folders if (path / "system.json").exists()]
    if not found:
        raise RunError(f"{root} holds no system's state: start one with `bellwether run FILE`, or name it with --data")
    return of_run(max(found, key=lambda path: (path == root, (path / "system.json").stat().st_mtime)))


@contextlib.asynccontextmanager
async def source_of(place: Place) -> AsyncIterator[FileSource]:
    """Give the stores of a system that runs; of a local run that does not, with a NATS server over its streams.

    Raises:
        RunError: if NATS cannot be found, or does not start.
    """
    declaration = _as_on_the_bus(place.system())

    def source(url: str) -> FileSource:
        seed = place.keys / f"{BOOTSTRAP}.nk"
        return FileSource(place.databases, place.folders, url, BOOTSTRAP, seed, declaration)

    if place.fixed_nats is not None:
        yield source(place.fixed_nats)
        return
    with contextlib.ExitStack() as stack:
        try:
            directory = stack.enter_context(opened(place.root, fresh=False))
        except RunError:
            yield source(running_nats(place.root))
            return
        async with nats_over(directory) as url:
            yield source(url)


def _as_on_the_bus(system: TradingSystem) -> dict[str, Any]:
    """Return a declaration in the form that backups keep: that of a start value has more beside the spec."""
    found: dict[str, Any] = json.loads(encode_declaration(system))
    return found


@contextlib.asynccontextmanager
async def nats_over(directory: RunDirectory) -> AsyncIterator[str]:
    """Run a NATS server over a folder's streams, with the keys of the folder's system; give its URL."""
    child = NatsChild(directory, write_keys(directory, identity(directory)), always_sync=False)
    try:
        await child.start()
        yield child.url
    finally:
        await child.stop()


def running_nats(root: Path) -> str:
    """Return where the NATS server of a running local run listens.

    Raises:
        RunError: if it is not up yet.
    """
    for path in (root / "ports").glob(f"{NATS}-server_*.ports"):
        with contextlib.suppress(OSError, ValueError, LookupError):
            return str(msgspec.json.decode(path.read_bytes())["nats"][0])
    raise RunError(f"the run of {root} has no NATS server yet: try again when it is up")
