"""Every method of every service, through what can go wrong with a call: a code and words each, and it lives on."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwether.gateway import service as gateway
from bellwether.gateway.settings import GatewaySettings
from bellwether.local.registry import registry
from bellwether.messages.envelope import Reply, decode_reply
from bellwether.naming import event_subject, rpc_subject
from bellwether.runtime.call import Call
from bellwether.runtime.rpc import Method
from bellwether.service_row import PRIORITIES
from bellwether.topology import BUILT_IN_METHODS, SERVICES
from harness.system import System, running
from harness.until import DEADLINE

pytestmark = pytest.mark.integration

Handler = Callable[[Call], Awaitable[Any]]

SECRET = "hunter2"
METHODS = [(name, method) for name, row in SERVICES.items() for method in (*row.serves, *BUILT_IN_METHODS)]


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """Every service as it is before a declaration has arrived: it answers, and does nothing of its own."""
    builds: dict[str, Any] = dict(registry(SERVICES))
    settings = GatewaySettings(host="127.0.0.1", port=0, token="t" * 32)
    builds["gateway"] = partial(gateway.create, settings=settings)
    async with running(builds, data_dir=tmp_path) as found:
        yield found


async def ask(
    system: System,
    service: str,
    method: str,
    params: Any,
    *,
    budget: float = DEADLINE,
    body: bytes = b"",
    source: str = "test",
) -> Reply:
    """Send a request as any program can, and return the reply."""
    request = {"request_id": "r-1", "source": source, "budget": budget, "params": params}
    sent = body or json.dumps(request).encode()
    return decode_reply(await system.context.bus.request(rpc_subject(service, method), sent, timeout=2 * DEADLINE))


def replaced(system: System, service: str, name: str, handler: Handler) -> Method:
    """Put another handler in a method's place and return what was there."""
    methods = system.services[service].server.methods
    before = methods[name]
    methods[name] = before._replace(handler=handler, params=None)
    return before


async def through_all(
    question: Callable[[str, str], Awaitable[Reply | None]], code: str, words: str = "", *, at_once: bool = False
) -> dict[str, Any]:
    """Ask every method, one after the other or all at once, and return those that answered otherwise."""
    odd: dict[str, Any] = {}
    asked = 0
    if at_once:
        replies = await asyncio.gather(*(question(service, method) for service, method in METHODS))
    else:
        replies = [await question(service, method) for service, method in METHODS]
    for (service, method), reply in zip(METHODS, replies, strict=True):
        if reply is None:
            continue
        asked += 1
        error = reply.error
        good = (
            reply.status == "error"
            and not isinstance(error, msgspec.UnsetType)
            and error.code == code
            and words in error.message
            and SECRET not in error.message
            and reply.execution_time >= 0
        )
        if not good:
            odd[f"{service}.{method}"] = reply
    assert asked > len(SERVICES)
    return odd


async def test_an_unknown_method_names_those_that_there_are(system: System) -> None:
    for service, row in SERVICES.items():
        reply = await ask(system, service, "get_everything", {})
        assert reply.error.code == "UNKNOWN_METHOD"  # type: ignore[union-attr]
        assert all(name in reply.error.message for name in (*row.serves, "health"))  # type: ignore[union-attr]


async def test_a_parameter_that_is_missing_or_wrong_is_named(system: System) -> None:
    async def missing(service: str, method: str) -> Reply | None:
        known = system.services[service].server.methods[method]
        if known.params is None or not any(one.required for one in msgspec.structs.fields(known.params)):
            return None
        return await ask(system, service, method, {})

    async def wrong(service: str, method: str) -> Reply | None:
        known = system.services[service].server.methods[method]
        fields = (
            [] if known.params is None else [one for one in msgspec.structs.fields(known.params) if one.type is not Any]
        )
        if not fields:
            return None
        # The others are as they should be or left out, so that it is this one that is refused.
        return await ask(system, service, method, {fields[0].encode_name: [{"no": "such"}, 7.5]})

    async def no_object(service: str, method: str) -> Reply | None:
        known = system.services[service].server.methods[method]
        return None if known.params is None else await ask(system, service, method, ["a", "list"])

    assert await through_all(missing, "INVALID_PARAMS", "missing required field") == {}
    assert await through_all(wrong, "INVALID_PARAMS", "$.") == {}
    assert await through_all(no_object, "INVALID_PARAMS", "Expected `object`") == {}


async def test_a_parameter_that_a_method_does_not_take_is_named_and_those_that_it_takes(system: System) -> None:
    async def misspelt(service: str, method: str) -> Reply | None:
        known = system.services[service].server.methods[method]
        fields = () if known.params is None else msgspec.structs.fields(known.params)
        if method in BUILT_IN_METHODS or any(one.required for one in fields):
            return None
        reply = await ask(system, service, method, {"symbls": ["CBA.AX"]})
        reported: list[str] = [] if isinstance(reply.error, msgspec.UnsetType) else reply.error.detail["fields"]
        return reply if reported == sorted(one.encode_name for one in fields) else None

    assert await through_all(misspelt, "INVALID_PARAMS", "unknown parameter 'symbls'; it takes ") == {}
    some = await ask(system, "prediction", "generate_predictions", {"symbls": ["CBA.AX"]})
    assert "it takes force_refresh, may_trade, slot, symbols" in some.error.message  # type: ignore[union-attr]
    none = await ask(system, "scheduler", "stop_all_jobs", {"symbls": ["CBA.AX"]})
    assert "it takes none" in none.error.message  # type: ignore[union-attr]


async def test_a_newer_service_calls_an_older_one_with_what_that_does_not_know(system: System) -> None:
    reply = await ask(system, "monitoring", "list_notifications", {"of_the_next_release": 1}, source="gateway")
    assert reply.status == "success"
    assert (await ask(system, "scheduler", "health", {"of_the_next_release": 1})).status == "success"


async def test_a_request_that_cannot_be_read_or_whose_time_is_spent_is_answered(system: System) -> None:
    async def unreadable(service: str, method: str) -> Reply:
        return await ask(system, service, method, {}, body=b"not json")

    async def spent(service: str, method: str) -> Reply:
        return await ask(system, service, method, {}, budget=0.0)

    assert await through_all(unreadable, "INVALID_REQUEST", "cannot be read") == {}
    assert await through_all(spent, "DEADLINE_EXCEEDED", "its time was over before it began") == {}


async def test_a_handler_that_crashes_hangs_or_says_too_much_is_answered_for(system: System) -> None:
    async def crash(call: Call) -> Any:
        raise RuntimeError(SECRET)

    async def hang(call: Call) -> Any:
        await asyncio.Event().wait()

    async def babble(call: Call) -> Any:
        return "x" * (2 * system.context.bus.max_payload)

    def with_handler(
        handler: Callable[[Call], Awaitable[Any]], budget: float
    ) -> Callable[[str, str], Awaitable[Reply]]:
        async def question(service: str, method: str) -> Reply:
            before = replaced(system, service, method, handler)
            try:
                return await ask(system, service, method, {}, budget=budget)
            finally:
                system.services[service].server.methods[method] = before

        return question

    assert await through_all(with_handler(crash, DEADLINE), "INTERNAL", "failed; its log has the reason") == {}
    # Long enough for all of them to begin on a busy machine.
    assert await through_all(with_handler(hang, 10.0), "DEADLINE_EXCEEDED", "did not end in time", at_once=True) == {}
    assert await through_all(with_handler(babble, DEADLINE), "REPLY_TOO_LARGE", "ask for less") == {}
    # None of it ended a service.
    for service in SERVICES:
        assert (await ask(system, service, "health", {})).status == "success"


async def test_each_event_goes_out_with_the_priorities_of_its_row_and_with_no_other(system: System) -> None:
    odd: dict[str, str] = {}
    for name, row in SERVICES.items():
        call = system.services[name].call()
        allowed = {(event, priority) for event, priority in row.publications}
        for event, priority in itertools.product(row.publishes, PRIORITIES):
            try:
                made = call.event(event, {}, event_id="x", priority=priority)
            except ValueError as error:
                words = str(error)
                clear = event in words and name in words and " or ".join(row.priorities(event)) in words
                if (event, priority) in allowed or not clear or repr(priority) not in words:
                    odd[f"{name}: {event} {priority}"] = words
                continue
            if (event, priority) not in allowed or made.subject != event_subject(priority, event):
                odd[f"{name}: {event} {priority}"] = made.subject
        for event in row.publishes:
            usual = call.event(event, {}, event_id="x").subject
            if usual != event_subject(row.priorities(event)[0], event):
                odd[f"{name}: {event}"] = usual
    assert odd == {}


async def test_a_request_that_is_too_large_is_refused_before_it_is_sent(system: System) -> None:
    large = {"anything": "x" * (2 * system.context.bus.max_payload)}
    for service, method in METHODS:
        with pytest.raises(Exception, match="REQUEST_TOO_LARGE"):
            await system.call(service, method, large)
