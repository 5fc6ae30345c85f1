"""Taking everything away again, in either order: nothing hangs, and what is to stay stays."""

from collections.abc import Iterator

import pytest

from e2e import waits
from e2e.lab import Lab, RefusedError, System, eventually, names, replay_system
from harness.churn import document, unscheduled

# The chart is installed and taken away here, with the definition that all lanes need.
pytestmark = pytest.mark.apart

DEFINITION = "customresourcedefinition/tradingsystems.bellwether.dev"
NAMESPACE = "e2e-uninstall"


@pytest.fixture
def systems(lab: Lab) -> Iterator[tuple[System, System]]:
    """A system that runs and goes with its volume, and one without pods whose volume stays; the operator is back
    afterwards for whoever comes next."""
    try:
        with lab.namespace(NAMESPACE):
            lab.apply(replay_system("running", NAMESPACE))
            lab.apply(document("keeping", NAMESPACE, unscheduled(profile="standard", deletionPolicy="Retain")))
            running, keeping = System(lab, NAMESPACE, "running"), System(lab, NAMESPACE, "keeping")
            running.wait_ready(waits.SYSTEM_READY)
            lab.await_declared(NAMESPACE)
            yield running, keeping
    finally:
        lab.install()


def test_the_chart_goes_first_and_systems_live_on_until_they_are_deleted(
    lab: Lab, systems: tuple[System, System]
) -> None:
    running, keeping = systems
    pods, before = running.pods(), names(lab.everything(NAMESPACE))
    kept = names(lab.items(NAMESPACE, "persistentvolumeclaims", f"app.kubernetes.io/instance={keeping.name}"))
    lab.uninstall()
    assert names(lab.everything(NAMESPACE)) == before
    assert running.pods() == pods, "the system did not outlive its operator"
    lab.kubectl("get", DEFINITION)
    lab.kubectl("-n", NAMESPACE, "delete", "tradingsystems", "--all", "--timeout=60s")
    lab.await_left(NAMESPACE, kept)
    lab.delete_namespace(NAMESPACE)
    eventually("no volume is left of the namespace", waits.ALL_GONE, lambda: not lab.volumes(NAMESPACE))
    lab.delete_namespace(lab.release.namespace)
    lab.kubectl("get", DEFINITION)


def test_the_namespace_of_systems_goes_first(lab: Lab, systems: tuple[System, System]) -> None:
    lab.delete_namespace(NAMESPACE)
    eventually("no volume is left of the namespace", waits.ALL_GONE, lambda: not lab.volumes(NAMESPACE))
    lab.uninstall()
    left = names(lab.everything(lab.release.namespace))
    assert left == ["Secret/bellwether-operator-seed"], "the seed alone stays for the next installation"
    lab.kubectl("get", DEFINITION)


def test_the_operators_own_namespace_goes_first_and_a_new_installation_takes_up_what_is_there(
    lab: Lab, systems: tuple[System, System]
) -> None:
    """With its namespace goes the seed: the next installation gives every system new keys."""
    running, _ = systems
    pods, before = running.pods(), names(lab.everything(NAMESPACE))
    with running.gateway() as client:
        orders = client.get("/v1/orders", params={"limit": 500}).raise_for_status().json()["orders"]
    lab.delete_namespace(lab.release.namespace)
    with pytest.raises(RefusedError, match="not found"):
        lab.uninstall()  # its record went with the namespace
    lab.kubectl("get", DEFINITION)
    assert names(lab.everything(NAMESPACE)) == before
    assert running.pods() == pods
    lab.install()
    eventually("pods with the new keys", waits.POD_BACK, lambda: running.pods() and running.pods() != pods)
    running.wait_ready(waits.SYSTEM_READY)
    with running.gateway() as client:
        now = client.get("/v1/orders", params={"limit": 500}).raise_for_status().json()["orders"]
    assert {order["order_id"] for order in orders} <= {order["order_id"] for order in now}
