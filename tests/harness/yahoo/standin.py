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

from harness.authority import make_authority
from harness.https_proxy import Broken, Head, Proxy, Reply, as_json, as_text, write
from harness.yahoo.answers import (
    CHART,
    CONSENT,
    TOO_MANY,
    Article,
    chart,
    cookie,
    kind_of,
    news,
    refusal,
)
from harness.yahoo.shares import Share
from harness.yahoo.switches import Switches

HOSTS = ("yahoo.com", "*.yahoo.com", "*.finance.yahoo.com")


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


class StandIn(Proxy):
    """Yahoo as far as yfinance sees it; switches and shares may be replaced while it runs."""

    def __init__(
        self, shares: Mapping[str, Share], authority: Path, tls: ssl.SSLContext, now: Callable[[], datetime] = _present
    ) -> None:
        super().__init__(tls)
        self.shares = dict(shares)
        self.authority = authority
        self.switches = Switches()
        self.articles: list[Article] = []
        """What its news is; none: neutral headlines about each symbol."""
        self.log: list[Request] = []
        self._now = now
        self._crumbs = itertools.count(1)

    def set(self, **values: object) -> None:
        """Turn switches; those that are not named stay."""
        self.switches = self.switches.changed(values)

    def reset(self) -> None:
        """Turn everything odd off."""
        self.switches = Switches()

    def requests(self, *kinds: str) -> int:
        """Return how many requests of these kinds were made; without a kind, all."""
        return sum(1 for request in self.log if not kinds or request.kind in kinds)

    def _refusal(self, host: str) -> Reply | None:
        if self.switches.broken == "connect":
            self._note("connect", "", 0, host, "")
            raise Broken
        if host == "yahoo.com" or host.endswith(".yahoo.com"):
            return None
        self._note("refused", "", 403, host, "")
        return as_text(403, f"the stand-in answers for yahoo.com alone, not for {host}\n")

    async def _answer(self, head: Head, host: str, writer: asyncio.StreamWriter) -> None:
        kind = kind_of(head.method, head.target)
        symbol = unquote(urlsplit(head.target).path.removeprefix(CHART)) if kind in ("chart", "timezone") else ""
        switches = self.switches
        if switches.slow:
            self._note(kind, symbol, 0, host, head.target)
            await asyncio.sleep(switches.slow)
        if switches.broken == "headers" and switches.holds(symbol):
            self._note(kind, symbol, 0, host, head.target)
            raise Broken
        answer = self._reply(kind, symbol, head)
        self._note(kind, symbol, answer.status, host, head.target)
        await write(writer, answer, broken=switches.broken == "body" and switches.holds(symbol))

    def _reply(self, kind: str, symbol: str, head: Head) -> Reply:
        switches, now = self.switches, self._now()
        query = dict(parse_qsl(urlsplit(head.target).query))
        if switches.down:
            return as_text(500, "<html><body>Will be right back...</body></html>", "text/html")
        if switches.consent:
            return as_text(200, CONSENT, "text/html")
        if kind == "cookie":
            return cookie(now)
        if kind == "consent":
            return as_text(200, "", "text/html")
        if kind == "crumb":
            return as_text(429, TOO_MANY) if switches.crumb_limited else as_text(200, f"crumb{next(self._crumbs)}")
        if kind in ("chart", "timezone", "news") and switches.rate_limited and switches.holds(symbol):
            return as_text(429, TOO_MANY)
        if kind in ("chart", "timezone"):
            if switches.stale_crumbs > 0 and switches.holds(symbol):
                self.switches = replace(switches, stale_crumbs=switches.stale_crumbs - 1)
                return refusal(401, "Unauthorized", "Invalid Crumb")
            return chart(self.shares.get(symbol), symbol, query, switches, now)
        if kind == "news":
            if switches.news == "limited":
                return as_text(429, TOO_MANY)
            if switches.news == "consent":
                return as_text(200, CONSENT, "text/html")
            asked = json.loads(head.body or b"{}").get("serviceConfig", {})
            return news(asked.get("s", []), int(asked.get("snippetCount", 10)), self.articles, switches, now)
        return as_json(404, {"finance": {"result": None, "error": {"code": "Not Found", "description": "made up"}}})

    def _note(self, kind: str, symbol: str, status: int, host: str, path: str) -> None:
        self.log.append(Request(self._now(), kind, symbol, status, host, path))

    def _control(self, head: Head) -> Reply:
        """Answer a person: GET and PUT /switches, GET /log, GET /count."""
        if head.target == "/log":
            return as_json(200, [asdict(request) | {"at": request.at.isoformat()} for request in self.log[-1000:]])
        if head.target == "/count":
            return as_json(200, Counter(request.kind for request in self.log))
        if head.target != "/switches" or head.method not in ("GET", "PUT"):
            return as_text(404, "GET or PUT /switches, GET /log, GET /count; everything else is for CONNECT\n")
        if head.method == "PUT":
            try:
                self.switches = Switches().changed(json.loads(head.body or b"{}"))
            except ValueError as error:
                return as_text(400, f"{error}\n")
        return as_json(200, asdict(self.switches))


@contextlib.asynccontextmanager
async def standing_in(
    folder: Path, shares: Mapping[str, Share], *, now: Callable[[], datetime] = _present
) -> AsyncIterator[StandIn]:
    """Run a stand-in on a free port of this machine, its authority's certificate in a folder."""
    authority, tls = make_authority(folder, HOSTS)
    async with StandIn(shares, authority, tls, now).serving() as found:
        yield found
