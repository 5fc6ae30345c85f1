"""The decision matrix: what the same system costs under systemd, as one process and as one a service."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import yaml

from bellwether.market.sessions import load_calendar
from bellwether.wiring import start_order
from bench.long_run import SYMBOLS
from bench.memory import RSS, pss_of, tree_megabytes
from bench.report import Figure, Section
from harness import csv_bars
from harness.booted import Machine, booted, obstacle
from harness.outage import restarts_over, without_nats

TITLE = "The same system under systemd"
REST_SECONDS = 30.0
TRAINED_SECONDS = 900.0
AWAY_SECONDS = 120.0
OLD_OVERHEAD = 180
"""What the design before wanted the services to cost beyond their logic, each in a process of its own, in MB."""
OLD_MONOLITH = 1100
"""What the program before it took, in MB; so it was said, nobody measured it here."""

_HOW = (
    "Seven symbols, live clock, bars from files, on a machine that systemd has booted in namespaces. "
    "`bellwether deploy --on systemd` of profile compact and of profile standard; once the model is trained, Pss of "
    f"all its processes, and the CPU time that they take in {REST_SECONDS:g} s while no session's work is due. "
    "Overhead: standard less compact, which is what a process per service costs; the design before allowed "
    f"{OLD_OVERHEAD} MB for it, and its monolith is said to have taken {OLD_MONOLITH:,} MB. At the end, in profile "
    f"standard, NATS is stopped for {AWAY_SECONDS:g} s: a unit that starts five times in 300 s is not started again."
)


@dataclass(frozen=True)
class Cost:
    """What a profile takes at rest."""

    pss: float
    """MB of 10^6 bytes."""
    rss: float
    cpu: float
    """Share of one processor, 0 to 1."""
    processes: int


def measure() -> Section:
    """Deploy both profiles, one after the other, and look at their processes."""
    why = obstacle()
    if why is not None:
        return Section(TITLE, "", [], failure=f"no machine can be booted here: {why}")
    with tempfile.TemporaryDirectory() as folder, booted(Path(folder)) as machine:
        calendar = load_calendar("XASX")
        for symbol in SYMBOLS:
            csv_bars.write(
                machine.files / "bars", symbol, calendar, datetime.now(UTC).date() - timedelta(days=2), count=240
            )
        found = {profile: _cost(machine, profile) for profile in ("compact", "standard")}
        with without_nats(machine):
            used = max(restarts_over(machine, start_order(), AWAY_SECONDS).values())
    figures = []
    for profile, cost in found.items():
        figures += [
            Figure(f"{profile}, {cost.processes} processes, Pss", cost.pss, "MB"),
            Figure(f"{profile}, Rss", cost.rss, "MB"),
            Figure(f"{profile}, CPU at rest", 100 * cost.cpu, "% of one"),
        ]
    overhead = found["standard"].pss - found["compact"].pss
    figures.append(Figure("overhead of a process per service", overhead, "MB", target=OLD_OVERHEAD))
    figures.append(Figure("standard beside the monolith before", found["standard"].pss, "MB", target=OLD_MONOLITH))
    figures.append(Figure("most starts that a service used while NATS was unreachable", used, "of 5", target=0))
    return Section(TITLE, _HOW, figures)


def _cost(machine: Machine, profile: str) -> Cost:
    spec: dict[str, Any] = {
        "profile": profile,
        "market": {"calendar": "XASX"},
        "symbols": list(SYMBOLS),
        "data": {"provider": "csv", "csv": {"directory": "/srv/bars"}},
        "training": {"gate": {"mode": "report"}},
    }
    head = {"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingSystem", "metadata": {"name": "places"}}
    (machine.files / "system.yaml").write_text(yaml.safe_dump(head | {"spec": spec}))
    done = machine.bellwether("deploy", "/srv/system.yaml", "--on", "systemd", seconds=900)
    if done.returncode != 0:
        raise RuntimeError(f"bellwether deploy: {done.stderr}")
    pids = _pids(machine)
    end = time.monotonic() + TRAINED_SECONDS
    while not _at_rest(machine, pids):
        if time.monotonic() > end:
            raise RuntimeError(f"no model within {TRAINED_SECONDS:g} s")
        time.sleep(1)
    before = _seconds(pids)
    time.sleep(REST_SECONDS)
    cpu = (_seconds(pids) - before) / REST_SECONDS
    looks = [tree_megabytes(pid) for pid in pids]
    return Cost(sum(map(pss_of, looks)), sum(look[RSS] for look in looks), cpu, len(pids))


def _at_rest(machine: Machine, pids: list[int]) -> bool:
    """Whether a model serves, and no unit has a child that trains."""
    data = Path("/proc", str(machine.pid), "root", "var/lib/trading")
    served = any(data.glob("*/**/serving-*.json"))
    return served and not any(psutil.Process(pid).children() for pid in pids)


def _pids(machine: Machine) -> list[int]:
    """Return the main processes of all units, as the host counts."""
    inside = {
        int(pid)
        for pid in machine.run("systemctl", "show", "trading-*", "--property=MainPID", "--value").stdout.split()
    }
    found = []
    for process in psutil.Process(machine.pid).children():
        numbers = next(
            line.split()[1:]
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            if line.startswith("NSpid:")
        )
        if int(numbers[-1]) in inside:
            found.append(process.pid)
    return found


def _seconds(pids: list[int]) -> float:
    """Return the CPU time of some processes and all below them."""
    found = 0.0
    for pid in pids:
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            times = each.cpu_times()
            found += times.user + times.system
    return found
