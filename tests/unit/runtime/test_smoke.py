from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Column, MetaData, String, Table, insert, select

from bellwether.messages.envelope import Event
from bellwether.runtime.call import Call, ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.storage.store import Transaction
from bellwether.topology import ServiceRow
from harness.system import running


class Ask(msgspec.Struct, frozen=True):
    symbol: str
    amount: Decimal = Decimal("1.50")


class Said(msgspec.Struct, frozen=True):
    symbol: str
    amount: Decimal


ROWS = {
    "asker": ServiceRow(
        "asker", "asks", calls={"teller": ("tell",)}, serves=("ask",), publishes={"asked": "high"}, store="asker.db"
    ),
    "teller": ServiceRow("teller", "tells", serves=("tell",), consumes=("asked",), store="teller.db"),
}

meta = MetaData()
notes = Table("notes", meta, Column("id", String, primary_key=True))
meta2 = MetaData()
seen = Table("seen", meta2, Column("id", String, primary_key=True))


def asker(context: ServiceContext) -> Service:
    store = context.open_store(meta)
    service = Service("asker", context)

    @service.rpc("ask")
    async def ask(request: Ask, call: Call) -> Said:
        with call.start_root("decision", call.decision_trace(request.symbol)) as work:
            said = await work.request("teller", "tell", request, Said)
            event = work.event("asked", said, event_id=f"asked-{request.symbol}")

            def work_in(tx: Transaction) -> None:
                tx.execute(insert(notes), {"id": request.symbol})
                tx.outbox(event)

            await store.transact(work_in)
        return said

    return service


def teller(context: ServiceContext) -> Service:
    store = context.open_store(meta2)
    service = Service("teller", context)

    @service.rpc("tell")
    async def tell(request: Ask, call: Call) -> Said:
        return Said(request.symbol, request.amount * 2)

    @service.on_event("asked")
    async def asked(event: Event[Said], call: Call) -> None:
        def work(tx: Transaction) -> None:
            if tx.claim(event.run, event.id):
                tx.execute(insert(seen), {"id": event.data.symbol})

        await store.transact(work)

    return service


@pytest.mark.parametrize("group_commit", [False, True])
async def test_a_request_leads_to_an_event_and_its_effect(tmp_path: Path, group_commit: bool) -> None:
    async with running(
        {"asker": asker, "teller": teller}, data_dir=tmp_path, rows=ROWS, group_commit=group_commit
    ) as system:
        said = await system.call("asker", "ask", Ask("CBA.AX"), Said)
        assert said == Said("CBA.AX", Decimal("3.00"))
        await system.settle("teller", "asked-CBA.AX", budget=5)
        store = system.services["teller"].context.store
        assert store is not None
        assert await store.transact(lambda tx: tx.execute(select(seen.c.id)).scalars().all()) == ["CBA.AX"]
        with pytest.raises(RpcError, match="symbol"):
            await system.call("teller", "tell", {})
        with pytest.raises(RpcError, match="UNKNOWN_METHOD"):
            await system.call("teller", "yell", {})
        assert system.services["asker"].context.telemetry.waiting + system.services["asker"].context.telemetry.sent >= 2
