"""A run of `bellwether run` on this machine: one process with all services."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bellwether.cli.client import CommandError, find_run, in_words, of_file, what_next
from bellwether.cli.manage.places import On, Part
from bellwether.local.detached import Running, holder, remembered, running, start_detached, stop_detached
from bellwether.local.files import RunError
from bellwether.local.state import RunDirectory
from bellwether.wiring import start_order

SYSTEM = "system"
_POLL_SECONDS = 0.25


def state_folders(root: Path) -> list[Path]:
    """Return the folders of runs: the folder itself, or those in it; runs that go on come first, then the newest."""
    found = [root] if _is_of_a_run(root) else []
    try:
        found = found or [one for one in root.iterdir() if _is_of_a_run(one)]
    except OSError:
        return []
    return sorted(found, key=lambda one: (holder(one) is not None, one.stat().st_mtime), reverse=True)


def folders_that_run(root: Path) -> list[Path]:
    """Return the folders of runs that have a process now."""
    return [one for one in state_folders(root) if holder(one) is not None]


def _is_of_a_run(folder: Path) -> bool:
    return RunDirectory(folder).lock.exists()


class LocalPlace:
    """One folder of a run."""

    on = On.local

    def __init__(self, root: Path, say: Callable[[str], None]) -> None:
        self._root = root
        self._say = say
        self.title = f"the local run in {root}"

    def parts(self) -> list[Part]:
        """Return the one process."""
        found = running(self._root)
        services = tuple(start_order())
        if found is None:
            pid = holder(self._root)
            state = "stopped" if pid is None else "starting"
            return [Part(SYSTEM, services, state, pid)]
        memory, since = _figures(found)
        return [Part(SYSTEM, services, "running", found.pid, memory, since, found.url)]

    def start(self, part: str) -> None:
        """Start the run with the file it was last started with, in the background."""
        if holder(self._root) is not None:
            return
        with in_words(RunError):
            start_detached(remembered(self._root), self._root, [], self._say)

    def stop(self, part: str) -> None:
        """End the run."""
        with in_words(RunError):
            stop_detached(self._root)

    def restart(self, part: str) -> None:
        """End the run and start it again."""
        self.stop(part)
        self.start(part)

    def logs(self, parts: Sequence[str], lines: int, *, follow: bool) -> Iterator[str]:
        """Return the last lines of the run's log."""
        return _tail(RunDirectory(self._root).log, lines, follow=follow)

    def gateway(self) -> tuple[str, str]:
        """Return what the run wrote down."""
        found = find_run(self._root)
        if found is None:
            raise CommandError(what_next(self._root))
        return found.url, found.token

    def undeploy(self) -> str:
        """End the run; its folder is kept."""
        self.stop(SYSTEM)
        return f"its state is kept in {self._root}: delete that folder to forget it"


def _figures(found: Running) -> tuple[float | None, str | None]:
    import psutil

    try:
        process = psutil.Process(found.pid)
        since = datetime.fromtimestamp(process.create_time(), UTC).isoformat(timespec="seconds")
        return process.memory_info().rss / 2**20, since
    except psutil.Error:
        return None, None


def _tail(path: Path, lines: int, *, follow: bool) -> Iterator[str]:
    with of_file(path):
        file = path.open(encoding="utf-8", errors="replace")
    with file:
        yield from (line.rstrip("\n") for line in deque(file, maxlen=lines))
        if not follow:
            return
        inode = os.fstat(file.fileno()).st_ino
        partial = ""
        while True:
            partial += file.readline()
            if partial.endswith("\n"):
                yield partial.rstrip("\n")
                partial = ""
                continue
            if _replaced(path, inode):
                break
            time.sleep(_POLL_SECONDS)
    # The log was rotated: all of the new one is new.
    yield from _tail(path, 10**9, follow=True)


def _replaced(path: Path, inode: int) -> bool:
    try:
        return path.stat().st_ino != inode
    except OSError:
        return False
