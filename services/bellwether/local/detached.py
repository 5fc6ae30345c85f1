"""A local run without a terminal: started in the background, restarted after a crash, found and ended by its folder.

The folder of a run remembers which file it was started with, so that `bellwether start` needs no file.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bellwether.local.files import RunError
from bellwether.local.state import LockTaken, RunDirectory, lock_held, lock_holder, write_private

RESTART_SECONDS = 5.0
"""Between a crash and the next start; the units of systemd wait as long."""
BURST = 5
BURST_SECONDS = 300.0
"""More crashes than this within this time end it for good."""
READY_SECONDS = 600.0
"""How long the start of a run is waited for: the first one makes a model."""
STOP_SECONDS = 30.0
_POLL_SECONDS = 0.2
_LAST_WORDS = 5


@dataclass(frozen=True)
class Start:
    """What a run was started with."""

    file: Path
    port: int


@dataclass(frozen=True)
class Running:
    """A run that goes on: its address, and the process that holds the folder."""

    url: str
    pid: int


def remember(root: Path, start: Start) -> None:
    """Write down what a run was started with, once it is up."""
    stored = {"file": str(start.file.resolve()), "port": start.port}
    write_private(RunDirectory(root).start_file, json.dumps(stored))


def remembered(root: Path) -> Start:
    """Return what the last run of a folder was started with.

    Raises:
        RunError: if no run was ever up in it.
    """
    try:
        stored = json.loads(RunDirectory(root).start_file.read_text())
        return Start(Path(stored["file"]), int(stored["port"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{root} remembers no run: start one with `bellwether run FILE --detach`") from error


def holder(root: Path) -> int | None:
    """Return the process to end for a folder's run to end: its supervisor, else the run itself; None: no run."""
    directory = RunDirectory(root)
    return lock_holder(directory.supervisor_lock) or lock_holder(directory.lock)


def running(root: Path) -> Running | None:
    """Return the folder's run; None while it is not up."""
    directory = RunDirectory(root)
    try:
        stored = json.loads(directory.run_file.read_text())
        url, pid = str(stored["url"]), int(stored["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Running(url, pid) if lock_holder(directory.lock) == pid else None


def start_detached(start: Start, root: Path, options: list[str], report: Callable[[str], None]) -> Running:
    """Start a run in the background and wait until it is up.

    Raises:
        RunError: with its own last words, if it ended instead; or when the folder is taken.
    """
    taken = holder(root)
    if taken is not None:
        raise RunError(f"another run (process {taken}) has {root}: `bellwether stop` ends it")
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = [sys.executable, "-m", "bellwether", "run", str(start.file), "--data", str(root), "--port"]
    written = RunDirectory(root).output
    with written.open("wb") as output:
        process = subprocess.Popen(
            [*command, str(start.port), "--restart", *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    shown = 0
    deadline = time.monotonic() + READY_SECONDS
    while True:
        lines = written.read_text(errors="replace").splitlines()
        for line in lines[shown:]:
            report(line)
        shown = len(lines)
        found = running(root)
        if found is not None:
            return found
        if process.poll() is not None:
            words = "\n".join(lines[-_LAST_WORDS:]) or "it said nothing"
            raise RunError(f"the run ended with {process.returncode}: {words.removeprefix('error: ')}")
        if time.monotonic() > deadline:
            raise RunError(f"not up within {READY_SECONDS:.0f} s; it goes on, {written} says how")
        time.sleep(_POLL_SECONDS)


def stop_detached(root: Path) -> bool:
    """End the run of a folder and wait for its end; False: none went on.

    Raises:
        RunError: if it does not end, or belongs to somebody else.
    """
    deadline = time.monotonic() + STOP_SECONDS
    asked: int | None = None
    while (pid := holder(root)) is not None:
        if pid != asked:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
            except PermissionError as error:
                raise RunError(f"the run in {root} (process {pid}) belongs to another user") from error
            asked = pid
        if time.monotonic() > deadline:
            raise RunError(f"process {pid} of {root} did not end within {STOP_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
    return asked is not None


def supervise(command: list[str], first: list[str], root: Path, say: Callable[[str], None]) -> int:
    """Run a command until it ends by itself with 0 or is asked to; after a crash run it again. Return its last code.

    `first` are options of the first start alone. What ends before it ever came up was refused for a reason, which
    trying again does not mend.

    Raises:
        RunError: if the folder is supervised already.
    """
    stopping = threading.Event()
    child: subprocess.Popen[bytes] | None = None

    def stop(number: int, _: object) -> None:
        stopping.set()
        if child is not None and child.poll() is None:
            child.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    crashes: list[float] = []
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock_held(RunDirectory(root).supervisor_lock))
        except LockTaken:
            raise RunError(f"{root} is kept running already: `bellwether stop` ends it") from None
        before = _came_up(root)
        options = first
        while not stopping.is_set():
            began = time.monotonic()
            child = subprocess.Popen([*command, *options])
            if stopping.is_set():
                child.terminate()
            code = child.wait()
            ended = time.monotonic()
            options = []
            if stopping.is_set() or code == 0 or _came_up(root) == before:
                return code
            crashes = [*(one for one in crashes if one > ended - BURST_SECONDS), ended]
            if len(crashes) > BURST:
                say(f"it crashed {len(crashes)} times within {BURST_SECONDS:.0f} s: not started again")
                return code
            say(f"ended with {code} after {ended - began:.0f} s; started again in {RESTART_SECONDS:.0f} s")
            _wait(RESTART_SECONDS, stopping.is_set)
        return 0


def _came_up(root: Path) -> int:
    """Return when a run of the folder was last up, in nanoseconds; 0: never."""
    try:
        return RunDirectory(root).start_file.stat().st_mtime_ns
    except OSError:
        return 0


def _wait(seconds: float, ended: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not ended() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
