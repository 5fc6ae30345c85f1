import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import waits
from e2e.lab import Lab, System, replay_system
from environments import install
from environments.choose import choose
from environments.clusters import Embedded, Environment, environment, of_clone
from environments.machine import facts

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    choice = choose(facts(), os.environ)
    if choice.kind == "local":
        pytest.fail(f"the end-to-end tests need a cluster: {choice.why}")
    env: Environment = Embedded(of_clone("e2e")) if choice.kind == "embedded" else environment(choice)
    env.up(print)
    images = env.images(print)
    install.install_chart(env, images, print)
    try:
        yield Lab(env, images)
    finally:
        env.down(print)


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
        clock = {"mode": "replay", "from": "2009-01-02", "to": "2009-12-31", "pace": "400ms"}
        lab.apply(replay_system("standard", namespace, profile="standard", clock=clock))
        system = System(lab, namespace, "standard")
        system.wait_ready(waits.SYSTEM_READY)
        yield system
