"""Each live field, changed by itself: every service acknowledges it with its generation, and it is in force there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from bellwether.gateway import service as gateway
from bellwether.gateway.settings import GatewaySettings
from bellwether.market_data.service import create as market_data
from bellwether.messages.market_data import Freshness, MarketData
from bellwether.messages.monitoring import Notifications
from bellwether.messages.prediction import PrunedDecisions, PruneDecisions
from bellwether.messages.quality import DataQualityReport
from bellwether.messages.sentiment import AnalyzeSentiment, SymbolSentiment
from bellwether.messages.trading import Trade
from bellwether.models.training import create as ml_training
from bellwether.monitoring.service import create as monitoring
from bellwether.prediction.service import create as prediction
from bellwether.quality.service import create as data_quality
from bellwether.runtime.errors import RpcError
from bellwether.sentiment.service import create as sentiment
from bellwether.spec.models import LIVE_FIELDS
from bellwether.topology import SERVICES
from bellwether.trading import service as trading
from harness import csv_bars
from harness.clock import Present
from harness.system import System, running
from integration.gateway.test_halt import AUTHORIZED, TOKEN, connected
from integration.scheduling.floor import BEFORE_IT, DAY, SYMBOLS, present
from integration.scheduling.live import Maker
from integration.trading.peers import CALENDAR, ROWS, Peers, declaration

pytestmark = pytest.mark.integration

NIGHT = datetime(2026, 1, 6, 4, 0, tzinfo=UTC)
REAL = ("market-data", "data-quality", "sentiment", "prediction", "paper-trading", "scheduler", "monitoring")
# ml-model stands in, and keeps no registry.
TRAINING = replace(SERVICES["ml-training"], calls={"market-data": ("get_bars",)})
ROWS_HERE = {
    **ROWS,
    **{name: SERVICES[name] for name in REAL},
    "ml-training": TRAINING,
    "gateway": replace(SERVICES["gateway"], requires=("paper-trading",)),
}


@dataclass
class Lab:
    """Real services but for the model, and the gateway's HTTP."""

    system: System
    http: httpx.AsyncClient
    maker: Maker
    clock: Present
    spec: dict[str, Any]

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get("/v1/status", timeout=60)).json()
        return found


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    bars = tmp_path / "bars"
    for symbol in SYMBOLS:
        csv_bars.write(bars, symbol, CALENDAR, BEFORE_IT, count=70)
    peers, maker, clock = Peers(), Maker(own_schedule=True), present()
    system = declaration(
        symbols=SYMBOLS, data={"provider": "csv", "csv": {"directory": str(bars)}}, clock={"mode": "live"}
    )
    settings = GatewaySettings(host="127.0.0.1", port=0, token=TOKEN)
    builds = {
        "ml-model": peers.builds()["ml-model"],
        "market-data": market_data,
        "data-quality": data_quality,
        "ml-training": ml_training,
        "sentiment": sentiment,
        "prediction": prediction,
        "paper-trading": trading.create,
        "scheduler": maker,
        "monitoring": monitoring,
        "gateway": partial(gateway.create, settings=settings),
    }
    options: dict[str, Any] = {"declaration": system, "rows": ROWS_HERE, "clock": clock}
    async with running(builds, data_dir=tmp_path / "data", **options) as runs, connected(runs) as http:
        yield Lab(runs, http, maker, clock, system.spec.model_dump(by_alias=True, exclude_none=True))


async def symbols(lab: Lab) -> Any:
    return [row["symbol"] for row in (await lab.status())["data"]]


async def refusals(lab: Lab) -> Any:
    return [row["code"] for row in (await lab.status())["safety"]["refusals"]]


async def halts(lab: Lab) -> Any:
    return (await lab.status())["halts"]


async def idle_minutes(lab: Lab) -> Any:
    """Return after how many minutes the scheduler has something to do, as of two hours before the open."""
    return round(await lab.maker.clockwork().tick() / 60)


async def newest_session(lab: Lab) -> Any:
    """Return the session that a complete bar is due of in the night after the first day."""
    found = await lab.system.call("market-data", "get_freshness", None, Freshness, as_of=NIGHT)
    return found.expected


async def by_hand(lab: Lab) -> Any:
    """Return what becomes of an order by hand."""
    wish = {"symbol": "AAA", "action": "BUY", "quantity": "1", "client_id": str(uuid4())}
    try:
        found = (await lab.system.call("paper-trading", "execute_trade", wish, Trade, as_of=lab.clock.now())).order
    except RpcError as error:
        return error.code
    return found.status


async def a_stranger_sees(lab: Lab) -> Any:
    """Return the status with which somebody without a token is answered."""
    async with httpx.AsyncClient(base_url=lab.http.base_url, trust_env=False) as http:
        return (await http.get("/v1/account", timeout=60)).status_code


async def margin(lab: Lab) -> Any:
    question = {"symbol": "AAA"}
    found = await lab.system.call("market-data", "get_market_data", question, MarketData, as_of=lab.clock.now())
    return found.market_context.margin


async def least_quality(lab: Lab) -> Any:
    asked = None
    found = await lab.system.call("data-quality", "monitor_data_quality", asked, DataQualityReport)
    return found.min_score


async def news(lab: Lab) -> Any:
    asked = AnalyzeSentiment("AAA")
    try:
        found = await lab.system.call("sentiment", "analyze_sentiment", asked, SymbolSentiment, as_of=lab.clock.now())
    except RpcError as error:
        return error.code
    return found.reason


async def earliest_prune(lab: Lab) -> Any:
    """Return how many decisions go that are older than two months, or why none may."""
    asked = PruneDecisions(before=lab.clock.now() - timedelta(days=60))
    try:
        return (await lab.system.call("prediction", "prune_decisions", asked, PrunedDecisions)).deleted
    except RpcError as error:
        return error.code


async def reported(lab: Lab) -> Any:
    found = await lab.system.call("monitoring", "list_notifications", None, Notifications)
    return [one.name for one in found.channels]


async def training_every(lab: Lab) -> Any:
    return (await lab.system.call("ml-training", "health"))["every_sessions"]


@dataclass(frozen=True)
class Edit:
    """A change of one field, and what shows that it is in force: before it and after it."""

    change: dict[str, Any]
    shows: Callable[[Lab], Awaitable[Any]]
    before: Any
    after: Any


EDITS = {
    "gateway.openReads": Edit({"gateway": {"openReads": True}}, a_stranger_sees, 401, 200),
    "symbols": Edit({"symbols": ["AAA"]}, symbols, SYMBOLS, ["AAA"]),
    "market.overrides": Edit(
        {"market": {"calendar": "XNYS", "overrides": [{"date": str(DAY), "closed": True}]}},
        newest_session,
        DAY,
        BEFORE_IT,
    ),
    "predictions.margin": Edit({"predictions": {"margin": "0.2"}}, margin, 0.01, 0.2),
    "training": Edit({"training": {"everySessions": 20}}, training_every, 0, 20),
    "trading.mode": Edit({"trading": {"mode": "off"}}, refusals, [], ["TRADING_OFF"]),
    "trading.halted": Edit({"trading": {"halted": True}}, halts, [], ["declaration: spec.trading.halted is true"]),
    "trading.risk": Edit({"trading": {"risk": {"maxOrdersPerSession": 0}}}, by_hand, "queued", "refused"),
    "quality": Edit({"quality": {"minScore": 85}}, least_quality, 70.0, 85.0),
    "sentiment": Edit(
        {"sentiment": {"provider": "csv", "csv": {"file": "gone.csv"}}}, news, "NO_PROVIDER", "NEWS_UNAVAILABLE"
    ),
    "tasks": Edit({"tasks": [{"name": "look", "anchor": "time", "time": "07:32"}]}, idle_minutes, 5, 2),
    "retention": Edit({"retention": {"decisions": "30d"}}, earliest_prune, "RETENTION", 0),
    "notifications": Edit(
        {"notifications": [{"name": "ops", "kind": "webhook", "url": "https://hook.example"}]}, reported, [], ["ops"]
    ),
}


def changed(spec: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Return a spec with some fields of its blocks changed."""
    merged = {
        name: {**spec.get(name, {}), **value} if isinstance(value, dict) else value for name, value in change.items()
    }
    return {**spec, **merged}


def test_each_live_field_has_a_row() -> None:
    assert {name.partition(".")[0] for name in EDITS} == set(LIVE_FIELDS)


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
async def test_a_live_field_is_acknowledged_by_every_service_and_is_in_force(lab: Lab, edit: Edit) -> None:
    assert await edit.shows(lab) == edit.before
    body = {"generation": 2, "spec": changed(lab.spec, edit.change)}
    reply = await lab.http.put("/v1/declaration?wait=30", json=body, headers=AUTHORIZED, timeout=60)
    assert reply.status_code == 200, reply.text
    reported = reply.json()
    assert (reported["missing"], reported["errors"]) == ([], {})
    services = {row["name"]: row["generation"] for row in (await lab.status())["services"]}
    assert services == dict.fromkeys(ROWS_HERE, 2)
    assert await edit.shows(lab) == edit.after
