"""Time from `kubectl apply` to Ready on the embedded cluster, with the image there and without."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from bench.report import Figure, Section
from bench.trained import SAMPLE
from devcluster.cluster import Cluster
from devcluster.command import run
from devcluster.errors import ClusterError
from devcluster.images import archive_of
from environments import install
from environments.choose import choose
from environments.clusters import Embedded
from environments.machine import CLUSTERS, facts

CLUSTER = "bellwether-bench"
NAMESPACE = "bench"
SYSTEM = "replay"
WARM = 3
GONE = "180s"
TITLE = "Time to Ready"

_HOW = (
    "Compact profile, `manifests/samples/replay.yaml`, on a node of the embedded cluster that is used for "
    "nothing else; operator installed and up, cluster and images built before. From the start of `kubectl "
    "apply` until the resource's condition Ready is seen True, `kubectl` processes included; the model is "
    f"trained after that, Ready does not wait for it. Warm: the services image is on the node, {WARM} times, "
    "each after the system before is gone with its volume. Cold: before it, the image is taken from the node "
    "(name, digests, and the content and unpacked layers that no other image uses; the operator's image stays "
    "and shares its base layers) and brought back from an archive on this machine's disk, once; that stands "
    "in for a registry, the time of a network is not in it."
)


def measure() -> Section:
    """Apply the sample on a fresh node: once with the services image missing, then several times with it there."""
    choice = choose(facts(), {})
    if choice.kind != "embedded":
        return Section(TITLE, "", [], failure=f"it needs the embedded cluster, and this machine offers {choice.kind}")
    env, cluster = Embedded(CLUSTER), Cluster(CLUSTER, settings=CLUSTERS)
    try:
        env.up(_say)
        images = env.images(_say)
        install.install_chart(env, images, _say)
        run([*env.kubectl(), "create", "namespace", NAMESPACE])
        first = _time_to_ready(env)  # what the node and the operator do for the first time only
        load = _load_again(cluster, images.services)
        cold = load + _time_to_ready(env)
        warm = [_time_to_ready(env) for _ in range(WARM)]
    finally:
        cluster.down(purge=True)
    spread = f"{min(warm):.1f} to {max(warm):.1f}"
    figures = [
        Figure("apply to Ready, image not on the node", cold, "s", target=60),
        Figure("of it: bringing the image onto the node", load, "s"),
        Figure("apply to Ready, image on the node, median", statistics.median(warm), "s", target=30, note=spread),
        Figure("apply to Ready, the node's and the operator's very first system", first, "s"),
    ]
    return Section(TITLE, _HOW, figures)


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _time_to_ready(env: Embedded) -> float:
    """Return the seconds from apply to Ready, and take the system away again."""
    began = time.monotonic()
    install.apply(env, SAMPLE, NAMESPACE)
    install.wait_ready(env, SYSTEM, NAMESPACE, _say)
    seconds = time.monotonic() - began
    _say(f"Ready after {seconds:.1f} s")
    kubectl = [*env.kubectl(), "-n", NAMESPACE]
    run([*kubectl, "delete", "tradingsystem", SYSTEM, "--wait=true"])
    for kind in ("pods", "persistentvolumeclaims"):
        if run([*kubectl, "get", kind, "-o", "name"]).strip():
            run([*kubectl, "wait", kind, "--all", "--for=delete", f"--timeout={GONE}"], seconds=200)
    return seconds


def _load_again(cluster: Cluster, image: str) -> float:
    """Take an image from the node and return the seconds in which it is brought back from an archive."""
    with archive_of(CLUSTERS, image) as archive:
        _remove(cluster, image)
        began = time.monotonic()
        cluster.runtime().load(Path(archive))
        seconds = time.monotonic() - began
    if not cluster.runtime().has_image(image):
        raise ClusterError(f"the node did not take {image} back")
    _say(f"the image came back in {seconds:.1f} s")
    return seconds


def _remove(cluster: Cluster, image: str) -> None:
    """Remove every name of an image from the node, its content and its unpacked layers.

    The runtime keeps an image under its tag, under its digest and under its id (`sha256:...`); while one of them is
    left, so are the layers. `--sync` waits until what nobody names any more is collected.
    """
    ctr = ["ctr", "--address", str(cluster.config.containerd_socket), "--namespace", "k8s.io"]
    held_before = len(cluster.runtime().blobs())
    lines = [line.split() for line in run([*ctr, "images", "list"]).splitlines()[1:]]
    (digest,) = {line[2] for line in lines if line[0] == image}
    names = [line[0] for line in lines if line[2] == digest]
    run([*ctr, "images", "remove", "--sync", *names], seconds=120)
    left = cluster.runtime()
    if left.has_image(image) or len(left.blobs()) >= held_before:
        raise ClusterError(f"{image} or its content is still on the node: cold would not be cold")
