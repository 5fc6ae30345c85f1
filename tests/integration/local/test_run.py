"""`bellwether run` as a person starts it: a process of its own, with its NATS, on recorded bars."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import psutil
import pytest

from harness.nats import free_port

pytestmark = pytest.mark.integration

SAMPLE = Path(__file__).parents[3] / "manifests" / "samples" / "replay.yaml"
SESSION_LINE = re.compile(r"^  (20\d\d-\d\d-\d\d)  AAPL .* fills$")
DEADLINE = 150.0


class Run:
    """A running `bellwether run` and what it has said."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bellwether",
                "run",
                str(SAMPLE),
                "--data",
                str(folder),
                "--port",
                str(free_port()),
                *options,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def until(self, pattern: re.Pattern[str] | str) -> re.Match[str]:
        """Return the first line from now on that fits."""
        end = time.monotonic() + DEADLINE
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no line like {pattern} in {DEADLINE:g} s; it said: {self.said}")
            if line is None:
                pytest.fail(f"it ended without a line like {pattern}; it said: {self.said}")
            self.said.append(line)
            found = re.search(pattern, line)
            if found:
                return found

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        reported = json.loads((self.folder / "run.json").read_text())
        environ = os.environ | {"BELLWETHER_URL": reported["url"], "BELLWETHER_TOKEN": reported["token"]}
        command = [sys.executable, "-m", "bellwether", *words]
        return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=DEADLINE, check=False)

    def until_in_force(self, generation: int) -> None:
        """Return when the system is ready, and every service has a generation of the declaration."""
        end = time.monotonic() + DEADLINE
        while True:
            reported = self.ask("status", "-o", "json")
            status = json.loads(reported.stdout or "{}")
            if status.get("ready") and {one["generation"] for one in status["services"]} == {generation}:
                return
            assert time.monotonic() < end, reported.stdout + reported.stderr

    def until_shown(self, parts: Sequence[str], *words: str) -> None:
        """Return when a command shows all of these, as it does of a trace when every service has sent its spans."""
        end = time.monotonic() + DEADLINE
        while not all(part in (shown := self.ask(*words)).stdout for part in parts):
            assert time.monotonic() < end, shown.stdout + shown.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all: the second run takes up the model and the replay of the first."""
    return tmp_path_factory.mktemp("run") / "state"


@pytest.fixture
def run(folder: Path) -> Iterator[Run]:
    running = Run(folder)
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait(DEADLINE)


def left_over(folder: Path) -> list[str]:
    """Return command lines of processes that still work on the folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(folder) in line and process.pid != os.getpid():
            found.append(line)
    return found


def test_a_first_run_trades_answers_and_ends_cleanly(run: Run) -> None:
    run.until("NATS        nats://127.0.0.1:")
    address = run.until(r"dashboard   (http://127\.0\.0\.1:\d+/\?key=\S+)").group(1)
    run.until("bars        AAPL IBM MSFT: 2000-03-01 to 2013-03-01")
    run.until("model       direction-lr .* trained through 2008-12-31, Brier .* of the base rate")
    run.until(SESSION_LINE)
    run.until(r" [1-9]\d* fills$")
    second = subprocess.run(
        [sys.executable, "-m", "bellwether", "run", str(SAMPLE), "--data", str(run.folder)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert second.returncode == 1
    assert second.stderr.startswith(f"error: another run (process {run.process.pid}) has {run.folder}")
    with httpx.Client(trust_env=False, follow_redirects=True, timeout=DEADLINE) as browser:
        page = browser.get(address)
        assert (page.status_code, str(page.url)) == (200, address.partition("?")[0])
        assert browser.get(page.url.join("v1/status")).json()["account"]
        assert httpx.get(page.url.join("v1/status"), trust_env=False, timeout=DEADLINE).status_code == 401
    orders = json.loads(run.ask("orders", "-o", "json").stdout)["orders"]
    filled = next(one for one in orders if one["status"] == "filled" and one["trace_id"])
    run.until_shown(("prediction decision", "market-data", "ml-model", "paper-trading"), "trace", filled["trace_id"])
    why = run.ask("why", "AAPL").stdout
    assert "there is an order" in why or "stopped at" in why
    mapped = Path(f"/proc/{run.process.pid}/maps").read_text()
    assert not [name for name in ("/pandas/", "/sklearn/", "/scipy/", "/aiohttp/") if name in mapped]
    assert run.end(signal.SIGINT) == 0
    assert not left_over(run.folder)
    assert not (run.folder / "run.json").exists()


def test_the_next_run_goes_on_where_the_last_one_was(run: Run) -> None:
    first = run.until(SESSION_LINE).group(1)
    assert first > "2009-01-02"
    run.until_in_force(1)
    reported = json.loads((run.folder / "run.json").read_text())
    spec = json.loads((run.folder / "system.json").read_text())["spec"]
    spec["symbols"] = ["AAPL", "IBM"]
    edited = httpx.put(
        f"{reported['url']}/v1/declaration?wait=30",
        json={"generation": 2, "spec": spec},
        headers={"Authorization": f"Bearer {reported['token']}"},
        trust_env=False,
        timeout=DEADLINE,
    )
    assert edited.status_code == 200, edited.text
    assert edited.json()["missing"] == []
    assert set(edited.json()["acknowledged"].values()) == {2}
    halted = run.ask("halt", "--reason", "a test", "-o", "json")
    assert json.loads(halted.stdout)["halted"] is True
    assert json.loads(run.ask("resume", "--reason", "the test is over", "-o", "json").stdout)["halted"] is False
    assert run.end(signal.SIGTERM) == 0
    assert not left_over(run.folder)


def test_what_was_edited_while_it_ran_stays_in_force(run: Run) -> None:
    run.until("declaration the declaration was edited while it ran: generation 2 stays in force")
    run.until("  20..-..-..  AAPL .*  IBM .* fills$")
    assert json.loads(run.ask("status", "-o", "json").stdout)["symbols"] == ["AAPL", "IBM"]
    assert run.end(signal.SIGINT) == 0


def test_a_run_whose_nats_ends_says_so_and_ends_too(run: Run) -> None:
    run.until("dashboard")
    (nats,) = [one for one in psutil.Process(run.process.pid).children() if "nats-server" in one.name()]
    nats.kill()
    assert run.process.wait(DEADLINE) == 1
    run.until("nats-server ended with -9")
    assert not left_over(run.folder)


def test_a_run_whose_nats_ends_while_services_start_ends_too(tmp_path: Path) -> None:
    run = Run(tmp_path / "state")
    try:
        run.until("  NATS ")
        log, end = run.folder / "bellwether.log", time.monotonic() + DEADLINE
        while "is connected to NATS" not in (log.read_text() if log.exists() else ""):
            assert time.monotonic() < end
        (nats,) = [one for one in psutil.Process(run.process.pid).children() if "nats-server" in one.name()]
        nats.kill()
        assert run.process.wait(DEADLINE) == 1
        run.until("nats-server ended with -9")
    finally:
        run.process.kill()


def test_what_a_killed_run_leaves_does_not_stop_the_next(run: Run) -> None:
    run.until("dashboard")
    run.process.kill()
    run.process.wait(DEADLINE)
    again = Run(run.folder)
    try:
        again.until(SESSION_LINE)
        assert again.end(signal.SIGINT) == 0
    finally:
        again.process.kill()
    end = time.monotonic() + DEADLINE
    while left_over(run.folder) and time.monotonic() < end:
        os.sched_yield()
    assert not left_over(run.folder)


def test_a_replay_in_one_process_adds_up(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bellwether", "replay", str(SAMPLE), "--to", "2009-01-30", "-o", "json"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["sessions"] == 20
    assert found["filled"] > 0
    assert found["ledger_violations"] == []
    assert not list(tmp_path.iterdir())


def test_serve_ends_on_sigterm_while_nats_is_unreachable(tmp_path: Path) -> None:
    environ = os.environ | {
        "BELLWETHER_DATA_DIR": str(tmp_path),
        "BELLWETHER_NATS_URL": "nats://127.0.0.1:1",
        "BELLWETHER_HEALTH_PORT": "0",
    }
    command = [sys.executable, "-m", "bellwether", "serve", "--services", "scheduler"]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if "bus" in line or "NATS" in line or "nats" in line:
                    break
            process.terminate()
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()


def test_serve_refuses_an_unknown_service_in_words() -> None:
    command = [sys.executable, "-m", "bellwether", "serve", "--services", "marketdata"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: marketdata is not a service: name ")
    assert " market-data, " in done.stderr
