"""The operator's process killed in its pod, in the middle of its work, while systems come, change and go."""

import json
import secrets
import subprocess
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from random import Random
from threading import Timer

from e2e import waits
from e2e.killer import killer
from e2e.lab import Lab, Object, eventually
from harness.churn import Churn, Step
from harness.declared import OURS, faults

ROUNDS = 3
MOST_ROUNDS = 12
IN_THE_MIDDLE = 3
"""So many kills have to fall in the middle; rounds beyond the third are only made until they did."""
FIRST_WRITE = 60.0
"""Seconds; it comes within one."""
NAMES = [f"tree-{number}" for number in range(12)]
"""So many systems that applying a step takes longer than sending a kill."""


def take(lab: Lab, namespace: str, step: Step) -> None:
    """Do what a step says."""
    if step.delete:
        lab.kubectl("-n", namespace, "delete", "tradingsystem", "--wait=false", *step.delete)
    lab.apply(*step.apply)


def first_write(lab: Lab, namespace: str, before: set[tuple[str, str]], events: Collection[str]) -> None:
    """Return at once when an operator writes a ConfigMap: the first of what it makes, or what every edit rewrites."""
    watch = ["-n", namespace, "get", "configmaps", "-l", OURS, "--watch", "--output-watch-events"]
    fields = "{.type} {.object.metadata.uid} {.object.metadata.resourceVersion}"
    command = [*lab.env.kubectl(), *watch, "-o", f"jsonpath={fields}{{'\\n'}}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching, ended_after(watching, FIRST_WRITE):
        assert watching.stdout is not None
        for line in watching.stdout:
            event, uid, version = line.split()
            if event in events and (uid, version) not in before:
                return
    raise AssertionError(f"the operator wrote nothing within {FIRST_WRITE:.0f} s")


@contextmanager
def ended_after(process: subprocess.Popen[str], seconds: float) -> Iterator[None]:
    """End a process at the end of the block, and after so many seconds in any case."""
    timer = Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        process.kill()


def replace_operator(lab: Lab, pod: str) -> None:
    """Have the dead pod replaced: the kubelet would wait longer after each time."""
    lab.kubectl("-n", lab.release.namespace, "delete", "pod", pod, "--grace-period=0", "--force")


def operator_works(lab: Lab) -> bool:
    pods = lab.items(lab.release.namespace, "pods", "app.kubernetes.io/component=operator")
    conditions = [each for pod in pods for each in pod["status"].get("conditions", ())]
    return [each["status"] for each in conditions if each["type"] == "Ready"] == ["True"]


def versions(children: list[Object]) -> set[tuple[str, str]]:
    """Return which versions of which objects these are; a status that a controller writes makes no other version."""
    found = [each["metadata"] for each in children]
    return {(each["uid"], str(each.get("generation", each["resourceVersion"]))) for each in found}


def half_applied(lab: Lab, namespace: str, before: set[tuple[str, str]]) -> list[str]:
    """Return the systems of which some children were written since, and not all; the status does not count."""
    found = []
    installation, children = lab.installation(), lab.children(namespace)
    for system in lab.items(namespace, "tradingsystems"):
        name = system["metadata"]["name"]
        own = [each for each in children if each["metadata"]["labels"]["app.kubernetes.io/instance"] == name]
        wrong = [each for each in faults([system], own, installation) if not each.startswith(f"{name}: ")]
        if versions(own) - before and wrong:
            found.append(name)
    return found


def test_an_operator_killed_while_applying_is_followed_by_one_that_makes_exactly_what_is_declared(lab: Lab) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = Random(seed)
    rounds = in_the_middle = 0
    with lab.namespace("e2e-killed") as namespace, killer(lab) as by, ThreadPoolExecutor(1) as beside:
        churn = Churn(namespace, rng, NAMES)
        while rounds < ROUNDS or (in_the_middle < IN_THE_MIDDLE and rounds < MOST_ROUNDS):
            rounds += 1
            eventually("the operator works", waits.OPERATOR_BACK, partial(operator_works, lab))
            lab.await_declared(namespace)
            before = versions(lab.children(namespace))
            ((pod, uid),) = lab.operator_pods().items()
            with by.aimed(uid, "bellwether_operator") as kill:
                known, step = set(churn.present), churn.step()
                # A new system takes longest, and its first object is followed by some twenty more.
                new = any(each["metadata"]["name"] not in known for each in step.apply)
                taking = beside.submit(take, lab, namespace, step)
                first_write(lab, namespace, before, ["ADDED"] if new else ["ADDED", "MODIFIED"])
                kill()
            half = half_applied(lab, namespace, before)
            print(f"round {rounds}: half applied {half}")
            in_the_middle += bool(half)
            taking.result()
            replace_operator(lab, pod)
        lab.await_declared(namespace)
        assert in_the_middle >= IN_THE_MIDDLE, f"{in_the_middle} of {rounds} kills fell in the middle of applying"
        systems = json.loads(lab.kubectl("-n", namespace, "get", "tradingsystems", "-o", "json"))["items"]
        assert {each["metadata"]["name"] for each in systems} == set(churn.present)
