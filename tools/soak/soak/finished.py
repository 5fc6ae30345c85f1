"""Trials that are finished, kept outside the clone, so that a run that was interrupted goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def state_folder(variables: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the records on this machine."""
    base = variables.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "bellwether" / "soak"


def fingerprint(root: Path, folders: Sequence[str]) -> str:
    """Return a hash over the Python files of folders: trials of other sources say nothing about these."""
    found = hashlib.sha256()
    for file in sorted(_files(root, folders)):
        found.update(f"\0{file.relative_to(root)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]


def _files(root: Path, folders: Sequence[str]) -> Iterable[Path]:
    for folder in folders:
        yield from (root / folder).rglob("*.py")


class Finished:
    """The records in a file, one to a line, in the order in which the trials ended."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def records(self) -> list[Record]:
        """Return what is recorded; half a line, left by a kill, counts for nothing."""
        try:
            lines = self.file.read_text("utf-8").splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def add(self, record: Record) -> None:
        """Write one more down."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        # All of it, so that half a line that a kill left is gone.
        lines = [json.dumps(one) + "\n" for one in [*self.records(), record]]
        new = self.file.with_suffix(f".{os.getpid()}")
        new.write_text("".join(lines), "utf-8")
        new.replace(self.file)

    def forget(self) -> None:
        """Remove them all."""
        self.file.unlink(missing_ok=True)
