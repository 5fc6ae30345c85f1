"""A backup's pieces over the bus: each owner copies what it keeps and hands it over, as its volume is its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bellwether.backups.databases import CopyError
from bellwether.backups.source import DATABASES, FIRST, FOLDERS, LEFT_OUT, STREAMS, Collected, Say, place, save_streams
from bellwether.backups.source import DECLARATION as DECLARATION_FILE
from bellwether.runtime.copying import DATABASE, Copied, CopiedFile, CopyPart, EndCopy, EndedCopy, ReadCopy
from bellwether.runtime.errors import RpcError
from bellwether.runtime.job_calls import Requests
from bellwether.runtime.nats_bus import NatsBus
from bellwether.service_row import ServiceRow
from bellwether.storage.folders import digest_of
from bellwether.topology import SERVICES


class ServicesSource:
    """The stores of a system whose services can be called, and its NATS server."""

    def __init__(
        self, bus: NatsBus, peers: Requests, declaration: Mapping[str, Any], rows: Mapping[str, ServiceRow] = SERVICES
    ) -> None:
        """Ask nobody yet; the declaration counts where the bus has none."""
        self._bus = bus
        self._peers = peers
        self._declaration = declaration
        self._owners = sorted(
            (row for row in rows.values() if row.needs_volume), key=lambda row: place(row.store or row.name)
        )

    async def collect(self, target: Path, say: Say) -> Collected:
        """Copy all pieces to an empty folder."""
        for name in (DATABASES, STREAMS, FOLDERS):
            (target / name).mkdir()
        first = [row for row in self._owners if row.store in FIRST]
        for row in first:
            await self._of(row, target, say)
        declaration = await save_streams(self._bus, target / STREAMS, say, self._declaration)
        for row in self._owners:
            if row not in first:
                await self._of(row, target, say)
        (target / DECLARATION_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(declaration), indent=1))
        return Collected(declaration, list(LEFT_OUT))

    async def _of(self, row: ServiceRow, target: Path, say: Say) -> None:
        try:
            copied = await self._peers.request(row.name, "begin_copy", None, Copied)
            for file in copied.files:
                await self._fetch(row.name, copied.id, file, _target(target, row, file))
            await self._peers.request(row.name, "end_copy", EndCopy(copied.id), EndedCopy)
        except (RpcError, OSError) as error:
            raise CopyError(f"{row.name} did not hand over its copy: {error}") from error
        if row.store is not None and not any(file.path.startswith(f"{DATABASE}/") for file in copied.files):
            raise CopyError(f"{row.name} handed over no {row.store}")
        say(f"{row.name} handed over {len(copied.files)} files, {sum(one.size for one in copied.files) / 1e6:.1f} MB")

    async def _fetch(self, service: str, copy: str, file: CopiedFile, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as made:
            while made.tell() < file.size:
                wanted = ReadCopy(copy, file.path, made.tell())
                part = await self._peers.request(service, "read_copy", wanted, CopyPart)
                if not part.content:
                    raise CopyError(f"{service}: {file.path} ended at {made.tell()} of {file.size} bytes")
                made.write(part.content)
        if digest_of(target) != file.sha256:
            raise CopyError(f"{service}: {file.path} arrived with another SHA-256 than was copied")


def _target(target: Path, row: ServiceRow, file: CopiedFile) -> Path:
    kind, _, path = file.path.partition("/")
    top = target / DATABASES if kind == DATABASE else target / FOLDERS / row.name
    found = top / path
    if not path or not found.resolve().is_relative_to(top.resolve()):
        raise CopyError(f"{row.name} handed over {file.path}, which is not a path of a copy")
    return found
