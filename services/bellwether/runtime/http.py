"""The process's own door for probes and metrics: three paths, plain HTTP/1.1, no framework."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import NamedTuple

MAX_HEAD = 8 * 1024
REQUEST_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """One response."""

    status: int
    text: str
    content_type: str = "text/plain; charset=utf-8"


_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class HealthServer:
    """Answers GET of the paths it was given; it answers while NATS is unreachable, too."""

    def __init__(self, host: str, port: int, paths: dict[str, Callable[[], Answer]]) -> None:
        self._host = host
        self._port = port
        self._paths = paths
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port it listens on; with 0 asked for, the one that it got."""
        if self._server is None:
            return self._port
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: if the port is taken.
        """
        self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=MAX_HEAD)

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), 1.0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._answer(reader)
            body = answer.text.encode()
            head = (
                f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\n"
                f"Content-Type: {answer.content_type}\r\n"
                f"Content-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
        except (OSError, TimeoutError) as error:
            _log.debug("a probe went away: %s", error)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return Answer(400, "a request has a head that ends with an empty line\n")
        parts = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(parts) != 3:
            return Answer(400, "a request line has a method, a path and a version\n")
        if parts[0] != "GET":
            return Answer(405, "only GET is served here\n")
        path = parts[1].partition("?")[0]
        if path not in self._paths:
            return Answer(404, f"no {path}; there are {', '.join(sorted(self._paths))}\n")
        return self._paths[path]()
