"""Where a backup's pieces come from: the stores of a system, each copied as its owner's database is at one instant."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from bellwether.backups.databases import CopyError, copy_database
from bellwether.backups.manifest import LeftOut
from bellwether.backups.streams import StreamError, save_stream, stream_names
from bellwether.naming import ACKS_BUCKET, DECLARATION_BUCKET, DECLARATION_KEY, bucket_stream
from bellwether.runtime.bus import BusError
from bellwether.runtime.nats_bus import NatsBus
from bellwether.service_row import ServiceRow
from bellwether.storage import copying
from bellwether.topology import SERVICES

Say = Callable[[str], None]
DATABASES, STREAMS, FOLDERS, DECLARATION = "databases", "streams", "files", "declaration.json"
CONNECT_SECONDS = 10.0

FIRST = ("slots.db",)
"""Copied before everything else: whoever goes on from older slots repeats steps, whose effects are known and skipped;
from newer ones it would leave some out."""
_THEN = ("ledger.db", "decisions.db")
"""In this order after the streams: what the ledger does not know yet is still waiting in the outbox of whoever knew."""
LEFT_OUT = (
    LeftOut("keys and tokens", "secret: a system makes its own"),
    LeftOut("secrets of secretRef", "secret: keep copies of them elsewhere, without them no backup can be read"),
    LeftOut("traces.db", "traces of the gateway: bounded, and no decision depends on them"),
    LeftOut(bucket_stream(ACKS_BUCKET), "acknowledgements of running services: they are given again at the start"),
    LeftOut("logs", "not needed to go on"),
)


class Collected(NamedTuple):
    """What was copied besides the files themselves."""

    declaration: dict[str, Any]
    left_out: list[LeftOut]


class Source(Protocol):
    """A system whose stores can be copied."""

    async def collect(self, target: Path, say: Say) -> Collected:
        """Copy all pieces to an empty folder.

        Raises:
            CopyError: naming the piece, and why it cannot be copied.
        """


@dataclass(frozen=True)
class FileSource:
    """The stores of a system on this machine's disks, and its NATS server."""

    databases: Mapping[str, Path]
    folders: Mapping[str, Path]
    """Folders of files, by the service that owns them."""
    nats_url: str
    identity: str
    seed: Path
    declaration: Mapping[str, Any]
    """In force where the bus has none."""

    async def collect(self, target: Path, say: Say) -> Collected:
        """Copy all pieces to an empty folder."""
        for name in (DATABASES, STREAMS, FOLDERS):
            (target / name).mkdir()
        ordered = sorted(self.databases, key=place)
        first = [name for name in ordered if name in FIRST]
        await self._copy(first, target, say)
        declaration = await self._streams(target / STREAMS, say)
        await self._copy([name for name in ordered if name not in first], target, say)
        for service, folder in sorted(self.folders.items()):
            count = await asyncio.to_thread(copy_folder, folder, target / FOLDERS / service)
            say(f"copied {service}: {count} files")
        (target / DECLARATION).write_bytes(msgspec.json.format(msgspec.json.encode(declaration), indent=1))
        say("copied the declaration")
        return Collected(declaration, list(LEFT_OUT))

    async def _copy(self, names: list[str], target: Path, say: Say) -> None:
        for name in names:
            path = self.databases[name]
            if not path.exists():
                raise CopyError(f"{name} is not there: {path}")
            await asyncio.to_thread(copy_database, path, target / DATABASES / name)
            say(f"copied {name}: {(target / DATABASES / name).stat().st_size / 1e6:.1f} MB")

    async def _streams(self, target: Path, say: Say) -> dict[str, Any]:
        bus = NatsBus(self.nats_url, self.identity, self.seed)
        await bus.start()
        try:
            return await save_streams(bus, target, say, self.declaration)
        finally:
            await bus.close()


async def save_streams(bus: NatsBus, target: Path, say: Say, declaration: Mapping[str, Any]) -> dict[str, Any]:
    """Copy every stream that is kept; return the declaration in force, the given one where the bus has none.

    Raises:
        CopyError: if NATS does not answer, or a stream cannot be copied.
    """
    try:
        if not await bus.wait_connected(CONNECT_SECONDS):
            raise CopyError(f"NATS does not answer: {bus.last_error}")
        for name in await stream_names(bus):
            if name == bucket_stream(ACKS_BUCKET):
                continue
            held = await save_stream(bus, name, target / f"{name}.snapshot")
            say(f"copied stream {name}: {held.messages} messages, last {held.last}")
        found = await bus.kv_get(DECLARATION_BUCKET, DECLARATION_KEY)
    except (StreamError, BusError, OSError) as error:
        raise CopyError(str(error)) from error
    return dict(declaration) if found is None else dict(msgspec.json.decode(found[0]))


def copy_folder(source: Path, target: Path) -> int:
    """Copy a folder's files, of which the finished ones are never changed; return how many there are.

    Raises:
        CopyError: if one cannot be read or written.
    """
    try:
        return copying.copy_folder(source, target)
    except OSError as error:
        raise CopyError(f"{source.name}: {error}") from error


def stores(rows: Mapping[str, ServiceRow] = SERVICES) -> dict[str, str]:
    """Return the databases that are kept, each with its owner."""
    return {row.store: row.name for row in rows.values() if row.store is not None and not row.scratch}


def holders(rows: Mapping[str, ServiceRow] = SERVICES) -> list[str]:
    """Return the services that keep files besides a database."""
    return [row.name for row in rows.values() if row.volume]


def empty(folder: Path) -> None:
    """Make a folder empty, private to its owner."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)


def place(name: str) -> tuple[int, str]:
    """Return where a database comes in the order of copying."""
    order = (*FIRST, *_THEN)
    return (order.index(name) if name in order else len(order), name)
