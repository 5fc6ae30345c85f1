"""A memory cgroup of a test's own, with a pod's limit, where this machine lets one be made."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from devcluster.kernel import create_cgroup, kill_cgroup

ROOT = Path("/sys/fs/cgroup")


class MemoryGroup:
    """A cgroup whose processes together get no more than a limit; the kernel ends one that asks for more."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, pid: int) -> None:
        """Put a process into it, and with it all that it starts from now on."""
        (self._folder / "cgroup.procs").write_text(str(pid))


@contextlib.contextmanager
def memory_group(limit_bytes: int) -> Iterator[MemoryGroup | None]:
    """Make one and end all that runs in it; gives None where this machine allows none."""
    name = f"bellwether-test-{os.getpid()}"
    try:
        try:
            create_cgroup(name)
            found = _limited(name, limit_bytes)
        except OSError:
            found = None
        yield found
    finally:
        kill_cgroup(name)


def _limited(name: str, limit_bytes: int) -> MemoryGroup | None:
    for folder, limit, swap in (
        (ROOT / name, "memory.max", "memory.swap.max"),
        (ROOT / "memory" / name, "memory.limit_in_bytes", "memory.swappiness"),
    ):
        if (folder / limit).exists():
            (folder / limit).write_text(str(limit_bytes))
            if (folder / swap).exists():
                (folder / swap).write_text("0")
            return MemoryGroup(folder)
    return None
