"""Deleting a system removes what its policy lets go, whoever is unreachable; what it keeps is taken up again."""

from typing import Any

from e2e import waits
from e2e.lab import Lab, System, eventually, replay_system


def filled(system: System) -> dict[str, dict[str, Any]]:
    """Return the filled orders by their id."""
    with system.gateway() as client:
        answer = client.get("/v1/orders", params={"status": "filled", "limit": 500}).raise_for_status().json()
    return {order["order_id"]: order for order in answer["orders"]}


def test_systems_deleted_with_the_operator_away_leave_what_their_policy_keeps_and_a_ledger_to_go_on_with(
    lab: Lab,
) -> None:
    with lab.namespace("e2e-delete") as namespace:
        going = System(lab, namespace, "going")
        staying = System(lab, namespace, "staying")
        lab.apply(replay_system("going", namespace), replay_system("staying", namespace, deletionPolicy="Retain"))
        for system in (going, staying):
            system.wait_ready(waits.SYSTEM_READY)
        before = eventually("orders are filled", waits.FIRST_FILLS, lambda: filled(staying))
        with lab.without_operator():
            lab.kubectl("-n", namespace, "delete", "tradingsystem", "going", "staying", "--timeout=60s")
            lab.await_left(namespace, ["PersistentVolumeClaim/data-staying-0"])
            eventually("the other volume is gone", waits.ALL_GONE, lambda: lab.volumes(namespace) == ["data-staying-0"])
            claim = lab.get(namespace, "pvc", "data-staying-0")["metadata"]["uid"]
        lab.apply(replay_system("staying", namespace, deletionPolicy="Retain"))
        staying.wait_ready(waits.SYSTEM_READY)
        assert lab.get(namespace, "pvc", "data-staying-0")["metadata"]["uid"] == claim, "the volume was not adopted"
        lab.await_declared(namespace)
        assert before.items() <= filled(staying).items(), "orders of the adopted ledger are not as they were"
        known = len(filled(staying))
        eventually("the replay goes on from there", waits.FIRST_FILLS, lambda: len(filled(staying)) > known)
        with staying.gateway() as client:
            check = client.get("/v1/ledger/check").raise_for_status().json()
        assert (check["violations"], check["duplicate_orders"]) == ([], 0)
