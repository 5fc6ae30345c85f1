"""Taking everything away again, in either order: nothing hangs, and what is to stay stays."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from e2e import waits
from e2e.lab import Lab, Object, RefusedError, System, eventually, names, replay_system
from environments.install import CHART
from harness.churn import document, unscheduled

# The chart is installed and taken away here, with the definition that all lanes need.
pytestmark = pytest.mark.apart

DEFINITION = "customresourcedefinition/tradingsystems.bellwether.dev"
NAMESPACE = "e2e-uninstall"


@pytest.fixture
def systems(lab: Lab) -> Iterator[tuple[System, System]]:
    """A system that runs and goes with its volume, and one without pods whose volume stays; the operator is back
    afterwards for whoever comes next.

    Neither has tasks, whose Jobs would come at their hours.
    """
    try:
        with lab.namespace(NAMESPACE):
            lab.apply(replay_system("running", NAMESPACE))
            lab.apply(
                document("keeping", NAMESPACE, unscheduled(profile="standard", deletionPolicy="Retain", tasks=[]))
            )
            running, keeping = System(lab, NAMESPACE, "running"), System(lab, NAMESPACE, "keeping")
            running.wait_ready(waits.SYSTEM_READY)
            lab.await_declared(NAMESPACE)
            yield running, keeping
    finally:
        lab.install()


def orders_of(system: System) -> list[Object]:
    """Return the orders of a system, up to 500."""
    with system.gateway() as client:
        found: list[Object] = client.get("/v1/orders", params={"limit": 500}).raise_for_status().json()["orders"]
    return found


def newer_chart(folder: Path) -> Path:
    """Return the chart as the next release has it where nothing but its version changed."""
    copy = folder / "bellwether"
    shutil.copytree(CHART, copy)
    about = yaml.safe_load((copy / "Chart.yaml").read_text())
    (copy / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": "99.0.0"}))
    return copy


def test_the_chart_is_upgraded_goes_and_comes_again_and_restarts_nothing_and_systems_outlive_it(
    lab: Lab, systems: tuple[System, System], tmp_path: Path
) -> None:
    pods, operator = systems[0].pods(), lab.operator_pods()
    lab.install(newer_chart(tmp_path))
    assert lab.operator_pods() == operator, "an upgrade that changes no spec restarted the operator"
    lab.uninstall()
    lab.install()
    lab.await_declared(NAMESPACE)
    systems[0].wait_ready(waits.SYSTEM_READY)
    assert systems[0].pods() == pods, "an upgrade or a second installation restarted the system"

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
    orders = orders_of(running)
    lab.delete_namespace(lab.release.namespace)
    with pytest.raises(RefusedError, match="not found"):
        lab.uninstall()  # its record went with the namespace
    lab.kubectl("get", DEFINITION)
    assert names(lab.everything(NAMESPACE)) == before
    assert running.pods() == pods
    lab.install()
    eventually("pods with the new keys", waits.POD_BACK, lambda: running.pods() and running.pods() != pods)
    running.wait_ready(waits.SYSTEM_READY)
    # Ready may still be what the operator before it found.
    now = eventually("the orders are listed again", waits.POD_BACK, lambda: orders_of(running))
    assert {order["order_id"] for order in orders} <= {order["order_id"] for order in now}
