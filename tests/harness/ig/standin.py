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
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from harness.authority import make_authority
from harness.https_proxy import Broken, Head, Proxy, Reply, as_text, write
from harness.ig.account import Account
from harness.ig.control import control
from harness.ig.markets import Market
from harness.ig.routes import TRADING, Asked, asked_of
from harness.ig.serving import Desk, Session, refusal
from harness.ig.switches import Switches

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


class StandIn(Proxy):
    """IG as far as its REST interface goes; switches and markets may be changed while it runs."""

    def __init__(
        self,
        markets: Iterable[Market],
        authority: Path,
        tls: ssl.SSLContext,
        now: Callable[[], datetime] = _present,
    ) -> None:
        super().__init__(tls)
        self.markets = {market.epic: market for market in markets}
        # The first is the client's preferred account: the one that a login is given.
        self.accounts = {name: Account(name, self.markets) for name in (OTHER_ACCOUNT, ACCOUNT)}
        self.authority = authority
        self.log: list[Request] = []
        self.sessions: dict[str, Session] = {}
        self.desk = Desk(self)
        self.now = now
        self._switches = Switches()
        self._turned = asyncio.Event()
        self._recent: deque[datetime] = deque()

    @property
    def account(self) -> Account:
        """The account that clients are to trade on."""
        return self.accounts[ACCOUNT]

    @property
    def switches(self) -> Switches:
        """What is odd now."""
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

    def quote(self, epic: str, price: Decimal) -> None:
        """Have a market at another price; stops that it reaches close their positions."""
        self.markets[epic].price = price
        self.account.stop_out(self.now())

    def requests(self, *kinds: str) -> int:
        """Return how many requests of these kinds were made; without a kind, all."""
        return sum(1 for request in self.log if not kinds or request.kind in kinds)

    def _control(self, head: Head) -> Reply:
        return control(self, head)

    def _refusal(self, host: str) -> Reply | None:
        if self.switches.broken == "connect":
            raise Broken
        return None if host == HOST else as_text(403, f"the stand-in answers for {HOST} alone, not for {host}\n")

    async def _answer(self, head: Head, host: str, writer: asyncio.StreamWriter) -> None:
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


__all__ = ["ACCOUNT", "API_KEY", "HOST", "OTHER_ACCOUNT", "PASSWORD", "USERNAME", "StandIn", "standing_in"]
