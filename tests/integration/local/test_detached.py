"""A run in the background: deployed, looked at, killed, restarted by itself, stopped and started again."""

from __future__ import annotations

import json
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
from bellwether.topology import SERVICES
from harness.nats import free_port
from harness.terminal import CTRL_C, Screen, Terminal

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
def test_a_person_has_a_run_in_the_background_which_comes_back_after_a_kill(typed: Typed) -> None:
    terminal, port = Terminal(DEADLINE, folder=typed.folder), free_port()

    def seen(code: int, line: str, *words: str) -> Screen:
        return terminal.run(*line.split()).ended(code, *words)

    seen(0, f"deploy {SAMPLE} --port {port}", f"started: http://127.0.0.1:{port}, process ")
    first = running(typed.root)
    assert first is not None
    seen(0, "status", "safe to trade", *SERVICES)
    seen(0, "status --on local", "all services", str(first.pid))
    assert json.loads(seen(0, "status --on local -o json").text)["parts"][0]["pid"] == first.pid
    seen(0, "health --on local", "healthy", *SERVICES)
    assert set(json.loads(seen(0, "health -o json").text)["services"]) == {*SERVICES}
    terminal.run("dashboard", keys="q", when=" · trading ").ended(0)
    seen(1, "stop -s prediction", "one process (system) runs all services")
    seen(1, f"run {SAMPLE} --data {typed.root} --detach", "another run")

    os.kill(first.pid, signal.SIGKILL)
    again = eventually(
        "it is started again",
        lambda: found if (found := running(typed.root)) is not None and found.pid != first.pid else None,
    )
    assert len(seen(0, "logs -n 2").lines) == 2
    of_one = seen(0, "logs -s prediction -n 1000", "prediction is ready").text
    assert "market-data is ready" not in of_one
    terminal.run("logs", "-n", "1", "-f", keys=CTRL_C, when="info").ended(130)
    seen(0, "restart", "restarted system")
    later = running(typed.root)
    assert later is not None
    assert later.pid != again.pid

    seen(0, "stop", "stopped   system")
    assert holder(typed.root) is None
    assert not psutil.pid_exists(later.pid)
    seen(3, "status --on local", "stopped")
    for command in ("health", "health --on local", "dashboard --on local"):
        (line,) = seen(1, command, "is stopped: `bellwether start` starts it again").lines
        assert line.startswith("error: ")

    seen(0, "start", "started   system")
    terminal.run("undeploy", keys="n\n", when="[y/N]").ended(1, "not confirmed: nothing was done")
    assert running(typed.root) is not None
    terminal.run("undeploy", keys="y\n", when="[y/N]").ended(0, "is taken away; its state is kept in")
    assert holder(typed.root) is None


def test_where_no_engine_answers_each_command_says_so(tmp_path: Path) -> None:
    (tmp_path / ".bellwether/demo-compose").mkdir(parents=True)
    (tmp_path / ".bellwether/demo-compose/compose.yaml").touch()
    terminal = Terminal(DEADLINE, folder=tmp_path, environment=dict(os.environ) | {"PATH": str(tmp_path)})
    commands = ("start", "stop", "restart", "status", "health", "logs", "dashboard", "undeploy")
    for words in (*commands, f"deploy {SAMPLE}"):
        seen = terminal.run(*words.split(), "--on", "compose").ended(1)
        assert seen.lines == [
            "error: neither `docker compose` nor `podman compose` works here: --on compose needs one of them"
        ]


def test_a_fresh_start_in_the_background_leaves_its_supervisors_files(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.output.touch()
    with lock_held(directory.supervisor_lock), opened(tmp_path, fresh=True):
        assert directory.output.exists()
        assert holder(tmp_path) == os.getpid()
    assert holder(tmp_path) is None


def test_what_cannot_come_up_is_reported_once_and_not_tried_again(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(SAMPLE.read_text().replace("symbols: [AAPL", "symbols: [AAPL AAPL"))
    refused = typed("deploy", "bad.yaml")
    assert refused.returncode == 1
    assert "spec.symbols" in refused.stderr
    assert not typed.root.exists()

    nothing = typed("start")
    assert nothing.returncode == 1
    assert "no system was found" in nothing.stderr
