"""Processes whose imports are done: each is a fork of a server that imported a module once.

A process of its own, with its own memory and files, that ends by SIGKILL as any other does. It starts in a hundredth of
the time that an interpreter takes to import the services.
"""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = ("harness.ig.trader",)
"""What the server imports. Modules that start threads, or keep files open, must not be here."""
_CONTEXT.set_forkserver_preload([__name__, *PRELOADED])


class Forked:
    """A running process: its standard input and output are one stream, its errors go to a file."""

    def __init__(
        self, process: multiprocessing.process.BaseProcess, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self.reader = reader
        self._writer = writer

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    async def write(self, line: bytes) -> None:
        """Write to its standard input; into a process that has ended, nothing happens."""
        try:
            self._writer.write(line)
            await self._writer.drain()
        except ConnectionError:
            pass

    def kill(self) -> None:
        """End it as if the power went."""
        if self._process.is_alive():
            self._process.kill()

    async def wait(self) -> int | None:
        """Wait for its end; return its code, below 0 the signal that ended it."""
        await asyncio.to_thread(self._process.join)
        self._writer.close()
        return self._process.exitcode


async def fork(module: str, *arguments: str, environment: Mapping[str, str], log: Path) -> Forked:
    """Start the `main(arguments)` of a module in a process of its own, with these variables and no others."""
    ours, theirs = socket.socketpair()
    process = _CONTEXT.Process(
        target=_begin, args=(module, arguments, dict(environment), str(log), theirs), daemon=True
    )
    try:
        with theirs:
            await asyncio.to_thread(process.start)
        reader, writer = await asyncio.open_connection(sock=ours)
    except BaseException:
        ours.close()
        raise
    return Forked(process, reader, writer)


def _begin(
    module: str, arguments: tuple[str, ...], environment: dict[str, str], log: str, stream: socket.socket
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with stream, Path(log).open("ab") as errors:
        os.dup2(stream.fileno(), 0)
        os.dup2(stream.fileno(), 1)
        os.dup2(errors.fileno(), 2)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    importlib.import_module(module).main(list(arguments))
    sys.stdout.flush()
