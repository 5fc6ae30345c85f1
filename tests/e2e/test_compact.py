"""The main job in the compact profile: apply, trade replayed history, stay right whatever is done by hand."""

import json
from typing import Any

import pytest

from e2e import waits
from e2e.lab import Lab, RefusedError, System, consistently, eventually, replay_system


def filled_orders(system: System) -> list[dict[str, Any]]:
    with system.gateway() as client:
        orders: list[dict[str, Any]] = (
            client.get("/v1/orders", params={"status": "filled", "limit": 500}).raise_for_status().json()["orders"]
        )
    return orders


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


def test_a_deleted_child_is_made_anew_and_an_edited_one_is_put_right(lab: Lab, compact: System) -> None:
    name = f"{compact.name}-gateway"
    before = lab.get(compact.namespace, "service", name)["metadata"]["uid"]
    lab.kubectl("-n", compact.namespace, "delete", "service", name)

    def made_anew() -> bool:
        return bool(lab.get(compact.namespace, "service", name)["metadata"]["uid"] != before)

    eventually("the deleted Service is there again", waits.CHILD_PUT_RIGHT, made_anew)
    right = lab.get(compact.namespace, "service", name)["spec"]["ports"][0]["port"]
    patch = json.dumps([{"op": "replace", "path": "/spec/ports/0/port", "value": 9999}])
    lab.kubectl("-n", compact.namespace, "patch", "service", name, "--type=json", "-p", patch)

    def put_right() -> bool:
        ports = lab.get(compact.namespace, "service", name)["spec"]["ports"]
        return [port["port"] for port in ports] == [right]

    eventually("the edited port is put right", waits.CHILD_PUT_RIGHT, put_right)


def test_what_others_add_to_a_child_is_left_alone(lab: Lab, compact: System) -> None:
    name = f"{compact.name}-gateway"
    lab.kubectl("-n", compact.namespace, "annotate", "service", name, "example.com/team=desk")

    def still_there() -> bool:
        annotations = lab.get(compact.namespace, "service", name)["metadata"]["annotations"]
        return bool(annotations.get("example.com/team") == "desk")

    consistently("the foreign annotation stays", 3, still_there)


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
    assert compact.resource()["status"]["halts"]

    def session() -> str:
        with compact.gateway() as client:
            return str(client.get("/v1/status").raise_for_status().json()["replay"]["session"])

    started = session()
    eventually("replay goes on", 60, lambda: session() > started)
    assert len(filled_orders(compact)) == before
    with compact.gateway() as client:
        refusals = client.get("/v1/refusals", params={"limit": 50}).raise_for_status().json()["refusals"]
    assert "HALTED" in {refusal["code"] for refusal in refusals}
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


def test_a_killed_pod_of_the_compact_system_goes_on_where_it_was(compact: System) -> None:
    (pod,) = compact.pods()
    before = compact.pods()
    orders = {order["order_id"] for order in filled_orders(compact)}
    compact.kill(pod)
    eventually("the pod is a new one", waits.POD_BACK, lambda: compact.pods() != before and bool(compact.pods()))
    eventually("more orders are filled", waits.POD_BACK, lambda: len(filled_orders(compact)) > len(orders))
    after = [order["order_id"] for order in filled_orders(compact)]
    assert len(after) == len(set(after))
    assert orders <= set(after)
    with compact.gateway() as client:
        assert client.get("/v1/ledger/check").raise_for_status().json()["violations"] == []
