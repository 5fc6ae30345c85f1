"""An HTTPS proxy that answers itself, in place of the hosts that its clients ask for: what stand-ins have in common.

Its HTTP/1.1 is written by hand, so that a connection can break off wherever a test wants it to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

LONGEST_HEAD = 64 * 1024


class Broken(Exception):
    """The connection is to break off here."""


@dataclass(frozen=True)
class Head:
    """A request that was read."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer to write."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=UTF-8"


def as_json(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """Return an answer in JSON."""
    return Reply(status, json.dumps(value).encode(), headers or {})


def as_text(status: int, words: str, content_type: str = "text/plain; charset=utf-8") -> Reply:
    """Return an answer in text."""
    return Reply(status, words.encode(), {}, content_type)


class Proxy(ABC):
    """Ends the TLS of what is tunnelled through it (CONNECT), and answers. Requests to itself are for people."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.port = 0
        self._tls = tls
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it answers as a proxy."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def serving(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Self]:
        """Listen until the block ends."""
        server = await asyncio.start_server(self._connected, host, port, limit=LONGEST_HEAD)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._open):
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    @abstractmethod
    def _control(self, head: Head) -> Reply:
        """Return what a person is answered."""

    @abstractmethod
    def _refusal(self, host: str) -> Reply | None:
        """Return the answer to a tunnel to a host that is not stood in for, None to open it.

        Raises:
            Broken: the connection is to break off instead.
        """

    @abstractmethod
    async def _answer(self, head: Head, host: str, writer: asyncio.StreamWriter) -> None:
        """Answer one request that came through a tunnel to a host."""

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError, Broken):
                await self._serve(reader, writer)
        finally:
            self._open.discard(task)
            if writer.transport is not None:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read(reader)
        if head is None:
            return
        host = head.target.partition(":")[0]
        reply = self._refusal(host) if head.method == "CONNECT" else self._control(head)
        if reply is not None:
            await write(writer, reply)
            await flush(writer)
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        await writer.start_tls(self._tls)
        while (head := await read(reader)) is not None:
            await self._answer(head, host, writer)


async def read(reader: asyncio.StreamReader) -> Head | None:
    """Return the next request, None at the end of the connection."""
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except (asyncio.IncompleteReadError, ssl.SSLError):
        return None
    method, target, _ = lines[0].split(" ", 2)
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Head(method, target, headers, body)


async def write(writer: asyncio.StreamWriter, reply: Reply, *, broken: bool = False) -> None:
    """Write an answer; broken: its first half, and then the connection ends."""
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    if reply.status != 204:
        lines += [f"Content-Type: {reply.content_type}", f"Content-Length: {len(reply.body)}"]
    body = reply.body[: len(reply.body) // 2] if broken else reply.body
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    await writer.drain()
    if broken:
        await flush(writer)
        raise Broken


async def flush(writer: asyncio.StreamWriter) -> None:
    """Write what is left, and close."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
