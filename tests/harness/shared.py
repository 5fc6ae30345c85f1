"""Control planes that all workers of one test run share; whoever asks first starts one, the run's end takes all away.

Tests on a shared control plane keep to a namespace of their own, and name what has no namespace after it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import yaml

from devcluster.cluster import Cluster
from devcluster.errors import ClusterError
from devcluster.slots import locked
from devcluster.waiting import wait_for
from environments.machine import CLUSTERS
from harness.kube import Api
from harness.until import DEADLINE

DEFINITION = Path(__file__).resolve().parents[2] / "crds" / "tradingsystems.bellwether.dev.yaml"

WORKER = "PYTEST_XDIST_WORKER"
"""What xdist sets in its workers; their parent is the process that the run is named after."""
AUDIT_LOG = "audit.log"


def run_folder() -> Path:
    """Return the folder of this test run, the same one in all of its processes."""
    run = os.getppid() if WORKER in os.environ else os.getpid()
    return Path(tempfile.gettempdir()) / f"bellwether-tests-{run}"


def control_plane(name: str, *, controllers: bool = False) -> tuple[Cluster, Path]:
    """Return the control plane of this name and its audit log, started where nobody has done it yet.

    It knows the definition of TradingSystem, and did so before there were controllers: their garbage collector looks
    for new kinds only every 30 s.
    """
    root = run_folder()
    home = root / name
    home.mkdir(parents=True, exist_ok=True)
    with locked(home / "lock"):
        cluster = _cluster(root, name, controllers=controllers)
        if not (home / "prepared").exists():
            first = _cluster(root, name)
            first.up()
            define(first)
            cluster.up()
            (home / "prepared").touch()
        elif not cluster.status().ready:
            cluster.up()
    return cluster, home / AUDIT_LOG


def define(cluster: Cluster) -> None:
    """Make the API server know the definition of TradingSystem."""
    definition = yaml.safe_load(DEFINITION.read_text("utf-8"))
    with contextlib.closing(Api.of_kubeconfig(cluster.kubeconfig)) as api:
        api.apply("", definition)

        def served() -> bool | None:
            found = api.get("", "crd", definition["metadata"]["name"]).get("status", {})
            reported = {each["type"]: each["status"] for each in found.get("conditions") or ()}
            if reported.get("Established") != "True":
                return None
            try:
                api.items("", "tsys")
            except ClusterError:
                # The store of a kind that was just defined refuses reads while it is made.
                return None
            return True

        wait_for("the definition to be established and its systems to be listed", served, DEADLINE)


def take_away() -> None:
    """End the control planes of this run, with everything in them; there may be none."""
    root = run_folder()
    for home in root.glob("*/"):
        _cluster(root, home.name).down(purge=True)
    shutil.rmtree(root, ignore_errors=True)


def _cluster(root: Path, name: str, *, controllers: bool = False) -> Cluster:
    run = root.name.rpartition("-")[2]
    home = root / name
    return Cluster(
        f"test-{name}-{run}",
        "control-plane",
        home / "state",
        controllers=controllers,
        audit_log=home / AUDIT_LOG,
        settings=CLUSTERS,
    )
