"""A stand-in for IG's REST interface: a proxy that answers as demo-api.ig.com itself.

A client goes through it as through any HTTP proxy (CONNECT), and trusts the authority in `ca.pem`; the client's address
of IG stays what it is. Requests to the stand-in itself are for people: GET and PUT /switches, GET /books, GET /log,
POST /expire, /funding, /dividend, /deposit, /price and /manual.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from harness.ig.account import Account
from harness.ig.control import control
from harness.ig.markets import Market
from harness.ig.routes import TRADING, Asked, asked_of
from harness.ig.serving import Desk, Session, refusal
from harness.ig.switches import Switches
from harness.ig.wire import LONGEST_HEAD, Broken, Head, Reply, as_json, as_text, flush, read, write
from harness.yahoo.authority import make_authority

HOST = "demo-api.ig.com"
ACCOUNT = "ABC12"
OTHER_ACCOUNT = "XYZ99"
API_KEY, USERNAME, PASSWORD = "made-up-api-key", "made-up-user", "made-up-password"
MINUTE = 60.0


def _present() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Request:
    """One request that was answered, or broken off (status 0)."""

    at: datetime
    kind: str
    name: str
    status: int


class StandIn:
    """IG as far as its REST interface goes; switches and markets may be changed while it runs."""

    def __init__(
        self,
        markets: Iterable[Market],
        authority: Path,
        tls: ssl.SSLContext,
        now: Callable[[], datetime] = _present,
    ) -> None:
        self.markets = {market.epic: market for market in markets}
        # The first is the client's preferred account: the one that a login is given.
        self.accounts = {name: Account(name, self.markets) for name in (OTHER_ACCOUNT, ACCOUNT)}
        self.authority = authority
        self.log: list[Request] = []
        self.port = 0
        self.sessions: dict[str, Session] = {}
        self.desk = Desk(self)
        self.now = now
        self._switches = Switches()
        self._turned = asyncio.Event()
        self._recent: deque[datetime] = deque()
        self._tls = tls
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it answers as a proxy."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def account(self) -> Account:
        """The account that clients are to trade on."""
        return self.accounts[ACCOUNT]

    @property
    def switches(self) -> Switches:
        """What is odd at the moment."""
        return self._switches

    @switches.setter
    def switches(self, value: Switches) -> None:
        self._switches = value
        if value.weekend:
            self.sessions.clear()
        self._turned.set()
        self._turned = asyncio.Event()

    def set(self, **values: object) -> None:
        """Turn switches; those that are not named stay."""
        self.switches = self.switches.changed(values)

    def reset(self) -> None:
        """Turn everything odd off."""
        self.switches = Switches()

    def expire(self) -> None:
        """Drop all tokens, as IG does at the weekend."""
        self.sessions.clear()

    def requests(self, *kinds: str) -> int:
        """Return how many requests of these kinds were made; without a kind, all."""
        return sum(1 for request in self.log if not kinds or request.kind in kinds)

    @contextlib.asynccontextmanager
    async def serving(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[StandIn]:
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
        if head.method != "CONNECT":
            await write(writer, control(self, head))
            await flush(writer)
            return
        if self.switches.broken == "connect":
            raise Broken
        host = head.target.partition(":")[0]
        if host != HOST:
            await write(writer, as_text(403, f"the stand-in answers for {HOST} alone, not for {host}\n"))
            await flush(writer)
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        await writer.start_tls(self._tls)
        while (head := await read(reader)) is not None:
            await self._answer(head, writer)

    async def _answer(self, head: Head, writer: asyncio.StreamWriter) -> None:
        # IG takes a DELETE with a body as a POST that says so in a header.
        method = head.headers.get("_method", head.method).upper()
        asked = asked_of(method, urlsplit(head.target).path, head.headers.get("version"))
        kind, name = ("", "") if asked is None else (asked.kind, asked.name)
        switches = self.switches
        odd = switches if switches.holds(kind) else Switches()
        if odd.slow:
            await asyncio.sleep(odd.slow)
        if odd.broken == "headers":
            self._note(kind, name, 0)
            raise Broken
        try:
            reply = self._reply(asked, head, odd)
        except Broken:
            self._note(kind, name, 0)
            raise
        self._note(kind, name, reply.status)
        while kind in self.switches.hold:
            await self._turned.wait()
        await write(writer, reply, broken=odd.broken == "body")

    def _reply(self, asked: Asked | None, head: Head, odd: Switches) -> Reply:
        now = self.now()
        if odd.maintenance:
            return as_text(503, "<html><body>Scheduled maintenance</body></html>", "text/html")
        if asked is None:
            return refusal(404, "invalid.url")
        if not asked.version_known:
            return refusal(404, "invalid.url.version")
        if "x-ig-api-key" not in head.headers:
            return refusal(403, "error.security.api-key-missing")
        if head.headers["x-ig-api-key"] != API_KEY:
            return refusal(403, "error.security.api-key-invalid")
        if self._exceeds(asked.kind, odd, now):
            which = odd.allowance or "account"
            return refusal(403, f"error.public-api.exceeded-{which}-allowance")
        try:
            body = json.loads(head.body) if head.body else {}
        except ValueError:
            return refusal(400, "invalid.input")
        if asked.kind == "login":
            return self.desk.login(body, now)
        session = self.sessions.get(head.headers.get("cst", ""))
        if "cst" not in head.headers:
            return refusal(401, "error.security.client-token-missing")
        if session is None or session.over(now, self.switches.tokens_last):
            return refusal(401, "error.security.client-token-invalid")
        if head.headers.get("x-security-token") != session.account_token:
            return refusal(401, "error.security.account-token-invalid")
        return self.desk.answer(asked, head, body, session, now)

    def _exceeds(self, kind: str, odd: Switches, now: datetime) -> bool:
        while self._recent and (now - self._recent[0]).total_seconds() > MINUTE:
            self._recent.popleft()
        self._recent.append(now)
        if odd.allowance == "account-trading":
            return kind in TRADING
        return bool(odd.allowance) or 0 < odd.per_minute < len(self._recent)

    def _note(self, kind: str, name: str, status: int) -> None:
        self.log.append(Request(self.now(), kind, name, status))


@contextlib.asynccontextmanager
async def standing_in(
    folder: Path, markets: Iterable[Market], *, now: Callable[[], datetime] = _present, port: int = 0
) -> AsyncIterator[StandIn]:
    """Run a stand-in on this machine, its authority's certificate in a folder."""
    authority, tls = make_authority(folder, (HOST,))
    async with StandIn(markets, authority, tls, now).serving(port=port) as found:
        yield found


__all__ = ["ACCOUNT", "API_KEY", "HOST", "OTHER_ACCOUNT", "PASSWORD", "USERNAME", "StandIn", "as_json", "standing_in"]
