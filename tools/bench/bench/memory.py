"""Memory of the whole local system, NATS included, as proportional set size."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from bench.local_run import LocalRun, local_run
from bench.report import Figure, Section
from bench.trained import SAMPLE, copy_model

ORDERS = 10
SESSIONS = 60
SAMPLES = 20
PAUSE = 0.5
LONGEST = 180.0
RSS = "Rss"
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(?P<name>.*)$")

_HOW = (
    "Pss from /proc/PID/smaps_rollup, in megabytes of 10^6 bytes, added up over the whole process tree: each "
    "page counted once, divided among those who share it, other processes of this machine included. "
    f"`bellwether run manifests/samples/replay.yaml` with its model trained before, from the {SESSIONS}th "
    f"session and the {ORDERS}th filled order on: {SAMPLES} looks over {SAMPLES * PAUSE:g} s, median and "
    "highest; the replay trades on meanwhile. Beside it, in the same run of the bench, not at the same time: "
    "`bellwether replay` of the same file, that is the same services in one process with a bus in memory, no "
    "NATS, no gateway, no traces; median and highest of its looks from the second on to its end."
)


def measure() -> Section:
    """Run the sample until it has traded, then add up the process tree several times."""
    with tempfile.TemporaryDirectory() as folder:
        looks = _local_run(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        copy_model(Path(folder))
        alone = in_one_process(SAMPLE, Path(folder))
    whole = [pss_of(look) for look in looks]
    figures = [
        Figure("whole local system, NATS included, highest", max(whole), "MB", target=180),
        Figure("whole local system, NATS included, median", statistics.median(whole), "MB", target=120, note="the aim"),
        *(
            Figure(f"of it: {name}, median", statistics.median(look.get(name, 0.0) for look in looks), "MB")
            for name in sorted({name for look in looks for name in look} - {RSS})
        ),
        Figure(
            "same logic in one process, in-process bus, no gateway, no traces, median", statistics.median(alone), "MB"
        ),
        Figure("the same, highest", max(alone), "MB"),
        Figure(
            "whole local system as Rss, highest",
            max(look[RSS] for look in looks),
            "MB",
            target=180,
            note="what Pss is where no other process, this bench included, shares a page",
        ),
        Figure("overhead of NATS, gateway, API and traces", statistics.median(whole) - statistics.median(alone), "MB"),
    ]
    return Section("Memory of the compact local run", _HOW, figures)


def stated_bytes(rollup: str, size: str) -> int:
    """Return a size (`Pss`, `Rss`) in bytes that the text of a smaps_rollup states.

    Raises:
        ValueError: if it states none.
    """
    for line in rollup.splitlines():
        if line.startswith(f"{size}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"the text states no {size}")


def tree_megabytes(pid: int) -> Mapping[str, float]:
    """Return the Pss of a process and all below it, added up under `nats-server` and `services`, and all Rss."""
    found: dict[str, float] = {}
    process = psutil.Process(pid)
    for each in [process, *process.children(recursive=True)]:
        name = "nats-server" if "nats" in each.name() else "services"
        pss, rss = sizes(each.pid)
        found[name] = found.get(name, 0.0) + pss
        found[RSS] = found.get(RSS, 0.0) + rss
    return found


def sizes(pid: int) -> tuple[float, float]:
    """Return Pss and Rss of one process."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return stated_bytes(rollup, "Pss") / 1e6, stated_bytes(rollup, "Rss") / 1e6


def mapped_bytes(smaps: str) -> Mapping[str, int]:
    """Return the Pss in bytes of what a process has mapped, by kind, from the text of its smaps."""
    found: dict[str, int] = {}
    kind = ""
    for line in smaps.splitlines():
        if head := _MAPPING.match(line):
            kind = _kind(head["name"])
        elif line.startswith("Pss:"):
            found[kind] = found.get(kind, 0) + int(line.split()[1]) * 1024
    return found


def _kind(name: str) -> str:
    if not name:
        return "objects of Python, buffers"
    if name == "[heap]":
        return "heap of the C library"
    if "onnxruntime" in name:
        return "code of onnxruntime"
    if ".so" in name:
        return "code of other libraries"
    return "everything else"


def pss_of(look: Mapping[str, float]) -> float:
    """Return the whole Pss of a look at a tree."""
    return sum(value for name, value in look.items() if name != RSS)


def _local_run(folder: Path) -> list[Mapping[str, float]]:
    copy_model(folder / "run" / "data")
    with local_run(SAMPLE, folder) as run:
        run.wait(f"{ORDERS} filled orders and {SESSIONS} sessions", lambda: _has_traded(run), LONGEST)
        looks = []
        for _ in range(SAMPLES):
            time.sleep(PAUSE)
            looks.append(tree_megabytes(run.process.pid))
        return looks


def _has_traded(run: LocalRun) -> bool:
    orders = run.ask("/v1/orders", status="filled") or {}
    return int(orders.get("total", 0)) >= ORDERS and int(run.replay().get("sessions_done", 0)) >= SESSIONS


def in_one_process(manifest: Path, folder: Path) -> list[float]:
    """Return the Pss of the in-process replay, looked at while it runs and trains no model."""
    command = [sys.executable, "-m", "bellwether", "replay", str(manifest), "--data", str(folder)]
    looks: list[float] = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(PAUSE)
            try:
                if psutil.Process(process.pid).children():
                    looks.clear()
                else:
                    looks.append(pss_of(tree_megabytes(process.pid)))
            except (FileNotFoundError, ProcessLookupError, ValueError, psutil.NoSuchProcess):
                break
    if process.returncode or len(looks) < 2:
        raise RuntimeError(f"bellwether replay ended with {process.returncode} after {len(looks)} looks")
    return looks[1:]
