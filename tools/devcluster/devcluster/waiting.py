"""Waiting for a condition with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from devcluster.errors import ClusterError

T = TypeVar("T")


def wait_for(what: str, probe: Callable[[], T | None], seconds: float, hint: str = "") -> T:
    """The first true answer of `probe`; ClusterError naming `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise ClusterError(f"{what} did not happen within {seconds:.0f} s{': ' + hint if hint else ''}")
        time.sleep(0.05)
