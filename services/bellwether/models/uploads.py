"""Models that arrive from elsewhere: collected file by file, verified by hash, then put into the registry."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from bellwether.training.artifact import CARD, EVIDENCE, MANIFEST, ONNX, SKOPS, ArtifactError, read_artifact
from bellwether.training.reference import REFERENCE

NAMES = (MANIFEST, ONNX, SKOPS, CARD, REFERENCE, EVIDENCE)
"""The files that a model may have: nothing else is taken, and none of them is ever unpickled."""
PART = 192 * 1024
"""Bytes of one part of a file: a message has room for that, written as base64."""
LARGEST = 64 * 1024 * 1024
_VERSION = re.compile(r"^[0-9a-f]{64}$")


def is_hash(text: str) -> bool:
    """Return whether a text is a SHA-256 as 64 hexadecimal digits."""
    return _VERSION.match(text) is not None


class Uploads:
    """Candidates on their way into a registry's folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def take(self, version: str, name: str, offset: int, total: int, content: bytes) -> tuple[int, bool]:
        """Keep a part of a file; return how much of it is there, and whether the whole model is.

        A part that begins elsewhere than where the file ends changes nothing: the sender goes on from what is told. The
        evidence is the last file that is wanted; with it the model is verified and put in place.

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
            return total, True
        folder = self._root / f".upload-{version}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        there = path.stat().st_size if path.exists() else 0
        if offset == 0 and there:
            path.unlink()
            there = 0
        if offset == there and there + len(content) <= total:
            with path.open("ab") as stream:
                stream.write(content)
            there += len(content)
        if name != EVIDENCE or there < total:
            return there, False
        self._settle(folder, version)
        return there, True

    def part(self, version: str, name: str, offset: int) -> tuple[bytes, int]:
        """Return a part of a file of a model that is there, and how large the file is.

        Raises:
            ArtifactError: for a version or name that no model has, or a model that is not there.

        """
        if not _VERSION.match(version) or name not in NAMES:
            raise ArtifactError(f"{version!r}, {name!r}: no model has that; its files are {', '.join(NAMES)}")
        try:
            with (self._root / version / name).open("rb") as stream:
                total = stream.seek(0, 2)
                stream.seek(min(max(offset, 0), total))
                return stream.read(PART), total
        except OSError as error:
            raise ArtifactError(f"{version[:12]}/{name}: {error.strerror}") from error

    def _settle(self, folder: Path, version: str) -> None:
        staged = self._root / f".staged-{version}" / version
        shutil.rmtree(staged.parent, ignore_errors=True)
        staged.parent.mkdir()
        folder.rename(staged)
        try:
            read_artifact(staged)
            staged.rename(self._root / version)
        finally:
            shutil.rmtree(staged.parent, ignore_errors=True)
