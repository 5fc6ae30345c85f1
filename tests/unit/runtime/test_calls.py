from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bellwether.messages.envelope import Event
from bellwether.runtime.bus import Message
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError, StartRefused
from bellwether.runtime.logs import JsonFormatter, LogContext, log_context
from bellwether.runtime.rpc import describe_handler
from bellwether.runtime.service import Service
from harness.parts import ROWS, Count, Order, Price, Switches, Text, ledger, shop
from harness.system import Build, System, running
from harness.until import DEADLINE, until


@pytest.fixture
def switches() -> Switches:
    return Switches()


@pytest.fixture
async def system(tmp_path: Path, switches: Switches) -> AsyncIterator[System]:
    builds = {"shop": partial(shop, switches=switches), "ledger": partial(ledger, switches=switches)}
    async with running(builds, data_dir=tmp_path, rows=ROWS) as found:
        yield found


async def refusal(system: System, service: str, method: str, params: Any = None, **more: Any) -> RpcError:
    with pytest.raises(RpcError) as raised:
        await system.call(service, method, params, **more)
    return raised.value


async def test_an_unknown_method_is_answered_with_the_known_ones(system: System) -> None:
    error = await refusal(system, "ledger", "prise", {})
    assert error.code == "UNKNOWN_METHOD"
    assert "'prise'" in error.message
    assert "price" in error.message


@pytest.mark.parametrize(
    ("params", "words"),
    [({}, "missing required field `name`"), ({"name": 5}, "$.name"), ({"name": "x", "quantity": "two"}, "$.quantity")],
)
async def test_bad_parameters_are_answered_with_the_field(system: System, params: Any, words: str) -> None:
    error = await refusal(system, "ledger", "price", params)
    assert error.code == "INVALID_PARAMS"
    assert words in error.message
    assert error.detail == {"fields": ["name", "quantity"]}


async def test_a_handler_that_crashes_answers_without_its_secret_and_logs_it(
    system: System, caplog: pytest.LogCaptureFixture
) -> None:
    error = await refusal(system, "ledger", "crash")
    assert error.code == "INTERNAL"
    assert "hunter2" not in error.message
    assert "hunter2" in caplog.text
    health = await system.call("ledger", "health")
    assert (health["status"], health["last_error"], health["error_count"]) == ("healthy", "crash: RuntimeError", 1)


async def test_a_refusal_keeps_its_code_and_detail(system: System) -> None:
    error = await refusal(system, "ledger", "refuse")
    assert (error.code, error.message, error.detail) == ("RISK_LIMIT", "the limit is 5", {"limit": 5})


async def test_a_reply_that_is_too_large_is_answered_with_its_size(system: System) -> None:
    error = await refusal(system, "ledger", "large")
    assert error.code == "REPLY_TOO_LARGE"
    assert error.detail["size"] > error.detail["limit"]


async def test_a_request_that_is_too_large_is_refused_by_the_caller(system: System) -> None:
    error = await refusal(system, "ledger", "price", Order("x" * 2**21))
    assert error.code == "REQUEST_TOO_LARGE"


async def test_a_request_that_cannot_be_read_is_answered(system: System) -> None:
    answer = json.loads(await system.context.bus.request("bw.rpc.ledger.price", b"not json", timeout=DEADLINE))
    assert (answer["status"], answer["error"]["code"]) == ("error", "INVALID_REQUEST")


async def test_nested_calls_share_the_callers_time(system: System, switches: Switches) -> None:
    await system.call("shop", "nested", Order("a"), Price, budget=3.0)
    assert 0 < switches.remaining[0] <= 3.0


async def test_a_call_that_takes_too_long_is_reported(system: System, switches: Switches) -> None:
    error = await refusal(system, "ledger", "slow", budget=0.05)
    assert error.code == "DEADLINE_EXCEEDED"


async def test_a_request_whose_time_is_over_is_not_executed(tmp_path: Path) -> None:
    switches = Switches()

    def narrow(context: ServiceContext) -> Service:
        service = ledger(context, switches)
        service.server._free = 1
        return service

    async with running({"ledger": narrow}, data_dir=tmp_path, rows=ROWS) as system:
        first = asyncio.ensure_future(system.call("ledger", "slow", None, Text))
        await switches.slow_began.wait()
        # The only slot is taken: the next waits until its own time is over.
        assert (await refusal(system, "ledger", "price", Order("late"), budget=0.05)).code == "DEADLINE_EXCEEDED"
        # Health and the other built-in methods need no slot.
        assert (await system.call("ledger", "health"))["status"] == "healthy"
        switches.slow_may_end.set()
        assert (await first).text == "done"
        assert (await system.call("ledger", "price", Order("now"), Price)).amount == 10
        assert len(switches.remaining) == 1


async def test_nobody_there_is_unavailable_at_once_unless_it_is_safe_to_repeat(system: System) -> None:
    error = await refusal(system, "nobody", "price", Order("a"))
    assert (error.code, error.message) == ("UNAVAILABLE", "nobody serves nobody.price now")


async def test_an_idempotent_call_is_tried_again(
    system: System, switches: Switches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bellwether.runtime.call.PAUSES", (0.01, 0.02))
    swallowed: list[Message] = []
    bus = system.services["ledger"].context.bus
    await system.services["ledger"].server.stop()
    hole = await bus.subscribe("bw.rpc.ledger.*", swallowed.append, queue="ledger")
    call = system.work(budget=0.6)
    asking = asyncio.ensure_future(call.request("ledger", "price", Order("a"), Price, idempotent=True))
    await until(lambda: swallowed)
    await hole.stop()
    await system.services["ledger"].server.start()
    assert (await asking).amount == 10
    assert len(swallowed) == 1


async def test_the_domain_time_and_run_travel_with_calls_and_events(tmp_path: Path) -> None:
    seen: list[tuple[str, datetime, str]] = []

    def watching(context: ServiceContext) -> Service:
        service = ledger(context, Switches())
        price = service.server.methods["price"]
        taken = service.consumer.subscribers[0]

        async def priced(request: Order, call: Call) -> Price:
            seen.append(("price", call.as_of, call.run))
            return Price("", 0)

        async def arrived(event: Event[Order], call: Call) -> None:
            seen.append(("event", call.as_of, call.run))

        service.server.methods["price"] = price._replace(handler=priced)
        service.consumer.subscribers[0] = taken._replace(handler=arrived)
        return service

    as_of = datetime(2011, 3, 4, 14, 30, tzinfo=UTC)
    builds: dict[str, Build] = {"shop": partial(shop, switches=Switches()), "ledger": watching}
    async with running(builds, data_dir=tmp_path, rows=ROWS) as system:
        await system.call("shop", "order", Order("a"), Price, as_of=as_of, run="run-7")
        await system.settle("ledger", "order_taken-a", run="run-7")
        assert seen == [("price", as_of, "run-7"), ("event", as_of, "run-7")]
        assert system.services["ledger"].context.clock.now() == as_of


async def test_describe_gives_the_schemas_and_metrics_the_counts(system: System) -> None:
    await system.call("ledger", "price", Order("a"), Price)
    described = await system.call("ledger", "describe")
    assert described["consumes"] == ["order_*"]
    assert "name" in json.dumps(described["methods"]["price"]["params"])
    text = (await system.call("ledger", "metrics"))["text"]
    assert 'bellwether_rpc_calls_total{code="OK",method="price",service="ledger"} 1.0' in text


async def test_health_has_the_fields_of_the_service_and_can_be_degraded(system: System) -> None:
    service = system.services["ledger"]
    service.on_health(lambda: {"status": "degraded", "cache_size": 3})
    health = await system.call("ledger", "health")
    assert health["status"] == "degraded"
    assert health["cache_size"] == 3
    assert {"service", "uptime", "memory_usage", "cpu_usage", "last_error", "handlers"} <= set(health)


async def test_shutdown_is_answered_and_asked_for(system: System) -> None:
    assert await system.call("ledger", "shutdown") == {"status": "shutting_down"}
    await asyncio.wait_for(system.services["ledger"].shutdown_requested.wait(), DEADLINE)


async def test_a_service_that_differs_from_its_row_does_not_start(tmp_path: Path) -> None:
    def wrong(context: ServiceContext) -> Service:
        service = Service("ledger", context)

        @service.rpc("extra")
        async def extra(call: Call) -> Text:
            return Text("")

        return service

    with pytest.raises(StartRefused) as refused:
        async with running({"ledger": wrong}, data_dir=tmp_path, rows=ROWS):
            pass
    words = str(refused.value)
    assert "the row serves crash, which has no handler" in words
    assert "there is a handler for extra, which the row does not serve" in words
    assert "the row consumes order_*, which has no handler" in words
    assert "the row has the store books.db, which was not opened" in words


def test_a_handler_without_annotations_is_refused() -> None:
    async def bare(request, call):  # type: ignore[no-untyped-def]
        return None

    with pytest.raises(TypeError, match="all annotated"):
        describe_handler(bare)


async def test_an_event_that_the_row_does_not_publish_is_refused(system: System) -> None:
    call = system.services["ledger"].call()
    with pytest.raises(ValueError, match="by its topology row ledger publishes no events"):
        call.event("order_taken", Order("a"), event_id="x")
    with pytest.raises(ValueError, match="by its topology row shop publishes it with priority high, not 'urgent'"):
        system.services["shop"].call().event("order_taken", Order("a"), event_id="x", priority="urgent")
    with pytest.raises(ValueError, match="publishes it with priority normal or urgent, not 'High'"):
        system.services["shop"].call().event("notice", Order("a"), event_id="x", priority="High")


async def test_a_stopping_service_finishes_what_it_has_in_hand(tmp_path: Path) -> None:
    switches = Switches()
    build = partial(ledger, switches=switches)
    async with running({"ledger": build}, data_dir=tmp_path, rows=ROWS) as system:
        asking = asyncio.ensure_future(system.call("ledger", "slow", None, Text))
        await switches.slow_began.wait()
        stopping = asyncio.ensure_future(system.stop("ledger"))
        await until(lambda: not system.services["ledger"].ready)
        switches.slow_may_end.set()
        assert (await asking).text == "done"
        await stopping
        assert (await refusal(system, "ledger", "count", result=Count)).code == "UNAVAILABLE"


def test_a_log_line_names_service_request_and_trace() -> None:
    record = logging.makeLogRecord({"msg": "hello %s", "args": ("you",), "levelname": "INFO", "name": "x"})
    token = log_context.set(LogContext("ledger", "r-1", 0xABC))
    line = json.loads(JsonFormatter("process").format(record))
    log_context.reset(token)
    assert (line["level"], line["service"], line["msg"]) == ("info", "ledger", "hello you")
    assert (line["request_id"], line["trace_id"]) == ("r-1", "0" * 29 + "abc")
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
