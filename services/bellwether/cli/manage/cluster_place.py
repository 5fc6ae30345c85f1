"""A system in a Kubernetes cluster, through the kubectl on PATH."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bellwether.cli.client import CommandError, kubectl_command
from bellwether.cli.manage.places import NATS, On, Part
from bellwether.cli.manage.programs import lines_of, run
from bellwether.render.kubernetes.context import LABEL_COMPONENT, LABEL_INSTANCE, LABEL_MANAGED_BY, MANAGER
from bellwether.spec.models import PLURAL
from bellwether.topology import SERVICES
from bellwether.wiring import start_order

SYSTEM = "system"
READY_SECONDS = 900.0
UNSEEN_SECONDS = 60.0
"""After so long without a word of an operator it is asked whether there is one."""
_POLL_SECONDS = 1.0
_OPERATORS = "app.kubernetes.io/name=bellwether-operator"
_ALONE = (
    "in profile compact one pod runs all services, so none can be stopped alone: declare profile standard. Orders "
    "are stopped by `bellwether halt`, the whole system is taken away by `bellwether undeploy`"
)


class ClusterPlace:
    """One TradingSystem and its pods."""

    on = On.cluster

    def __init__(self, system: str, namespace: str | None, context: str | None) -> None:
        self._name = system
        self._kubectl = kubectl_command(context, namespace)
        self.title = f"the system {system} in the cluster"

    def parts(self) -> list[Part]:
        """Return the system's workloads by their pods; a service that is switched off is stopped."""
        system = self._system()
        found: dict[str, Part] = {}
        for pod in self._pods():
            component = pod["metadata"]["labels"].get(LABEL_COMPONENT, "")
            if component not in found and pod["status"].get("phase") != "Succeeded":
                found[component] = _part(component, pod)
        compact = system["spec"].get("profile", "compact") == "compact"
        # In profile compact NATS is a container of the same pod.
        wanted = [SYSTEM] if compact else [NATS, *start_order()]
        return [found.get(name, Part(name, _services(name), "stopped")) for name in wanted]

    def start(self, part: str) -> None:
        """Declare a service as wanted, and wait until its pod is ready."""
        self._enable(part, enabled=True)
        self._await(part, lambda one: one.good, "not ready")

    def stop(self, part: str) -> None:
        """Declare a service as not wanted: drift repair would start what is only deleted."""
        self._enable(part, enabled=False)
        self._await(part, lambda one: one.state == "stopped", "still there")

    def restart(self, part: str) -> None:
        """Delete a pod, and wait until the next one is ready."""
        before = {pod["metadata"]["uid"] for pod in self._pods(part)}
        run([*self._kubectl, "delete", "pod", "-l", self._selector(part), "--wait=true"])
        deadline = time.monotonic() + READY_SECONDS
        while not any(pod["metadata"]["uid"] not in before and _ready(pod) for pod in self._pods(part)):
            if time.monotonic() > deadline:
                raise CommandError(f"{part}: no new pod is ready after {READY_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)

    def logs(self, parts: Sequence[str], lines: int, *, follow: bool) -> Iterator[str]:
        """Return lines of the pods' logs."""
        selector = f"{self._selector()},{LABEL_COMPONENT} in ({','.join(parts)})"
        options = ["--tail", str(lines), "--max-log-requests=30", *(["-f"] if follow else [])]
        return lines_of([*self._kubectl, "logs", "-l", selector, "--all-containers", *options])

    def gateway(self) -> None:
        """Return None: kubectl leads to it."""

    def undeploy(self) -> str:
        """Delete the TradingSystem."""
        policy = self._system()["spec"].get("deletionPolicy", "Retain")
        run([*self._kubectl, "delete", PLURAL, self._name, "--wait=true"], seconds=READY_SECONDS)
        if policy == "Retain":
            return "its volumes are retained: the same name applied again takes them up"
        return "its volumes are deleted, as deletionPolicy says"

    def _system(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run([*self._kubectl, "get", PLURAL, self._name, "-o", "json"]))
        return found

    def _selector(self, component: str | None = None) -> str:
        of = f"{LABEL_INSTANCE}={self._name},{LABEL_MANAGED_BY}={MANAGER}"
        return of if component is None else f"{of},{LABEL_COMPONENT}={component}"

    def _pods(self, component: str | None = None) -> list[dict[str, Any]]:
        command = [*self._kubectl, "get", "pods", "-l", self._selector(component), "-o", "json"]
        found: list[dict[str, Any]] = json.loads(run(command))["items"]
        return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"], reverse=True)

    def _enable(self, part: str, *, enabled: bool) -> None:
        if part == SYSTEM:
            if not enabled:
                raise CommandError(_ALONE)
            return
        if part not in SERVICES:
            return
        patch = {"spec": {"services": {part: {"enabled": enabled}}}}
        run([*self._kubectl, "patch", PLURAL, self._name, "--type=merge", "-p", json.dumps(patch)])

    def _await(self, name: str, reached: Callable[[Part], bool], otherwise: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            found = next((one for one in self.parts() if one.name == name), None)
            if found is None or reached(found):
                return
            if time.monotonic() > deadline:
                raise CommandError(f"{name} is {otherwise} after {READY_SECONDS:.0f} s: {found.state} {found.detail}")
            time.sleep(_POLL_SECONDS)


def _services(component: str) -> tuple[str, ...]:
    return tuple(start_order()) if component == SYSTEM else (component,) if component in SERVICES else ()


def _ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _part(component: str, pod: dict[str, Any]) -> Part:
    status = pod["status"]
    detail, failed = "", False
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting") or {}
        ended = container.get("lastState", {}).get("terminated") or {}
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            detail, failed = str(waiting["reason"]), True
        elif ended.get("reason") not in (None, "Completed"):
            detail = f"last ended: {ended['reason']}"
    if "deletionTimestamp" in pod["metadata"]:
        state = "stopping"
    elif _ready(pod):
        state = "running"
    else:
        state = "failed" if failed or status.get("phase") == "Failed" else "starting"
    return Part(component, _services(component), state, since=status.get("startTime"), detail=detail)


def deploy(file: Path, namespace: str | None, context: str | None, say: Callable[[str], None]) -> list[str]:
    """Apply a file and wait until its system is Ready, telling each change of the reason; return what was done.

    Raises:
        CommandError: if the API server refuses it, or it is not Ready in time.
    """
    command = kubectl_command(context, namespace)
    applied = json.loads(
        run([*command, "apply", "--server-side", "--field-manager=kubectl", "-f", str(file), "-o", "json"])
    )
    objects = applied["items"] if applied["kind"] == "List" else [applied]
    systems = [one for one in objects if one["kind"] == "TradingSystem"]
    if len(systems) != 1:
        raise CommandError(f"{file}: holds {len(systems)} systems, one is needed")
    name, where = systems[0]["metadata"]["name"], systems[0]["metadata"]["namespace"]
    generation = systems[0]["metadata"]["generation"]
    last = ""
    began = time.monotonic()
    while True:
        found = json.loads(run([*kubectl_command(context, where), "get", PLURAL, name, "-o", "json"]))
        conditions = {one["type"]: one for one in found.get("status", {}).get("conditions", [])}
        ready = conditions.get("Ready")
        current = ready is not None and ready.get("observedGeneration", 0) >= generation
        if ready is not None and current and ready["status"] == "True":
            return [f"{where}/{name} is Ready"]
        line = "the operator has not seen it yet" if ready is None or not current else str(ready["message"])
        if line != last:
            say(line)
            last = line
        waited = time.monotonic() - began
        if not current and waited > UNSEEN_SECONDS and not _operates(context):
            raise CommandError(
                f"{where}/{name} is stored, and no operator runs in this cluster: install its chart "
                "(charts/bellwether), which takes up what is stored"
            )
        if waited > READY_SECONDS:
            raise CommandError(f"{where}/{name} is not Ready after {READY_SECONDS:.0f} s: {line}")
        time.sleep(_POLL_SECONDS)


def _operates(context: str | None) -> bool:
    """Whether an operator's pod is ready, as far as this person may see that."""
    command = [*kubectl_command(context), "get", "deployments", "--all-namespaces", "-l", _OPERATORS, "-o", "json"]
    try:
        found = json.loads(run(command))["items"]
    except CommandError:
        return True
    return any(one.get("status", {}).get("readyReplicas") for one in found)
