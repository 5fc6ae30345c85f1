"""What a run of the gate says, kept in a file: a terminal forgets what failed an hour ago."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

KEPT = 10
"""So many runs are kept, this one among them."""


class Transcript:
    """Prints lines and keeps them in a file of this run; the oldest runs go.

    Attributes:
        path: the file.
    """

    def __init__(self, folder: Path, now: datetime | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(folder.glob("*.log"))[: -(KEPT - 1)]:
            old.unlink(missing_ok=True)
        self.path = folder / f"{now or datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.log"
        self._file = self.path.open("w")

    def say(self, line: str) -> None:
        """Print a line at once, and keep it."""
        print(line, flush=True)
        print(line, file=self._file, flush=True)

    def __enter__(self) -> Transcript:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._file.close()
