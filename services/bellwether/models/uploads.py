"""Models that arrive from elsewhere: collected file by file, verified by hash, then put into the registry."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from bellwether.messages.parts import FilePart, FileState
from bellwether.storage.parts import append_part, read_part
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
