"""The other way to a system: its gateway takes the live declaration and says who acknowledged it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp

from bellwether_operator.backups.repository import Answer, BackupRequest
from bellwether_operator.gateway_view import (
    GatewayError,
    GatewayView,
    Held,
    read_answer,
    read_held,
    read_status,
    shortened,
)
from bellwether_operator.observe.kinds import SystemKey

LOOK_SECONDS = 2.0
"""The gateway gives its peers about a second before it says that one is unreachable; then its answer still counts."""
DELIVERY_SECONDS = 4.0
WAIT_SECONDS = 1
"""So long the gateway waits for all services to acknowledge; who is later is heard of by the next looks. A service that
takes its time must not keep from us that the trader has acknowledged a halt."""
KEPT_SECONDS = 0.5
"""So long a connection to a gateway is kept without use."""
ANSWER_LIMIT = 256 * 1024
"""A gateway's answer has at most so many bytes; a status of 200 slots and many symbols has less than half."""
_OK = 200


class GatewayClient:
    """HTTP to the gateways of all systems; each method raises GatewayError where one is unreachable or refuses."""

    def __init__(self, url_template: str, token_of: Callable[[str], str]) -> None:
        """`token_of` gives the token of a system, by its uid."""
        self._template = url_template
        self._token_of = token_of
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def look(self, system: SystemKey, uid: str) -> GatewayView:
        """Return what the gateway says now."""
        found = await self._call("GET", system, uid, "/v1/status", seconds=LOOK_SECONDS)
        return read_status(found, time.monotonic())

    async def deliver(self, system: SystemKey, uid: str, declaration: Mapping[str, Any]) -> None:
        """Hand over a declaration; the next look says which service has it."""
        await self._call("PUT", system, uid, f"/v1/declaration?wait={WAIT_SECONDS}", declaration)

    async def hold(self, system: SystemKey, uid: str, hold: str, seconds: float) -> None:
        """Have no service write for so many seconds at most, until `let_go`."""
        await self._call("PUT", system, uid, "/v1/hold", {"id": hold, "seconds": seconds})

    async def let_go(self, system: SystemKey, uid: str, hold: str) -> Held:
        """Have the services write again, and say whether one wrote meanwhile."""
        return read_held(await self._call("DELETE", system, uid, f"/v1/hold/{hold}"))

    async def keep_backup(self, system: SystemKey, uid: str, order: BackupRequest) -> Answer:
        """Have the system make a backup in a repository, once, and return how far that is."""
        body = {"type": order.kind, "location": order.location, "attempt": order.attempt, "known": order.known}
        return read_answer(await self._call("PUT", system, uid, f"/v1/backups/{order.id}", body))

    async def end_restore(self, system: SystemKey, uid: str, restore: str) -> None:
        """Say that a restore in place is over, so that another one can be asked for."""
        await self._call("DELETE", system, uid, f"/v1/restores/{restore}")

    async def retain_replays(self, system: SystemKey, uid: str, replays: Sequence[str]) -> None:
        """Have the reports of all replays forgotten but these, by uid."""
        await self._call("PUT", system, uid, "/v1/replays", {"uids": list(replays)})

    async def _call(
        self,
        method: str,
        system: SystemKey,
        uid: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        seconds: float = DELIVERY_SECONDS,
    ) -> Mapping[str, Any]:
        if self._session is None:
            # Kept for what follows at once, as a look follows a delivery; for 1,000 systems at rest none are held.
            # How many are open at once is for the caller to bound: here those that hang would hold up all others.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_SECONDS)
            # A gateway is its system's own: nothing of what it says is kept for others, nor unpacked to any size.
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        url = self._template.format(namespace=system.namespace, name=system.name) + path
        headers = {"Authorization": f"Bearer {self._token_of(uid)}"}
        try:
            timeout = aiohttp.ClientTimeout(total=seconds)
            async with self._session.request(
                method, url, headers=headers, json=body, timeout=timeout, allow_redirects=False
            ) as response:
                status, answer = response.status, _object(await _read_answer(response))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise GatewayError(f"the gateway does not answer: {str(error) or type(error).__name__}") from error
        if status != _OK:
            said = (answer or {}).get("error")
            words = shortened(said.get("message")) if isinstance(said, dict) else ""
            raise GatewayError(f"the gateway answered {status} {words}".rstrip())
        if answer is None:
            raise GatewayError("the gateway answered something that is no JSON object")
        return answer


async def _read_answer(response: aiohttp.ClientResponse) -> bytes:
    answer = bytearray()
    async for part in response.content.iter_any():
        answer += part
        if len(answer) > ANSWER_LIMIT:
            raise GatewayError(f"the gateway answered {response.status} with more than {ANSWER_LIMIT} bytes")
    return bytes(answer)


def _object(answer: bytes) -> dict[str, Any] | None:
    """Return an answer that is a JSON object, else None."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
