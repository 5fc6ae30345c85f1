"""Orders of models on ml-model's volume: the order and its results in one file, its bars beside by hash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from bellwether.messages import registry as messages
from bellwether.messages.canonical import content_hash
from bellwether.messages.parts import FilePart, FileState
from bellwether.models.registry import Registry
from bellwether.models.transfer import is_hash
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.storage.folders import append_part, digest_of, read_part, write_durably
from bellwether.training.artifact import ArtifactError

LARGEST_SNAPSHOT = 256 * 1024 * 1024
KEPT = 5
"""Closed orders that are kept to be looked at; their bars go as soon as no open order has them."""
T = TypeVar("T")


class OrderError(RpcError):
    """An order or a snapshot that is not right; the message says what is wrong."""

    def __init__(self, message: str) -> None:
        super().__init__("MODEL_REFUSED", message)


class TrainingOrderStore:
    """The orders of a registry's folder."""

    def __init__(self, root: Path) -> None:
        self._root = root / "orders"

    def take(self, snapshot: str, offset: int, total: int, content: bytes) -> FileState:
        """Keep a part of a snapshot; return how much of it is there.

        Raises:
            OrderError: for an id that is no hash, one that is too large, or bars with another hash.
        """
        target = self._snapshot(snapshot)
        if not 0 < total <= LARGEST_SNAPSHOT:
            raise OrderError(f"a snapshot of {total} bytes: at most {LARGEST_SNAPSHOT} are taken")
        if target.exists():
            return FileState(total, True)
        self._root.mkdir(parents=True, exist_ok=True)
        path = self._root / f".part-{snapshot}"
        there = append_part(path, offset, total, content, resumes=True)
        if there < total:
            return FileState(there, False)
        found = digest_of(path)
        if found != snapshot:
            path.unlink()
            raise OrderError(f"snapshot {snapshot[:12]}: its bytes have the hash {found[:12]}: send it again")
        path.replace(target)
        return FileState(total, True)

    def part(self, snapshot: str, offset: int) -> FilePart:
        """Return a part of a snapshot.

        Raises:
            OrderError: when it is not there.
        """
        try:
            return read_part(self._snapshot(snapshot), offset)
        except OSError as error:
            raise OrderError(f"snapshot {snapshot[:12]}: {error.strerror}") from error

    def place(self, order: messages.TrainingOrder) -> messages.OrderState:
        """Keep an order; an open one of before is closed, since there is one training at a time.

        Raises:
            OrderError: when it has no target, or its snapshot is not there.
        """
        if not order.targets or len(set(order.targets)) != len(order.targets):
            raise OrderError(f"an order of {len(order.targets)} targets: each is to be named once, and one at least")
        if not self._snapshot(order.snapshot).exists():
            raise OrderError(f"snapshot {order.snapshot[:12]} is not there: send it first")
        identifier = content_hash(order)
        known = {one.id: one for one in self.all()}
        if identifier in known:
            return known[identifier]
        for one in known.values():
            if not one.closed:
                self._write(msgspec.structs.replace(one, closed=True))
        state = messages.OrderState(identifier, order)
        self._write(state)
        self._prune()
        return state

    def all(self) -> list[messages.OrderState]:
        """Return the orders, the newest last; a file that cannot be read is passed over."""
        found = []
        for path in self._root.glob("*.json"):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=messages.OrderState))
            except (OSError, msgspec.MsgspecError):
                continue
        return sorted(found, key=lambda one: (one.order.created, one.id))

    def find(self, identifier: str) -> messages.OrderState:
        """Return an order by its id.

        Raises:
            OrderError: when there is none.
        """
        found = next((one for one in self.all() if one.id == identifier), None)
        if found is None:
            raise OrderError(f"there is no order {identifier[:12]!r}")
        return found

    def finish(self, ended: messages.FinishTarget) -> messages.OrderState:
        """Keep what became of a target; what was said before stays.

        Raises:
            OrderError: for an unknown order or index, or once it is closed.
        """
        state = self.find(ended.id)
        if not 0 <= ended.index < len(state.order.targets):
            raise OrderError(f"index {ended.index}: the order has {len(state.order.targets)} targets, counted from 0")
        if str(ended.index) in state.results:
            return state
        if state.closed:
            raise OrderError(f"order {ended.id[:12]} is closed: the gate has judged what there was")
        results = {**state.results, str(ended.index): messages.TargetResult(ended.version, ended.words[:500])}
        changed = msgspec.structs.replace(state, results=results)
        self._write(changed)
        return changed

    def close(self, identifier: str) -> messages.OrderState:
        """Close an order; raises OrderError when there is none."""
        state = msgspec.structs.replace(self.find(identifier), closed=True)
        self._write(state)
        self._prune()
        return state

    def _write(self, state: messages.OrderState) -> None:
        write_durably(self._root / f"{state.id}.json", msgspec.json.encode(state))

    def _prune(self) -> None:
        orders = self.all()
        closed = [one for one in orders if one.closed]
        for one in closed[:-KEPT]:
            (self._root / f"{one.id}.json").unlink(missing_ok=True)
        needed = {one.order.snapshot for one in orders if not one.closed}
        for path in self._root.glob("*.bars"):
            if path.stem not in needed:
                path.unlink(missing_ok=True)

    def _snapshot(self, snapshot: str) -> Path:
        if not is_hash(snapshot):
            raise OrderError(f"{snapshot!r} is no SHA-256: it has 64 hexadecimal digits")
        return self._root / f"{snapshot}.bars"


def add_orders(service: Service, registry: Registry) -> None:
    """Let a service answer about orders, one change at a time."""
    orders, lock = TrainingOrderStore(registry.root), asyncio.Lock()

    async def ordered(work: Callable[[], T]) -> T:
        async with lock:
            return await asyncio.to_thread(work)

    @service.rpc("put_snapshot")
    async def put_snapshot(request: messages.PutSnapshot, call: Call) -> FileState:
        """Take a part of a snapshot of bars; raises MODEL_REFUSED when it is not what its hash says."""
        return await ordered(lambda: orders.take(request.id, request.offset, request.total, request.content))

    @service.rpc("get_snapshot")
    async def get_snapshot(request: messages.GetSnapshot, call: Call) -> FilePart:
        """Return a part of a snapshot of bars; raises MODEL_REFUSED when it is not there."""
        return await ordered(lambda: orders.part(request.id, request.offset))

    @service.rpc("place_order")
    async def place_order(request: messages.PlaceOrder, call: Call) -> messages.OrderState:
        """Keep an order of models; raises MODEL_REFUSED when it has no target, or its snapshot is not there."""
        return await ordered(lambda: orders.place(request.order))

    @service.rpc("list_orders")
    async def list_orders(request: messages.ListOrders, call: Call) -> messages.TrainingOrders:
        """Return the orders of models that are kept."""
        return messages.TrainingOrders(await ordered(orders.all))

    @service.rpc("finish_target")
    async def finish_target(request: messages.FinishTarget, call: Call) -> messages.OrderState:
        """Keep what became of a target of an order.

        Raises:
            RpcError: MODEL_REFUSED, for an unknown order or index, or a version that was not uploaded.
        """
        if request.version is not None:
            try:
                registry.version(request.version)
            except ArtifactError as error:
                raise RpcError("MODEL_REFUSED", f"upload the model first: {error}") from error
        return await ordered(lambda: orders.finish(request))

    @service.rpc("close_order")
    async def close_order(request: messages.CloseOrder, call: Call) -> messages.OrderState:
        """Close an order; raises MODEL_REFUSED when there is none."""
        return await ordered(lambda: orders.close(request.id))
