"""Secrets are planted wherever the system has some, and looked for in everything that it writes and answers."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from bellwether.gateway import service as gateway
from bellwether.gateway.settings import GatewaySettings
from bellwether.messages.prediction import PredictionGenerated
from bellwether.monitoring import book
from bellwether.monitoring.service import create as monitoring
from bellwether.runtime.logs import configure_logs
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES
from bellwether.trading import service as trading
from bellwether_operator.gateway_view import read_status
from bellwether_operator.report.status import status
from harness.clock import Present
from harness.http import plain
from harness.ig.lab import write_credentials
from harness.ig.standin import API_KEY, PASSWORD, USERNAME, StandIn, standing_in
from harness.ig.trader import live
from harness.ig.trials import made_up_markets, usd
from harness.nats import nats_server
from harness.receivers import HttpReceiver
from harness.statuses import NOW, seen
from harness.system import System, running
from harness.until import DEADLINE
from integration.trading.peers import ROWS, Peers
from integration.trading.trader import BEFORE, DAY, Trader, signal

pytestmark = pytest.mark.integration

GATEWAY_TOKEN, HOOK_KEY, HOOK_PATH = "gateway-token-of-tests", "hook-key-of-tests", "hook-path-of-tests"
ISSUED = ("x" * 40, "y" * 40)
"""Ends of every CST and X-SECURITY-TOKEN that the stand-in gives."""
ALL_ROWS = {
    **{name: row for name, row in ROWS.items() if name != "scheduler"},
    "gateway": replace(SERVICES["gateway"], requires=("paper-trading",)),
    "monitoring": SERVICES["monitoring"],
}
AFTER_OPEN = datetime(2009, 1, 5, 14, 30, 5, tzinfo=UTC)


@dataclass
class Stage:
    """A system at IG over a real nats-server, its logs at the level that says most, and where its files lie."""

    folder: Path
    system: System
    trader: Trader
    clock: Present
    ig: StandIn
    hook: HttpReceiver
    http: httpx.AsyncClient
    log: io.StringIO
    secrets: tuple[str, ...]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Configure logs as a process does, and keep what it writes."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("nats", "httpx", "httpcore")}
    configure_logs("test", "debug")
    found = io.StringIO()
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(found)
    yield found
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


@pytest.fixture
async def stage(tmp_path: Path, log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(book, "PAUSES", (0.05,))
    places = {name: tmp_path / name for name in ("ig", "data", "nats", "notify")}
    for place in (places["ig"], places["notify"] / "hook"):
        place.mkdir(parents=True)
    hook, peers, clock = HttpReceiver(), Peers(), Present(BEFORE)
    (places["notify"] / "hook" / "key").write_text(HOOK_KEY)
    (places["notify"] / "hook" / "url").write_text(f"{hook.url}/{HOOK_PATH}")
    credentials = write_credentials(places["ig"])
    declared = live("ig-demo").model_dump(by_alias=True, exclude_none=True)
    declared["spec"]["notifications"] = [{"name": "hook", "kind": "webhook", "secretRef": {"name": "hook"}}]

    async with (
        standing_in(places["ig"], made_up_markets()) as ig,
        nats_server(places["nats"], ALL_ROWS) as server,
    ):
        usd(ig)
        outside = {"proxy": ig.url, "ca_bundle": ig.authority, "ig_credentials": credentials}

        def trade(context: Any) -> Any:
            return trading.create(replace(context, config=replace(context.config, **outside)))

        def monitor(context: Any) -> Any:
            context.config = replace(context.config, notify_secrets=places["notify"])
            return monitoring(context, every=0.05)

        settings = GatewaySettings(host="127.0.0.1", port=0, token=GATEWAY_TOKEN)
        builds = {
            **peers.builds(),
            "paper-trading": trade,
            "monitoring": monitor,
            "gateway": partial(gateway.create, settings=settings),
        }
        await hook.start()
        async with running(
            builds,
            data_dir=places["data"],
            rows=ALL_ROWS,
            declaration=TradingSystem.model_validate(declared),
            clock=clock,
            connect=server.connect,
        ) as system:
            port = system.services["gateway"].health_callbacks[-1]()["http_port"]  # type: ignore[index]
            secrets = (API_KEY, USERNAME, PASSWORD, *ISSUED, GATEWAY_TOKEN, HOOK_KEY, HOOK_PATH, *server.seeds.values())
            async with plain(port, GATEWAY_TOKEN) as http:
                trader = Trader(system, peers, run="live")
                yield Stage(tmp_path, system, trader, clock, ig, hook, http, log, secrets)
        await hook.stop()


async def lived(stage: Stage) -> str:
    """Have an order filled, and every way of failing at IG reported; return the order's id."""
    made, call = signal("AAA"), stage.system.services["prediction"].call(as_of=BEFORE)
    event_id = f"prediction_generated:{made.prediction_id}"
    with call.start_root("decision", call.decision_trace(made.prediction_id)) as work:
        await work.publish_event("prediction_generated", PredictionGenerated(made), event_id=event_id)
    await stage.system.settle("paper-trading", event_id)
    stage.clock.instant = AFTER_OPEN
    async with asyncio.timeout(DEADLINE):
        while [one.status for one in await stage.trader.orders()] != ["filled"]:
            await answered(stage, "paper-trading", "session_open", {"session": str(DAY)})
    (order,) = await stage.trader.orders()
    for odd in ({"broken": "headers"}, {"maintenance": True}, {"allowance": "api-key"}, {"login": "invalid-details"}):
        stage.ig.set(**odd)
        stage.ig.expire()
        for method in ("sync_positions", "initialize_ig_markets"):
            await answered(stage, "paper-trading", method)
        stage.ig.reset()
    reported = await answered(stage, "monitoring", "test_notification")
    assert stage.hook.taken, reported
    return order.order_id


async def answered(stage: Stage, service: str, method: str, params: Any = None) -> str:
    """Return what a method answers, be it an error."""
    try:
        return str(await stage.system.call(service, method, params, dict, as_of=AFTER_OPEN))
    except Exception as error:
        return repr(error)


async def gateway_says(stage: Stage) -> tuple[str, dict[str, Any]]:
    """Return everything that can be read at the gateway, and the status document."""
    paths = (await stage.http.get("/openapi.json")).json()["paths"]
    plain = [path for path, methods in paths.items() if "get" in methods and "{" not in path and path != "/v1/events"]
    assert {"/v1/status", "/v1/traces", "/v1/alerts", "/v1/orders"} <= set(plain)
    said = {path: (await stage.http.get(path, timeout=30)).text for path in plain}
    found: dict[str, Any] = json.loads(said["/v1/status"])
    return "\n".join(said.values()), found


async def traces_at(stage: Stage) -> str:
    """Return the spans of every trace that the gateway has."""
    listed = (await stage.http.get("/v1/traces", params={"limit": 200})).json()["traces"]
    return "\n".join([(await stage.http.get(f"/v1/traces/{one['trace_id']}")).text for one in listed])


def files_of(*folders: Path) -> str:
    """Return all bytes of all files."""
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    return "\n".join(file.read_bytes().decode("latin-1") for file in files)


async def test_no_secret_stands_in_logs_events_traces_databases_answers_or_status(stage: Stage) -> None:
    order = await lived(stage)
    async with asyncio.timeout(DEADLINE):
        while order not in await traces_at(stage):  # noqa: ASYNC110 (nobody tells that spans have come)
            await asyncio.sleep(0.05)
    said, document = await gateway_says(stage)
    said += await traces_at(stage)
    rpc = [await answered(stage, name, method) for name in stage.system.services for method in ("health", "metrics")]
    view = read_status(document, 0.0)
    reported = status(live("ig-demo"), 1, seen(view=view), {}, NOW)
    places = {
        "the log": stage.log.getvalue(),
        "the gateway": said,
        "calls": "\n".join(rpc),
        "the status of the resource": json.dumps(reported),
        "files": files_of(stage.folder / "data", stage.folder / "nats"),
    }
    # What is looked through has what it should have: else nothing would be found because nothing is there.
    assert "logged in at IG" in places["the log"]
    assert order in places["files"]
    assert "SafeToTrade" in places["the status of the resource"]
    assert len(stage.ig.sessions) <= stage.ig.requests("login")
    found = [f"{secret} in {place}" for place, text in places.items() for secret in stage.secrets if secret in text]
    assert found == []
