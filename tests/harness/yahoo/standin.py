"""The stand-in itself: a CONNECT proxy that ends TLS, answers for Yahoo's hosts, and keeps a log of what was asked."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from harness.yahoo.answers import (
    CHART,
    CONSENT,
    TOO_MANY,
    Answer,
    Article,
    as_json,
    chart,
    cookie,
    kind_of,
    news,
    refusal,
    text,
)
from harness.yahoo.authority import make_authority
from harness.yahoo.shares import Share
from harness.yahoo.switches import Switches

_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
_LONGEST_HEAD = 64 * 1024


def _present() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Request:
    """One request that was answered, or broken off (status 0)."""

    at: datetime
    kind: str
    symbol: str
    status: int
    host: str
    path: str


@dataclass(frozen=True)
class _Head:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class _Broken(Exception):
    """The connection is to break off here."""


class StandIn:
    """Yahoo as far as yfinance sees it; switches and shares may be replaced while it runs."""

    def __init__(
        self, shares: Mapping[str, Share], authority: Path, tls: ssl.SSLContext, now: Callable[[], datetime] = _present
    ) -> None:
        self.shares = dict(shares)
        self.authority = authority
        self.switches = Switches()
        self.articles: list[Article] = []
        """What its news is; none: neutral headlines about each symbol."""
        self.log: list[Request] = []
        self.port = 0
        self._tls = tls
        self._now = now
        self._crumbs = itertools.count(1)
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it answers as a proxy."""
        return f"http://127.0.0.1:{self.port}"

    def set(self, **values: object) -> None:
        """Turn switches; those that are not named stay."""
        self.switches = self.switches.changed(values)

    def reset(self) -> None:
        """Turn everything odd off."""
        self.switches = Switches()

    def requests(self, *kinds: str) -> int:
        """Return how many requests of these kinds were made; without a kind, all."""
        return sum(1 for request in self.log if not kinds or request.kind in kinds)

    @contextlib.asynccontextmanager
    async def serving(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[StandIn]:
        """Listen until the block ends."""
        server = await asyncio.start_server(self._connected, host, port, limit=_LONGEST_HEAD)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._open):
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError, _Broken):
                await self._serve(reader, writer)
        finally:
            self._open.discard(task)
            if writer.transport is not None:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await _read(reader)
        if head is None:
            return
        if head.method != "CONNECT":
            await _write(writer, self._control(head))
            await _flush(writer)
            return
        host = head.target.partition(":")[0]
        if self.switches.broken == "connect":
            self._note("connect", "", 0, host, "")
            raise _Broken
        if not (host == "yahoo.com" or host.endswith(".yahoo.com")):
            self._note("refused", "", 403, host, "")
            await _write(writer, text(403, f"the stand-in answers for yahoo.com alone, not for {host}\n"))
            await _flush(writer)
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        await writer.start_tls(self._tls)
        while (head := await _read(reader)) is not None:
            await self._answer(head, host, writer)

    async def _answer(self, head: _Head, host: str, writer: asyncio.StreamWriter) -> None:
        kind = kind_of(head.method, head.target)
        symbol = unquote(urlsplit(head.target).path.removeprefix(CHART)) if kind in ("chart", "timezone") else ""
        switches = self.switches
        if switches.slow:
            self._note(kind, symbol, 0, host, head.target)
            await asyncio.sleep(switches.slow)
        if switches.broken == "headers" and switches.holds(symbol):
            self._note(kind, symbol, 0, host, head.target)
            raise _Broken
        answer = self._reply(kind, symbol, head)
        self._note(kind, symbol, answer.status, host, head.target)
        await _write(writer, answer, broken=switches.broken == "body" and switches.holds(symbol))

    def _reply(self, kind: str, symbol: str, head: _Head) -> Answer:
        switches, now = self.switches, self._now()
        query = dict(parse_qsl(urlsplit(head.target).query))
        if switches.down:
            return text(500, "<html><body>Will be right back...</body></html>", "text/html")
        if switches.consent:
            return text(200, CONSENT, "text/html")
        if kind == "cookie":
            return cookie(now)
        if kind == "consent":
            return text(200, "", "text/html")
        if kind == "crumb":
            return text(429, TOO_MANY) if switches.crumb_limited else text(200, f"crumb{next(self._crumbs)}")
        if kind in ("chart", "timezone", "news") and switches.rate_limited and switches.holds(symbol):
            return text(429, TOO_MANY)
        if kind in ("chart", "timezone"):
            if switches.stale_crumbs > 0 and switches.holds(symbol):
                self.switches = replace(switches, stale_crumbs=switches.stale_crumbs - 1)
                return refusal(401, "Unauthorized", "Invalid Crumb")
            return chart(self.shares.get(symbol), symbol, query, switches, now)
        if kind == "news":
            if switches.news == "limited":
                return text(429, TOO_MANY)
            if switches.news == "consent":
                return text(200, CONSENT, "text/html")
            asked = json.loads(head.body or b"{}").get("serviceConfig", {})
            return news(asked.get("s", []), int(asked.get("snippetCount", 10)), self.articles, switches, now)
        return as_json(404, {"finance": {"result": None, "error": {"code": "Not Found", "description": "made up"}}})

    def _note(self, kind: str, symbol: str, status: int, host: str, path: str) -> None:
        self.log.append(Request(self._now(), kind, symbol, status, host, path))

    def _control(self, head: _Head) -> Answer:
        """Answer a person: GET and PUT /switches, GET /log, GET /count."""
        if head.target == "/log":
            return as_json(200, [asdict(request) | {"at": request.at.isoformat()} for request in self.log[-1000:]])
        if head.target == "/count":
            return as_json(200, Counter(request.kind for request in self.log))
        if head.target != "/switches" or head.method not in ("GET", "PUT"):
            return text(404, "GET or PUT /switches, GET /log, GET /count; everything else is for CONNECT\n")
        if head.method == "PUT":
            try:
                self.switches = Switches().changed(json.loads(head.body or b"{}"))
            except ValueError as error:
                return text(400, f"{error}\n")
        return as_json(200, asdict(self.switches))


async def _read(reader: asyncio.StreamReader) -> _Head | None:
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
    return _Head(method, target, headers, body)


async def _write(writer: asyncio.StreamWriter, answer: Answer, *, broken: bool = False) -> None:
    lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines += [f"Content-Type: {answer.kind}", f"Content-Length: {len(answer.body)}", "", ""]
    body = answer.body[: len(answer.body) // 2] if broken else answer.body
    writer.write("\r\n".join(lines).encode("latin-1") + body)
    await writer.drain()
    if broken:
        await _flush(writer)
        raise _Broken


async def _flush(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def standing_in(
    folder: Path, shares: Mapping[str, Share], *, now: Callable[[], datetime] = _present
) -> AsyncIterator[StandIn]:
    """Run a stand-in on a free port of this machine, its authority's certificate in a folder."""
    authority, tls = make_authority(folder)
    async with StandIn(shares, authority, tls, now).serving() as found:
        yield found
