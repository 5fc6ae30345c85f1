"""What others ask ml-model for: changes of the registry's book, and orders of models that a Job makes (I/O).

ml-model judges every change.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from bellwether.messages.canonical import canonical_bytes
from bellwether.messages.market_data import Bar
from bellwether.messages.parts import FileState
from bellwether.messages.registry import (
    CloseOrder,
    GetRegistry,
    ListOrders,
    ModelPromoted,
    ModelTrained,
    OrderState,
    PlaceOrder,
    PutSnapshot,
    RegisteredModel,
    RegistryBook,
    RegistryChanged,
    SetRegistry,
    TrainingOrder,
    TrainingOrders,
)
from bellwether.models import book
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.runtime.parts import send_parts
from bellwether.runtime.service import Service
from bellwether.training.ledger import Entry, LedgerError, ModelLedger
from bellwether.training.recipe import Recipe

TRIES = 5
SNAPSHOT_SECONDS = 300.0

Change = Callable[[ModelLedger], tuple[ModelLedger, str]]
"""From a book to the changed one, and the version that the change is about."""


class RegistryClient:
    """Reads and changes the book of ml-model's registry, and publishes what changed."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def book(self, call: Call) -> tuple[str, ModelLedger]:
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


class TrainingOrderClient:
    """Places and follows orders at ml-model."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def place(
        self,
        recipe: Recipe,
        histories: Mapping[str, Sequence[Bar]],
        *,
        rival: str | None,
        serving: list[str],
        at: datetime,
        patience: timedelta,
        reason: str,
    ) -> OrderState:
        """Send the bars as one snapshot and place an order of the general model and, where declared, each symbol's."""
        content = await asyncio.to_thread(
            lambda: canonical_bytes({name: list(histories[name]) for name in sorted(histories)})
        )
        snapshot = hashlib.sha256(content).hexdigest()
        call = self._service.call(budget=SNAPSHOT_SECONDS)

        async def put(offset: int, part: bytes) -> FileState:
            request = PutSnapshot(snapshot, offset, len(content), part)
            return await call.request("ml-model", "put_snapshot", request, FileState, idempotent=True)

        await send_parts(content, put)
        order = TrainingOrder(
            recipe=recipe.name,
            recipe_hash=recipe.hash,
            targets=[None, *(sorted(histories) if recipe.per_symbol else ())],
            snapshot=snapshot,
            created=at,
            deadline=at + patience,
            rival=rival,
            serving=serving,
            reason=reason,
        )
        return await call.request("ml-model", "place_order", PlaceOrder(order), OrderState, idempotent=True)

    async def open_order(self, call: Call) -> OrderState | None:
        """Return the order that is not closed, None where there is none."""
        found = await call.request("ml-model", "list_orders", ListOrders(), TrainingOrders, idempotent=True)
        return next((one for one in reversed(found.orders) if not one.closed), None)

    async def close(self, identifier: str, call: Call) -> None:
        """Close an order."""
        await call.request("ml-model", "close_order", CloseOrder(identifier), OrderState, idempotent=True)
