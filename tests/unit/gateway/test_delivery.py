from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwether.gateway.delivery import Acks, deliver, next_declaration
from bellwether.gateway.problems import Problem
from bellwether.gateway.service import create
from bellwether.gateway.settings import GatewaySettings
from bellwether.gateway.status import service_state
from bellwether.runtime.declaration import Ack, encode_declaration, parse_declaration
from bellwether.runtime.memory_bus import MemoryBroker, MemoryBus
from bellwether.runtime.plan import bus_plan, ensure
from bellwether.topology import SERVICES
from harness.http import plain
from harness.system import running
from harness.until import DEADLINE
from unit.gateway.conftest import AUTHORIZED, IN_MODULES_LOOP, TOKEN, Opened
from unit.gateway.samples import SYSTEM


def spec(**changed: Any) -> dict[str, Any]:
    return SYSTEM.spec.model_dump(by_alias=True, exclude_none=True) | changed


async def test_an_edit_reaches_every_service_and_is_acknowledged(gateway: Opened) -> None:
    body = {"generation": 4, "spec": spec(symbols=["AAPL", "IBM", "MSFT"])}
    reply = await gateway.http.put("/v1/declaration", json=body, headers=AUTHORIZED)
    assert reply.status_code == 200, reply.text
    assert set(reply.json()["acknowledged"].values()) == {4}
    assert set(reply.json()["acknowledged"]) == set(gateway.system.services)
    assert reply.json()["missing"] == []
    for service in gateway.system.services.values():
        assert service.context.declaration.current.spec.symbols == ["AAPL", "IBM", "MSFT"]
    again = await gateway.http.put("/v1/declaration", json=body, headers=AUTHORIZED)
    assert again.json()["missing"] == []


async def test_a_status_from_before_a_delivery_is_not_shown_after_it(gateway: Opened) -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()
    slots = gateway.answers["scheduler"]["list_slots"]

    async def late(request: dict[str, Any]) -> Any:
        asked.set()
        await may_answer.wait()
        return slots

    gateway.answers["scheduler"]["list_slots"] = late
    before = asyncio.ensure_future(gateway.http.get("/v1/status"))
    async with asyncio.timeout(DEADLINE):
        await asked.wait()
        body = {"generation": 4, "spec": spec(symbols=["AAPL"])}
        reply = await gateway.http.put("/v1/declaration", json=body, headers=AUTHORIZED)
        assert reply.json()["missing"] == []
        may_answer.set()
        assert (await before).json()["generation"] == 3
        after = (await gateway.http.get("/v1/status")).json()
    assert after["generation"] == 4
    assert {one["generation"] for one in after["services"]} == {4}


@IN_MODULES_LOOP
async def test_an_older_generation_is_refused(standing: Opened) -> None:
    reply = await standing.http.put("/v1/declaration", json={"generation": 2, "spec": spec()}, headers=AUTHORIZED)
    assert reply.status_code == 409
    assert reply.json()["error"]["message"] == "generation 2 is older than 3, which is in force"


@IN_MODULES_LOOP
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[", "the body is not JSON"),
        (b'{"generation": "4", "spec": {}}', "generation: '4' is not a whole number"),
        (b'{"generation": 4}', "spec: missing"),
    ],
)
async def test_a_body_of_another_shape_is_refused(standing: Opened, body: bytes, words: str) -> None:
    reply = await standing.http.put("/v1/declaration", content=body, headers=AUTHORIZED)
    assert reply.status_code == 422
    assert words in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"symbols": []}, "spec.symbols"),
        ({"colour": "red"}, "spec.colour"),
        ({"clock": {"mode": "replay", "from": "2010-01-04"}}, "spec.clock cannot be changed"),
        ({"profile": "standard"}, "`bellwether profile` makes a new system"),
    ],
)
def test_what_is_wrong_or_fixed_is_refused_by_name(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(Problem, match=words) as caught:
        next_declaration(SYSTEM, 4, spec(**changed))
    assert caught.value.status == 422


def test_the_same_generation_with_another_spec_is_refused() -> None:
    assert next_declaration(SYSTEM, 3, spec()) == SYSTEM
    with pytest.raises(Problem, match="another spec") as caught:
        next_declaration(SYSTEM, 3, spec(symbols=["MSFT"]))
    assert caught.value.status == 409


async def test_who_does_not_acknowledge_is_missing_and_who_failed_is_reported() -> None:
    acks = Acks()
    written: list[bytes] = []

    async def put(body: bytes) -> None:
        written.append(body)
        acks.take("prediction", msgspec.json.encode(Ack("prediction", 3, True)))
        acks.take("paper-trading", msgspec.json.encode(Ack("paper-trading", 3, False, "no such limit")))
        acks.take("scheduler", b"not an acknowledgement")

    async with asyncio.timeout(DEADLINE):
        found = await deliver(SYSTEM, ("prediction", "paper-trading", "scheduler"), acks, put, wait=0.05)
    assert parse_declaration(written[0]) == SYSTEM
    assert found.acknowledged == {"prediction": 3, "paper-trading": 3}
    assert found.missing == ["scheduler"]
    assert found.errors == {"paper-trading": "no such limit"}


def test_acknowledgements_of_an_earlier_system_do_not_count() -> None:
    acks = Acks(uid="new")
    acks.take("prediction", msgspec.json.encode(Ack("prediction", 9, True, uid="old")))
    assert acks.generation("prediction") == -1
    acks.take("prediction", msgspec.json.encode(Ack("prediction", 1, True, uid="new")))
    assert acks.generation("prediction") == 1


def test_an_older_acknowledgement_that_comes_after_a_newer_one_does_not_count() -> None:
    acks = Acks()
    for generation in (4, 3):
        acks.take("prediction", msgspec.json.encode(Ack("prediction", generation, True)))
    assert acks.generation("prediction") == 4


class LateWatch(MemoryBus):
    """Reads what a bucket holds some time after the watch has started, as it goes over a network."""

    async def kv_watch(self, bucket: str, keys: Sequence[str], callback: Callable[[str, bytes], None]) -> Any:
        return await super().kv_watch(bucket, [], callback)


@pytest.mark.parametrize("from_file", [True, False], ids=["with a file", "all from the bus"])
async def test_a_restarted_gateway_knows_what_was_acknowledged_before(tmp_path: Path, from_file: bool) -> None:
    broker = MemoryBroker()
    bus = broker.connect("bootstrap")
    await ensure(bus, bus_plan())
    await bus.start()
    declared = SYSTEM.model_copy(update={"metadata": SYSTEM.metadata.model_copy(update={"uid": "u", "generation": 7})})
    await bus.kv_put("declaration", "current", encode_declaration(declared))
    for name in SERVICES:
        await bus.kv_put("acks", name, msgspec.json.encode(Ack(name, 7, True, uid="u")))
    older = declared.model_copy(update={"metadata": declared.metadata.model_copy(update={"generation": 3})})
    options: dict[str, Any] = {"declaration": older} if from_file else {}
    build = partial(create, settings=GatewaySettings(host="127.0.0.1", port=0, token=TOKEN))
    connect = partial(LateWatch, broker)
    async with running({"gateway": build}, data_dir=tmp_path, connect=connect, **options) as system:
        health = await system.call("gateway", "health")
        async with plain(health["http_port"], TOKEN) as http:
            status = (await http.get("/v1/status")).json()
        assert status["generation"] == 7
        assert {one["name"]: one["generation"] for one in status["services"]} == dict.fromkeys(SERVICES, 7)


def test_a_service_that_could_not_apply_a_generation_is_not_ready_and_says_why() -> None:
    acks = Acks()
    acks.take("prediction", msgspec.json.encode(Ack("prediction", 2, False, "CalendarError: no such day")))
    acks.take("ml-model", msgspec.json.encode(Ack("ml-model", 2, True)))
    healthy = {"status": "healthy"}
    refused = service_state("prediction", healthy, acks)
    assert (refused.ready, refused.generation) == (False, 2)
    assert refused.last_error == "generation 2 was not applied: CalendarError: no such day"
    assert service_state("ml-model", healthy, acks).ready


def test_a_degraded_service_says_what_degrades_it() -> None:
    found = service_state("market-data", {"status": "degraded", "warning": "no bars of AAA"}, Acks())
    assert (found.ready, found.last_error) == (True, "no bars of AAA")
