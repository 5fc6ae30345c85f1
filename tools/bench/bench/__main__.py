"""Runs the sections and writes docs/performance.md."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import psutil
import typer

from bench import (
    backups,
    events,
    halting,
    inference,
    long_run,
    memory,
    morning,
    operators,
    peers,
    places,
    pods,
    ready,
    replay,
    rpc,
    snapshots,
    training,
    volume,
    wide,
)
from bench.report import Machine, Section, merged, page
from devcluster.errors import ClusterError
from devcluster.typed import run_function
from environments.machine import ROOT, processor

SECTIONS: dict[str, Callable[[], Section]] = {
    "rpc": rpc.measure,
    "events": events.measure,
    "halt": halting.measure,
    "inference": inference.measure,
    "training": training.measure,
    "replay": replay.measure,
    "peers": peers.measure,
    "memory": memory.measure,
    "long-run": long_run.measure,
    "volume": volume.measure,
    "wide": wide.measure,
    "backups": backups.measure,
    "snapshots": snapshots.measure,
    "places": places.measure,
    "pods": pods.measure,
    "morning": morning.measure,
    "ready": ready.measure,
    "operators": operators.measure,
}
PAGE = ROOT / "docs" / "performance.md"


def main(
    only: Annotated[
        list[str] | None, typer.Option(help=f"Only these: {', '.join(SECTIONS)}; prints, writes no page.")
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="With --only: put these into the page as it is.")] = False,
) -> None:
    """Measure, print target, value, met or missed, and write the page."""
    unknown = [name for name in only or [] if name not in SECTIONS]
    if unknown:
        print(f"error: no section {unknown[0]!r}; there are {', '.join(SECTIONS)}", file=sys.stderr)
        raise typer.Exit(2)
    machine = _machine()
    sections = []
    for name in only or list(SECTIONS):
        print(f"measuring {name}", file=sys.stderr, flush=True)
        section = _measured(name)
        sections.append(section)
        for figure in section.figures:
            print(f"  {figure.what}: target {figure.aim}, value {figure.shown}, {figure.verdict}", flush=True)
        if section.failure:
            print(f"  not measured: {section.failure}", flush=True)
    if update or not only:
        PAGE.write_text(merged(PAGE.read_text(), machine, sections) if only else page(machine, sections))
        print(f"wrote {PAGE.relative_to(ROOT)}")
    if any(section.failure for section in sections):
        raise typer.Exit(1)


def _measured(name: str) -> Section:
    """Return a section's figures; what cannot be measured does not take the others' figures along."""
    try:
        return SECTIONS[name]()
    except (RuntimeError, AssertionError, ClusterError, OSError, subprocess.SubprocessError) as error:
        return Section(name, "", [], failure=f"{type(error).__name__}: {error}")


def _machine() -> Machine:
    return Machine(
        cpu=processor(),
        cores=os.cpu_count() or 1,
        memory_gib=psutil.virtual_memory().total / 2**30,
        kernel=platform.release(),
        python=platform.python_version(),
        day=datetime.now(UTC).date().isoformat(),
        load=os.getloadavg()[0],
    )


if __name__ == "__main__":
    sys.exit(run_function(main))
