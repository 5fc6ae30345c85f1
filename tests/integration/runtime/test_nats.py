"""What only a real server can show: it goes away, it refuses, it is made ready by bootstrap alone."""

from __future__ import annotations

import asyncio
import base64
import json
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bellwether.messages.envelope import DeadLetter
from bellwether.naming import consumer_name
from bellwether.runtime.bootstrap import NatsAdmin
from bellwether.runtime.bus import BusError, RequestTimeout
from bellwether.runtime.errors import RpcError
from bellwether.runtime.plan import bus_plan
from bellwether.storage.store import OutboxEvent
from harness.nats import NatsServer, nats_server
from harness.parts import ROWS, Count, Order, Price, Switches, ledger, shop
from harness.system import running
from harness.until import DEADLINE, until

pytestmark = pytest.mark.integration


def builds(switches: Switches) -> dict[str, Any]:
    return {"shop": partial(shop, switches=switches), "ledger": partial(ledger, switches=switches)}


async def test_an_order_is_booked_once_although_the_server_is_killed_in_between(tmp_path: Path) -> None:
    switches = Switches()
    async with (
        nats_server(tmp_path / "nats", ROWS, always_sync=True, ack_wait=1.0) as server,
        running(builds(switches), data_dir=tmp_path, rows=ROWS, connect=server.connect) as system,
    ):
        wanted = [f"order-{number}" for number in range(30)]

        async def order_all() -> None:
            for name in wanted:
                while True:
                    try:
                        await system.call("shop", "order", Order(name), Price, budget=2.0)
                        break
                    except Exception:
                        await asyncio.sleep(0.05)

        ordering = asyncio.ensure_future(order_all())
        for booked in (5, 15):
            await until(partial(switches.handled_at_least, booked))
            await server.kill()
            await asyncio.sleep(0)
            await server.start()
        async with asyncio.timeout(DEADLINE):
            await ordering
        await system.connected()
        await system.settle("ledger", *(f"order_taken-{name}" for name in wanted), budget=DEADLINE)
        count = await system.call("ledger", "count", None, Count)
        assert sorted(count.orders) == sorted(wanted)


async def test_under_load_every_event_takes_effect_once_though_the_server_is_killed_again_and_again(
    tmp_path: Path,
) -> None:
    switches, wanted = Switches(), [f"order-{number}" for number in range(400)]
    async with (
        nats_server(tmp_path / "nats", ROWS, always_sync=True, ack_wait=1.0) as server,
        running(builds(switches), data_dir=tmp_path, rows=ROWS, connect=server.connect) as system,
    ):
        left = iter(wanted)

        async def order_some() -> None:
            for name in left:
                # The same order again is the same event again.
                while True:
                    try:
                        await system.call("shop", "order", Order(name), Price, budget=2.0)
                        break
                    except RpcError:
                        await asyncio.sleep(0.02)

        ordering = asyncio.gather(*(order_some() for _ in range(16)))
        for booked in (40, 150, 280):
            await until(partial(switches.handled_at_least, booked))
            await server.kill()
            await asyncio.sleep(0)
            await server.start()
        async with asyncio.timeout(DEADLINE):
            await ordering
        await system.connected()
        await system.settle("ledger", *(f"order_taken-{name}" for name in wanted), budget=DEADLINE)
        count = await system.call("ledger", "count", None, Count)
        assert sorted(count.orders) == sorted(wanted)


async def test_services_wait_for_a_server_that_is_unreachable_at_the_start(tmp_path: Path) -> None:
    switches = Switches()
    async with nats_server(tmp_path / "nats", ROWS, bootstrapped=False) as server:
        await server.kill()

        async def come_back() -> None:
            await asyncio.sleep(0.3)
            await server.start()
            await server.bootstrap()

        returning = asyncio.ensure_future(come_back())
        async with running(builds(switches), data_dir=tmp_path, rows=ROWS, connect=server.connect) as system:
            assert (await system.call("shop", "order", Order("first"), Price)).amount == 10
            await system.settle("ledger", "order_taken-first")
        await returning


async def test_what_was_committed_while_the_server_was_unreachable_is_published_after(tmp_path: Path) -> None:
    switches = Switches()
    async with (
        nats_server(tmp_path / "nats", ROWS) as server,
        running(builds(switches), data_dir=tmp_path, rows=ROWS, connect=server.connect) as system,
    ):
        context = system.services["shop"].context
        store = context.store
        assert store is not None
        await server.stop()
        await until(lambda: not context.bus.connected)
        call = system.services["shop"].call()
        event = call.event("order_taken", Order("owed"), event_id="order_taken-owed")
        await store.transact(lambda tx: tx.outbox(event))
        await server.start()
        await system.connected()
        await system.settle("ledger", "order_taken-owed")
        assert (await system.call("ledger", "count", None, Count)).orders == ["owed"]


async def test_an_event_that_the_server_cannot_carry_is_kept_as_a_dead_letter(tmp_path: Path) -> None:
    switches = Switches()
    async with (
        nats_server(tmp_path / "nats", ROWS) as server,
        running(builds(switches), data_dir=tmp_path, rows=ROWS, connect=server.connect) as system,
        server.connected("bootstrap") as admin,
    ):
        context = system.services["shop"].context
        store = context.store
        assert store is not None
        # It fits only without its headers: the server would end the connection over it, again and again.
        large = b"x" * context.bus.max_payload
        await store.transact(lambda tx: tx.outbox(OutboxEvent("id-1", "bw.event.normal.notice", "00-1", large)))
        await system.call("shop", "order", Order("after"), Price)
        await system.settle("ledger", "order_taken-after")
        await system.settle("shop")
        found = await admin.api("$JS.API.STREAM.MSG.GET.DEAD", {"last_by_subj": "bw.dead.shop.notice"})
        letter = msgspec.json.decode(base64.b64decode(found["message"]["data"]), type=DeadLetter)
        assert (letter.service, letter.message_id) == ("shop", "id-1")
        assert letter.error.startswith("it cannot be published")
        assert await store.waiting(0, 10) == []


async def stored(bus: Any, subject: str, seconds: float = 0.5) -> bool:
    try:
        await bus.ask(subject, b"{}", seconds)
    except BusError:
        return False
    return True


async def test_a_service_reaches_what_its_row_names_and_nothing_else(tmp_path: Path) -> None:
    async with (
        nats_server(tmp_path / "nats", ROWS) as server,
        server.connected("shop") as shop_bus,
        server.connected("ledger") as ledger_bus,
    ):
        assert await stored(shop_bus, "bw.event.high.order_taken", DEADLINE)
        for subject in (
            "bw.event.urgent.order_taken",
            "bw.event.high.halt_changed",
            "$KV.declaration.current",
            "$KV.acks.ledger",
            "$JS.API.STREAM.DELETE.EVENTS",
            "$JS.API.CONSUMER.CREATE.EVENTS.mine",
            f"$JS.API.CONSUMER.MSG.NEXT.EVENTS.{consumer_name('ledger', 'high')}",
        ):
            assert not await stored(shop_bus, subject), subject
        heard: list[str] = []
        for subject in ("bw.event.>", "bw.rpc.>", "_INBOX_ledger.>", "bw.rpc.ledger.*", "$KV.acks.>", ">"):
            await shop_bus.subscribe(subject, lambda message: heard.append(message.subject))
        await ledger_bus.subscribe("bw.rpc.ledger.*", lambda message: None, queue="ledger")
        with pytest.raises(RequestTimeout):
            await shop_bus.request("bw.rpc.ledger.price", b"", timeout=0.3)
        with pytest.raises(RequestTimeout):
            await shop_bus.request("bw.rpc.ledger.shutdown", b"", timeout=0.3)
        await ledger_bus.kv_put("acks", "ledger", b"1")
        assert heard == []


async def test_a_key_of_another_system_is_refused(tmp_path: Path) -> None:
    async with nats_server(tmp_path / "nats", ROWS) as server:
        from bellwether.render.keys import derive_seed
        from bellwether.runtime.nats_bus import NatsBus

        stranger = NatsBus(server.url, "shop", derive_seed(b"another installation's seed", "test", "shop"))
        await stranger.start()
        # The server may reset the connection before its word is read; it is tried again and again.
        await until(lambda: "uthorization" in (stranger.last_error or ""))
        assert not stranger.connected
        await stranger.close()


async def test_bootstrap_changes_what_differs_and_repeats_without_effect(tmp_path: Path) -> None:
    async with nats_server(tmp_path / "nats", ROWS) as server:
        admin_bus = server.connect("bootstrap")
        await admin_bus.start()
        assert await admin_bus.wait_connected(DEADLINE)

        async def config(subject: str) -> dict[str, Any]:
            answer: dict[str, Any] = json.loads(await admin_bus.request(subject, b"{}", timeout=DEADLINE))["config"]
            return answer

        before = await config("$JS.API.STREAM.INFO.EVENTS")
        await server.bootstrap()
        assert await config("$JS.API.STREAM.INFO.EVENTS") == before
        plan = bus_plan(ROWS)
        admin = NatsAdmin(admin_bus)
        from dataclasses import replace

        await admin.ensure_stream(replace(plan.streams[0], max_age=3600.0))
        assert (await config("$JS.API.STREAM.INFO.EVENTS"))["max_age"] == 3600 * 10**9
        await admin.ensure_consumer(replace(plan.consumers[0], ack_wait=7.0))
        found = await config(f"$JS.API.CONSUMER.INFO.EVENTS.{plan.consumers[0].name}")
        assert found["ack_wait"] == 7 * 10**9
        await admin_bus.close()


async def test_bootstrap_says_why_it_could_not(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats", ROWS, always_sync=False, ack_wait=30.0)
    from bellwether.runtime.bootstrap import bootstrap

    with pytest.raises(TimeoutError, match=r"was not ready within 0\.5 s"):
        await bootstrap(server.url, server.seeds["bootstrap"], rows=ROWS, timeout=0.5)


async def test_the_spans_of_an_order_arrive_as_one_tree(tmp_path: Path) -> None:
    switches = Switches()
    async with (
        nats_server(tmp_path / "nats", ROWS) as server,
        running(builds(switches), data_dir=tmp_path, rows=ROWS, connect=server.connect) as system,
    ):
        gateway = server.connect("gateway")
        await gateway.start()
        assert await gateway.wait_connected(DEADLINE)
        spans: dict[str, Any] = {}

        def arrived(message: Any) -> None:
            for resource in ExportTraceServiceRequest.FromString(message.body).resource_spans:
                for scope in resource.scope_spans:
                    spans.update({span.name: span for span in scope.spans})

        await gateway.subscribe("bw.trace.>", arrived)
        await system.call("shop", "order", Order("traced"), Price)
        await until(lambda: {"order", "ledger.price", "order_taken publish", "order_taken process"} <= set(spans))
        root = spans["order"]
        assert root.parent_span_id == b""
        assert spans["ledger.price"].parent_span_id == root.span_id
        assert spans["order_taken publish"].parent_span_id == root.span_id
        assert spans["order_taken process"].parent_span_id == spans["order_taken publish"].span_id
        assert len({span.trace_id for span in spans.values()}) == 1
        await gateway.close()
