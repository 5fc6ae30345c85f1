"""What a bus promises, asked of both: the same tests run over `MemoryBus` and over a real NATS server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from bellwether.naming import consumer_name, event_subject
from bellwether.runtime.bus import (
    Bus,
    BusUnreachable,
    Delivery,
    Message,
    NoResponder,
    PayloadTooLarge,
    Pull,
    RequestTimeout,
)
from bellwether.runtime.memory_bus import MemoryBroker
from bellwether.runtime.plan import bus_plan, ensure
from bellwether.service_row import ServiceRow
from harness.nats import nats_server
from harness.until import DEADLINE, until

pytestmark = pytest.mark.integration

ACK_WAIT = 4.0
"""Far longer than a process waits for a processor that many share."""

ROWS = {
    "sender": ServiceRow(
        "sender",
        "publishes and asks",
        calls={"worker": ("echo", "slow", "void"), "nobody": ("echo",)},
        publishes={"order_filled": "urgent", "order_queued": "high", "bars": "normal", "other": "normal"},
    ),
    "worker": ServiceRow("worker", "consumes", serves=("echo", "slow", "void"), consumes=("order_*", "bars")),
    "clerk": ServiceRow("clerk", "consumes in order", consumes=("bars",), ordered=True),
    "gateway": ServiceRow("gateway", "writes the declaration"),
    "nobody": ServiceRow("nobody", "is not there", serves=("echo",)),
}


class Lab:
    """One bus and the connections a test opened on it."""

    def __init__(self, kind: str, make: Callable[[str], Bus]) -> None:
        self.kind = kind
        self._make = make
        self._open: list[Bus] = []

    async def connect(self, identity: str) -> Bus:
        bus = self._make(identity)
        self._open.append(bus)
        await bus.start()
        assert await bus.wait_connected(DEADLINE)
        return bus

    async def close(self) -> None:
        for bus in self._open:
            await bus.close()


@pytest.fixture(params=["memory", "nats"])
async def lab(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Lab]:
    if request.param == "memory":
        broker = MemoryBroker()
        await ensure(broker.connect("bootstrap"), bus_plan(ROWS, ack_wait=ACK_WAIT))
        lab = Lab("memory", broker.connect)
        yield lab
        await lab.close()
        return
    async with nats_server(tmp_path / "nats", ROWS, ack_wait=ACK_WAIT) as server:
        lab = Lab("nats", server.connect)
        yield lab
        await lab.close()


class Lane:
    """A pull and the deliveries that a test took from it."""

    def __init__(self) -> None:
        self._arrived = asyncio.Event()
        self.pull: Pull | None = None

    async def open(self, bus: Bus, service: str, priority: str, batch: int = 64) -> Lane:
        self.pull = await bus.pull("EVENTS", consumer_name(service, priority), self._arrived.set, batch=batch)
        return self

    async def next(self) -> Delivery:
        assert self.pull is not None
        async with asyncio.timeout(DEADLINE):
            while True:
                self._arrived.clear()
                delivery = self.pull.take()
                if delivery is not None:
                    return delivery
                await self._arrived.wait()

    def empty(self) -> bool:
        assert self.pull is not None
        return not self.pull.untaken()


def answering(work: Callable[[Message], Coroutine[Any, Any, None]]) -> Callable[[Message], None]:
    tasks = set()

    def arrived(message: Message) -> None:
        task = asyncio.ensure_future(work(message))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return arrived


async def echo(message: Message) -> None:
    await message.respond(message.body + str((message.headers or {}).get("traceparent", "")).encode())


async def test_a_request_gets_the_reply_with_its_headers_seen(lab: Lab) -> None:
    sender, worker = await lab.connect("sender"), await lab.connect("worker")
    await worker.subscribe("bw.rpc.worker.*", answering(echo), queue="worker")
    assert await sender.request("bw.rpc.worker.echo", b"one", timeout=DEADLINE) == b"one"
    assert (
        await sender.request("bw.rpc.worker.echo", b"two ", timeout=DEADLINE, headers={"traceparent": "00-1"})
        == b"two 00-1"
    )


async def test_a_request_without_responder_fails_at_once(lab: Lab) -> None:
    sender = await lab.connect("sender")
    with pytest.raises(NoResponder):
        await sender.request("bw.rpc.nobody.echo", b"", timeout=DEADLINE * 100)


async def test_a_request_that_nobody_answers_times_out(lab: Lab) -> None:
    sender, worker = await lab.connect("sender"), await lab.connect("worker")
    await worker.subscribe("bw.rpc.worker.*", lambda _: None, queue="worker")
    with pytest.raises(RequestTimeout):
        await sender.request("bw.rpc.worker.void", b"", timeout=0.05)


async def test_each_request_goes_to_one_member_of_the_queue_group(lab: Lab) -> None:
    sender = await lab.connect("sender")
    members = [await lab.connect("worker") for _ in range(2)]
    handled: list[int] = [0, 0]

    def member(number: int) -> Callable[[Message], None]:
        async def work(message: Message) -> None:
            handled[number] += 1
            await message.respond(b"")

        return answering(work)

    for number, bus in enumerate(members):
        await bus.subscribe("bw.rpc.worker.*", member(number), queue="worker")
    await asyncio.gather(*(sender.request("bw.rpc.worker.echo", b"", timeout=DEADLINE) for _ in range(60)))
    assert sum(handled) == 60
    assert all(handled)


async def test_handlers_run_beside_each_other(lab: Lab) -> None:
    sender, worker = await lab.connect("sender"), await lab.connect("worker")
    together = 0
    all_there = asyncio.Event()

    async def work(message: Message) -> None:
        nonlocal together
        together += 1
        if together == 10:
            all_there.set()
        await all_there.wait()
        await message.respond(b"")

    await worker.subscribe("bw.rpc.worker.*", answering(work), queue="worker")
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(sender.request("bw.rpc.worker.slow", b"", timeout=DEADLINE) for _ in range(10)))


async def test_what_is_too_large_is_refused_before_it_is_sent(lab: Lab) -> None:
    sender = await lab.connect("sender")
    body = b"x" * (sender.max_payload + 1)
    with pytest.raises(PayloadTooLarge):
        await sender.request("bw.rpc.worker.echo", body, timeout=DEADLINE)
    with pytest.raises(PayloadTooLarge):
        await sender.publish_event(event_subject("normal", "bars"), body, message_id="large")


async def test_what_is_too_large_only_with_its_headers_is_refused_and_the_connection_lives_on(lab: Lab) -> None:
    sender, worker = await lab.connect("sender"), await lab.connect("worker")
    await worker.subscribe("bw.rpc.worker.*", answering(echo), queue="worker")
    subject, headers = event_subject("normal", "bars"), {"traceparent": "00-1"}
    size = len(b"NATS/1.0\r\ntraceparent: 00-1\r\nNats-Msg-Id: large\r\n\r\n")
    fits = b"x" * (sender.max_payload - size)
    for _ in range(3):
        with pytest.raises(PayloadTooLarge):
            await sender.publish_event(subject, fits + b"x", message_id="large", headers=headers)
    with pytest.raises(PayloadTooLarge):
        await sender.request("bw.rpc.worker.echo", b"x" * sender.max_payload, timeout=DEADLINE, headers=headers)
    assert await sender.publish_event(subject, fits, message_id="large", headers=headers)
    assert await sender.request("bw.rpc.worker.echo", b"one", timeout=DEADLINE) == b"one"


async def publish(bus: Bus, priority: str, event_type: str, name: str) -> bool:
    return await bus.publish_event(
        event_subject(priority, event_type), name.encode(), message_id=name, headers={"traceparent": f"of {name}"}
    )


async def test_an_event_comes_in_the_lane_of_its_priority_with_id_and_headers(lab: Lab) -> None:
    sender, worker = await lab.connect("sender"), await lab.connect("worker")
    await publish(sender, "urgent", "order_filled", "filled")
    await publish(sender, "high", "order_queued", "queued")
    await publish(sender, "normal", "bars", "bars")
    await publish(sender, "normal", "other", "not for the worker")
    for priority, name in (("urgent", "filled"), ("high", "queued"), ("normal", "bars")):
        lane = await Lane().open(worker, "worker", priority)
        delivery = await lane.next()
        assert (delivery.body.decode(), delivery.message_id, delivery.attempts) == (name, name, 1)
        assert delivery.headers is not None
        assert delivery.headers["traceparent"] == f"of {name}"
        await delivery.ack(confirmed=True)
        assert lane.empty()


async def test_a_repeated_id_is_dropped(lab: Lab) -> None:
    sender, worker = await lab.connect("sender"), await lab.connect("worker")
    lane = await Lane().open(worker, "worker", "normal")
    assert await publish(sender, "normal", "bars", "once")
    assert not await publish(sender, "normal", "bars", "once")
    assert await publish(sender, "normal", "bars", "last")
    assert [(await lane.next()).body for _ in range(2)] == [b"once", b"last"]


async def test_a_refused_event_comes_again_after_its_pause(lab: Lab) -> None:
    sender, worker = await lab.connect("sender"), await lab.connect("worker")
    lane = await Lane().open(worker, "worker", "normal")
    await publish(sender, "normal", "bars", "one")
    first = await lane.next()
    before = time.monotonic()
    await first.nak(0.2)
    second = await lane.next()
    assert (second.body, second.attempts) == (b"one", 2)
    assert time.monotonic() - before >= 0.19
    await second.nak(0)
    third = await lane.next()
    assert third.attempts == 3
    await third.ack(confirmed=True)


async def test_an_event_without_a_sign_of_life_comes_again_and_one_with_does_not(lab: Lab) -> None:
    sender, worker = await lab.connect("sender"), await lab.connect("worker")
    lane = await Lane().open(worker, "worker", "normal")
    await publish(sender, "normal", "bars", "dead")
    await publish(sender, "normal", "bars", "busy")
    dead, busy = await lane.next(), await lane.next()
    assert (dead.body, busy.body) == (b"dead", b"busy")

    async def beat() -> None:
        while True:
            await busy.in_progress()
            await asyncio.sleep(ACK_WAIT / 5)

    beating = asyncio.ensure_future(beat())
    again = await lane.next()
    assert (again.body, again.attempts) == (b"dead", 2)
    await again.ack(confirmed=True)
    await busy.ack(confirmed=True)
    beating.cancel()


async def test_what_was_given_up_never_comes_again(lab: Lab) -> None:
    sender, worker = await lab.connect("sender"), await lab.connect("worker")
    lane = await Lane().open(worker, "worker", "normal")
    await publish(sender, "normal", "bars", "poison")
    await (await lane.next()).term()
    await publish(sender, "normal", "bars", "next")
    assert (await lane.next()).body == b"next"


async def test_an_ordered_consumer_keeps_the_order_when_an_event_comes_again(lab: Lab) -> None:
    sender, clerk = await lab.connect("sender"), await lab.connect("clerk")
    lane = await Lane().open(clerk, "clerk", "normal", batch=1)
    for number in range(5):
        await publish(sender, "normal", "bars", str(number))
    handled: list[bytes] = []
    refused = False
    while len(handled) < 5:
        delivery = await lane.next()
        if delivery.body == b"2" and not refused:
            refused = True
            await delivery.nak(0.05)
            continue
        handled.append(delivery.body)
        await delivery.ack(confirmed=True)
    assert handled == [b"0", b"1", b"2", b"3", b"4"]


async def test_events_sent_while_the_consumer_was_unreachable_are_there_when_it_returns(lab: Lab) -> None:
    sender, worker = await lab.connect("sender"), await lab.connect("worker")
    lane = await Lane().open(worker, "worker", "normal")
    await publish(sender, "normal", "bars", "taken and lost")
    await lane.next()
    await worker.close()
    await publish(sender, "normal", "bars", "sent meanwhile")
    worker = await lab.connect("worker")
    lane = await Lane().open(worker, "worker", "normal")
    got: set[bytes] = set()
    while len(got) < 2:
        delivery = await lane.next()
        got.add(delivery.body)
        await delivery.ack(confirmed=True)
    assert got == {b"taken and lost", b"sent meanwhile"}


async def test_stopping_a_pull_gives_back_what_was_not_taken(lab: Lab) -> None:
    sender, worker = await lab.connect("sender"), await lab.connect("worker")
    lane = await Lane().open(worker, "worker", "normal")
    for number in range(20):
        await publish(sender, "normal", "bars", str(number))
    taken = await lane.next()
    assert lane.pull is not None
    await lane.pull.stop()
    await taken.ack(confirmed=True)
    lane = await Lane().open(await lab.connect("worker"), "worker", "normal")
    got: set[bytes] = set()
    async with asyncio.timeout(DEADLINE):
        while len(got) < 19:
            delivery = await lane.next()
            got.add(delivery.body)
            await delivery.ack(confirmed=True)
    assert taken.body not in got


async def test_many_events_flow_through_a_small_buffer(lab: Lab) -> None:
    sender, worker = await lab.connect("sender"), await lab.connect("worker")
    lane = await Lane().open(worker, "worker", "normal", batch=8)
    for start in range(0, 500, 50):
        await asyncio.gather(*(publish(sender, "normal", "bars", str(n)) for n in range(start, start + 50)))
    got: set[bytes] = set()
    while len(got) < 500:
        delivery = await lane.next()
        got.add(delivery.body)
        await delivery.ack()
    assert len(got) == 500


async def test_a_key_is_read_put_and_watched(lab: Lab) -> None:
    gateway, worker = await lab.connect("gateway"), await lab.connect("worker")
    assert await worker.kv_get("declaration", "current") is None
    first = await gateway.kv_put("declaration", "current", b"1")
    seen: list[bytes] = []
    await worker.kv_watch("declaration", ["current"], lambda _, value: seen.append(value))
    await until(lambda: seen == [b"1"])
    second = await gateway.kv_put("declaration", "current", b"2")
    assert second > first
    await until(lambda: seen[-1] == b"2")
    assert await worker.kv_get("declaration", "current") == (b"2", second)


async def test_acknowledgements_of_several_services_are_watched_together(lab: Lab) -> None:
    gateway, worker, clerk = [await lab.connect(name) for name in ("gateway", "worker", "clerk")]
    seen: dict[str, bytes] = {}
    await worker.kv_put("acks", "worker", b"early")
    await gateway.kv_watch("acks", ["worker", "clerk"], seen.__setitem__)
    await clerk.kv_put("acks", "clerk", b"late")
    await until(lambda: seen == {"worker": b"early", "clerk": b"late"})


async def test_a_closed_connection_says_so(lab: Lab) -> None:
    sender = await lab.connect("sender")
    await sender.close()
    assert not sender.connected
    with pytest.raises(BusUnreachable):
        await sender.request("bw.rpc.worker.echo", b"", timeout=1)
    with pytest.raises(BusUnreachable):
        await publish(sender, "normal", "bars", "late")


async def test_stopping_a_subscription_delivers_what_was_on_its_way_first(lab: Lab) -> None:
    sender, worker = await lab.connect("sender"), await lab.connect("worker")
    subscription = await worker.subscribe("bw.rpc.worker.*", answering(echo), queue="worker")
    replies = [asyncio.ensure_future(sender.request("bw.rpc.worker.echo", b"x", timeout=DEADLINE)) for _ in range(50)]
    await asyncio.sleep(0)
    await subscription.stop()
    done = await asyncio.gather(*replies, return_exceptions=True)
    # Nobody waits in vain: each was answered, or was answered at once that there is nobody.
    assert all(one == b"x" or isinstance(one, NoResponder) for one in done)
