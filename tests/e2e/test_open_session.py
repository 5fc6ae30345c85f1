"""What holds on a whole node while a session is open: no eviction, no new pods; and a halt that nobody acknowledges.

The day at the exchange is made a session from its first to its last minute, and a closed day again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from bellwether.spec.fields import parse_instant
from e2e import waits
from e2e.killer import Killer, killer
from e2e.lab import Lab, Object, RefusedError, System, eventually, replay_system
from e2e.replayed import status

NAMESPACE = "e2e-open"
OPEN, CLOSE = time(0, 0), time(23, 59)
ANNOTATION = "example.org/desk"
FILLS = """
import sqlite3
from pathlib import Path
(ledger,) = Path("/data").rglob("ledger.db")
rows = sqlite3.connect(ledger).execute("select order_id from orders where status = 'filled' order by id")
print(*(order for order, in rows))
"""


@dataclass(frozen=True)
class Day:
    """Today at an exchange where midnight is some hours away."""

    exchange: str
    zone: ZoneInfo
    date: date

    @classmethod
    def today(cls) -> Day:
        """Return the day at the one of two exchanges, half the world apart, where it is neither early nor late."""
        for exchange, zone in (("XNYS", ZoneInfo("America/New_York")), ("XTKS", ZoneInfo("Asia/Tokyo"))):
            now = datetime.now(zone)
            if 3 <= now.hour < 21:
                return cls(exchange, zone, now.date())
        raise AssertionError("it is night in New York and in Tokyo")

    @property
    def close(self) -> datetime:
        """When the session that is made of it closes, UTC."""
        return datetime.combine(self.date, CLOSE, self.zone).astimezone(UTC)


@dataclass(frozen=True)
class Desk:
    """A live system in the compact profile, and the day that is a session for it or not."""

    system: System
    day: Day

    @property
    def pod(self) -> str:
        """The name of its one pod."""
        return f"{self.system.name}-0"

    def declare(self, override: Object, state: str) -> None:
        """Say what the day is; return when the status says so, too, and the disruption budget was looked at."""
        generation = self.system.patch({"market": {"overrides": [{"date": str(self.day.date), **override}]}})

        def so() -> bool:
            told = self.system.resource()["status"]
            return bool(told["observedGeneration"] >= generation and told["session"]["state"] == state)

        eventually(f"the session is {state}", waits.CHILD_PUT_RIGHT, so)

    def opens(self) -> None:
        """Make the day a session that is under way."""
        self.declare({"open": f"{OPEN:%H:%M}", "close": f"{CLOSE:%H:%M}"}, "Open")

    def closes(self) -> None:
        """Make the day a holiday."""
        self.declare({"closed": True}, "Closed")

    def uid(self) -> str:
        """Return the identity of the pod."""
        return self.system.pods()[self.pod]

    def await_budget(self, allowed: int) -> None:
        """Return when Kubernetes has reckoned that so many pods may be evicted of the one that is ready."""

        def reckoned() -> bool:
            budget = self.system.lab.get(self.system.namespace, "poddisruptionbudget", self.system.name)
            found = budget["status"]
            current = found.get("observedGeneration") == budget["metadata"]["generation"]
            return bool(current and (found["currentHealthy"], found["disruptionsAllowed"]) == (1, allowed))

        eventually(f"{allowed} disruptions are allowed", waits.CHILD_PUT_RIGHT, reckoned)

    def evict(self) -> None:
        """Ask the API server whether the pod may be evicted now.

        Raises:
            RefusedError: when it may not.

        """
        metadata = {"name": self.pod, "namespace": self.system.namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        path = f"/api/v1/namespaces/{self.system.namespace}/pods/{self.pod}/eviction"
        asked = json.dumps({**eviction, "deleteOptions": {"dryRun": ["All"]}})
        self.system.lab.kubectl("create", "--raw", path, "-f", "-", stdin=asked)


@pytest.fixture(scope="module")
def systems(lab: Lab) -> Iterator[tuple[Desk, System]]:
    """A live system on a day without a session, and one that trades replayed history."""
    day = Day.today()
    live = replay_system(
        "live",
        NAMESPACE,
        market={"calendar": day.exchange, "overrides": [{"date": str(day.date), "closed": True}]},
        data={"provider": "yahoo"},
        clock={"mode": "live"},
        tasks=[],
    )
    with lab.namespace(NAMESPACE) as namespace:
        lab.apply(live, replay_system("frozen", namespace))
        system = System(lab, namespace, "live")
        system.wait_ready(waits.SYSTEM_READY)
        yield Desk(system, day), System(lab, namespace, "frozen")


@pytest.fixture
def desk(systems: tuple[Desk, System]) -> Desk:
    """Return the live system."""
    return systems[0]


@pytest.fixture
def frozen(systems: tuple[Desk, System]) -> System:
    """Return the system that trades replayed history."""
    found = systems[1]
    found.wait_ready(waits.SYSTEM_READY)
    return found


@pytest.fixture(scope="module")
def by(lab: Lab) -> Iterator[Killer]:
    with killer(lab) as found:
        yield found


def test_a_pod_is_evicted_by_nobody_while_the_session_is_open(desk: Desk) -> None:
    desk.opens()
    desk.await_budget(0)
    with pytest.raises(RefusedError, match=r"TooManyRequests.*disruption budget"):
        desk.evict()
    desk.closes()
    desk.await_budget(1)
    desk.evict()


def test_a_release_waits_for_the_close_and_says_so(desk: Desk) -> None:
    desk.opens()
    before, system = desk.uid(), desk.system

    def pending(generation: int, status: str) -> Object | None:
        found = system.condition("RolloutPending")
        return found if (found["observedGeneration"], found["status"]) == (generation, status) else None

    generation = system.patch({"podTemplate": {"annotations": {ANNOTATION: "b"}}})
    told = eventually("the change waits", waits.CHILD_PUT_RIGHT, lambda: pending(generation, "True"))
    closes = system.resource()["status"]["session"]["closes"]
    assert parse_instant(closes) == desk.day.close
    assert told["message"].startswith(f"waits for the session's close at {closes}: StatefulSet {system.name}: ")
    assert ANNOTATION in told["message"]
    workload = system.lab.get(system.namespace, "statefulset", system.name)
    assert workload["status"]["updateRevision"] == workload["status"]["currentRevision"]
    pod = system.lab.get(system.namespace, "pod", desk.pod)["metadata"]
    assert (pod["uid"], "deletionTimestamp" in pod) == (before, False)
    assert ANNOTATION not in pod["annotations"]

    desk.closes()
    eventually("the pod is a new one", waits.POD_BACK, lambda: desk.uid() != before)
    system.wait_ready(waits.POD_BACK)
    assert system.lab.get(system.namespace, "pod", desk.pod)["metadata"]["annotations"][ANNOTATION] == "b"
    assert pending(system.resource()["metadata"]["generation"], "False")


def fills(system: System) -> list[str]:
    """Return the ids of the filled orders as they stand in the ledger, whether the services answer or not."""
    run = ["exec", f"{system.name}-0", "-c", "services", "--", "python", "-c", FILLS]
    return system.lab.kubectl("-n", system.namespace, *run).split()


def test_a_trader_that_does_not_acknowledge_a_halt_is_stopped_and_fills_nothing_more(
    frozen: System, by: Killer
) -> None:
    eventually("orders are filled", waits.FIRST_FILLS, lambda: fills(frozen))
    ((pod, before),) = frozen.pods().items()
    assert by.stop(before, "serve") == 1
    filled = fills(frozen)
    generation = frozen.patch({"trading": {"halted": True}})
    unanswered = f"paper-trading did not acknowledge the halt of generation {generation} in 5 s"

    def stopped() -> bool:
        return bool(frozen.lab.get(frozen.namespace, "statefulset", frozen.name)["spec"]["replicas"] == 0)

    eventually("the trader is to have no pods", waits.HALT_FORCED, stopped)

    def told() -> bool:
        ready = frozen.condition("Ready")
        return bool(ready["reason"] == "HaltForced" and ready["message"].startswith(unanswered))

    eventually("the condition says what is done by force", waits.HALT_FORCED, told)
    halts = frozen.resource()["status"]["halts"]
    assert [line.startswith(unanswered) for line in halts] == [False, True]
    assert halts[0] == "spec.trading.halted is true"

    eventually("the pod is a new one", waits.POD_BACK, lambda: frozen.pods().get(pod, before) != before)
    frozen.wait_ready(waits.POD_BACK)
    assert frozen.resource()["status"]["halts"] == ["declaration: spec.trading.halted is true"]
    session = status(frozen)["replay"]["session"]
    eventually("replay goes on", waits.FIRST_FILLS, lambda: status(frozen)["replay"]["session"] > session)
    assert fills(frozen) == filled
    with frozen.gateway() as client:
        refusals = client.get("/v1/refusals", params={"limit": 50}).raise_for_status().json()["refusals"]
    assert "HALTED" in {refusal["code"] for refusal in refusals}
