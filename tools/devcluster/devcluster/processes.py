"""Starting processes that outlive their shell, and ending exactly those again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from devcluster.errors import ClusterError

_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Running:
    """A process that was started: its id alone could be someone else's by now, with the start time not."""

    name: str
    pid: int
    started: int
    """Start time in clock ticks since boot, from /proc."""
    argv: tuple[str, ...]

    def alive(self) -> bool:
        """Whether that very process still runs."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # it may be our own child that has just ended
        return start_time(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks
    return None if fields[0] in "ZX" else int(fields[19])


def command_lines() -> dict[int, list[str]]:
    """The command line of each process that can be seen, by its id."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                found[int(folder.name)] = os.fsdecode((folder / "cmdline").read_bytes()).split("\0")
    return found


class ProcessTable:
    """The processes of one cluster, remembered in a folder: one JSON file each."""

    def __init__(self, folder: Path, logs: Path) -> None:
        self._folder = folder
        self._logs = logs

    def running(self) -> dict[str, Running]:
        """The recorded processes that are alive, by name."""
        return {r.name: r for r in self._records() if r.alive()}

    def log(self, name: str) -> Path:
        """The log file of a process."""
        return self._logs / f"{name}.log"

    def start(self, name: str, argv: Sequence[str], home: Path) -> Running:
        """Start a program in a session of its own, output to its log; the log before is kept as `.old`."""
        path = f"{os.environ.get('PATH', '')}:{_SEARCH}"
        program = shutil.which(argv[0], path=path)
        if program is None:
            raise ClusterError(f"cannot start {name}: there is no program {argv[0]}")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self.log(name)
        if log.exists():
            log.replace(log.with_suffix(".log.old"))
        write = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        pid = os.posix_spawn(
            program,
            list(argv),
            {"PATH": path, "HOME": str(home)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), write, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        record = Running(name, pid, start_time(pid) or 0, tuple(argv))
        (self._folder / f"{name}.json").write_text(json.dumps(asdict(record)))
        return record

    def stop(self, running: Running, grace: float) -> None:
        """End a process: politely, then after `grace` seconds for good."""
        self.stop_all([running], grace)

    def stop_all(self, group: Sequence[Running], grace: float) -> None:
        """End several processes side by side and forget them."""
        for process in group:
            process.send(signal.SIGTERM)
        deadline = time.monotonic() + grace
        while any(p.alive() for p in group) and time.monotonic() < deadline:
            time.sleep(0.02)
        for process in group:
            process.send(signal.SIGKILL)
        deadline = time.monotonic() + 5
        while any(p.alive() for p in group) and time.monotonic() < deadline:
            time.sleep(0.02)
        for process in group:
            (self._folder / f"{process.name}.json").unlink(missing_ok=True)

    def tail(self, name: str, lines: int = 5) -> str:
        """The last lines of a process's log."""
        try:
            return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _records(self) -> list[Running]:
        records = []
        for file in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, TypeError):
                fields = json.loads(file.read_text())
                records.append(Running(**{**fields, "argv": tuple(fields["argv"])}))
        return records
