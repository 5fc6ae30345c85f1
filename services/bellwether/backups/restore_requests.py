"""What the service `backup` of a cluster does about a restore in place: it checks, halts, and keeps the request.

The operator sees the request through the gateway, and does the rest: what is restored takes the place of this very
process. The request is kept on the bus, so that it outlives the pod, until the operator says that it is over.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import msgspec

from bellwether.messages.backup import BackupRestored, EndRestore, RestoreBackup, RestoreEnded, RestoreRequest
from bellwether.messages.trading import Halt, HaltState
from bellwether.naming import DECLARATION_BUCKET, RESTORE_KEY
from bellwether.runtime.bus import BusError, Subscription
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError

REQUESTED = "restore_requested"
SOURCE = "restore"
"""Of the halt, as on one machine."""
HALT_SECONDS = 10.0
REST_SECONDS = 5.0
"""For what comes after the halt."""
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z")

_log = logging.getLogger(__name__)

Find = Callable[[str, str | None], Awaitable[str]]
"""Says in which location a backup is that can be restored, or raises RpcError with the reason why none can."""


class RestoreRequests:
    """The restore in place of one system that is under way, if one is."""

    def __init__(self, context: ServiceContext, find: Find) -> None:
        self._context = context
        self._find = find
        self._known: RestoreRequest | None = None
        self._watch: Subscription | None = None
        self._one = asyncio.Lock()

    @property
    def under_way(self) -> RestoreRequest | None:
        """The request that the operator is to see; None: there is none."""
        known = self._known
        return None if known is None or known.ended or known.uid != self._context.config.uid else known

    async def start(self) -> None:
        """Follow what is kept: a former pod was asked, or the one that is about to replace this one."""
        self._watch = await self._context.bus.kv_watch(
            DECLARATION_BUCKET, [RESTORE_KEY], lambda _, value: self._take(value)
        )

    async def stop(self) -> None:
        """Follow it no more."""
        if self._watch is not None:
            await self._watch.stop()

    async def ask(self, request: RestoreBackup, call: Call) -> BackupRestored:
        """Check a backup, halt the trader, and keep the request; the operator carries it out.

        Raises:
            RpcError: INVALID_PARAMS, RESTORE_UNDER_WAY, or RESTORE_REFUSED with the reason; then nothing was touched.
                UNAVAILABLE where the request cannot be kept; then the trader may be halted.
        """
        if _ID.fullmatch(request.backup_id) is None:
            raise RpcError(
                "INVALID_PARAMS", f"backup_id: {request.backup_id!r} is none; list_backups says them: 20261127T213000Z"
            )
        async with self._one:
            await self._read()
            known = self.under_way
            if known is not None:
                raise RpcError(
                    "RESTORE_UNDER_WAY",
                    f"the restore of backup {known.backup_id} from {known.location}, asked for "
                    f"{known.at:%Y-%m-%d %H:%M:%S} UTC, is under way: status.restore of the TradingSystem says how far",
                )
            try:
                async with asyncio.timeout(call.remaining - HALT_SECONDS - REST_SECONDS):
                    location = await self._find(request.backup_id, request.location)
            except TimeoutError:
                raise RpcError(
                    "RESTORE_REFUSED", "no location said in time that it has this backup: ask again"
                ) from None
            except RpcError as error:
                raise RpcError("RESTORE_REFUSED", error.message) from error
            await self._halt(request.backup_id, call)
            asked = self._request(request.backup_id, location)
            await self._keep(asked)
            return BackupRestored(asked.backup_id, REQUESTED, asked.location, asked.at)

    async def end(self, request: EndRestore) -> RestoreEnded:
        """Note that a restore is over.

        Raises:
            RpcError: UNAVAILABLE where that cannot be noted.
        """
        async with self._one:
            await self._read()
            known = self.under_way
            if known is None or known.id != request.id:
                return RestoreEnded("")
            await self._keep(msgspec.structs.replace(known, ended=True))
            return RestoreEnded(request.id)

    def _request(self, backup_id: str, location: str) -> RestoreRequest:
        now = datetime.now(UTC).replace(microsecond=0)
        if self._known is not None:
            now = max(now, self._known.at + timedelta(seconds=1))
        return RestoreRequest(backup_id, location, now, self._context.config.uid)

    async def _halt(self, backup_id: str, call: Call) -> None:
        """Have orders refused. Where the trader does not answer it goes on: its pod is ended, and starts halted."""
        asked = Halt(f"restore of backup {backup_id}", SOURCE)
        try:
            await call.request("paper-trading", "halt", asked, HaltState, idempotent=True, budget=HALT_SECONDS)
        except RpcError as error:
            _log.warning("the halt before a restore was not acknowledged: %s", error.message)

    async def _read(self) -> None:
        try:
            found = await self._context.bus.kv_get(DECLARATION_BUCKET, RESTORE_KEY)
        except BusError as error:
            raise RpcError("UNAVAILABLE", f"NATS does not say which restore is under way: {error}") from error
        if found is not None:
            self._take(found[0])

    def _take(self, value: bytes) -> None:
        try:
            found = msgspec.json.decode(value, type=RestoreRequest)
        except msgspec.DecodeError as error:
            _log.warning("what is kept of a restore cannot be read: %s", error)
            return
        # Around a connection the bus may give an older value after a newer one.
        if self._known is None or (found.at, found.ended) >= (self._known.at, self._known.ended):
            self._known = found

    async def _keep(self, request: RestoreRequest) -> None:
        try:
            await self._context.bus.kv_put(DECLARATION_BUCKET, RESTORE_KEY, msgspec.json.encode(request))
        except BusError as error:
            raise RpcError("UNAVAILABLE", f"NATS does not keep the request: {error}") from error
        self._known = request
