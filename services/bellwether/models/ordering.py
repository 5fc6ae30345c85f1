"""Orders of models that a Job makes: placed, followed, and closed once the gate has judged them (I/O)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bellwether.messages.canonical import canonical_bytes
from bellwether.messages.market_data import Bar
from bellwether.messages.parts import FileState
from bellwether.messages.registry import (
    CloseOrder,
    ListOrders,
    OrderState,
    PlaceOrder,
    PutSnapshot,
    TrainingOrder,
    TrainingOrders,
)
from bellwether.runtime.call import Call
from bellwether.runtime.parts import send_parts
from bellwether.runtime.service import Service
from bellwether.training.recipe import Recipe

SNAPSHOT_SECONDS = 300.0


class OrderClient:
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
