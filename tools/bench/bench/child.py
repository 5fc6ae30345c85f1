"""A program run to its end, with its time and its highest memory."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Ended(NamedTuple):
    """What a program printed, its seconds, and its highest Rss (or that of a child of it) in MB of 10^6 bytes."""

    said: str
    seconds: float
    peak: float


def run(command: Sequence[str], environ: Mapping[str, str] | None = None) -> Ended:
    """Run a program to its end.

    Raises:
        RuntimeError: if it ends with another code than 0.
    """
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=output, env=environ)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
        output.seek(0)
        return Ended(output.read().decode(), seconds, usage.ru_maxrss * 1024 / 1e6)
