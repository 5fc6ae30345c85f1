"""A run in the background: deployed, looked at, killed, restarted by itself, stopped and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from bellwether.local.detached import Running, holder, running
from bellwether.local.state import RunDirectory, lock_held, opened

pytestmark = pytest.mark.integration

SAMPLE = Path(__file__).parents[3] / "manifests" / "samples" / "replay.yaml"
DEADLINE = 150.0


class Typed:
    """Types commands in a folder that has no system yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / ".bellwether" / "replay"

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bellwether", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
            stdin=subprocess.DEVNULL,
        )


def eventually(what: str, probe: Callable[[], Running | None]) -> Running:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        found = probe()
        if found is not None:
            return found
        time.sleep(0.1)
    pytest.fail(f"{what}: not within {DEADLINE:g} s")


@pytest.fixture
def typed(tmp_path: Path) -> Iterator[Typed]:
    found = Typed(tmp_path)
    yield found
    pid = holder(found.root)
    if pid is not None:
        found("stop")


@pytest.mark.timeout(900)
def test_a_run_in_the_background_comes_back_after_a_kill_and_ends_when_it_is_told(typed: Typed) -> None:
    done = typed("deploy", str(SAMPLE), "--port", "18460")
    assert done.returncode == 0, done.stderr
    first = running(typed.root)
    assert first is not None
    assert f"{first.url}, process {first.pid}" in done.stdout
    assert typed("status", "--on", "local").returncode == 0
    assert "healthy" in typed("status", "-s", "prediction").stdout

    refused = typed("stop", "-s", "prediction")
    assert refused.returncode == 1
    assert "one process (system) runs all services" in refused.stderr
    second_run = typed("run", str(SAMPLE), "--data", str(typed.root), "--detach")
    assert second_run.returncode == 1
    assert "another run" in second_run.stderr

    os.kill(first.pid, signal.SIGKILL)
    again = eventually(
        "it is started again",
        lambda: found if (found := running(typed.root)) is not None and found.pid != first.pid else None,
    )
    lines = typed("logs", "-n", "2").stdout.splitlines()
    assert len(lines) == 2
    of_one = typed("logs", "-s", "prediction", "-n", "1000").stdout
    assert "prediction is ready" in of_one
    assert "market-data is ready" not in of_one

    stopped = typed("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert holder(typed.root) is None
    assert not psutil.pid_exists(again.pid)
    assert typed("status", "--on", "local").returncode == 3

    assert typed("start").returncode == 0
    assert running(typed.root) is not None


def test_a_fresh_start_in_the_background_leaves_its_supervisors_files(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.output.touch()
    with lock_held(directory.supervisor_lock), opened(tmp_path, fresh=True):
        assert directory.output.exists()
        assert holder(tmp_path) == os.getpid()
    assert holder(tmp_path) is None


def test_what_cannot_come_up_is_told_once_and_not_tried_again(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(SAMPLE.read_text().replace("symbols: [AAPL", "symbols: [AAPL AAPL"))
    refused = typed("deploy", "bad.yaml")
    assert refused.returncode == 1
    assert "spec.symbols" in refused.stderr
    assert not typed.root.exists()

    nothing = typed("start")
    assert nothing.returncode == 1
    assert "no system was found" in nothing.stderr
