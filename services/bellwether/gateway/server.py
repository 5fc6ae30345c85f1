"""The HTTP server inside a service: it leaves signals alone and ends when it is told."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from bellwether.runtime.errors import StartRefused


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process: it stops its services in order."""
        yield


class HttpServer:
    """Serves one application on one address."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._host = host
        self._wanted = port
        config = uvicorn.Config(
            app,
            loop="none",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None
        self.port = 0
        """The port in use, once it has started."""

    async def start(self) -> None:
        """Begin to serve.

        Raises:
            StartRefused: if the address cannot be used, naming it.
        """
        listener = self._bind()
        self.port = listener.getsockname()[1]
        self._task = asyncio.get_running_loop().create_task(self._server.serve([listener]), name="http")

    def _bind(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._wanted))
        except OSError as error:
            listener.close()
            taken = error.errno == errno.EADDRINUSE
            said = "another program listens there" if taken else error.strerror
            raise StartRefused(f"the gateway cannot listen on {self._host}:{self._wanted}: {said}") from error
        listener.setblocking(False)
        return listener

    async def stop(self) -> None:
        """Take no more requests, let those in hand end, and close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
