from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from bellwether.messages.envelope import DeadLetter, Event
from bellwether.runtime.bus import Delivery, Message, Pull
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.events import Lanes, RetryPolicy
from bellwether.runtime.handled import REMEMBERED, HandledEvents
from bellwether.runtime.plan import bus_plan
from bellwether.runtime.service import Service
from bellwether.service_row import ServiceRow
from bellwether.storage.store import OutboxEvent
from harness.parts import ROWS, Count, Order, Price, Switches, ledger, shop
from harness.system import System, running
from harness.until import until


@pytest.fixture
def switches() -> Switches:
    return Switches()


@pytest.fixture(params=[False, True], ids=["commits at once", "commits in groups"])
async def system(request: pytest.FixtureRequest, tmp_path: Path, switches: Switches) -> AsyncIterator[System]:
    builds = {"shop": partial(shop, switches=switches), "ledger": partial(ledger, switches=switches)}
    async with running(builds, data_dir=tmp_path, rows=ROWS, group_commit=request.param) as found:
        yield found


async def booked(system: System) -> list[str]:
    found: Count = await system.call("ledger", "count", None, Count)
    return found.orders


async def test_an_order_leads_to_an_event_and_its_effect(system: System) -> None:
    await system.call("shop", "order", Order("a"), Price)
    await system.settle("ledger", "order_taken-a")
    assert await booked(system) == ["a"]


async def test_a_repeated_step_has_no_second_effect(system: System) -> None:
    for _ in range(3):
        await system.call("shop", "order", Order("a"), Price)
    await system.settle("ledger", "order_taken-a")
    assert await booked(system) == ["a"]


async def test_the_same_order_in_another_run_is_another_event(system: System) -> None:
    for run in ("first", "second"):
        await system.call("shop", "order", Order("a"), Price, run=run)
        await system.settle("ledger", "order_taken-a", run=run)
    assert await booked(system) == ["a", "a"]


async def test_an_event_that_fails_comes_again(system: System, switches: Switches) -> None:
    switches.fail_times = 2
    await system.call("shop", "order", Order("a"), Price)
    await system.settle("ledger", "order_taken-a")
    assert switches.handled == ["a", "a", "a"]
    assert await booked(system) == ["a"]


async def test_an_event_that_always_fails_becomes_a_dead_letter(system: System, switches: Switches) -> None:
    letters: list[DeadLetter] = []

    def dead(message: Message) -> None:
        letters.append(msgspec.json.decode(message.body, type=DeadLetter))

    await system.context.bus.subscribe("bw.dead.ledger.order_poison", dead)
    await system.call("shop", "order", Order("poison"), Price)
    with pytest.raises(RpcError) as raised:
        await system.settle("ledger", "order_poison-poison")
    assert raised.value.code == "NOT_SETTLED"
    assert raised.value.detail == {"dead": ["order_poison-poison"]}
    assert len(switches.handled) == 3
    assert (letters[0].service, letters[0].attempts) == ("ledger", 3)
    assert letters[0].error == "RuntimeError: it does not work now"
    assert '"name":"poison"' in letters[0].body


async def test_an_event_that_the_bus_cannot_carry_becomes_a_dead_letter_and_holds_back_nothing(
    system: System,
) -> None:
    letters: list[DeadLetter] = []
    bus, store = system.context.bus, system.services["shop"].context.store
    assert store is not None
    await bus.subscribe(
        "bw.dead.shop.notice", lambda message: letters.append(msgspec.json.decode(message.body, type=DeadLetter))
    )
    large = b"x" * (bus.max_payload + 1)
    # Committed when the bus carried more.
    await store.transact(lambda tx: tx.outbox(OutboxEvent("id-1", "bw.event.normal.notice", None, large)))
    await system.call("shop", "order", Order("a"), Price)
    await system.settle("ledger", "order_taken-a")
    await system.settle("shop")
    (letter,) = letters
    assert (letter.service, letter.subject, letter.message_id) == ("shop", "bw.event.normal.notice", "id-1")
    assert letter.error.startswith("it cannot be published: message of ")
    assert f"over the bus's limit of {bus.max_payload} bytes" in letter.error
    assert letter.body.startswith("xxx")
    health = await system.call("shop", "health")
    assert health["last_error"].startswith("notice: it cannot be published")
    metrics = await system.call("shop", "metrics")
    assert 'bellwether_events_total{outcome="dead",service="shop",type="notice"} 1.0' in metrics["text"]
    assert await store.waiting(0, 10) == []


async def test_an_event_that_is_published_at_once_and_too_large_becomes_a_dead_letter(system: System) -> None:
    letters: list[DeadLetter] = []
    bus, call = system.context.bus, system.services["shop"].call()
    await bus.subscribe(
        "bw.dead.shop.order_taken", lambda message: letters.append(msgspec.json.decode(message.body, type=DeadLetter))
    )
    await call.publish_event("order_taken", Order("x" * bus.max_payload), event_id="big")
    await until(lambda: letters)
    assert (letters[0].subject.rpartition(".")[2], letters[0].truncated) == ("order_taken", True)
    assert len(letters[0].body) == bus.max_payload // 3


async def test_settle_names_what_is_missing_when_its_time_is_over(system: System) -> None:
    await system.call("shop", "order", Order("a"), Price)
    with pytest.raises(RpcError) as raised:
        await system.settle("ledger", "order_taken-a", "order_taken-never", budget=0.4)
    assert raised.value.detail == {"missing": ["order_taken-never"]}


async def test_settle_without_events_makes_all_durable(system: System, tmp_path: Path) -> None:
    await system.call("shop", "order", Order("a"), Price)
    await system.settle("shop")
    store = system.services["shop"].context.store
    assert store is not None
    assert await store.waiting(0, 10) == []


async def test_settle_after_a_restart_knows_what_was_done_before(tmp_path: Path) -> None:
    switches = Switches()
    builds = {"shop": partial(shop, switches=switches), "ledger": partial(ledger, switches=switches)}
    async with running(builds, data_dir=tmp_path, rows=ROWS) as system:
        await system.call("shop", "order", Order("a"), Price)
        await system.settle("ledger", "order_taken-a")
    async with running(builds, data_dir=tmp_path, rows=ROWS) as system:
        await system.settle("ledger", "order_taken-a", budget=2.0)
        assert await booked(system) == ["a"]


async def test_what_was_not_published_before_a_restart_is_published_after(tmp_path: Path) -> None:
    switches = Switches()
    build = partial(shop, switches=switches)
    async with running({"shop": build}, data_dir=tmp_path, rows=ROWS) as system:
        service = system.services["shop"]
        assert service.relay is not None
        await service.relay.stop(0.0)
        event = service.call().event("order_taken", Order("owed"), event_id="order_taken-owed")
        store = service.context.store
        assert store is not None
        await store.transact(lambda tx: tx.outbox(event))
        service.relay = None
    async with running(
        {"shop": build, "ledger": partial(ledger, switches=switches)}, data_dir=tmp_path, rows=ROWS
    ) as system:
        await system.settle("ledger", "order_taken-owed", budget=5.0)
        assert switches.handled == ["owed"]


ORDERED = {
    "source": ServiceRow("source", "publishes", publishes={"step": "high"}),
    "follower": ServiceRow("follower", "follows in order", consumes=("step",), ordered=True),
}


async def test_an_ordered_service_handles_one_at_a_time_in_order_even_when_one_fails(tmp_path: Path) -> None:
    handled: list[str] = []
    failures = {"2": 2, "5": 1}
    busy = 0

    def follower(context: ServiceContext) -> Service:
        service = Service("follower", context, retry=RetryPolicy(5, (0.01,)))

        @service.on_event("step")
        async def step(event: Event[Order], call: Call) -> None:
            nonlocal busy
            busy += 1
            assert busy == 1
            await asyncio.sleep(0)
            busy -= 1
            if failures.get(event.data.name, 0):
                failures[event.data.name] -= 1
                raise RuntimeError("not yet")
            handled.append(event.data.name)

        return service

    def source(context: ServiceContext) -> Service:
        return Service("source", context)

    async with running({"source": source, "follower": follower}, data_dir=tmp_path, rows=ORDERED) as system:
        call = system.services["source"].call()
        for number in range(8):
            await call.publish_event("step", Order(str(number)), event_id=f"step-{number}")
        await until(lambda: len(handled) == 8)
        assert handled == [str(number) for number in range(8)]


async def test_what_waits_in_order_is_handled_together_and_one_by_one_where_that_fails(tmp_path: Path) -> None:
    """In one process, where nothing overtakes an event that comes again; `one` tells of what was handled alone."""
    handled: list[str] = []
    failures = {"together": 1, "3": 2}
    may_begin = asyncio.Event()

    def fail(name: str) -> None:
        if failures.get(name, 0):
            failures[name] -= 1
            raise RuntimeError("not yet")

    def follower(context: ServiceContext) -> Service:
        service = Service("follower", context, retry=RetryPolicy(5, (0.01,)))

        async def together(arrived: Sequence[tuple[Event[Order], Call]]) -> None:
            fail("together")
            assert [call.request_id for _, call in arrived] == [event.id for event, _ in arrived]
            handled.append(" ".join(event.data.name for event, _ in arrived))

        @service.on_event("step", together=together)
        async def step(event: Event[Order], call: Call) -> None:
            await may_begin.wait()
            fail(event.data.name)
            handled.append(f"one {event.data.name}")

        return service

    builds = {"source": lambda context: Service("source", context), "follower": follower}
    async with running(builds, data_dir=tmp_path, rows=ORDERED, group_commit=True) as system:
        call = system.services["source"].call()

        async def publish(first: int, last: int) -> None:
            for number in range(first, last):
                await call.publish_event("step", Order(str(number)), event_id=f"step-{number}")

        await publish(0, 1)
        await until(lambda: system.services["follower"].consumer.in_flight == 1)
        await publish(1, 5)
        may_begin.set()
        await until(lambda: len(handled) == 5)
        await publish(5, 8)
        await system.settle("follower", *(f"step-{number}" for number in range(8)))
        assert handled == ["one 0", "one 1", "one 2", "one 3", "one 4", "5 6 7"]
        assert system.services["follower"].consumer.in_flight == 0


async def test_over_a_bus_that_outlives_the_process_one_is_under_way_at_a_time() -> None:
    def pending(**more: bool) -> set[int]:
        return {one.max_ack_pending for one in bus_plan(ORDERED, **more).consumers if one.name.startswith("follower")}

    assert (pending(), pending(one_process=True)) == ({1}, {256})


async def test_a_long_handler_keeps_its_event_to_itself(tmp_path: Path) -> None:
    began: list[str] = []
    may_end = asyncio.Event()

    def follower(context: ServiceContext) -> Service:
        service = Service("follower", context)
        service.consumer._heartbeat = 0.02

        @service.on_event("step")
        async def step(event: Event[Order], call: Call) -> None:
            began.append(event.id)
            await may_end.wait()

        return service

    builds = {"source": lambda context: Service("source", context), "follower": follower}
    async with running(builds, data_dir=tmp_path, rows=ORDERED, ack_wait=0.5) as system:
        await system.services["source"].call().publish_event("step", Order("a"), event_id="a")
        await until(lambda: began)
        # Twice as long as the bus would wait for a sign of life, which comes 25 times in that time.
        end = asyncio.get_running_loop().time() + 1.0
        await until(lambda: asyncio.get_running_loop().time() > end)
        may_end.set()
        await system.settle("follower", "a")
        assert began == ["a"]


RANKED: dict[str, ServiceRow] = {
    "source": ServiceRow("source", "publishes", publishes={"step": ("normal", "high", "urgent")}),
    "follower": ServiceRow("follower", "hears them all", consumes=("st*",)),
}


async def test_a_type_of_several_priorities_is_heard_with_each_and_has_its_first_when_none_is_named(
    tmp_path: Path,
) -> None:
    heard: dict[str, str] = {}

    def follower(context: ServiceContext) -> Service:
        service = Service("follower", context)

        @service.on_event("st*")
        async def step(event: Event[Order], call: Call) -> None:
            heard[event.id] = event.priority

        return service

    builds = {"source": lambda context: Service("source", context), "follower": follower}
    async with running(builds, data_dir=tmp_path, rows=RANKED) as system:
        call = system.services["source"].call()
        await call.publish_event("step", Order("a"), event_id="unnamed")
        for priority in ("normal", "high", "urgent"):
            await call.publish_event("step", Order("a"), event_id=priority, priority=priority)
        await system.settle("follower", "unnamed", "normal", "high", "urgent")
    assert heard == {"unnamed": "normal", "normal": "normal", "high": "high", "urgent": "urgent"}


class _FullLane:
    def __init__(self, name: str, left: int) -> None:
        self.name = name
        self.left = left

    def take(self) -> Delivery | None:
        if not self.left:
            return None
        self.left -= 1
        return cast("Delivery", self)

    def untaken(self) -> tuple[Delivery, ...]:
        return ()

    async def stop(self) -> None:
        return None


def test_urgent_goes_first_and_normal_gets_every_tenth() -> None:
    pulls: list[Pull] = [_FullLane("urgent", 100), _FullLane("high", 100), _FullLane("normal", 100)]
    lanes = Lanes(pulls)
    taken: list[Any] = [lanes.take() for _ in range(60)]
    names = [one.name for one in taken]
    assert names.count("urgent") == 54
    assert [index for index, name in enumerate(names, 1) if name == "normal"] == [10, 20, 30, 40, 50, 60]


def test_the_pauses_between_attempts_grow_and_then_stay() -> None:
    policy = RetryPolicy(6, (0.2, 1.0, 5.0))
    assert [policy.pause(attempt) for attempt in (1, 2, 3, 4, 9)] == [0.2, 1.0, 5.0, 5.0, 5.0]


def test_what_is_remembered_of_handled_events_does_not_grow_for_ever() -> None:
    settled = HandledEvents()
    for number in range(REMEMBERED + 3):
        settled.done("run", f"event-{number}")
    newest = [f"event-{number}" for number in range(3, REMEMBERED + 3)]
    assert settled.missing("run", newest) == []
    # An older one is asked for in the store.
    assert settled.missing("run", ["event-0", "event-2", "event-3"]) == ["event-0", "event-2"]
