"""nats-py, imported without what it does not need, with three of its edges taken off and two of its ways shortened."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

# nats-py takes in aiohttp (10 MiB) where it is installed, for a websocket transport that is not used here.
_absent = "aiohttp" not in sys.modules
if _absent:
    sys.modules["aiohttp"] = None  # type: ignore[assignment]
try:
    from nats.aio.client import Client as PlainClient
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription as ClientSubscription
    from nats.errors import Error as ClientError
    from nats.errors import MaxPayloadError
finally:
    if _absent:
        del sys.modules["aiohttp"]

__all__ = ["Client", "ClientError", "ClientSubscription", "MaxPayloadError", "Msg"]


class Client(PlainClient):
    """nats-py's client, in which `flush` covers all that was said, and neither a cancellation nor an end gets lost."""

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        # nats-py writes what is left once more before it closes. On a broken socket that fails, and then it would tell
        # nobody of the end: with nothing left to write it closes properly.
        try:
            await super()._close(status, do_cbs)
        except (OSError, RuntimeError):
            self._pending, self._pending_data_size = [], 0
            self._status = Client.DISCONNECTED
            await super()._close(status, do_cbs)

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        # nats-py writes PING straight to the socket, ahead of a SUB or UNSUB that still waits in its buffer: the PONG
        # then says nothing about them, and `drain` loses what comes in between.
        await self._flush_pending(force_flush=True)
        await super()._send_ping(future)

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        # nats-py swallows a cancellation here, and whoever cancelled would wait for ever.
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        result = await super()._flush_pending(force_flush)
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
        return result

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        # nats-py wakes a task for each message, through a queue. Those who subscribe here only take it and go on.
        if (present := self._subs.get(sid)) is not None and present._cb is not None:
            await present._cb(self._build_message(sid, subject, reply, data, await self._process_headers(headers)))

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        # nats-py looks at each character of each name.
        pairs = (line.partition(":") for line in raw.decode("utf-8", "replace").split("\r\n") if ":" in line)
        return {name.strip(): value.strip() for name, _, value in pairs}
