from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from bellwether.gateway.delivery import Acks, deliver, next_declaration
from bellwether.gateway.problems import Problem
from bellwether.gateway.status import service_state
from bellwether.runtime.declaration import Ack, parse_declaration
from unit.gateway.conftest import AUTHORIZED, Opened
from unit.gateway.samples import SYSTEM


def spec(**changed: Any) -> dict[str, Any]:
    return SYSTEM.spec.model_dump(by_alias=True, exclude_none=True) | changed


async def test_an_edit_reaches_every_service_and_is_acknowledged(gateway: Opened) -> None:
    body = {"generation": 4, "spec": spec(symbols=["AAPL", "IBM", "MSFT"])}
    reply = await gateway.http.put("/v1/declaration", json=body, headers=AUTHORIZED)
    assert reply.status_code == 200, reply.text
    assert set(reply.json()["acknowledged"].values()) == {4}
    assert len(reply.json()["acknowledged"]) == 6
    assert reply.json()["missing"] == []
    for service in gateway.system.services.values():
        assert service.context.declaration.current.spec.symbols == ["AAPL", "IBM", "MSFT"]
    again = await gateway.http.put("/v1/declaration", json=body, headers=AUTHORIZED)
    assert again.json()["missing"] == []


async def test_an_older_generation_is_refused(gateway: Opened) -> None:
    reply = await gateway.http.put("/v1/declaration", json={"generation": 2, "spec": spec()}, headers=AUTHORIZED)
    assert reply.status_code == 409
    assert reply.json()["error"]["message"] == "generation 2 is older than 3, which is in force"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[", "the body is not JSON"),
        (b'{"generation": "4", "spec": {}}', "generation: '4' is not a whole number"),
        (b'{"generation": 4}', "spec: missing"),
    ],
)
async def test_a_body_of_another_shape_is_refused(gateway: Opened, body: bytes, words: str) -> None:
    reply = await gateway.http.put("/v1/declaration", content=body, headers=AUTHORIZED)
    assert reply.status_code == 422
    assert words in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"symbols": []}, "spec.symbols"),
        ({"colour": "red"}, "spec.colour"),
        ({"clock": {"mode": "replay", "from": "2010-01-04"}}, "spec.clock cannot be changed"),
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


async def test_who_does_not_acknowledge_is_missing_and_who_failed_is_told() -> None:
    acks = Acks.none()
    written: list[bytes] = []

    async def put(body: bytes) -> None:
        written.append(body)
        acks.take("prediction", msgspec.json.encode(Ack("prediction", 3, True)))
        acks.take("paper-trading", msgspec.json.encode(Ack("paper-trading", 3, False, "no such limit")))
        acks.take("scheduler", b"not an acknowledgement")

    async with asyncio.timeout(10):
        found = await deliver(SYSTEM, ("prediction", "paper-trading", "scheduler"), acks, put, wait=0.05)
    assert parse_declaration(written[0]) == SYSTEM
    assert found.acknowledged == {"prediction": 3, "paper-trading": 3}
    assert found.missing == ["scheduler"]
    assert found.errors == {"paper-trading": "no such limit"}


def test_acknowledgements_of_an_earlier_system_do_not_count() -> None:
    acks = Acks.none("new")
    acks.take("prediction", msgspec.json.encode(Ack("prediction", 9, True, uid="old")))
    assert acks.generation("prediction") == -1
    acks.take("prediction", msgspec.json.encode(Ack("prediction", 1, True, uid="new")))
    assert acks.generation("prediction") == 1


def test_a_service_that_could_not_apply_a_generation_is_not_ready_and_says_why() -> None:
    acks = Acks.none()
    acks.take("prediction", msgspec.json.encode(Ack("prediction", 2, False, "CalendarError: no such day")))
    acks.take("ml-model", msgspec.json.encode(Ack("ml-model", 2, True)))
    healthy = {"status": "healthy"}
    refused = service_state("prediction", healthy, acks)
    assert (refused.ready, refused.generation) == (False, 2)
    assert refused.last_error == "generation 2 was not applied: CalendarError: no such day"
    assert service_state("ml-model", healthy, acks).ready


def test_a_degraded_service_says_what_degrades_it() -> None:
    found = service_state("market-data", {"status": "degraded", "warning": "no bars of AAA"}, Acks.none())
    assert (found.ready, found.last_error) == (True, "no bars of AAA")
