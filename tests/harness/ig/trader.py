"""paper-trading on an account at a broker, in a process that tests kill.

It reads one JSON object a line and answers with one: {"at": instant} sets the clock, which then goes on; {"signal":
[symbol, action]} has a prediction published and met; {"method": name, "params": {...}} calls paper-trading; {"apart":
{...}} does one of these beside what comes after it; {"aim": text} sets where it ends. market-data and the others are
made up. At the step that the aim counts to (see `steps`) it ends as if the power went, and says where.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from bellwether.broker.ig import client
from bellwether.broker.ig.client import Pace
from bellwether.messages.prediction import GeneratePredictions, PredictionGenerated
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.errors import RpcError
from bellwether.runtime.logs import configure_logs
from bellwether.spec.models import TradingSystem
from bellwether.trading import service as trading
from harness.ig.markets import epic_of
from harness.ig.steps import Aimed, count_requests, count_writes
from harness.system import System, running
from integration.trading.peers import ROWS, SYMBOLS, Peers, declaration, predicted
from soak.victim import end_process

STARTED = "started"
QUICKLY = {"lookupWindow": "1s", "reconcileEvery": "1h", "sendUntil": "6h", "requestsPerMinute": 60}


PATIENCE = 60.0
"""Seconds for an answer of the stand-in."""


class Moving:
    """A live clock that a test sets, and that goes on from there."""

    live = True

    def __init__(self, instant: datetime) -> None:
        self.set(instant)

    def set(self, instant: datetime) -> None:
        """Go on from an instant."""
        self._instant, self._since = instant, time.monotonic()

    def now(self) -> datetime:
        """Return the instant, in UTC."""
        return self._instant + timedelta(seconds=time.monotonic() - self._since)

    def observe(self, as_of: datetime) -> None:
        """Ignore it: the present does not follow messages."""


RISK = {"maxPositionValue": "5000", "maxOrdersPerSession": 100, "maxDailyLoss": "90000"}


def live(broker: str, exits: Mapping[str, Any] | None = None, **ig: Any) -> TradingSystem:
    """Return a live system of the made-up symbols that trades at a broker; `exits` is its block `trading.exit`."""
    at_ig = {
        "brokerSecretRef": {"name": "account"},
        "ig": {"exclusiveAccount": True, **QUICKLY, **ig},
        "instruments": {symbol: {"epic": epic_of(symbol)} for symbol in SYMBOLS},
    }
    return declaration(
        clock={"mode": "live"},
        data={"provider": "csv", "csv": {"directory": "."}},
        training={"gate": {"mode": "enforce"}},
        trading={"mode": broker, "risk": RISK, "exit": dict(exits or {}), **(at_ig if broker == "ig-demo" else {})},
    )


async def _answer(system: System, clock: Moving, aimed: Aimed, asked: Mapping[str, Any]) -> Any:
    if "aim" in asked:
        aimed.aim(asked["aim"])
        return {}
    if "at" in asked:
        clock.set(datetime.fromisoformat(asked["at"]))
        return {}
    if "signal" in asked:
        symbol, action = asked["signal"]
        now = clock.now().replace(microsecond=0)
        made = predicted(symbol, now, GeneratePredictions(may_trade=True, slot=f"slot-{now:%Y%m%d}"))
        made = msgspec.structs.replace(made, action=action)
        event_id = f"prediction_generated:{made.prediction_id}"
        work = system.work(as_of=now)
        await work.publish_event("prediction_generated", PredictionGenerated(made), event_id=event_id)
        await system.settle("paper-trading", event_id)
        return {"prediction_id": made.prediction_id}
    try:
        return await system.call(
            "paper-trading", asked["method"], asked.get("params"), dict, as_of=clock.now(), budget=60.0
        )
    except RpcError as error:
        return {"error": error.code, "message": error.message}


async def _main(folder: Path, aim: str) -> None:
    configure_logs("trader", os.environ.get("BELLWETHER_LOG_LEVEL", "info"))
    config = ProcessConfig.from_environment()
    aimed = Aimed(aim, end_process)
    # The real clock's allowance is tested elsewhere; here it would only make kills slow.
    Pace.wait = lambda self, now: 0.0  # type: ignore[method-assign]
    # The stand-in answers when this machine lets it; what breaks off does so by a switch, never by the clock.
    client.CONNECT_SECONDS = client.ANSWER_SECONDS = PATIENCE
    clock = Moving(datetime.fromisoformat(os.environ["HARNESS_INSTANT"]))
    count_writes(aimed)
    count_requests(aimed)

    def create(context: Any) -> Any:
        found = replace(context.config, proxy=config.proxy, ca_bundle=config.ca_bundle)
        return trading.create(replace(context, config=replace(found, ig_credentials=config.ig_credentials)))

    builds = {**Peers().builds(), "paper-trading": create}
    system = live(os.environ.get("HARNESS_BROKER", "ig-demo"), **json.loads(os.environ.get("HARNESS_IG", "{}")))
    async with running(builds, data_dir=folder, rows=ROWS, declaration=system, clock=clock) as found:
        print(STARTED, flush=True)
        loop, apart = asyncio.get_running_loop(), set[asyncio.Task[Any]]()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            asked = json.loads(line)
            if "apart" in asked:
                apart.add(loop.create_task(_answer(found, clock, aimed, asked["apart"])))
            answer = {} if "apart" in asked else await _answer(found, clock, aimed, asked)
            print(json.dumps(answer, default=str), flush=True)


def main(arguments: Sequence[str]) -> None:
    """Run it on a folder, aimed at a step or at none."""
    folder, aim = arguments
    asyncio.run(_main(Path(folder), aim))
