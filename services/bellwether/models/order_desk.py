"""The methods by which ml-model keeps orders of models and their bars."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from bellwether.messages.parts import FilePart, FileState
from bellwether.messages.registry import (
    CloseOrder,
    FinishTarget,
    GetSnapshot,
    ListOrders,
    OrderState,
    PlaceOrder,
    PutSnapshot,
    TrainingOrders,
)
from bellwether.models.orders import OrderError, Orders
from bellwether.models.registry import Registry
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.training.artifact import ArtifactError

T = TypeVar("T")


class OrderDesk:
    """Answers about orders, one change at a time."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._orders, self._lock = Orders(registry.root), asyncio.Lock()

    async def put_snapshot(self, request: PutSnapshot, call: Call) -> FileState:
        """Take a part of a snapshot of bars; raises MODEL_REFUSED when it is not what its hash says."""
        told = (request.id, request.offset, request.total, request.content)
        return await self._ordered(lambda: self._orders.take(*told))

    async def get_snapshot(self, request: GetSnapshot, call: Call) -> FilePart:
        """Return a part of a snapshot of bars; raises MODEL_REFUSED when it is not there."""
        return await self._ordered(lambda: self._orders.part(request.id, request.offset))

    async def place_order(self, request: PlaceOrder, call: Call) -> OrderState:
        """Keep an order of models; raises MODEL_REFUSED when it has no target, or its snapshot is not there."""
        return await self._ordered(lambda: self._orders.place(request.order))

    async def list_orders(self, request: ListOrders, call: Call) -> TrainingOrders:
        """Return the orders of models that are kept."""
        return TrainingOrders(await self._ordered(self._orders.all))

    async def finish_target(self, request: FinishTarget, call: Call) -> OrderState:
        """Keep what became of a target of an order.

        Raises:
            RpcError: MODEL_REFUSED, for an unknown order or index, or a version that was not uploaded.
        """
        if request.version is not None:
            try:
                self._registry.version(request.version)
            except ArtifactError as error:
                raise RpcError("MODEL_REFUSED", f"upload the model first: {error}") from error
        return await self._ordered(lambda: self._orders.finish(request))

    async def close_order(self, request: CloseOrder, call: Call) -> OrderState:
        """Close an order; raises MODEL_REFUSED when there is none."""
        return await self._ordered(lambda: self._orders.close(request.id))

    async def _ordered(self, work: Callable[[], T]) -> T:
        try:
            async with self._lock:
                return await asyncio.to_thread(work)
        except OrderError as error:
            raise RpcError("MODEL_REFUSED", str(error)) from error


def add_orders(service: Service, registry: Registry) -> None:
    """Let a service answer about orders."""
    desk = OrderDesk(registry)
    service.rpc("put_snapshot")(desk.put_snapshot)
    service.rpc("get_snapshot")(desk.get_snapshot)
    service.rpc("place_order")(desk.place_order)
    service.rpc("list_orders")(desk.list_orders)
    service.rpc("finish_target")(desk.finish_target)
    service.rpc("close_order")(desk.close_order)
