"""The operator's process killed in its pod, in the middle of its work, while systems come, change and go."""

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from random import Random

from e2e import waits
from e2e.killer import Killer, killer
from e2e.lab import Lab, eventually
from environments.install import OPERATOR_NAMESPACE
from harness.churn import Churn, Step

ROUNDS = 5


def take(lab: Lab, namespace: str, step: Step) -> None:
    """Do what a step says."""
    if step.delete:
        lab.kubectl("-n", namespace, "delete", "tradingsystem", "--wait=false", *step.delete)
    lab.apply(*step.apply)


def kill_operator(lab: Lab, by: Killer) -> None:
    """Kill the operator's process, and have its dead pod replaced: the kubelet would wait longer after each time."""
    ((name, uid),) = lab.operator_pods().items()
    assert by.kill(uid, "bellwether_operator") == 1
    lab.kubectl("-n", OPERATOR_NAMESPACE, "delete", "pod", name, "--grace-period=0", "--force")


def operator_works(lab: Lab) -> bool:
    pods = lab.items(OPERATOR_NAMESPACE, "pods", "app.kubernetes.io/component=operator")
    conditions = [each for pod in pods for each in pod["status"].get("conditions", ())]
    return [each["status"] for each in conditions if each["type"] == "Ready"] == ["True"]


def test_an_operator_killed_while_applying_is_followed_by_one_that_makes_exactly_what_is_declared(lab: Lab) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = Random(seed)
    in_the_middle = 0
    with lab.namespace("e2e-killed") as namespace, killer(lab) as by, ThreadPoolExecutor(1) as beside:
        churn = Churn(namespace, rng)
        for _ in range(ROUNDS):
            eventually("the operator works", waits.OPERATOR_BACK, lambda: operator_works(lab))
            steps = rng.randint(1, 3)
            fatal = rng.randrange(steps)
            for number in range(steps):
                step = churn.step()
                if number == fatal:
                    killing = beside.submit(kill_operator, lab, by)
                take(lab, namespace, step)
            killing.result()
            in_the_middle += bool(lab.wrong(namespace))
        lab.await_declared(namespace)
        print(f"{in_the_middle} of {ROUNDS} kills left something to do")
        systems = json.loads(lab.kubectl("-n", namespace, "get", "tradingsystems", "-o", "json"))["items"]
        assert {each["metadata"]["name"] for each in systems} == set(churn.present)
