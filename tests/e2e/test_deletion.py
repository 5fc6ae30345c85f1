"""Deleting a system removes what its policy lets go, whoever is away."""

from functools import partial

from e2e import waits
from e2e.lab import Lab, System, eventually, replay_system
from environments.install import OPERATOR_NAMESPACE

CHILDREN = "statefulsets,deployments,services,configmaps,secrets,networkpolicies,serviceaccounts,pods"


def scale_operator(lab: Lab, replicas: int) -> None:
    selector = "app.kubernetes.io/component=operator"
    lab.kubectl("-n", OPERATOR_NAMESPACE, "scale", "deployment", "-l", selector, f"--replicas={replicas}")

    def settled() -> bool:
        deployments = lab.items(OPERATOR_NAMESPACE, "deployments", selector)
        return all(each["status"].get("readyReplicas", 0) == replicas for each in deployments) and bool(deployments)

    eventually(f"the operator has {replicas} replicas", waits.OPERATOR_STOPPED, settled)


def claims(system: System) -> list[str]:
    return [pvc["metadata"]["name"] for pvc in system.lab.items(system.namespace, "persistentvolumeclaims")]


def children(system: System) -> list[str]:
    found = system.lab.items(system.namespace, CHILDREN, f"app.kubernetes.io/instance={system.name}")
    return [f"{each['kind']}/{each['metadata']['name']}" for each in found]


def has_children(system: System) -> bool:
    return bool(children(system)) and bool(claims(system))


def is_childless(system: System) -> bool:
    return not children(system)


def test_deleting_with_the_operator_away_removes_everything_that_the_policy_lets_go(lab: Lab) -> None:
    with lab.namespace("e2e-delete") as namespace:
        going = System(lab, namespace, "going")
        staying = System(lab, namespace, "staying")
        lab.apply(replay_system("going", namespace), replay_system("staying", namespace, deletionPolicy="Retain"))
        for system in (going, staying):
            eventually(f"{system.name} has children", waits.SYSTEM_READY, partial(has_children, system))
        scale_operator(lab, 0)
        try:
            lab.kubectl("-n", namespace, "delete", "tradingsystem", "going", "staying", "--timeout=60s")
            for system in (going, staying):
                eventually(f"the children of {system.name} are gone", waits.ALL_GONE, partial(is_childless, system))
            eventually("only what Retain keeps is left", waits.ALL_GONE, lambda: claims(going) == ["data-staying-0"])
        finally:
            scale_operator(lab, 1)
        lab.apply(replay_system("staying", namespace, deletionPolicy="Retain"))
        staying.wait_ready(waits.SYSTEM_READY)
        assert claims(staying) == ["data-staying-0"], "the retained volume was not adopted"
        lab.kubectl("-n", namespace, "delete", "tradingsystem", "staying", "--timeout=60s")
