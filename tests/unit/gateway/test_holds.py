"""The system held for a short time: every service, or none."""

from __future__ import annotations

from pathlib import Path

from bellwether.naming import rpc_subject
from bellwether.render.nats import service_permissions
from bellwether.topology import SERVICES
from unit.gateway.conftest import Opened, opened
from unit.gateway.samples import ANSWERS, Seen

WANTED = {"id": "backup", "seconds": 30}


def held(gateway: Opened) -> set[str]:
    return {name for name, service in gateway.system.services.items() if service.context.holding.active}


async def test_every_service_is_held_until_it_is_let_go(gateway: Opened) -> None:
    assert (await gateway.http.put("/v1/hold", json=WANTED)).status_code == 200
    assert held(gateway) == set(gateway.system.services)
    reply = (await gateway.http.delete("/v1/hold/backup")).json()
    assert (reply["held"], reply["broken"], held(gateway)) == (True, [], set())
    assert (await gateway.http.delete("/v1/hold/backup")).json()["held"], "who asks again is answered otherwise"


async def test_a_service_that_wrote_meanwhile_is_named(gateway: Opened) -> None:
    await gateway.http.put("/v1/hold", json=WANTED)
    for name in ("paper-trading", "sentiment"):
        gateway.system.services[name].context.holding.end()
    reply = (await gateway.http.delete("/v1/hold/backup")).json()
    assert (reply["held"], reply["broken"]) == (False, ["paper-trading"])


async def test_where_a_store_cannot_be_held_nothing_is(tmp_path: Path) -> None:
    answers = {name: given for name, given in ANSWERS.items() if name != "scheduler"}
    async with opened(tmp_path, answers, Seen()) as gateway:
        reply = await gateway.http.put("/v1/hold", json=WANTED)
        assert reply.status_code == 503
        assert reply.json()["error"]["message"].startswith("scheduler: ")
        assert held(gateway) == set()


async def test_only_the_operators_token_holds_and_only_for_seconds(gateway: Opened) -> None:
    assert (await gateway.stranger.put("/v1/hold", json=WANTED)).status_code == 401
    wrong = await gateway.http.put("/v1/hold", json={"id": "backup", "seconds": 3600})
    assert (wrong.status_code, "seconds" in wrong.text) == (422, True)
    assert held(gateway) == set()


def test_only_the_gateway_may_ask_a_service_for_it() -> None:
    subjects = {rpc_subject(name, method) for name in SERVICES for method in ("hold", "let_go")}
    may = {name for name in SERVICES if subjects & set(service_permissions(name).publish)}
    assert may == {"gateway"}
