"""Two small services that the tests of the runtime run over both buses: a shop takes orders, a ledger books them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select

from bellwether.messages.envelope import Event
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.events import RetryPolicy
from bellwether.runtime.service import Service
from bellwether.service_row import ServiceRow
from bellwether.storage.store import Transaction

ROWS: Mapping[str, ServiceRow] = {
    "shop": ServiceRow(
        "shop",
        "takes orders",
        calls={"ledger": ("price", "count")},
        serves=("order", "nested"),
        publishes={"order_taken": "high", "order_poison": "high", "notice": ("normal", "urgent")},
        store="shop.db",
    ),
    "ledger": ServiceRow(
        "ledger",
        "books orders",
        serves=("price", "count", "slow", "crash", "refuse", "large"),
        consumes=("order_*",),
        store="books.db",
    ),
    "gateway": ServiceRow("gateway", "writes the declaration"),
}


class Order(msgspec.Struct, frozen=True):
    name: str
    quantity: int = 1


class Price(msgspec.Struct, frozen=True):
    name: str
    amount: int


class Count(msgspec.Struct, frozen=True):
    orders: list[str]


class Text(msgspec.Struct, frozen=True):
    text: str


@dataclass
class Switches:
    """What a test makes the services do."""

    fail_times: int = 0
    handled: list[str] = field(default_factory=list)
    slow_began: asyncio.Event = field(default_factory=asyncio.Event)
    slow_may_end: asyncio.Event = field(default_factory=asyncio.Event)
    remaining: list[float] = field(default_factory=list)

    def handled_at_least(self, number: int) -> bool:
        """Whether so many different orders reached the handler."""
        return len(set(self.handled)) >= number


def shop(context: ServiceContext, switches: Switches) -> Service:
    tables = MetaData()
    orders = Table("orders", tables, Column("name", String, primary_key=True))
    store = context.open_store(tables)
    service = Service("shop", context)

    @service.rpc("order")
    async def order(request: Order, call: Call) -> Price:
        with call.start_root("order", call.decision_trace(request.name)) as work:
            price = await work.request("ledger", "price", request, Price, idempotent=True)
            kind = "order_poison" if request.name.startswith("poison") else "order_taken"

            def book(tx: Transaction) -> None:
                known = tx.execute(select(orders.c.name).where(orders.c.name == request.name)).first()
                if known is None:
                    tx.execute(insert(orders), {"name": request.name})
                tx.outbox(work.event(kind, request, event_id=f"{kind}-{request.name}"))

            await store.transact(book)
        return price

    @service.rpc("nested")
    async def nested(request: Order, call: Call) -> Price:
        return await call.request("ledger", "price", request, Price)

    return service


def ledger(context: ServiceContext, switches: Switches) -> Service:
    tables = MetaData()
    booked = Table("booked", tables, Column("number", Integer, primary_key=True), Column("name", String))
    store = context.open_store(tables)
    service = Service("ledger", context, retry=RetryPolicy(3, (0.02,)))

    @service.rpc("price")
    async def price(request: Order, call: Call) -> Price:
        switches.remaining.append(call.remaining)
        return Price(request.name, 10 * request.quantity)

    @service.rpc("count")
    async def count(call: Call) -> Count:
        names = await store.transact(lambda tx: tx.execute(select(booked.c.name)).scalars().all())
        return Count([str(name) for name in names])

    @service.rpc("slow")
    async def slow(call: Call) -> Text:
        switches.slow_began.set()
        await switches.slow_may_end.wait()
        return Text("done")

    @service.rpc("crash")
    async def crash(call: Call) -> Text:
        raise RuntimeError("the password is hunter2")

    @service.rpc("refuse")
    async def refuse(call: Call) -> Text:
        raise RpcError("RISK_LIMIT", "the limit is 5", limit=5)

    @service.rpc("large")
    async def large(call: Call) -> Text:
        return Text("x" * (context.bus.max_payload + 1))

    @service.on_event("order_*")
    async def taken(event: Event[Order], call: Call) -> None:
        switches.handled.append(event.data.name)
        if event.type == "order_poison" or switches.fail_times > 0:
            switches.fail_times -= 1
            raise RuntimeError("it does not work now")

        def book(tx: Transaction) -> None:
            if tx.claim(event.run, event.id):
                tx.execute(insert(booked), {"name": event.data.name})

        await store.transact(book)

    return service
