"""Calls of a Job's program: it is no service, has a key of its own, and waits for whom it needs."""

from __future__ import annotations

import asyncio
import logging
import secrets
from datetime import datetime
from typing import Any, Protocol, TypeVar

import msgspec

from bellwether.messages.envelope import EMPTY, ErrorBody, Request, decode_reply, encode
from bellwether.naming import rpc_subject
from bellwether.runtime.bus import Bus, BusError
from bellwether.runtime.clock import monotonic
from bellwether.runtime.errors import RpcError

ASK_SECONDS = 20.0
REPLY_SECONDS = 1.0
"""More than a service has for its answer, so that it can still say that it has not come to an end."""
PATIENCE = 300.0
"""How long it is asked again while a service or NATS is unreachable."""
PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)
_ASKED_AGAIN = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "OVERLOADED", "STOPPING", "NOT_READY"})

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Requests(Protocol):
    """Whoever can call a peer's methods: a service's call, or a Job's client."""

    async def request(self, peer: str, method: str, params: Any, result: type[T], *, idempotent: bool = True) -> T:
        """Return a method's result."""


class Peers:
    """Calls services with the key of the Job, again and again while one is unreachable."""

    def __init__(self, bus: Bus, identity: str, patience: float = PATIENCE, as_of: datetime | None = None) -> None:
        """Call nobody yet; `as_of` (UTC) is the instant that is asked for, by default now."""
        self._bus = bus
        self._identity = identity
        self._patience = patience
        self._as_of = as_of

    async def request(self, peer: str, method: str, params: Any, result: type[T], *, idempotent: bool = True) -> T:
        """Return a method's result; all that the Job calls can be asked twice.

        Raises:
            RpcError: as the peer says, or UNAVAILABLE when it was unreachable for too long.
        """
        end, tries = monotonic() + self._patience, 0
        while True:
            try:
                return await self.ask(peer, method, params, result)
            except BusError as error:
                failure = RpcError("UNAVAILABLE", str(error))
            except RpcError as error:
                failure = error
            if failure.code not in _ASKED_AGAIN or not idempotent or monotonic() > end:
                raise failure
            _log.info("%s.%s waits: %s", peer, method, failure)
            await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1

    async def ask(self, peer: str, method: str, params: Any, result: type[T], *, seconds: float = ASK_SECONDS) -> T:
        """Call a method once.

        Raises:
            RpcError: as the peer says, UNAVAILABLE without a connection, or INVALID_REPLY.
            BusError: if no reply came.
        """
        end = monotonic() + seconds
        if not await self._bus.wait_connected(seconds):
            raise RpcError("UNAVAILABLE", "there is no connection to NATS")
        left = max(0.1, end - monotonic())
        request_id = f"{self._identity}-{secrets.token_hex(8)}"
        given = EMPTY if params is None else msgspec.Raw(encode(params))
        question = Request(request_id, self._identity, left, as_of=self._as_of, params=given)
        try:
            body = await self._bus.request(rpc_subject(peer, method), encode(question), timeout=left + REPLY_SECONDS)
            reply = decode_reply(body)
            if isinstance(reply.error, ErrorBody):
                raise RpcError(reply.error.code, reply.error.message, **reply.error.detail)
            return msgspec.json.decode(reply.result or b"null", type=result)
        except msgspec.MsgspecError as error:
            raise RpcError("INVALID_REPLY", str(error)) from error
