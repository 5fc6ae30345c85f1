"""A replay that is moved to the other profile and back in the middle: not one order differs."""

from pathlib import Path

from e2e import waits
from e2e.lab import Lab, System, eventually, replay_system
from e2e.replayed import all_orders, essence, is_complete, replay_step, undisturbed


def goes_on(system: System, reached: int) -> None:
    eventually("the replay goes on", waits.POD_BACK, lambda: replay_step(system) > reached + 4)


def test_a_replay_moved_to_the_other_profile_and_back_loses_nothing(lab: Lab, tmp_path: Path) -> None:
    with lab.namespace("e2e-profile") as namespace:
        clock = {"mode": "replay", "from": "2009-01-02", "to": "2009-06-30", "pace": "400ms"}
        lab.apply(replay_system("moved", namespace, clock=clock))
        system = System(lab, namespace, "moved")
        system.wait_ready(waits.SYSTEM_READY)
        eventually("orders are filled", waits.FIRST_FILLS, lambda: len(all_orders(system)) > 3)

        before = {order["order_id"] for order in all_orders(system)}
        reached = replay_step(system)
        system.patch({"profile": "standard"})
        system.wait_ready(waits.SYSTEM_READY)
        assert "moved-prediction-0" in system.pods()
        assert "moved-0" not in system.pods()
        assert before <= {order["order_id"] for order in all_orders(system)}
        goes_on(system, reached)

        reached = replay_step(system)
        system.patch({"profile": "compact"})
        system.wait_ready(waits.SYSTEM_READY)
        assert "moved-prediction-0" not in system.pods()
        goes_on(system, reached)

        eventually("the replay is complete", waits.REPLAY_COMPLETE, lambda: is_complete(system))
        with system.gateway() as client:
            assert client.get("/v1/ledger/check").raise_for_status().json()["violations"] == []
        assert essence(all_orders(system)) == essence(undisturbed(system, tmp_path))
