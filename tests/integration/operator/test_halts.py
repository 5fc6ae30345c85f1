"""Halts, and other live fields of a paused system, by a clock of the test's."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bellwether_operator.settings import Settings
from harness.until import DEADLINE
from integration.operator.sessions import EVENING, NOON, Clock, live, replicas, running, settled, version_of

from .conftest import FakeGateway, Kube, eventually

pytestmark = [pytest.mark.integration, pytest.mark.cluster]


async def test_a_halt_reaches_a_paused_system(kube: Kube, settings: Settings, gateway: FakeGateway) -> None:
    clock = Clock(kube, EVENING)
    await kube.apply(live(kube))
    async with running(settings, clock):
        await settled(kube)
        until = (EVENING + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        await kube.patch("tsys", "demo", {"spec": {"paused": {"until": until}, "trading": {"halted": True}}})

        async def delivered() -> bool:
            return any(each["spec"]["trading"].get("halted") for each in gateway.declarations)

        await eventually("the halt at the gateway", delivered)


async def test_a_halt_that_nobody_acknowledges_stops_the_trader(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await kube.apply(live(kube))
    async with running(settings, Clock(kube, NOON)):
        await settled(kube)
        gateway.acknowledge = False
        await kube.patch("tsys", "demo", {"spec": {"trading": {"halted": True}}})

        async def replicas() -> int:
            return int((await kube.get("statefulset", "demo") or {})["spec"]["replicas"])

        async def stopped() -> bool:
            return await replicas() == 0

        async def started() -> bool:
            return await replicas() == 1

        await eventually("the trader scaled to zero", stopped)
        found = await kube.get("statefulset", "demo")
        assert found is not None
        none = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "currentReplicas"), 0)
        gone = {"observedGeneration": found["metadata"]["generation"], **none}
        await kube.patch("statefulset", "demo", {"status": gone}, "--subresource=status")
        await eventually("the trader started again, with the halt as its start value", started)
        text = (await kube.get("configmap", "demo-declaration") or {})["data"]["system.json"]
        assert '"halted": true' in text


async def test_a_halt_is_forced_though_something_else_is_in_trouble(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await kube.apply(live(kube))
    async with running(settings, Clock(kube, NOON)):
        await settled(kube)
        gateway.acknowledge = False
        await kube.patch("pvc", "data-demo-0", {"metadata": {"finalizers": ["test/in-use"]}})
        await kube.delete("pvc", "data-demo-0", wait=False)
        await kube.until_condition("demo", "Reconciling", "True", "WaitingForPredecessor")
        await kube.patch("tsys", "demo", {"spec": {"trading": {"halted": True}}})

        async def stopped() -> bool:
            return await replicas(kube) == 0

        await eventually("the trader stopped", stopped)
        await kube.patch("pvc", "data-demo-0", {"metadata": {"finalizers": None}})


async def test_a_halt_in_a_declaration_that_does_not_fit_the_calendar_stops_the_trader(
    kube: Kube, settings: Settings
) -> None:
    await kube.apply(live(kube))
    async with running(settings, Clock(kube, NOON)):
        await settled(kube)
        # A Saturday has no session, so an override of its close alone fits nothing.
        market = {"calendar": "XASX", "overrides": [{"date": "2027-06-12", "close": "12:00"}]}
        await kube.patch("tsys", "demo", {"spec": {"market": market, "trading": {"halted": True}}})
        await kube.until_condition("demo", "Accepted", "False", "DoesNotFit")

        async def stopped() -> bool:
            return await replicas(kube) == 0

        await eventually("the trader stopped", stopped)


async def test_live_fields_reach_a_paused_system_whose_new_release_waits(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await kube.apply(live(kube))
    async with running(settings, Clock(kube, EVENING)):
        await settled(kube)
        until = (EVENING + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        await kube.patch("tsys", "demo", {"spec": {"paused": {"until": until}, "version": "dev-2"}})
        await kube.until_condition("demo", "Reconciling", "False", "Paused")
        await kube.patch("tsys", "demo", {"spec": {"symbols": ["BHP.AX"]}})

        async def delivered() -> bool:
            return any(each["spec"].get("symbols") == ["BHP.AX"] for each in gateway.declarations)

        await eventually("the symbols at the gateway", delivered)


async def test_a_halt_forced_in_a_pause_keeps_the_release_and_starts_again(
    kube: Kube, settings: Settings, gateway: FakeGateway
) -> None:
    await kube.apply(live(kube))
    async with running(settings, Clock(kube, EVENING)):
        await settled(kube)
        gateway.acknowledge = False
        until = (EVENING + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        paused = {"paused": {"until": until}, "version": "dev-2", "trading": {"halted": True}}
        await kube.patch("tsys", "demo", {"spec": paused})

        async def stopped() -> bool:
            return await replicas(kube) == 0

        await eventually("the trader stopped", stopped)
        # The halt is taken back while it has no pods: nothing but the mark on it says why it has none.
        await kube.patch("tsys", "demo", {"spec": {"trading": {"halted": False}}})

        async def started() -> bool:
            return await replicas(kube) == 1

        await eventually("the trader started again", started)
        assert await version_of(kube) == "dev-1"


async def test_an_acknowledged_halt_stops_no_pod(
    kube: Kube, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whether it is acknowledged, and not how soon on a machine that does much else.
    monkeypatch.setattr("bellwether_operator.halting.PATIENCE_SECONDS", DEADLINE)
    await kube.apply(live(kube))
    async with running(settings, Clock(kube, NOON)):
        await settled(kube)
        await kube.patch("tsys", "demo", {"spec": {"trading": {"halted": True}}})

        async def acknowledged() -> bool:
            rows = (await kube.get("tsys", "demo") or {})["status"]["services"]
            return bool({row["name"]: row["generation"] for row in rows}["paper-trading"] == 2)

        await eventually("the halt acknowledged", acknowledged)
        writes = [each for each in kube.operator_writes() if "statefulsets" in each]
    assert writes == ["patch statefulsets/demo"]
