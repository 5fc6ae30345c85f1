"""Memory of the whole local system, NATS included, as proportional set size."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from bench.report import Figure, Section
from environments.machine import ROOT

SAMPLE = ROOT / "manifests" / "samples" / "replay.yaml"
PORT = 18080
DEADLINE = 120.0
ORDERS = 10


def measure() -> Section:
    """Run the sample until it has traded, then add up the process tree."""
    with tempfile.TemporaryDirectory() as folder:
        whole, parts = _local_run(Path(folder))
        alone = _one_process(Path(folder))
    figures = [
        Figure("whole local system, NATS included", whole, "MB", target=180, note="aim 120"),
        *(Figure(f"of it: {name}", value, "MB") for name, value in parts.items()),
        Figure("same logic in one process, in-process bus, no gateway", alone, "MB"),
        Figure("overhead of bus, gateway and traces", whole - alone, "MB"),
    ]
    how = (
        "`bellwether run manifests/samples/replay.yaml`, read after its first ten orders: the sum of Pss over the whole "
        "process tree (/proc/PID/smaps_rollup), training ended. Beside it `bellwether replay` of the same file."
    )
    return Section("Memory of the compact local run", how, figures)


def pss_megabytes(pid: int) -> float:
    """Return the proportional set size of one process in megabytes (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"process {pid} states no Pss")


def _local_run(folder: Path) -> tuple[float, dict[str, float]]:
    command = [
        sys.executable,
        "-m",
        "bellwether",
        "run",
        str(SAMPLE),
        "--port",
        str(PORT),
        "--data",
        str(folder / "run"),
    ]
    with (folder / "run.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _await_orders(process)
            parts: dict[str, float] = {}
            for each in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
                name = "nats-server" if "nats" in each.name() else "services"
                parts[name] = parts.get(name, 0.0) + pss_megabytes(each.pid)
            return sum(parts.values()), parts
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def _await_orders(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"bellwether run ended with {process.returncode}")
        try:
            answer = httpx.get(f"http://127.0.0.1:{PORT}/v1/orders", params={"status": "filled"}, timeout=5)
            if answer.status_code == httpx.codes.OK and answer.json()["total"] >= ORDERS:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.25)
    raise RuntimeError(f"no {ORDERS} orders within {DEADLINE:.0f} s")


def _one_process(folder: Path) -> float:
    """Return the highest Pss that the in-process replay of the same file reached while it ran."""
    command = [sys.executable, "-m", "bellwether", "replay", str(SAMPLE), "--data", str(folder / "alone")]
    highest = 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                highest = max(highest, pss_megabytes(process.pid))
            except (FileNotFoundError, ProcessLookupError, ValueError):
                break
            time.sleep(0.25)
    return highest
