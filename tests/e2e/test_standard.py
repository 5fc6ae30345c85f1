"""The standard profile: one trace across pods, and a replay during which every pod is killed once."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from bellwether.topology import start_order
from e2e import waits
from e2e.lab import System, eventually, replay_system


def status(system: System) -> dict[str, Any]:
    with system.gateway() as client:
        found: dict[str, Any] = client.get("/v1/status").raise_for_status().json()
    return found


def replay_step(system: System) -> int:
    """Return the step the conductor is at; 0 while the scheduler does not say."""
    return int((status(system)["replay"] or {}).get("step", 0))


def all_orders(system: System) -> list[dict[str, Any]]:
    with system.gateway() as client:
        orders: list[dict[str, Any]] = (
            client.get("/v1/orders", params={"limit": 500}).raise_for_status().json()["orders"]
        )
    return orders


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
        return spans if {"market-data", "ml-model", "prediction", "paper-trading"} <= names and has_fill else None

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


def test_every_pod_killed_during_a_replay_loses_no_event_and_doubles_no_order(standard: System, tmp_path: Path) -> None:
    for component in [*start_order(), "nats"]:
        pod = f"{standard.name}-{component}-0"
        before = standard.pods()
        reached = eventually("the replay says where it is", waits.POD_BACK, lambda: replay_step(standard))
        standard.kill(pod)

        def is_new(pod: str = pod, uid: str = before[pod]) -> bool:
            return standard.pods().get(pod, uid) != uid

        eventually(f"{pod} is a new one", waits.POD_BACK, is_new)

        def advanced(reached: int = reached) -> bool:
            return replay_step(standard) > reached

        eventually(f"the replay goes on after the kill of {pod}", waits.POD_BACK, advanced)

    def complete() -> bool:
        return bool((status(standard)["replay"] or {}).get("state") == "complete")

    eventually("the replay is complete", waits.REPLAY_COMPLETE, complete)
    with standard.gateway() as client:
        check = client.get("/v1/ledger/check").raise_for_status().json()
    assert check["violations"] == []
    assert check["duplicate_orders"] == 0
    assert essence(all_orders(standard)) == essence(undisturbed(standard, tmp_path))


def essence(orders: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What must be equal whatever was killed."""
    keys = ("order_id", "prediction_id", "symbol", "side", "quantity", "status", "session", "fill_price", "commission")
    return sorted(tuple(order[key] for key in keys) for order in orders)


def undisturbed(system: System, folder: Path) -> list[dict[str, Any]]:
    """Return the orders of the same replay in one process, over the in-process bus, with nothing killed."""
    document = replay_system(system.name, system.namespace)
    document["spec"] = system.resource()["spec"]
    document["spec"]["clock"]["pace"] = "0s"
    file = folder / "system.yaml"
    file.write_text(yaml.safe_dump(document))
    command = [sys.executable, "-m", "bellwether", "replay", str(file), "--data", str(folder / "data")]
    subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    (ledger,) = (folder / "data").rglob("ledger.db")
    with sqlite3.connect(ledger) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("select * from orders")]
