"""The registry's book, read and changed by whoever is not its owner (I/O; ml-model judges every change)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

from bellwether.messages.canonical import canonical_bytes
from bellwether.messages.registry import (
    GetRegistry,
    ModelPromoted,
    ModelTrained,
    RegisteredModel,
    RegistryBook,
    RegistryChanged,
    SetRegistry,
)
from bellwether.models import book
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.training.ledger import Entry, Ledger, LedgerError

TRIES = 5

Change = Callable[[Ledger], tuple[Ledger, str]]
"""From a book to the changed one, and the version that the change is about."""


class RegistryClient:
    """Reads and changes the book of ml-model's registry, and publishes what changed."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def book(self, call: Call) -> tuple[str, Ledger]:
        """Return the hash of the book, and the book.

        Raises:
            RpcError: UNAVAILABLE, where it changed again and again while it was read.
        """
        for _ in range(TRIES):
            content, first = bytearray(), ""
            while True:
                question = GetRegistry(len(content))
                part = await call.request("ml-model", "get_registry", question, RegistryBook, idempotent=True)
                first = first or part.hash
                content += part.content
                if part.hash != first or len(content) >= part.total or not part.content:
                    break
            if hashlib.sha256(content).hexdigest() == first:
                return first, await asyncio.to_thread(book.read, bytes(content))
        raise RpcError("UNAVAILABLE", f"the registry's book changed {TRIES} times while it was read: ask again")

    async def changed(self, change: Change, call: Call, *, trained: bool = False) -> RegisteredModel:
        """Change the book and return the model; where somebody else changed it in between, from what they left.

        Raises:
            RpcError: NOT_ALLOWED, in the registry's words; UNAVAILABLE, where it changed again and again.
        """
        for _ in range(TRIES):
            before, ledger = await self.book(call)
            try:
                after, version = await asyncio.to_thread(change, ledger)
            except LedgerError as error:
                raise RpcError("NOT_ALLOWED", str(error)) from error
            if after == ledger:
                return book.shown(after.entry(version))
            request = SetRegistry(before, canonical_bytes(book.change_of(ledger, after)).decode())
            try:
                await call.request("ml-model", "set_registry", request, RegistryChanged)
            except RpcError as error:
                if error.code == "BOOK_CHANGED":
                    continue
                raise
            entry = after.entry(version)
            await _publish(entry, call, trained=trained)
            return book.shown(entry)
        raise RpcError("UNAVAILABLE", f"the registry's book changed {TRIES} times in between: ask again")


async def _publish(entry: Entry, call: Call, *, trained: bool) -> None:
    shown, stamp = book.shown(entry), f"{call.as_of:%Y%m%dT%H%M%S}"
    if trained:
        await call.publish_event("model_trained", ModelTrained(shown), event_id=f"model_trained-{entry.version}")
    if entry.stage == "serving" and not entry.demoted:
        event_id = f"model_promoted-{entry.version}-{stamp}"
        await call.publish_event("model_promoted", ModelPromoted(shown, entry.before), event_id=event_id)
