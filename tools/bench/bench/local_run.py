"""`bellwether run` as a child process, for the sections that measure it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

PORT = 18080
"""The first port to try; the run says which it took."""
LOOK_SECONDS = 0.5
END_SECONDS = 60.0


class LocalRun:
    """A running system and its API."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, data: Path) -> None:
        self.process = process
        self._log = log
        self._reported = data / "run.json"

    def reported(self) -> Any:
        """Return what the run says of itself: where its API answers, and the token.

        Raises:
            FileNotFoundError: before it has said so.
        """
        return json.loads(self._reported.read_bytes())

    def ask(self, path: str, **parameters: str) -> Any:
        """Return an answer of the API; none while it does not answer."""
        try:
            reported = self.reported()
            headers = {"Authorization": f"Bearer {reported['token']}"}
            answer = httpx.get(reported["url"] + path, params=parameters, headers=headers, timeout=5, trust_env=False)
        except (httpx.HTTPError, FileNotFoundError):
            return None
        return answer.json() if answer.status_code == httpx.codes.OK else None

    def wait(self, what: str, holds: Callable[[], bool], seconds: float) -> None:
        """Return when something holds.

        Raises:
            RuntimeError: when the run ends before, or it takes too long.
        """
        deadline = time.monotonic() + seconds
        while not holds():
            if self.process.poll() is not None:
                raise RuntimeError(f"bellwether run ended with {self.process.returncode}: {self._log.read_text()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what}: not within {seconds:.0f} s; the run said: {self._log.read_text()}")
            time.sleep(LOOK_SECONDS)

    def replay(self) -> Mapping[str, Any]:
        """Return how far the replay is; empty while that is not known."""
        status = self.ask("/v1/status") or {}
        return status.get("replay") or {}


@contextmanager
def local_run(manifest: Path, folder: Path) -> Iterator[LocalRun]:
    """Run a system with its state in `folder/run`; it is ended as Ctrl-C does."""
    data, log = folder / "run", folder / "run.log"
    command = [sys.executable, "-m", "bellwether", "run", str(manifest), "--port", str(PORT), "--data", str(data)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield LocalRun(process, log, data)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
