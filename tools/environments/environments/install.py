"""Installing the chart, applying a system, waiting until it is Ready."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster.command import run
from devcluster.errors import ClusterError
from environments.clusters import Environment, Images
from environments.machine import ROOT

OPERATOR_NAMESPACE = "bellwether-system"
RELEASE = "bellwether"
READY_SECONDS = 300
CHART = ROOT / "charts" / "bellwether"
Report = Callable[[str], None]


@dataclass(frozen=True)
class Release:
    """One installation of the chart: helm's name for it, and the operator's namespace."""

    name: str = RELEASE
    namespace: str = OPERATOR_NAMESPACE


EVERYWHERE = Release()
"""The one that looks after all namespaces."""


def install_chart(
    env: Environment,
    images: Images,
    report: Report,
    *settings: str,
    release: Release = EVERYWHERE,
    chart: Path = CHART,
) -> None:
    """Install the chart, or bring the release to the present images; a second call with the same changes nothing."""
    services, _, services_tag = images.services.rpartition(":")
    operator, _, operator_tag = images.operator.rpartition(":")
    values = [
        f"image.services.repository={services}",
        f"image.services.tag={services_tag}",
        f"image.operator.repository={operator}",
        f"image.operator.tag={operator_tag}",
        *settings,
    ]
    if _same_release(env, release, values, chart):
        return
    report("installing the chart")
    flags = [flag for value in values for flag in ("--set", value)]
    run(
        [
            *env.helm(),
            *("upgrade", "--install", release.name, str(chart)),
            *("--namespace", release.namespace, "--create-namespace", "--wait", "--timeout", f"{READY_SECONDS}s"),
            *flags,
        ],
        seconds=READY_SECONDS + 30,
    )


def _same_release(env: Environment, release: Release, values: list[str], chart: Path) -> bool:
    """Whether the deployed release was made with these values from this chart."""
    try:
        deployed: dict[str, Any] = json.loads(
            run([*env.helm(), "get", "values", release.name, "--namespace", release.namespace, "-o", "json"])
        )
        status = json.loads(run([*env.helm(), "status", release.name, "--namespace", release.namespace, "-o", "json"]))
        templates = run([*env.helm(), "get", "manifest", release.name, "--namespace", release.namespace])
    except ClusterError:
        return False
    flags = [flag for value in values for flag in ("--set", value)]
    wanted = run(
        [*env.helm(), "template", release.name, str(chart), "-n", release.namespace, "--dry-run=server", *flags]
    )
    same_text = _documents(wanted) == _documents(templates)
    return status.get("info", {}).get("status") == "deployed" and bool(deployed) and same_text


def _documents(text: str) -> list[str]:
    """The documents of a manifest without their order and comments."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return sorted(part.strip() for part in "\n".join(lines).split("\n---\n") if part.strip(" \n-"))


def apply(env: Environment, manifest: Path, namespace: str) -> str:
    """Apply a file and return what kubectl said."""
    return run([*env.kubectl(), "--namespace", namespace, "apply", "-f", str(manifest)]).strip()


def wait_ready(env: Environment, system: str, namespace: str, report: Report, seconds: float = READY_SECONDS) -> None:
    """Return when the system's condition Ready is True; say each change of its reason meanwhile.

    Raises:
        ClusterError: with the conditions and the pods when it is not in time.
    """
    deadline = time.monotonic() + seconds
    said = ""
    while time.monotonic() < deadline:
        ready = condition(env, system, namespace, "Ready")
        now = f"{ready.get('reason', 'Unknown')}: {ready.get('message', 'not looked at yet')}"
        if ready.get("status") == "True":
            return
        if now != said:
            report(f"  {now}")
            said = now
        _wait_for_change(env, system, namespace, min(15.0, deadline - time.monotonic()))
    pods = run([*env.kubectl(), "-n", namespace, "get", "pods", "-o", "wide"])
    raise ClusterError(f"{system} is not Ready after {seconds:.0f} s; last: {said}\n{pods}")


def _wait_for_change(env: Environment, system: str, namespace: str, seconds: float) -> None:
    """Return when Ready turns True, or after some seconds."""
    wait = f"--timeout={max(seconds, 1):.0f}s"
    command = [*env.kubectl(), "-n", namespace, "wait", f"tradingsystem/{system}", "--for=condition=Ready", wait]
    subprocess.run(command, capture_output=True, check=False)


def condition(env: Environment, system: str, namespace: str, kind: str) -> dict[str, Any]:
    """Return one condition of a system, empty where there is none yet."""
    text = run([*env.kubectl(), "-n", namespace, "get", "tradingsystem", system, "-o", "json"])
    conditions: list[dict[str, Any]] = json.loads(text).get("status", {}).get("conditions", [])
    return next((found for found in conditions if found["type"] == kind), {})
