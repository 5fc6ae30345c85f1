"""The other way to a system: its gateway takes the live declaration and says who acknowledged it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

LOOK_SECONDS = 6.0
"""The gateway gives its peers up to 2 s, twice, before it says that one is away; then its answer still counts."""
DELIVERY_SECONDS = 8.0
"""The gateway itself waits up to 5 s for the services to acknowledge."""
_OK = 200


@dataclass(frozen=True)
class GatewayView:
    """What a gateway last said."""

    at: float
    """When, on the monotonic clock."""
    generation: int = 0
    """Of the declaration in force there."""
    acknowledged: Mapping[str, int] = field(default_factory=dict)
    """Per service, the generation that it acknowledged; 0 for none."""
    ready: Mapping[str, bool] = field(default_factory=dict)
    halts: tuple[str, ...] = ()


class GatewayError(Exception):
    """The gateway was not reached or refused; the message says which."""


def read_status(document: Mapping[str, Any], at: float) -> GatewayView:
    """Return what a gateway's status says.

    Raises:
        GatewayError: if it is not a status.

    """
    try:
        rows = document.get("services", [])
        return GatewayView(
            at=at,
            generation=max(0, int(document.get("generation") or 0)),
            acknowledged={str(row["name"]): max(0, int(row.get("generation") or 0)) for row in rows},
            ready={str(row["name"]): bool(row.get("ready", False)) for row in rows},
            halts=tuple(str(line)[:300] for line in document.get("halts") or ()),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise GatewayError(f"the gateway's status cannot be read: {error!r}") from error


class GatewayClient:
    """HTTP to the gateways of all systems."""

    def __init__(self, url_template: str) -> None:
        self._template = url_template
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def look(self, namespace: str, name: str) -> GatewayView:
        """Return what the gateway says now.

        Raises:
            GatewayError: if it does not answer in time.

        """
        return read_status(
            await self._call("GET", namespace, name, "/v1/status", seconds=LOOK_SECONDS), time.monotonic()
        )

    async def deliver(self, namespace: str, name: str, token: str, declaration: Mapping[str, Any]) -> None:
        """Hand over a declaration; the next look says which service has it.

        Raises:
            GatewayError: if the gateway is away or refuses.

        """
        await self._call(
            "PUT", namespace, name, "/v1/declaration", seconds=DELIVERY_SECONDS, token=token, body=declaration
        )

    async def _call(
        self,
        method: str,
        namespace: str,
        name: str,
        path: str,
        *,
        seconds: float,
        token: str | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=50, force_close=True)
            self._session = aiohttp.ClientSession(connector=connector)
        url = self._template.format(namespace=namespace, name=name) + path
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            timeout = aiohttp.ClientTimeout(total=seconds)
            async with self._session.request(method, url, headers=headers, json=body, timeout=timeout) as response:
                answer = await response.json(content_type=None)
                if response.status != _OK:
                    error = answer.get("error", {}) if isinstance(answer, dict) else {}
                    words = error.get("message", "") if isinstance(error, dict) else ""
                    raise GatewayError(f"the gateway answered {response.status} {words}".rstrip())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise GatewayError(f"the gateway does not answer: {error or type(error).__name__}") from error
        if not isinstance(answer, dict):
            raise GatewayError("the gateway answered something that is no object")
        return answer
