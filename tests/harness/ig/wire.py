"""HTTP/1.1 by hand for stand-ins, so that a connection can break off wherever a test wants it to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

REASONS = {200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden"}
REASONS |= {404: "Not Found", 405: "Method Not Allowed", 412: "Precondition Failed", 500: "Internal Server Error"}
REASONS |= {503: "Service Unavailable"}
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
    lines = [f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    if reply.status != 204:
        lines += [f"Content-Type: {reply.content_type}", f"Content-Length: {len(reply.body)}"]
    body = reply.body[: len(reply.body) // 2] if broken else reply.body
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    await writer.drain()
    if broken:
        raise Broken


async def flush(writer: asyncio.StreamWriter) -> None:
    """Write what is left, and close."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
