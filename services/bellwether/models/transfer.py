"""Models on their way to and from ml-model's registry, file by file; those that arrive are verified by hash (I/O)."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

from bellwether.messages.parts import FilePart, FileState
from bellwether.messages.registry import GetArtifact, PutArtifact
from bellwether.runtime.errors import RpcError
from bellwether.runtime.job_calls import Requests
from bellwether.runtime.parts import fetch_parts, send_parts
from bellwether.storage.folders import append_part, read_part
from bellwether.training.artifact import CARD, EVIDENCE, MANIFEST, ONNX, SKOPS, ArtifactError, read_artifact
from bellwether.training.reference import REFERENCE

NAMES = (MANIFEST, ONNX, SKOPS, CARD, REFERENCE, EVIDENCE)
"""The files that a model may have: nothing else is taken, and none of them is ever unpickled."""
LARGEST = 64 * 1024 * 1024
_VERSION = re.compile(r"^[0-9a-f]{64}$")


def is_hash(text: str) -> bool:
    """Return whether a text is a SHA-256 as 64 hexadecimal digits."""
    return _VERSION.match(text) is not None


class Uploads:
    """Candidates on their way into a registry's folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def take(self, version: str, name: str, offset: int, total: int, content: bytes) -> FileState:
        """Keep a part of a file; `complete` is the state once the whole model is there.

        The evidence is the last file that is wanted; with it the model is verified and put in place.

        Raises:
            ArtifactError: for a version or name that no model has, a file that is too large, a hash that is wrong.
        """
        if not _VERSION.match(version):
            raise ArtifactError(f"{version!r} is not a version: it has 64 hexadecimal digits")
        if name not in NAMES:
            raise ArtifactError(f"{name!r} is no file of a model: it may have {', '.join(NAMES)}")
        if not 0 <= total <= LARGEST:
            raise ArtifactError(f"{name} of {total} bytes: at most {LARGEST} are taken")
        if (self._root / version).is_dir():
            return FileState(total, True)
        folder = self._root / f".upload-{version}"
        folder.mkdir(parents=True, exist_ok=True)
        there = append_part(folder / name, offset, total, content)
        if name != EVIDENCE or there < total:
            return FileState(there, False)
        self._install(folder, version)
        return FileState(there, True)

    def part(self, version: str, name: str, offset: int) -> FilePart:
        """Return a part of a file of a model that is there.

        Raises:
            ArtifactError: for a version or name that no model has, or a model that is not there.
        """
        if not _VERSION.match(version) or name not in NAMES:
            raise ArtifactError(f"{version!r}, {name!r}: no model has that; its files are {', '.join(NAMES)}")
        try:
            return read_part(self._root / version / name, offset)
        except OSError as error:
            raise ArtifactError(f"{version[:12]}/{name}: {error.strerror}") from error

    def _install(self, folder: Path, version: str) -> None:
        staged = self._root / f".staged-{version}" / version
        shutil.rmtree(staged.parent, ignore_errors=True)
        staged.parent.mkdir()
        folder.rename(staged)
        try:
            read_artifact(staged)
            staged.rename(self._root / version)
        finally:
            shutil.rmtree(staged.parent, ignore_errors=True)


_LAST = sorted(NAMES, key=lambda one: one == EVIDENCE)
"""The files in the order they go: with the evidence, the last one, a model is complete, or refused."""


async def upload(root: Path, version: str, call: Requests) -> None:
    """Upload a model of a folder as a candidate.

    Raises:
        ArtifactError: when it has no evidence.
        RpcError: MODEL_REFUSED, when it is not what its version says.
    """
    folder = root / version
    if not (folder / EVIDENCE).exists():
        raise ArtifactError(f"{version[:12]}: too little history to judge it by, so it stays where it is")
    for name in _LAST:
        path = folder / name
        if not path.exists():
            continue
        content = await asyncio.to_thread(path.read_bytes)

        async def put(offset: int, part: bytes, name: str = name, total: int = len(content)) -> FileState:
            request = PutArtifact(version, name, offset, total, part)
            return await call.request("ml-model", "put_artifact", request, FileState, idempotent=True)

        if await send_parts(content, put):
            return


async def download(root: Path, version: str, call: Requests) -> None:
    """Put a model of the registry into a folder, unless it is there.

    Raises:
        ArtifactError: when it is not what its version says.
        RpcError: MODEL_NOT_FOUND.
    """
    uploads = Uploads(root)
    for name in _LAST:
        if (root / version).is_dir():
            return

        async def get(offset: int, name: str = name) -> FilePart:
            question = GetArtifact(version, name, offset)
            return await call.request("ml-model", "get_artifact", question, FilePart, idempotent=True)

        try:
            content = await fetch_parts(get)
        except RpcError as error:
            if name != REFERENCE or error.code != "MODEL_NOT_FOUND":
                raise
            continue  # a model that an earlier release made has none
        await asyncio.to_thread(uploads.take, version, name, 0, len(content), content)
