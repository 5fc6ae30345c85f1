"""The main job in the compact profile: apply, trade replayed history, stay right whatever is done by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from e2e import waits
from e2e.lab import Lab, RefusedError, System, eventually, replay_system
from e2e.replayed import session_under_way
from harness.browser import ALONE, asked_hosts, dumped
from harness.proxied import proxied


def filled_orders(system: System) -> list[dict[str, Any]]:
    with system.gateway() as client:
        orders: list[dict[str, Any]] = (
            client.get("/v1/orders", params={"status": "filled", "limit": 500}).raise_for_status().json()["orders"]
        )
    return orders


def pod_of(lab: Lab, system: System) -> dict[str, Any]:
    (pod,) = lab.items(system.namespace, "pods", f"app.kubernetes.io/instance={system.name}")
    return pod


def test_the_ledger_fills_orders_from_recorded_bars_each_with_its_origin(compact: System) -> None:
    orders = eventually("orders are filled", waits.FIRST_FILLS, lambda: filled_orders(compact))
    with compact.gateway() as client:
        for order in orders:
            if order["prediction_id"] is None:
                continue
            decision = client.get(f"/v1/decisions/{order['prediction_id']}").raise_for_status().json()
            assert decision["prediction"]["symbol"] == order["symbol"]
            assert decision["prediction"]["model_version"] == order["model_version"] != ""
            assert decision["prediction"]["trace_id"] == order["trace_id"] != ""
            assert decision["prediction"]["current_price"] > 0
        signals = [order for order in orders if order["reason"] == "signal"]
        assert signals, "no order came from a signal"
        assert client.get("/v1/ledger/check").raise_for_status().json()["violations"] == []


def test_a_symbol_added_to_the_resource_is_served_without_a_restart_of_the_trader(compact: System) -> None:
    pods = compact.pods()
    compact.patch({"symbols": ["AAPL", "IBM", "MSFT", "GOOG"]})

    def served() -> bool:
        with compact.gateway() as client:
            decisions = client.get("/v1/decisions", params={"symbol": "GOOG", "limit": 1}).raise_for_status().json()
        return bool(decisions["decisions"])

    eventually("GOOG is decided about", waits.LIVE_FIELD_ACKNOWLEDGED, served)
    assert compact.pods() == pods


def test_a_halt_in_the_resource_stops_orders_until_it_is_taken_back(compact: System) -> None:
    pods = compact.pods()
    generation = compact.patch({"trading": {"halted": True}})

    def acknowledged() -> bool:
        services = compact.resource()["status"]["services"]
        found = {service["name"]: service.get("generation", 0) for service in services}
        return bool(found.get("paper-trading", 0) >= generation)

    eventually("the trader acknowledged the halt", waits.LIVE_FIELD_ACKNOWLEDGED, acknowledged)
    before = len(filled_orders(compact))
    eventually(
        "the status tells of the halt", waits.LIVE_FIELD_ACKNOWLEDGED, lambda: compact.resource()["status"].get("halts")
    )

    started = eventually("the replay says where it is", waits.FIRST_FILLS, lambda: session_under_way(compact))
    eventually("replay goes on", waits.FIRST_FILLS, lambda: session_under_way(compact) > started)

    def refused() -> bool:
        with compact.gateway() as client:
            refusals = client.get("/v1/refusals", params={"limit": 50}).raise_for_status().json()["refusals"]
        return "HALTED" in {refusal["code"] for refusal in refusals}

    eventually("an order is refused", waits.FIRST_FILLS, refused)
    assert len(filled_orders(compact)) == before
    compact.patch({"trading": {"halted": False}})
    eventually("orders are filled again", waits.FIRST_FILLS, lambda: len(filled_orders(compact)) > before)
    assert compact.pods() == pods


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"symbols": []}, "spec.symbols"),
        ({"clock": {"mode": "live"}}, "provider replay has no bars of today: it needs clock.mode replay"),
        ({"trading": {"mode": "yolo"}}, 'supported values: "off", "simulated"'),
        ({"sybmols": ["AAPL"]}, 'unknown field "spec.sybmols"'),
    ],
)
def test_a_bad_resource_is_refused_with_the_right_words(lab: Lab, spec: dict[str, Any], words: str) -> None:
    document = replay_system("bad", "default", **spec)
    if "clock" not in spec:
        document["spec"]["clock"] = {"mode": "replay", "from": "2009-01-02"}
    with pytest.raises(RefusedError) as refused:
        lab.kubectl("apply", "--validate=strict", "-f", "-", stdin=json.dumps(document))
    assert words.lower() in str(refused.value).lower()


def test_a_backtest_by_apply_ends_with_figures_in_its_status(lab: Lab, compact: System) -> None:
    vary = [{"path": "trading.sizing.value", "values": ["0.2"]}]
    spec = {"system": compact.name, "from": "2009-01-02", "to": "2009-02-13", "vary": vary}
    metadata = {"name": "sizes", "namespace": compact.namespace}
    api = {"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingReplay"}
    lab.apply({**api, "metadata": metadata, "spec": spec})

    def ended() -> dict[str, Any] | None:
        status = lab.get(compact.namespace, "tradingreplay", "sizes").get("status", {})
        over = [one for one in status.get("conditions", []) if one["type"] in {"Complete", "Failed"}]
        return status if any(one["status"] == "True" for one in over) else None

    status = eventually("the backtest has ended", waits.BACKTEST_DONE, ended)
    reported = {one["type"]: (one["status"], one["message"]) for one in status["conditions"]}
    assert reported["Complete"][0] == "True", reported
    rows = status["variants"]
    assert [row["name"] for row in rows] == ["as declared", "trading.sizing.value=0.2"]
    for row in rows:
        assert row.get("message", "") == ""
        assert row["sessions"] == 30
        assert row["trades"] > 0
        assert {"finalEquity", "totalReturn", "buyAndHoldReturn", "maxDrawdown", "hitRate", "baseHitRate"} <= set(row)
    assert rows[0]["buyAndHoldReturn"] == rows[1]["buyAndHoldReturn"]
    assert rows[0]["totalReturn"] != rows[1]["totalReturn"]
    with compact.gateway() as client:
        for row in rows:
            page = client.get(row["report"]).raise_for_status()
            assert "default-src 'none'" in page.headers["content-security-policy"]
            assert f"Replay of {compact.name}, 2009-01-02 to 2009-02-13" in page.text


@pytest.mark.parametrize("size", ["1280,900", "390,844"])
def test_its_report_opens_in_a_browser_that_asks_no_other_host(
    lab: Lab, compact: System, size: str, tmp_path: Path
) -> None:
    status = lab.get(compact.namespace, "tradingreplay", "sizes").get("status", {})
    assert status.get("variants"), "the backtest before it made no report"
    log = tmp_path / "net.json"
    options = (f"--window-size={size}", f"--log-net-log={log}", ALONE)
    with compact.gateway() as client, proxied(client) as url:
        done = dumped(f"{url}/reports/replays/sizes", tmp_path / "profile", *options, milliseconds=5000)
    assert f"Replay of {compact.name}, 2009-01-02" in done.stdout, done.stderr
    assert "<svg" in done.stdout
    assert asked_hosts(log) == set()


def test_a_backtest_goes_with_all_that_was_made_for_it(lab: Lab, compact: System) -> None:
    lab.api.delete(compact.namespace, "tradingreplay", "sizes", missing_ok=True)

    def gone() -> bool:
        left = lab.items(compact.namespace, "configmaps,jobs,networkpolicies,pods", "bellwether.dev/replay")
        with compact.gateway() as client:
            return not left and client.get("/reports/replays/sizes").status_code == 404

    eventually("nothing is left of the backtest", waits.ALL_GONE, gone)


def test_a_killed_pod_of_the_compact_system_goes_on_where_it_was(lab: Lab, compact: System) -> None:
    (pod,) = compact.pods()
    before = compact.pods()
    orders = {order["order_id"] for order in filled_orders(compact)}
    compact.kill(pod)

    def ready_again() -> bool:
        found = lab.items(compact.namespace, "pods", f"app.kubernetes.io/instance={compact.name}")
        states = [each for one in found for each in one["status"].get("conditions", ()) if each["type"] == "Ready"]
        return compact.pods() != before and [each["status"] for each in states] == ["True"]

    # The killed one still answers for up to two seconds, when another is there already.
    eventually("a new pod is ready", waits.POD_BACK, ready_again)
    eventually("more orders are filled", waits.POD_BACK, lambda: len(filled_orders(compact)) > len(orders))
    after = [order["order_id"] for order in filled_orders(compact)]
    assert len(after) == len(set(after))
    assert orders <= set(after)
    with compact.gateway() as client:
        assert client.get("/v1/ledger/check").raise_for_status().json()["violations"] == []


def test_a_restart_that_a_person_asks_for_happens_once_and_is_not_undone(lab: Lab, compact: System) -> None:
    before = compact.pods()
    orders = {order["order_id"] for order in filled_orders(compact)}
    lab.kubectl("-n", compact.namespace, "rollout", "restart", "statefulset", compact.name)
    lab.kubectl("-n", compact.namespace, "rollout", "status", "statefulset", compact.name, "--timeout=170s")
    after = compact.pods()
    assert after.keys() == before.keys()
    assert after != before
    compact.wait_ready(waits.POD_BACK)
    assert compact.pods() == after, "the operator took the restart back"
    there = eventually("the orders are listed again", waits.POD_BACK, lambda: filled_orders(compact))
    assert orders <= {order["order_id"] for order in there}


def test_a_release_that_does_not_exist_is_named_and_what_ran_before_runs_again(lab: Lab, compact: System) -> None:
    release = compact.resource()["status"]["release"]
    image = {container["image"] for container in pod_of(lab, compact)["spec"]["containers"]}
    orders = {order["order_id"] for order in filled_orders(compact)}
    compact.patch({"version": "0.1.O"})

    def named() -> bool:
        found = [compact.condition(kind) for kind in ("Stalled", "Ready")]
        return all(each["reason"] == "ImageNotPulled" and "services:0.1.O" in each["message"] for each in found)

    eventually("the status says what is wrong", waits.CAUSE_NAMED, named)
    assert compact.resource()["status"]["release"] == release

    def back() -> bool:
        pods = lab.items(compact.namespace, "pods", f"app.kubernetes.io/instance={compact.name}")
        ready = [each for pod in pods for each in pod["status"].get("conditions", ()) if each["type"] == "Ready"]
        images = {container["image"] for pod in pods for container in pod["spec"]["containers"]}
        return images == image and [each["status"] for each in ready] == ["True"]

    eventually("what ran before runs again", waits.GONE_BACK, back)
    eventually(
        "the status says that it went back",
        waits.CHILD_PUT_RIGHT,
        lambda: compact.condition("Stalled").get("reason") == "RolloutFailed",
    )
    assert compact.resource()["status"]["release"] == release
    eventually("orders are filled again", waits.FIRST_FILLS, lambda: len(filled_orders(compact)) > len(orders))
    assert orders <= {order["order_id"] for order in filled_orders(compact)}
    pods = compact.pods()
    compact.patch({"version": None})
    compact.wait_ready(waits.POD_BACK)
    assert compact.pods() == pods


def test_a_volume_deleted_under_a_running_pod_is_reported_and_replaced_when_the_pod_is_gone(
    lab: Lab, compact: System
) -> None:
    """Kubernetes keeps the claim while the pod runs, and nobody can take the deletion back: the system goes on, the
    operator touches neither, and says what is about to be lost."""
    claim = f"data-{compact.name}-0"
    (pod,) = compact.pods()
    before = compact.pods()
    uid = lab.get(compact.namespace, "pvc", claim)["metadata"]["uid"]
    lab.kubectl("-n", compact.namespace, "delete", "pvc", claim, "--wait=false")

    def reported() -> bool:
        found = compact.condition("Reconciling")
        return bool(found["status"] == "True" and claim in found["message"])

    eventually("the condition names the volume", waits.CHILD_PUT_RIGHT, reported)
    orders = len(filled_orders(compact))
    eventually("trading goes on", waits.FIRST_FILLS, lambda: len(filled_orders(compact)) > orders)
    metadata = lab.get(compact.namespace, "pvc", claim)["metadata"]
    assert (metadata["uid"], metadata["finalizers"]) == (uid, ["kubernetes.io/pvc-protection"])
    assert compact.pods() == before
    lab.kubectl("-n", compact.namespace, "delete", "pod", pod, "--wait=false")

    def replaced() -> bool:
        found = lab.get(compact.namespace, "pvc", claim)["metadata"]
        return found["uid"] != uid and "deletionTimestamp" not in found

    eventually("there is a new volume", waits.POD_BACK, replaced)
    compact.wait_ready(waits.SYSTEM_READY)
    eventually("orders are filled again", waits.FIRST_FILLS, lambda: bool(filled_orders(compact)))
