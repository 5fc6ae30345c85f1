"""monitoring over real services: one is stopped, one hangs, one says that it is not well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bellwether.market_data.service import create as market_data
from bellwether.messages.envelope import Event
from bellwether.messages.monitoring import Alerts, SystemAlert, SystemMetrics
from bellwether.monitoring.notifier import Notifier
from bellwether.monitoring.service import Monitoring
from bellwether.monitoring.service import create as monitoring
from bellwether.quality.service import create as quality
from bellwether.runtime.call import Call
from bellwether.runtime.clock import LiveClock
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.machine import Machine
from bellwether.runtime.service import Service
from bellwether.service_row import ServiceRow
from bellwether.topology import SERVICES
from harness.nats import nats_server
from harness.system import System, running
from harness.until import until
from integration.trading.peers import declaration

pytestmark = pytest.mark.integration

ROWS = {
    "market-data": SERVICES["market-data"],
    "data-quality": SERVICES["data-quality"],
    "monitoring": SERVICES["monitoring"],
    "gateway": ServiceRow("gateway", "hears alerts", consumes=("system_alert",)),
}
"""Under the gateway's name, since monitoring may ask nobody who is not in its row."""


class Ward:
    """The services: what they hear, and switches for their health."""

    def __init__(self) -> None:
        self.heard: list[SystemAlert] = []
        self.hangs = False
        self.status = "healthy"

    def market_data(self, context: ServiceContext) -> Service:
        """Return market-data whose health never ends while it hangs."""
        service = market_data(context)

        @service.on_health
        async def hang() -> dict[str, Any]:
            if self.hangs:
                await asyncio.Event().wait()
            return {}

        return service

    def gateway(self, context: ServiceContext) -> Service:
        """Return a service that hears alerts."""
        service = Service("gateway", context)
        service.on_health(lambda: {"status": self.status})

        @service.on_event("system_alert")
        async def hear(event: Event[SystemAlert], call: Call) -> None:
            self.heard.append(event.data)

        return service

    def has_heard(self, service: str, state: str) -> bool:
        """Whether such an alert was published."""
        return (service, state) in [(one.service, one.state) for one in self.heard]

    def builds(self, every: float) -> dict[str, Any]:
        """Return what makes the services."""
        return {
            "market-data": self.market_data,
            "data-quality": quality,
            "monitoring": partial(monitoring, every=every),
            "gateway": self.gateway,
        }


async def figures(system: System) -> SystemMetrics:
    """Ask for the metrics."""
    found: SystemMetrics = await system.call("monitoring", "collect_system_metrics", None, SystemMetrics)
    return found


async def unhealthy(system: System) -> dict[str, str]:
    """Return the severity of each service that there is an alert of."""
    found: Alerts = await system.call("monitoring", "check_alerts", None, Alerts)
    return {one.service: one.severity for one in found.alerts if one.type == "service_unhealthy"}


async def test_a_service_that_is_stopped_and_one_that_hangs_are_critical_and_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than one that is well takes on a machine that does much else.
    monkeypatch.setattr("bellwether.monitoring.service.HEALTH_BUDGET", 5.0)
    ward = Ward()
    options: dict[str, Any] = {
        "data_dir": tmp_path / "data",
        "declaration": declaration(symbols=["AAPL"]),
        "clock": LiveClock(),
    }
    async with (
        nats_server(tmp_path / "nats", ROWS) as server,
        running(ward.builds(0.05), rows=ROWS, connect=server.connect, **options) as system,
    ):
        found = await figures(system)
        assert {name: one.status for name, one in found.services.items()} == dict.fromkeys(ROWS, "healthy")
        # They are all of this process: its memory counts once.
        (process,) = found.processes
        assert sorted(process.services) == sorted(ROWS)
        assert found.memory_usage == process.memory_usage
        assert await unhealthy(system) == {}

        await system.stop("data-quality")
        ward.hangs = True
        found = await figures(system)
        assert {name for name, one in found.services.items() if one.healthy} == {"monitoring", "gateway"}
        assert found.services["data-quality"].last_error == "nobody serves data-quality.health now"
        # Whichever end sees first that the time is over says so.
        late = {"market-data.health gave no reply in time", "market-data.health did not end in time"}
        assert found.services["market-data"].last_error in late
        assert await unhealthy(system) == {"data-quality": "critical", "market-data": "critical"}

        ward.hangs = False
        ward.status = "failing"
        for service in ("data-quality", "gateway"):
            await until(partial(ward.has_heard, service, "raised"))
        ward.status = "healthy"
        await until(partial(ward.has_heard, "gateway", "resolved"))
        states = {name: [one.state for one in ward.heard if one.service == name] for name in ROWS}
        assert states["data-quality"] == ["raised"]
        assert states["gateway"] == ["raised", "resolved"]
        raised, resolved = (one for one in ward.heard if one.service == "gateway")
        assert (raised.severity, raised.message) == ("critical", "gateway is failing")
        assert (resolved.since, resolved.message) == (raised.since, "gateway is healthy")
        assert await unhealthy(system) == {"data-quality": "critical"}


async def test_all_services_are_asked_at_once(tmp_path: Path) -> None:
    asked = {"market-data": asyncio.Event(), "gateway": asyncio.Event()}

    def waiting_for(name: str, other: str) -> Callable[[ServiceContext], Service]:
        """Return a service that answers once the other one is asked, too."""

        def create(context: ServiceContext) -> Service:
            service = Service(name, context)

            @service.on_health
            async def wait() -> dict[str, Any]:
                asked[name].set()
                await asked[other].wait()
                return {}

            return service

        return create

    rows = {
        "market-data": ServiceRow("market-data", "waits"),
        "gateway": ServiceRow("gateway", "waits"),
        "monitoring": SERVICES["monitoring"],
    }
    builds = {
        "market-data": waiting_for("market-data", "gateway"),
        "gateway": waiting_for("gateway", "market-data"),
        "monitoring": monitoring,
    }
    async with running(builds, data_dir=tmp_path, declaration=declaration(), rows=rows) as system:
        found = await figures(system)
    assert {name: one.status for name, one in found.services.items()} == dict.fromkeys(rows, "healthy")


async def test_an_alert_that_cannot_be_published_is_published_at_a_later_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Monitoring] = []

    def by_hand(context: ServiceContext) -> Service:
        service = monitoring(context)
        made.append(Monitoring(service, Machine(tmp_path), 1.0, Notifier(context)))
        return service

    ward = Ward()
    rows = {name: ROWS[name] for name in ("monitoring", "gateway")}
    builds = {"monitoring": by_hand, "gateway": ward.gateway}
    async with running(builds, data_dir=tmp_path, declaration=declaration(), rows=rows) as system:
        service, publish = system.services["monitoring"], Call.publish_event

        async def away(self: Call, event_type: str, data: Any, **more: Any) -> None:
            raise RpcError("UNAVAILABLE", "NATS is unreachable")

        async def look(status: str, publishing: Any) -> None:
            ward.status = status
            monkeypatch.setattr(Call, "publish_event", publishing)
            await made[0].look(service.call())

        for status, publishing in (
            ("failing", publish),
            ("failing", away),
            ("failing", publish),
            ("healthy", away),
            ("healthy", publish),
            ("healthy", publish),
        ):
            await look(status, publishing)
        await until(partial(ward.has_heard, "gateway", "resolved"))
    assert [one.state for one in ward.heard if one.service == "gateway"] == ["raised", "resolved"]


@pytest.mark.parametrize("live", [True, False])
async def test_it_looks_by_itself_in_a_live_system_and_not_in_a_replay(tmp_path: Path, live: bool) -> None:
    rows = {"monitoring": SERVICES["monitoring"]}
    options: dict[str, Any] = {"clock": LiveClock()} if live else {}
    async with running({"monitoring": monitoring}, data_dir=tmp_path, rows=rows, **options):
        assert ("monitoring watch" in {task.get_name() for task in asyncio.all_tasks()}) is live


async def test_a_service_that_is_switched_off_is_not_missed(tmp_path: Path) -> None:
    rows = {"monitoring": SERVICES["monitoring"], "ml-model": SERVICES["ml-model"]}
    off = declaration(profile="standard", services={"ml-model": {"enabled": False}})
    async with running({"monitoring": monitoring}, data_dir=tmp_path, declaration=off, rows=rows) as system:
        assert list((await figures(system)).services) == ["monitoring"]
        assert await unhealthy(system) == {}
