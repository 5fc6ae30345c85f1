"""What holds on a whole node while a session is open: no eviction, no new pods; and a halt that nobody acknowledges.

The day at the exchange is made a session from its first to its last minute, and a closed day again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import partial

import pytest

from bellwether.spec.fields import parse_instant
from e2e import waits
from e2e.days import Day
from e2e.killer import Killer, killer
from e2e.lab import Lab, Object, RefusedError, System, eventually, live_system, replay_system
from e2e.receivers import HOOK, MAIL, QUIET, Receivers, notifications

EXCHANGES = ("XNYS", "XTKS")
"""Two of them, half the world apart."""
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
            reported = self.system.resource()["status"]
            return bool(reported["observedGeneration"] >= generation and reported["session"]["state"] == state)

        eventually(f"the session is {state}", waits.CHILD_PUT_RIGHT, so)

    def opens(self) -> None:
        """Make the day a session that is under way."""
        self.declare({"open": f"{OPEN:%H:%M}", "close": f"{CLOSE:%H:%M}"}, "Open")

    def closes(self) -> None:
        """Make the day a holiday."""
        self.declare({"closed": True}, "Closed")

    def uid(self) -> str | None:
        """Return the identity of the pod; None while there is none."""
        return self.system.pods().get(self.pod)

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


@dataclass(frozen=True)
class Trader:
    """A system that trades replayed history, and where its trader runs."""

    system: System
    pod: str
    container: str

    def filled(self) -> list[str]:
        """Return the ids of the filled orders as they stand in the ledger, whether the services answer or not."""
        run = ["exec", self.pod, "-c", self.container, "--", "python", "-c", FILLS]
        return self.system.lab.kubectl("-n", self.system.namespace, *run).split()

    def await_stopped(self) -> None:
        """Return when its workload is to have no pods."""
        lab, name = self.system.lab, self.pod.removesuffix("-0")

        def so() -> bool:
            return bool(lab.get(self.system.namespace, "statefulset", name)["spec"]["replicas"] == 0)

        eventually(f"{name} is to have no pods", waits.HALT_FORCED, so)

    def refuses(self) -> bool:
        """Whether an order met the halt lately."""
        with self.system.gateway() as client:
            refusals = client.get("/v1/refusals", params={"limit": 50}).raise_for_status().json()["refusals"]
        return "HALTED" in {refusal["code"] for refusal in refusals}


@dataclass(frozen=True)
class Systems:
    """All systems of these tests, and the receivers of the live one's notifications."""

    desk: Desk
    traders: list[Trader]
    receivers: Receivers


@pytest.fixture(scope="module")
def systems(lab: Lab) -> Iterator[Systems]:
    """A live system on a day without a session, and one of each profile that trades replayed history."""
    day = Day.today(EXCHANGES, range(3, 21))
    market = {"calendar": day.exchange, "overrides": [{"date": str(day.date), "closed": True}]}
    with lab.namespace("e2e-open") as namespace:
        receivers = Receivers(lab, namespace)
        receivers.prepare()
        # Around now, and for longer than these tests take.
        quiet = (day.clock(datetime.now(UTC) - timedelta(hours=2)), day.clock(datetime.now(UTC) + timedelta(hours=2)))
        channels = notifications(namespace, quiet)
        live = live_system("live", namespace, market=market, data={"provider": "yahoo"}, notifications=channels)
        lab.apply(live, *(replay_system(profile, namespace, profile=profile) for profile in ("compact", "standard")))
        receivers.start()
        system = System(lab, namespace, "live")
        system.wait_ready(waits.SYSTEM_READY)
        traders = [
            Trader(System(lab, namespace, "compact"), "compact-0", "services"),
            Trader(System(lab, namespace, "standard"), "standard-paper-trading-0", "paper-trading"),
        ]
        yield Systems(Desk(system, day), traders, receivers)


@pytest.fixture
def desk(systems: Systems) -> Desk:
    """Return the live system."""
    return systems.desk


@pytest.fixture
def receivers(systems: Systems) -> Receivers:
    """Return the receivers of the live system's notifications."""
    return systems.receivers


@pytest.fixture
def traders(systems: Systems) -> list[Trader]:
    """Return the systems that trade replayed history."""
    for each in systems.traders:
        each.system.wait_ready(waits.SYSTEM_READY)
    return systems.traders


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
    reported = eventually("the change waits", waits.CHILD_PUT_RIGHT, lambda: pending(generation, "True"))
    closes = system.resource()["status"]["session"]["closes"]
    assert parse_instant(closes) == desk.day.at(CLOSE)
    assert reported["message"].startswith(f"waits for the session's close at {closes}: StatefulSet {system.name}: ")
    assert ANNOTATION in reported["message"]
    workload = system.lab.get(system.namespace, "statefulset", system.name)
    assert workload["status"]["updateRevision"] == workload["status"]["currentRevision"]
    pod = system.lab.get(system.namespace, "pod", desk.pod)["metadata"]
    assert (pod["uid"], "deletionTimestamp" in pod) == (before, False)
    assert ANNOTATION not in pod["annotations"]

    desk.closes()
    # Between the two pods there is none.
    eventually("the pod is a new one", waits.POD_BACK, lambda: desk.uid() not in (None, before))
    system.wait_ready(waits.POD_BACK)
    assert system.lab.get(system.namespace, "pod", desk.pod)["metadata"]["annotations"][ANNOTATION] == "b"
    generation = system.resource()["metadata"]["generation"]
    eventually("nothing waits", waits.CHILD_PUT_RIGHT, lambda: pending(generation, "False"))


def test_an_alarm_and_its_end_come_once_each_by_webhook_and_mail_after_a_receiver_was_unreachable(
    desk: Desk, receivers: Receivers
) -> None:
    """A halt is critical. That no model serves, for want of bars, is a warning, and held in quiet hours."""
    system, halt = desk.system, "trading_halted"

    def has_come(channel: str, kind: str, state: str) -> bool:
        return state in receivers.states(channel, kind)

    def is_noted(state: str) -> bool:
        with system.gateway() as client:
            notices = client.get("/v1/notifications").raise_for_status().json()["notices"]
        return (halt, state) in {(notice["type"], notice["state"]) for notice in notices}

    def are_back() -> bool:
        with system.gateway("token") as client:
            sent = client.post("/v1/notifications/test").raise_for_status().json()["results"]
        return all(one["delivered"] for one in sent)

    for channel in (HOOK, MAIL):
        warned = partial(has_come, channel, "model_missing", "raised")
        eventually(f"{channel} hears that no model serves", waits.NOTIFIED, warned)
    receivers.stop()
    for halted, state in ((True, "raised"), (False, "resolved")):
        system.patch({"trading": {"halted": halted}})
        eventually(f"the halt is {state}", waits.NOTIFIED, partial(is_noted, state))
    receivers.start()
    eventually("a test message arrives everywhere", waits.NOTIFIED, are_back)
    for channel in (HOOK, QUIET, MAIL):
        eventually(f"{channel} hears of the end", waits.NOTIFIED, partial(has_come, channel, halt, "resolved"))
    assert [receivers.states(channel, halt) for channel in (HOOK, QUIET, MAIL)] == [["raised", "resolved"]] * 3
    assert {severity for severity, _, state in receivers.taken(QUIET) if state != "test"} == {"critical"}


@dataclass(frozen=True)
class Frozen:
    """A trader that does nothing any more, as it was just before it was to halt."""

    trader: Trader
    pods: dict[str, str]
    filled: list[str]
    unanswered: str
    """What the status is to say of the halt."""

    @classmethod
    def halted(cls, trader: Trader, by: Killer) -> Frozen:
        """Stop the process of a trader, and declare a halt."""
        pods = trader.system.pods()
        assert by.stop(pods[trader.pod], "serve") == 1
        filled = trader.filled()
        generation = trader.system.patch({"trading": {"halted": True}})
        words = f"paper-trading did not acknowledge the halt of generation {generation} in 5 s"
        return cls(trader, pods, filled, words)

    def reported(self) -> Object | None:
        """Return the status once its condition says that the halt is being forced."""
        found: Object = self.trader.system.resource()["status"]
        ready = next(each for each in found["conditions"] if each["type"] == "Ready")
        return found if ready["reason"] == "HaltForced" and ready["message"].startswith(self.unanswered) else None

    def is_replaced(self) -> bool:
        """Whether the trader's pod is a new one."""
        before = self.pods[self.trader.pod]
        return self.trader.system.pods().get(self.trader.pod, before) != before


def test_a_trader_that_does_not_acknowledge_a_halt_is_stopped_and_fills_nothing_more(
    traders: list[Trader], by: Killer
) -> None:
    for trader in traders:
        eventually("orders are filled", waits.FIRST_FILLS, trader.filled)
    # One directly after the other: with more time between, the first would be stopped and started again unseen.
    halted = [Frozen.halted(trader, by) for trader in traders]
    for each in halted:
        each.trader.await_stopped()
        reported = eventually("the condition says what is done by force", waits.HALT_FORCED, each.reported)
        assert len(reported["halts"]) == 2
        assert any(line.startswith(each.unanswered) for line in reported["halts"])
        assert any(line.endswith("spec.trading.halted is true") for line in reported["halts"])
    for each in halted:
        trader, system = each.trader, each.trader.system
        eventually("the pod is a new one", waits.POD_BACK, each.is_replaced)
        system.wait_ready(waits.POD_BACK)
        assert system.resource()["status"]["halts"] == ["declaration: spec.trading.halted is true"]
        assert {name for name, uid in system.pods().items() if each.pods[name] != uid} == {trader.pod}
        eventually("an order is refused", waits.FIRST_FILLS, trader.refuses)
        assert trader.filled() == each.filled
