"""The standard profile: one trace across pods, and a replay during which every pod is killed once."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellwether.topology import SERVICES
from bellwether.wiring import start_order
from e2e import waits
from e2e.lab import System, eventually, parents_arrived
from e2e.replayed import all_orders, essence, replay_step, session_under_way, sessions_done, undisturbed
from harness.terminal import CTRL_C, Terminal

WORKLOADS = "deployments,statefulsets"


def descends(span: dict[str, Any], root: dict[str, Any], spans: dict[str, dict[str, Any]]) -> bool:
    """Whether a span is below another one."""
    while span["parent_span_id"]:
        if span["parent_span_id"] == root["span_id"]:
            return True
        if span["parent_span_id"] not in spans:
            return False
        span = spans[span["parent_span_id"]]
    return False


def test_one_trace_of_one_decision_spans_the_services_in_their_own_pods(standard: System) -> None:
    def traded() -> dict[str, Any] | None:
        signals = [o for o in all_orders(standard) if o["status"] == "filled" and o["reason"] == "signal"]
        # The replay's first decisions rest on bars that were there before it began: no ingest to link to.
        return next((order for order in signals if order["session"] > "2009-01-05"), None)

    order = eventually("an order from a signal is filled", waits.FIRST_FILLS, traded)

    def complete() -> list[dict[str, Any]] | None:
        with standard.gateway() as client:
            answer = client.get(f"/v1/traces/{order['trace_id']}")
        if answer.status_code == 404:
            return None
        spans: list[dict[str, Any]] = answer.raise_for_status().json()["spans"]
        names = {span["service"] for span in spans}
        has_fill = any(span["service"] == "paper-trading" and "fill" in span["name"] for span in spans)
        expected = {"market-data", "ml-model", "prediction", "paper-trading"} <= names
        return spans if expected and has_fill and parents_arrived(spans) else None

    spans = eventually("the trace has all its services", waits.FIRST_FILLS, complete)
    by_id = {span["span_id"]: span for span in spans}
    roots = [span for span in spans if not span["parent_span_id"]]
    assert [root["service"] for root in roots] == ["prediction"]
    (root,) = roots
    assert root["name"] == "decision"
    for service in ("market-data", "ml-model"):
        below = [span for span in spans if span["service"] == service]
        assert all(descends(span, root, by_id) for span in below), service
    publish = [span for span in spans if span["service"] == "prediction" and "publish" in span["name"]]
    trader = [span for span in spans if span["service"] == "paper-trading"]
    assert any(descends(span, each, by_id) for span in trader for each in publish), (
        "no span of paper-trading is below the publish span"
    )
    assert any(span["links"] for span in spans), "the bars' ingest is not linked"


def test_the_gateway_is_a_deployment_without_a_volume_and_rolls_by_itself(standard: System) -> None:
    kinds = {each["metadata"]["name"]: each["kind"] for each in standard.lab.items(standard.namespace, WORKLOADS)}
    free = [name for name, row in SERVICES.items() if not row.needs_volume]
    assert "gateway" in free
    assert {kinds.pop(f"{standard.name}-{name}") for name in free} == {"Deployment"}
    assert set(kinds.values()) == {"StatefulSet"}
    claims = {each["metadata"]["name"] for each in standard.lab.items(standard.namespace, "persistentvolumeclaims")}
    assert claims == {f"data-{name}-0" for name in kinds}
    before = standard.pods_of("gateway")
    others = {name: uid for name, uid in standard.pods().items() if name not in before}
    standard.patch({"services": {"gateway": {"memory": "256Mi"}}})

    def rolled() -> bool:
        there = standard.pods_of("gateway")
        return bool(there) and not set(there) & set(before)

    eventually("another pod of the gateway", waits.POD_BACK, rolled)
    standard.wait_ready(waits.POD_BACK)
    eventually("the new pod says where the replay is", waits.POD_BACK, lambda: replay_step(standard))
    gateway = standard.pods_of("gateway")
    assert {name: uid for name, uid in standard.pods().items() if name not in gateway} == others


@pytest.fixture(scope="module")
def terminal(standard: System) -> Terminal:
    """Return a terminal in which kubectl leads to the cluster."""
    return Terminal(waits.POD_BACK, standard.lab.env.hints())


def of(system: System) -> tuple[str, ...]:
    """Return the options that name a system."""
    return "--on", "cluster", "--system", f"{system.namespace}/{system.name}"


def test_a_person_sees_the_system_in_a_terminal(standard: System, terminal: Terminal) -> None:
    for command in ("status", "health"):
        terminal.run(command, *of(standard)).ended(0, *SERVICES)
    parts = json.loads(terminal.run("status", *of(standard), "-o", "json").ended(0).text)["parts"]
    assert [one["name"] for one in parts] == ["nats", *start_order()]
    assert set(json.loads(terminal.run("health", *of(standard), "-o", "json").ended(0).text)["services"]) == {*SERVICES}
    seen = terminal.run("logs", *of(standard), "-s", "prediction", "-n", "1").ended(0)
    assert len(seen.lines) == 1, seen.text
    seen = terminal.run("logs", *of(standard), "-s", "prediction", "-n", "1", "-f", keys=CTRL_C, when="prediction")
    assert seen.code in (0, 130), seen.text
    terminal.run("dashboard", *of(standard), keys="q", when="market-data").ended(0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status", "--on", "cluster"), "--on cluster needs the system's name"),
        (("dashboard", "--on", "cluster"), "--on cluster needs the system's name"),
        (("restart", "-s", "nobody"), "--service 'nobody': no such service"),
        (("logs", "-s", "nobody"), "--service 'nobody': no such service"),
        (("health", "--system", "nobody"), "there is no such system"),
        (("undeploy", "--yes", "--system", "nobody"), 'tradingsystems.bellwether.dev "nobody" not found'),
        (("stop", "--system", "nobody"), 'tradingsystems.bellwether.dev "nobody" not found'),
    ],
)
def test_a_person_who_errs_is_answered_in_one_line(
    standard: System, terminal: Terminal, arguments: tuple[str, ...], words: str
) -> None:
    named = () if {"--on", "--system"} & set(arguments) else of(standard)
    (line,) = terminal.run(*arguments, *named).ended(1, words).lines
    assert line.startswith("error: ")


def test_a_person_stops_starts_and_restarts_one_service(standard: System, terminal: Terminal) -> None:
    kept = {name: uid for name, uid in standard.pods().items() if "-sentiment-" not in name}
    seen = terminal.run("stop", *of(standard), "-s", "sentiment")
    assert seen.code == 0, seen.text
    assert standard.resource()["spec"]["services"]["sentiment"]["enabled"] is False
    assert standard.pods_of("sentiment") == {}
    assert terminal.run("status", *of(standard)).code == 3
    seen = terminal.run("start", *of(standard), "-s", "sentiment")
    assert seen.code == 0, seen.text
    assert standard.resource()["spec"]["services"]["sentiment"]["enabled"] is True
    assert len(standard.pods_of("sentiment")) == 1
    standard.wait_ready(waits.POD_BACK)
    before = standard.pods_of("sentiment")
    seen = terminal.run("restart", *of(standard), "-s", "sentiment")
    assert seen.code == 0, seen.text
    assert not standard.pods_of("sentiment").items() & before.items()
    standard.wait_ready(waits.POD_BACK)
    assert kept.items() <= standard.pods().items(), "another service was restarted"


def test_every_pod_killed_during_a_replay_loses_no_event_and_doubles_no_order(standard: System, tmp_path: Path) -> None:
    for component in [*start_order(), "nats"]:
        ((pod, uid),) = standard.pods_of(component).items()
        reached = eventually("the replay says where it is", waits.POD_BACK, lambda: replay_step(standard))
        standard.kill(pod)

        def is_new(component: str = component, uid: str = uid) -> bool:
            there = standard.pods_of(component).values()
            return bool(there) and uid not in there

        eventually(f"{pod} is replaced", waits.POD_BACK, is_new)

        def advanced(reached: int = reached) -> bool:
            return replay_step(standard) > reached

        eventually(f"the replay goes on after the kill of {pod}", waits.POD_BACK, advanced)

    at_the_last = eventually("the replay says how far it is", waits.POD_BACK, lambda: sessions_done(standard))
    eventually("two more sessions are over", waits.POD_BACK, lambda: sessions_done(standard) >= at_the_last + 2)
    # What comes later adds nothing: compared are the orders of the sessions that are over by now.
    until = eventually("the replay says where it is", waits.POD_BACK, lambda: session_under_way(standard))
    ours, wanted = (
        essence([order for order in orders if order["session"] < until])
        for orders in (all_orders(standard), undisturbed(standard, tmp_path, until))
    )
    with standard.gateway() as client:
        check = client.get("/v1/ledger/check").raise_for_status().json()
    assert check["violations"] == []
    assert check["duplicate_orders"] == 0
    assert ours
    assert ours == wanted


def test_a_person_deploys_a_change_and_takes_the_system_away(
    standard: System, terminal: Terminal, tmp_path: Path
) -> None:
    found = standard.resource()
    document = {
        "apiVersion": found["apiVersion"],
        "kind": found["kind"],
        "metadata": {"name": standard.name, "namespace": standard.namespace},
        "spec": found["spec"] | {"symbols": ["AAPL", "IBM"]},
    }
    file = tmp_path / "system.yaml"
    file.write_text(yaml.safe_dump(document))
    seen = terminal.run("deploy", str(file), "--on", "cluster")
    assert seen.code == 0, seen.text
    assert f"{standard.namespace}/{standard.name} is Ready" in seen.text
    assert standard.resource()["spec"]["symbols"] == ["AAPL", "IBM"]
    seen = terminal.run("undeploy", *of(standard), keys="n\n", when="[y/N]")
    assert seen.code != 0
    assert standard.lab.items(standard.namespace, "tradingsystems") != []
    seen = terminal.run("undeploy", *of(standard), keys="y\n", when="[y/N]")
    assert seen.code == 0, seen.text
    assert "its volumes are deleted, as deletionPolicy says" in seen.text
    assert standard.lab.items(standard.namespace, "tradingsystems") == []
