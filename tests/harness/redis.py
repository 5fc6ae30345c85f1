"""A real redis-server of a test's own.

Debian's redis-tools has the whole server under the name of its checker; called by another name it serves.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import redis

from harness.until import DEADLINE

PROGRAM = "redis-check-rdb"


def installed() -> bool:
    """Return whether the program is on this machine."""
    return shutil.which(PROGRAM) is not None


class Redis:
    """A server on one port, which can be ended and started again."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"redis://:secret@127.0.0.1:{port}/0"
        self._command = ["redis-server", "--port", f"{port}", "--bind", "127.0.0.1", "--save", "", "--dir", f"{folder}"]
        self._command += ["--requirepass", "secret"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it answers."""
        program = shutil.which(PROGRAM)
        assert program is not None
        self._process = subprocess.Popen(self._command, executable=program, stdout=subprocess.DEVNULL)
        end = time.monotonic() + DEADLINE
        while True:
            try:
                self.client().ping()
                return
            except redis.ConnectionError:
                assert self._process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.05)

    def client(self) -> redis.Redis:
        """Return a client of it."""
        return redis.Redis.from_url(self.url)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE)
            self._process = None
