"""Models on their way to and from ml-model's registry, file by file (I/O)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bellwether.messages.models import ArtifactPart, ArtifactState, GetArtifact, PutArtifact
from bellwether.models.uploads import NAMES, PART, Uploads
from bellwether.runtime.errors import RpcError
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
        offset = 0
        while True:
            part = PutArtifact(version, name, offset, len(content), content[offset : offset + PART])
            state = await call.request("ml-model", "put_artifact", part, ArtifactState, idempotent=True)
            offset = state.received
            if state.complete:
                return
            if offset >= len(content):
                break


async def download(root: Path, version: str, call: Requests) -> None:
    """Put a model of the registry into a folder, unless it is there.

    Raises:
        ArtifactError: when it is not what its version says.
        RpcError: MODEL_NOT_FOUND.

    """
    uploads = Uploads(root)
    for name in _LAST:
        offset = 0
        while not (root / version).is_dir():
            question = GetArtifact(version, name, offset)
            try:
                part = await call.request("ml-model", "get_artifact", question, ArtifactPart, idempotent=True)
            except RpcError as error:
                if name != REFERENCE or error.code != "MODEL_NOT_FOUND":
                    raise
                break  # a model that an earlier release made has none
            offset, _ = await asyncio.to_thread(uploads.take, version, name, offset, part.total, part.content)
            if offset >= part.total:
                break
