"""Runs check, unit, integration and e2e; the cluster's programs and images are built beside the first two."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from environments.choose import WrongChoiceError, choose
from environments.machine import ROOT, facts

SUMMARY = re.compile(r"(\d+) (passed|failed|errors?|skipped|deselected)")


@dataclass
class Step:
    """One command of the gate and how it ended."""

    name: str
    command: list[str]
    code: int = 0
    seconds: float = 0.0
    counts: dict[str, int] | None = None


def main() -> int:
    """Run all steps; 0 when every one of them ended with 0."""
    try:
        choice = choose(facts(), os.environ)
    except WrongChoiceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    has_cluster = choice.kind != "local"
    print(f"cluster for the tests: {choice.kind} ({choice.why})", flush=True)
    with tempfile.TemporaryFile() as log:
        preparation = _prepare(log) if choice.kind == "embedded" else None
        steps = [
            Step("check", ["make", "--no-print-directory", "check"]),
            Step("unit", _pytest("-n", "2", "tests/unit")),
        ]
        _run_all(steps)
        if preparation is not None and not _finish(preparation, log):
            return 1
    options, left_out = [], []
    if choice.kind != "embedded":
        options, left_out = ["-m", "not cluster"], ["integration tests marked cluster (they need the embedded cluster)"]
    later = [Step("integration", _pytest("-n", "3", "--dist", "loadfile", "tests/integration", *options))]
    if has_cluster:
        later.append(Step("e2e", _pytest("tests/e2e")))
    else:
        left_out.append("tests/e2e")
    _run_all(later)
    return _report(steps + later, left_out, choice.why)


def _pytest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", *arguments]


def _prepare(log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start building what the embedded cluster needs: packages, programs, images."""
    script = (
        "python -m devcluster needs --install && python -m devcluster build && python -m devcluster image --no-load"
    )
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    print("building the cluster's programs and images beside the first tests", flush=True)
    return subprocess.Popen(["bash", "-c", script], stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)


def _finish(preparation: subprocess.Popen[bytes], log: IO[bytes]) -> bool:
    """Wait for the build; say every minute that it goes on."""
    while True:
        try:
            code = preparation.wait(timeout=60)
            break
        except subprocess.TimeoutExpired:
            print("still building the cluster's programs and images", flush=True)
    if code != 0:
        log.seek(0)
        print(log.read().decode(errors="replace")[-8000:], file=sys.stderr)
        print("error: what the cluster needs could not be built", file=sys.stderr)
    return code == 0


def _run_all(steps: list[Step]) -> None:
    for step in steps:
        print(f"\n== {step.name}: {' '.join(step.command[-3:])}", flush=True)
        began = time.monotonic()
        last = ""
        with subprocess.Popen(step.command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            for line in process.stdout:
                print(line, end="", flush=True)
                last = line if SUMMARY.search(line) else last
        step.code, step.seconds = process.returncode, time.monotonic() - began
        step.counts = {word: int(number) for number, word in SUMMARY.findall(last)} if last else None


def _report(steps: list[Step], left_out: list[str], why: str) -> int:
    print()
    for step in steps:
        outcome = "ok" if step.code == 0 else f"ended with {step.code}"
        print(f"{step.name:12} {outcome:14} {step.seconds:6.0f} s")
    for name in left_out:
        print(f"left out: {name}: {why}")
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for step in steps:
        for word, number in (step.counts or {}).items():
            key = "failed" if word.startswith("error") else word
            totals[key] = totals.get(key, 0) + number
    failed_steps = [step.name for step in steps if step.code != 0]
    if failed_steps:
        print("failed: " + ", ".join(failed_steps))
    print(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 1 if failed_steps else 0


if __name__ == "__main__":
    sys.exit(main())
