"""Dead letters over a real nats-server: listed, shown, published again once their cause is mended, dropped."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwether.messages.envelope import Event
from bellwether.messages.monitoring import Alerts, DeadLetterBody, DeadLetterGone, DeadLetters
from bellwether.monitoring.service import create as monitoring
from bellwether.runtime.call import Call
from bellwether.runtime.clock import LiveClock
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.events import RetryPolicy
from bellwether.runtime.service import Service
from bellwether.service_row import ServiceRow
from bellwether.topology import SERVICES
from harness.nats import nats_server
from harness.system import running
from harness.until import DEADLINE, until
from integration.trading.peers import declaration

pytestmark = pytest.mark.integration

ROWS = {
    "monitoring": SERVICES["monitoring"],
    "market-data": ServiceRow("market-data", "publishes", publishes={"market_data_updated": "normal"}),
    "prediction": ServiceRow("prediction", "fails", consumes=("market_data_updated",)),
    "gateway": ServiceRow("gateway", "has no trouble", consumes=("market_data_updated",)),
}


class Bars(msgspec.Struct, frozen=True):
    """Some data."""

    symbol: str


async def test_what_was_given_up_is_shown_published_again_and_dropped(tmp_path: Path) -> None:
    broken, taken, elsewhere = asyncio.Event(), [], []
    broken.set()

    def prediction(context: ServiceContext) -> Service:
        service = Service("prediction", context, retry=RetryPolicy(attempts=1))

        @service.on_event("market_data_updated")
        async def hear(event: Event[Bars], call: Call) -> None:
            if broken.is_set():
                raise ValueError("made up")
            taken.append(event.data.symbol)

        return service

    def gateway(context: ServiceContext) -> Service:
        service = Service("gateway", context)

        @service.on_event("market_data_updated")
        async def hear(event: Event[Bars], call: Call) -> None:
            elsewhere.append(event.id)

        return service

    builds = {
        "monitoring": monitoring,
        "market-data": lambda context: Service("market-data", context),
        "prediction": prediction,
        "gateway": gateway,
    }
    options: dict[str, Any] = {"data_dir": tmp_path, "declaration": declaration(), "clock": LiveClock(), "rows": ROWS}
    async with (
        nats_server(tmp_path / "nats", ROWS) as server,
        running(builds, connect=server.connect, **options) as system,
    ):

        async def ask(method: str, wanted: Any, **params: Any) -> Any:
            return await system.call("monitoring", method, params or None, wanted)

        for symbol in ("AAA", "BBB"):
            call = system.services["market-data"].call()
            await call.publish_event("market_data_updated", Bars(symbol), event_id=f"bars-{symbol}")
        async with asyncio.timeout(DEADLINE):
            # A letter sets no event here.
            while (await ask("list_dead_letters", DeadLetters)).total < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        found: DeadLetters = await ask("list_dead_letters", DeadLetters, limit=1)
        assert [(one.service, one.type, one.attempts, one.complete) for one in found.letters] == [
            ("prediction", "market_data_updated", 1, True)
        ]
        assert found.letters[0].error == "ValueError: made up"
        first, second = (one.number for one in (await ask("list_dead_letters", DeadLetters)).letters)
        shown: DeadLetterBody = await ask("get_dead_letter", DeadLetterBody, number=first)
        assert msgspec.json.decode(shown.body)["data"] in ({"symbol": "AAA"}, {"symbol": "BBB"})
        alerts: Alerts = await ask("check_alerts", Alerts)
        assert [(one.type, one.message) for one in alerts.alerts] == [("dead_letters", "2 dead letters")]

        broken.clear()
        gone: DeadLetterGone = await ask("replay_dead_letter", DeadLetterGone, number=first)
        assert gone.status == "replayed"
        await until(lambda: len(taken) == 1)
        assert (await ask("drop_dead_letter", DeadLetterGone, number=second)).status == "dropped"
        assert (await ask("list_dead_letters", DeadLetters)).total == 0
        with pytest.raises(RpcError, match=f"there is no dead letter {first}"):
            await ask("replay_dead_letter", DeadLetterGone, number=first)
        assert (await ask("check_alerts", Alerts)).alerts == []
