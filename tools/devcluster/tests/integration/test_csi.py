import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster import build
from devcluster.kernel import unmount_below
from devcluster.processes import ProcessTable
from devcluster.settings import go_module
from devcluster.waiting import wait_for


@pytest.fixture
def driver(programs: Path, folder: Path) -> Iterator[Path]:
    """The socket of a running volume driver."""
    socket = folder / "csi.sock"
    table = ProcessTable(folder / "run", folder / "log")
    table.start("csidir", [str(programs / "csidir"), f"--root={folder / 'root'}", f"--socket={socket}"], folder)
    wait_for("the driver listens", socket.exists, 120)
    yield socket
    table.stop_all(list(table.running().values()), grace=5)
    unmount_below(folder)


def test_the_volume_driver_passes_the_sanity_checks_of_csi(driver: Path, programs: Path) -> None:
    done = subprocess.run(
        [
            str(programs / "csi-sanity"),
            f"--csi.endpoint=unix://{driver}",
            f"--csi.mountdir={driver.parent / 'mount'}",
            f"--csi.stagingdir={driver.parent / 'staging'}",
            "--ginkgo.no-color",
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=driver.parent,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert " 0 Failed" in done.stdout
    assert "52 Passed" in done.stdout  # fewer means that a capability is no longer announced


def test_the_volume_drivers_own_tests() -> None:
    done = subprocess.run(
        [build.find_go(), "test", "-trimpath", "./cmd/csidir"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=go_module(),
        env={**os.environ, "CGO_ENABLED": "0"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
