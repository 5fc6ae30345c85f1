"""Unix sockets for callers of the old system: one JSON request in, one JSON reply out, then the end.

An old client sends `{"method": ..., "params": {...}, "timestamp": ...}` without a newline and without closing its side,
reads once, and expects the server to close. So a request is complete when its JSON is, and a reply is one write. Who
ends a request with a newline keeps the connection and may send more.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import itertools
import json
import logging
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bellwether.runtime import errors
from bellwether.runtime.call import BUDGET
from bellwether.runtime.rpc import RpcServer

MODE = 0o660
REQUEST_BYTES = 1 << 20
IDLE_SECONDS = 60.0
"""How long a connection may be silent before its request is complete, or between two."""
_FIRST_FD = 3
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|["{}]', re.DOTALL)
"""A whole string, the beginning of one that is not whole, or a brace."""

_log = logging.getLogger(__name__)


def socket_path(directory: Path, service: str) -> Path:
    """Return where a service's socket is; old clients have the name in their code."""
    return directory / f"trading_{service}.sock"


def inherited(environ: Mapping[str, str] = os.environ) -> dict[str, socket.socket]:
    """Return the listening sockets that systemd passed on, by service; none outside of socket activation."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = environ.get("LISTEN_FDNAMES", "").split(":")[: int(environ.get("LISTEN_FDS", "0"))]
    return {name: socket.socket(fileno=_FIRST_FD + number) for number, name in enumerate(names)}


def bound(path: Path, group: str | None) -> socket.socket:
    """Return a socket at a path, for its owner and a group. What was there from an earlier run is replaced.

    Raises:
        ValueError: if the folder or the group cannot be used; the message names the field.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        if path.is_socket():
            path.unlink()
        before = os.umask(0o777 & ~MODE)
        try:
            made.bind(str(path))
        finally:
            os.umask(before)
        if group is not None:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except KeyError:
        made.close()
        path.unlink()
        raise ValueError(f"spec.compatibility.socketGroup: there is no group {group!r} on this machine") from None
    except OSError as error:
        made.close()
        raise ValueError(f"spec.compatibility.socketDirectory: {path}: {error.strerror or error}") from error
    return made


class OldSocket:
    """The socket of one service."""

    def __init__(self, server: RpcServer, service: str) -> None:
        self._rpc = server
        self._service = service
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._open: set[asyncio.Task[Any]] = set()

    async def listen(self, directory: Path, group: str | None) -> None:
        """Make the socket in a folder and serve it; raises as `bound` does."""
        path = socket_path(directory, self._service)
        await self.take(bound(path, group))
        self._path = path

    async def take(self, given: socket.socket) -> None:
        """Serve a socket that was made already, by systemd say."""
        self._server = await asyncio.start_unix_server(self._connected, sock=given)

    async def close(self) -> None:
        """Take no more connections, end those that are open, remove the socket."""
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, TimeoutError):
            pass
        except Exception:
            _log.exception("a connection to the socket of %s failed", self._service)
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = bytearray()
        while True:
            request, rest = parse(buffer)
            if request is None:
                if len(buffer) > REQUEST_BYTES:
                    await self._write(writer, _invalid(next(self._numbers), f"more than {REQUEST_BYTES} bytes"))
                    return
                async with asyncio.timeout(IDLE_SECONDS):
                    read = await reader.read(65536)
                if not read:
                    if buffer.strip():
                        why = "the request is no complete JSON object"
                        await self._write(writer, _invalid(next(self._numbers), why))
                    return
                buffer += read
                continue
            keep = rest.startswith((b"\n", b"\r\n"))
            buffer = bytearray(rest.lstrip())
            await self._write(writer, await self.reply(request))
            if not keep and not buffer:
                return

    async def _write(self, writer: asyncio.StreamWriter, reply: dict[str, Any]) -> None:
        writer.write(json.dumps(reply).encode())
        await writer.drain()

    async def reply(self, request: Any) -> dict[str, Any]:
        """Return the reply to a request in the old shape."""
        number = next(self._numbers)
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _invalid(number, "a request is an object with `method` (text) and `params` (an object)")
        params = request.get("params") or {}
        if not isinstance(params, dict):
            return _invalid(number, "`params` is an object")
        try:
            return as_old(msgspec.json.decode(await self._rpc.answer(request["method"], params, BUDGET)), number)
        except UnicodeEncodeError:
            return _invalid(number, "`params` has half of a character (a lone surrogate)")


def parse(data: bytes | bytearray) -> tuple[Any, bytes]:
    """Return the first JSON object of some bytes and what follows it; None while it is not complete.

    What can never become an object is returned as text, to be refused.
    """
    stripped = bytes(data).lstrip()
    if not stripped:
        return None, b""
    end = _end(stripped) if stripped.startswith(b"{") else len(stripped)
    if end is None:
        return None, b""
    try:
        return json.loads(stripped[:end]), stripped[end:]
    except (ValueError, RecursionError):
        return "no JSON", b""


def _end(data: bytes) -> int | None:
    """Return where the object that bytes begin with ends; None: not in them."""
    depth = 0
    for token in _TOKEN.finditer(data):
        if token[0] == b'"':
            return None
        depth += {b"{": 1, b"}": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    return None


def as_old(reply: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a reply in the old shape: `request_id` a number, `error` words, no time on an unknown method."""
    found: dict[str, Any] = {"status": reply["status"], "request_id": number}
    if reply["status"] == "success":
        found["result"] = reply["result"]
    else:
        found["error"] = reply["error"]["message"]
        found["error_code"] = reply["error"]["code"]
    if found.get("error_code") != errors.UNKNOWN_METHOD:
        found["execution_time"] = reply["execution_time"]
    return found


def _invalid(number: int, why: str) -> dict[str, Any]:
    return {"status": "error", "request_id": number, "error": why, "error_code": errors.INVALID_REQUEST}
