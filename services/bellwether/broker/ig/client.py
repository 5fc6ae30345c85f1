"""IG's REST interface over httpx: one session on one account, paced, logged in again when its tokens are gone.

Only the demo host is known here, so no order can reach a live account. Credentials and tokens stand in no error, log
line or trace: errors are made of IG's codes and of words, never of requests.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx

from bellwether.broker.ig.credentials import Credentials, CredentialsError
from bellwether.broker.ig.words import EQUITY, EXPIRED, error_words, is_allowance
from bellwether.broker.port import BrokerError, LastLook, NoBroker, NotSent, Unclear, nothing_halts

HOST = "demo-api.ig.com"
BASE = f"https://{HOST}/gateway/deal"
ORDERS_PER_MINUTE = 40
LONGEST_WAIT = 20.0
"""Seconds that a request waits for room in the allowance; longer ones are refused with that word."""
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 15.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)

Json = dict[str, Any]
Method = Literal["GET", "POST", "PUT", "DELETE"]

MINUTE = 60.0

_log = logging.getLogger(__name__)
# Its lines at DEBUG hold the headers of answers, the session's tokens among them: so for a program that configures no
# logs of ours, too.
logging.getLogger("httpcore").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Reach:
    """How the world outside is reached."""

    proxy: str | None = None
    authorities: Path | None = None


class IgError(Exception):
    """An answer that is an error: its HTTP status and IG's code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code

    @property
    def words(self) -> str:
        """What it means, with IG's own code."""
        return f"{error_words(self.code)} ({self.code})"


class NoAnswer(Exception):
    """No usable answer: `sent` says whether the request may have reached IG."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


class Pace:
    """A window of one minute with room for `most` requests, and a pause after IG said that there were too many."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._sent: deque[float] = deque()
        self._paused_until = 0.0

    def wait(self, now: float) -> float:
        """Return in how many seconds a request may be sent; 0: now."""
        while self._sent and now - self._sent[0] >= MINUTE:
            self._sent.popleft()
        pause = max(0.0, self._paused_until - now)
        if len(self._sent) < self.most:
            return pause
        return max(pause, self._sent[len(self._sent) - self.most] + MINUTE - now)

    def sent(self, now: float) -> None:
        """Count a request."""
        self._sent.append(now)

    def pause(self, now: float, seconds: float = MINUTE) -> None:
        """Send nothing for a while: IG said that the allowance is used up."""
        self._paused_until = max(self._paused_until, now + seconds)


class IgClient:
    """Requests to IG. `credentials` is asked at every login, so that a Secret may change while it runs."""

    def __init__(
        self,
        credentials: Callable[[], Credentials],
        reach: Reach,
        *,
        per_minute: Callable[[], int] = lambda: 20,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials = credentials
        self._reach = reach
        self._per_minute = per_minute
        self._monotonic = monotonic
        self._http: httpx.AsyncClient | None = None
        self._tokens: dict[str, str] = {}
        self._login = asyncio.Lock()
        self._reads, self._orders = Pace(20), Pace(ORDERS_PER_MINUTE)

    async def close(self) -> None:
        """Log out, as far as IG answers, and close the connections."""
        if self._http is None:
            return
        if self._tokens:
            try:
                await self._once("DELETE", "/session", 1)
            except (IgError, NoAnswer, BrokerError) as error:
                _log.debug("no logout at IG: %s", error)
        await self._http.aclose()
        self._http, self._tokens = None, {}

    async def get(self, path: str, version: int, params: Mapping[str, str] | None = None) -> Json:
        """Return an answer; with expired tokens it logs in again and asks once more.

        Raises:
            IgError: an error that IG answered.
            NoBroker: IG does not answer now, or there is no allowance left.
        """
        for attempt in (1, 2):
            await self._session()
            tokens = self._tokens
            try:
                return await self._once("GET", path, version, params=params)
            except NoAnswer as error:
                raise NoBroker("IG_UNREACHABLE", f"IG does not answer: {error}") from None
            except IgError as error:
                if error.code not in EXPIRED or attempt == 2:
                    raise self._no_broker(error) from None
                self._forget(tokens)
        raise AssertionError("unreachable")

    async def order(
        self, method: Method, path: str, version: int, body: Json, last_look: LastLook = nothing_halts
    ) -> Json:
        """Send an order, or what changes one, once; return the answer.

        `last_look` is asked when there is a session and room in the allowance, which may have taken a while.

        Raises:
            IgError: IG refused the request itself (400): no order was made.
            NotSent: IG certainly did not get it.
            Unclear: it may have got it.
        """
        try:
            await self._session()
        except NoBroker as error:
            raise NotSent(error.code, error.message) from None
        tokens = self._tokens
        try:
            return await self._once(method, path, version, body=body, last_look=last_look)
        except NoBroker as error:
            raise NotSent(error.code, error.message) from None
        except NoAnswer as error:
            kind = Unclear if error.sent else NotSent
            raise kind("IG_UNREACHABLE", f"IG does not answer: {error}") from None
        except IgError as error:
            if error.code in EXPIRED:
                self._forget(tokens)
            if error.status == 400:
                raise
            if is_allowance(error.code) or error.status in (403, 404):
                raise NotSent("IG_ALLOWANCE" if is_allowance(error.code) else "IG_REFUSED", error.words) from None
            raise Unclear("IG_ERROR", error.words) from None

    def _no_broker(self, error: IgError) -> Exception:
        if is_allowance(error.code):
            return NoBroker("IG_ALLOWANCE", f"{error.words}; nothing is asked for a minute")
        if error.status >= 500:
            return NoBroker("IG_DOWN", f"IG is not available now: it answers {error.status}")
        return error

    # The session

    async def _session(self) -> None:
        if self._tokens:
            return
        async with self._login:
            if not self._tokens:
                await self._log_in()

    def _forget(self, tokens: Mapping[str, str]) -> None:
        """Drop tokens, unless somebody has got new ones meanwhile."""
        if self._tokens is tokens:
            self._tokens = {}

    async def _log_in(self) -> None:
        """Open a session on the declared account.

        Raises:
            NoBroker: with the code of what is missing: NO_CREDENTIALS, IG_LOGIN, IG_ACCOUNT.
        """
        try:
            credentials = self._credentials()
        except CredentialsError as error:
            raise NoBroker("NO_CREDENTIALS", str(error)) from None
        body = {"identifier": credentials.identifier, "password": credentials.password}
        key = {"X-IG-API-KEY": credentials.api_key}
        try:
            answer = await self._send("POST", "/session", 2, body=body, headers=key)
            tokens = {**key, **_tokens_of(answer)}
            current = answer.json().get("currentAccountId")
            if current != credentials.account_id:
                wanted = {"accountId": credentials.account_id, "defaultAccount": False}
                switched = await self._send("PUT", "/session", 1, body=wanted, headers=tokens)
                tokens |= _tokens_of(switched)
        except IgError as error:
            if is_allowance(error.code) or error.status >= 500:
                raise self._no_broker(error) from None
            code = "IG_ACCOUNT" if error.code.startswith("error.switch") else "IG_LOGIN"
            raise NoBroker(code, error.words) from None
        except NoAnswer as error:
            raise NoBroker("IG_UNREACHABLE", f"IG does not answer: {error}") from None
        except ValueError:
            raise NoBroker("IG_LOGIN", "IG's answer to the login is not what its reference says") from None
        if "CST" not in tokens or "X-SECURITY-TOKEN" not in tokens:
            raise NoBroker("IG_LOGIN", "IG's answer to the login has no tokens")
        self._tokens = tokens
        _log.info("logged in at IG (%s), %r", HOST, credentials)

    # One request

    async def _once(
        self,
        method: Method,
        path: str,
        version: int,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        last_look: LastLook = nothing_halts,
    ) -> Json:
        answer = await self._send(
            method, path, version, params=params, body=body, headers=self._tokens, last_look=last_look
        )
        if not answer.content:
            return {}
        try:
            found = answer.json()
        except ValueError:
            raise NoAnswer("the answer is no JSON: a page of a proxy or of maintenance", sent=True) from None
        if not isinstance(found, dict):
            raise NoAnswer("the answer is no JSON object", sent=True)
        return found

    async def _send(
        self,
        method: Method,
        path: str,
        version: int,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str],
        last_look: LastLook = nothing_halts,
    ) -> httpx.Response:
        trading = method != "GET" and not path.startswith("/session")
        await self._room(self._orders if trading else self._reads)
        await last_look()
        http = self._client()
        heads = {**headers, "VERSION": str(version), "Accept": "application/json; charset=UTF-8"}
        if method == "DELETE" and body is not None:
            # IG takes no DELETE with a body; it is a POST that says so.
            heads["_method"], method = "DELETE", "POST"
        try:
            answer = await http.request(method, f"{BASE}{path}", params=params, json=body, headers=heads)
        except _NOT_SENT as error:
            raise NoAnswer(f"no connection ({type(error).__name__})", sent=False) from None
        except httpx.HTTPError as error:
            raise NoAnswer(f"the connection broke ({type(error).__name__})", sent=True) from None
        if answer.status_code >= 400:
            refused = IgError(answer.status_code, _code_of(answer))
            if is_allowance(refused.code):
                self._reads.pause(self._monotonic())
                self._orders.pause(self._monotonic())
            raise refused
        return answer

    async def _room(self, pace: Pace) -> None:
        self._reads.most = self._per_minute()
        while (wait := pace.wait(self._monotonic())) > 0:
            if wait > LONGEST_WAIT:
                raise NoBroker("IG_ALLOWANCE", f"the allowance of requests has room again in {wait:.0f} s")
            await asyncio.sleep(wait)
        pace.sent(self._monotonic())

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            bundle = self._reach.authorities
            verify: Any = ssl.create_default_context(cafile=str(bundle)) if bundle is not None else True
            self._http = httpx.AsyncClient(
                proxy=self._reach.proxy,
                verify=verify,
                trust_env=False,
                timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            )
        return self._http


def _tokens_of(answer: httpx.Response) -> dict[str, str]:
    return {name: answer.headers[name] for name in ("CST", "X-SECURITY-TOKEN") if name in answer.headers}


def _code_of(answer: httpx.Response) -> str:
    """Return IG's error code; of an answer without one, the status in words. Nothing else of the body is repeated."""
    try:
        code = json.loads(answer.content).get("errorCode")
    except (ValueError, AttributeError):
        code = None
    if isinstance(code, str) and len(code) <= 120 and (code == EQUITY or all(c.isalnum() or c in "._-" for c in code)):
        return code
    return f"status {answer.status_code}"
