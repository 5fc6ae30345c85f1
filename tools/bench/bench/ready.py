"""Time from `kubectl apply` to Ready on the embedded cluster, with the image there and without."""

from __future__ import annotations

import time

from bench.report import Figure, Section
from devcluster.command import run
from environments import install
from environments.clusters import Embedded
from environments.machine import ROOT

SAMPLE = ROOT / "manifests" / "samples" / "replay.yaml"
CLUSTER = "bellwether-bench"
NAMESPACE = "default"


def measure() -> Section:
    """Apply the sample on a fresh node: once with the services image missing, once with it there."""
    env = Embedded(CLUSTER)
    env.up(_quiet)
    try:
        images = env.images(_quiet)
        install.install_chart(env, images, _quiet)
        began = time.monotonic()
        env.unload(images.services)
        removed = time.monotonic()
        env.images(_quiet)
        load = time.monotonic() - removed
        cold = load + _time_to_ready(env)
        warm = _time_to_ready(env)
    finally:
        env.down(_quiet)
    figures = [
        Figure("apply to Ready, image not on the node", cold, "s", target=60, note="the image comes from an archive"),
        Figure("apply to Ready, image on the node", warm, "s", target=30),
        Figure("whole section", time.monotonic() - began, "s"),
    ]
    return Section("Time to Ready", "Compact profile, `manifests/samples/replay.yaml`, embedded cluster.", figures)


def _quiet(_: str) -> None:
    """Say nothing."""


def _time_to_ready(env: Embedded) -> float:
    began = time.monotonic()
    install.apply(env, SAMPLE, NAMESPACE)
    install.wait_ready(env, "replay", NAMESPACE, _quiet)
    seconds = time.monotonic() - began
    run([*env.kubectl(), "-n", NAMESPACE, "delete", "tradingsystem", "replay", "--wait=true"])
    run([*env.kubectl(), "-n", NAMESPACE, "wait", "pods", "--all", "--for=delete", "--timeout=120s"], seconds=130)
    return seconds
