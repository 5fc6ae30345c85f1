"""The node that all end-to-end tests share, and the operator that they look at.

Alone, a test run has an operator of all namespaces. With workers (`pytest -n 2 -m "not apart"`) each worker is a lane
on the one node: it has an operator of its own that looks after the lane's namespaces alone.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from devcluster.slots import locked
from e2e import waits
from e2e.lab import Lab, System, api_of, namespace, replay_system
from environments.choose import choose
from environments.clusters import Environment, environment
from environments.install import EVERYWHERE, Release
from environments.machine import ROOT, facts
from harness import shared
from harness.kube import Api

HERE = Path(__file__).parent
KEEP = "BELLWETHER_KEEP_NODE"
"""Set where another test run on the same node follows."""
NAMESPACES_OF_A_LANE = 2
CHART = "bellwether-"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(900))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput") or not _mark().exists():
        return
    _mark().unlink()
    if not os.environ.get(KEEP):
        _environment().down(print)


def _mark() -> Path:
    """Return the file that says that this run has a node, which is also the lock over setting it up."""
    return shared.run_folder().with_suffix(".node")


def _environment() -> Environment:
    choice = choose(facts(), os.environ)
    if choice.kind == "local":
        pytest.fail(f"the end-to-end tests need a cluster: {choice.why}")
    return environment(choice, "e2e")


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    worker = os.environ.get(shared.WORKER, "")
    lane = tuple(f"lane-{worker}-{number}" for number in range(NAMESPACES_OF_A_LANE)) if worker else ()
    release = Release(f"bellwether-{worker}", f"bellwether-{worker}") if worker else EVERYWHERE
    env = _environment()
    with ExitStack() as stack:
        with locked(_mark()):
            env.up(print)
            images = env.images(print)
            api = stack.enter_context(api_of(env))
            lab = Lab(env, images, api, release, lane)
            _remove_others(lab)
            if lane:
                _define(api)
        for name in lane:
            lab.apply(namespace(name))
        lab.install()
        if lane:
            stack.enter_context(_removed(lab))
        yield lab


def _remove_others(lab: Lab) -> None:
    """Uninstall what another kind of run has left here: its operator would look after our namespaces too.

    On a cluster that is not ours nothing is uninstalled: the tests fail and say what is in their way.
    """
    lanes = bool(lab.lane)
    found = subprocess.run([*lab.env.helm(), "list", "-A", "-o", "json"], capture_output=True, check=True).stdout
    for each in json.loads(found):
        is_lane = each["name"] != EVERYWHERE.name
        if each["chart"].startswith(CHART) and is_lane != lanes:
            if lab.env.name == "current":
                pytest.fail(f"the operator of release {each['name']} in {each['namespace']} is in the tests' way")
            Lab(lab.env, lab.images, lab.api, Release(each["name"], each["namespace"])).uninstall()


def _define(api: Api) -> None:
    """Make the definitions known that no lane's release has; a release of all namespaces may take them over later."""
    for file in sorted((ROOT / "crds").glob("*.bellwether.dev.yaml")):
        definition = yaml.safe_load(file.read_text())
        metadata = definition["metadata"]
        owner = EVERYWHERE
        theirs = {"meta.helm.sh/release-name": owner.name, "meta.helm.sh/release-namespace": owner.namespace}
        metadata["annotations"] = {**metadata.get("annotations", {}), **theirs, "helm.sh/resource-policy": "keep"}
        metadata["labels"] = {**metadata.get("labels", {}), "app.kubernetes.io/managed-by": "Helm"}
        api.apply_as("helm", "", definition)  # of another manager helm would not take it over


@contextmanager
def _removed(lab: Lab) -> Iterator[None]:
    """Take a lane away at the end of the block: its operator, then its namespaces."""
    try:
        yield
    finally:
        lab.uninstall()
        for each in (*lab.lane, lab.release.namespace):
            lab.delete_namespace(each)


@pytest.fixture(scope="module")
def compact(lab: Lab) -> Iterator[System]:
    with lab.namespace("e2e-compact") as namespace:
        lab.apply(replay_system("compact", namespace))
        system = System(lab, namespace, "compact")
        system.wait_ready(waits.SYSTEM_READY)
        yield system


@pytest.fixture(scope="module")
def standard(lab: Lab) -> Iterator[System]:
    with lab.namespace("e2e-standard") as namespace:
        # Faster than others, so that kills meet its work more often; there is history for nine minutes.
        clock = {"mode": "replay", "from": "2009-01-02", "pace": "500ms"}
        lab.apply(replay_system("standard", namespace, profile="standard", clock=clock))
        system = System(lab, namespace, "standard")
        system.wait_ready(waits.SYSTEM_READY)
        yield system
