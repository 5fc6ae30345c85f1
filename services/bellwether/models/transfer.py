"""Models on their way to and from ml-model's registry, file by file (I/O)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bellwether.messages.parts import FilePart, FileState
from bellwether.messages.registry import GetArtifact, PutArtifact
from bellwether.models.uploads import NAMES, Uploads
from bellwether.runtime.errors import RpcError
from bellwether.runtime.parts import fetch_parts, send_parts
from bellwether.training.artifact import EVIDENCE, ArtifactError
from bellwether.training.reference import REFERENCE

T = TypeVar("T")


class Requests(Protocol):
    """Whoever can call a peer's methods: a service's call, or a Job's client."""

    async def request(self, peer: str, method: str, params: Any, result: type[T], *, idempotent: bool = False) -> T:
        """Return a method's result."""


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
