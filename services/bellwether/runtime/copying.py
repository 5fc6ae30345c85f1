"""A service's own copy of what it keeps, made when a backup asks for it and read part by part."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec

from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.storage.copying import copy_database, copy_folder
from bellwether.storage.folders import digest_of, listing

PART = 512 * 1024
"""Bytes of one part: in base64 it fits into a message."""
IDLE_SECONDS = 120.0
"""How long a copy is kept that nobody reads."""
DATABASE, FILES = "database", "files"


class CopiedFile(msgspec.Struct, frozen=True):
    """A file of a copy: `database/NAME`, or `files/PATH` below the service's own folder."""

    path: str
    size: int
    sha256: str


class Copied(msgspec.Struct, frozen=True):
    """A copy that can be read until it is ended, not read for two minutes, another one is made, or the service ends."""

    id: str
    files: list[CopiedFile]


class ReadCopy(msgspec.Struct, frozen=True):
    """Ask for a part of a file of a copy."""

    id: str
    path: str
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0


class CopyPart(msgspec.Struct, frozen=True):
    """A part of a file, half a mebibyte at most."""

    content: bytes


class EndCopy(msgspec.Struct, frozen=True):
    """Have a copy deleted."""

    id: str


class EndedCopy(msgspec.Struct, frozen=True):
    """It is gone."""

    id: str


class Copying:
    """The one copy that a service has at a time, in a scratch folder whose name is always the same."""

    def __init__(self, context: ServiceContext) -> None:
        """Remove the copy that a killed process of this service left."""
        self._context = context
        whose = hashlib.sha256(str(context.config.data_dir.absolute()).encode()).hexdigest()[:12]
        self._folder = Path(tempfile.gettempdir()) / f"copy-{whose}-{context.row.name}"
        self._id = ""
        self._known: dict[str, int] = {}
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._remove()

    async def begin(self) -> Copied:
        """Make a copy.

        Raises:
            RpcError: COPY_FAILED, in words.
        """
        async with self._lock:
            self._remove()
            try:
                self._folder.mkdir(mode=0o700)
                files = await asyncio.to_thread(self._copy, self._folder)
            except (OSError, sqlite3.Error) as error:
                self._remove()
                raise RpcError("COPY_FAILED", f"{self._context.row.name} cannot be copied: {error}") from error
            self._id = secrets.token_hex(8)
            self._known = {one.path: one.size for one in files}
            self._wait_for_reader()
            return Copied(self._id, files)

    async def read(self, wanted: ReadCopy) -> CopyPart:
        """Return a part of a file; it is empty at the file's end.

        Raises:
            RpcError: NO_SUCH_COPY, if the copy is gone or has no such file.
        """
        if wanted.id != self._id or wanted.path not in self._known:
            raise RpcError("NO_SUCH_COPY", f"{self._context.row.name} has no {wanted.path} of copy {wanted.id}")
        self._wait_for_reader()
        return CopyPart(await asyncio.to_thread(_part, self._folder / wanted.path, wanted.offset))

    def end(self, copy: str) -> None:
        """Delete a copy; one that is gone is no error."""
        if copy == self._id:
            self._remove()

    def _remove(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._id, self._known, self._timer = "", {}, None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait_for_reader(self) -> None:
        """Have the copy deleted when nobody reads it any more: whoever asked for it was killed."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._remove)

    def _copy(self, target: Path) -> list[CopiedFile]:
        context = self._context
        for name in (DATABASE, FILES):
            (target / name).mkdir()
        if context.store is not None and context.row.needs_volume:
            copy_database(context.store.path, target / DATABASE / context.store.path.name)
        if context.row.volume:
            (target / FILES).rmdir()
            copy_folder(context.files, target / FILES)
        found = listing(target, (DATABASE, FILES)).files
        return [CopiedFile(path, one.size, digest_of(target / path)) for path, one in found.items()]


def _part(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(PART)
