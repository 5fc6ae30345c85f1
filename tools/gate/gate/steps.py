"""One command of the gate: run, reported line by line, counted."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

from environments.machine import ROOT
from gate import background

SUMMARY = re.compile(r"(\d+) (passed|failed|errors?|skipped|deselected)")
NOT_PASSED = re.compile(r"(FAILED|ERROR) \S+::")
"""A test that did not pass, as pytest names it after its run."""


@dataclass
class Step:
    """One command of the gate and how it ended."""

    name: str
    command: list[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    gives_way: bool = False
    """Whether what runs beside it has the processors first."""
    code: int = 0
    seconds: float = 0.0
    counts: dict[str, int] | None = None
    not_passed: list[str] = field(default_factory=list)
    """The tests that failed or could not be set up, each with its message."""


def pytest(*arguments: str) -> list[str]:
    """Return the command that runs tests."""
    return [sys.executable, "-m", "pytest", "-q", *arguments]


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


Say = Callable[[str], None]


def run(step: Step, environment: Mapping[str, str], prefix: str = "", say: Say = say) -> None:
    """Run a step to its end, and say each of its lines at once."""
    say(f"\n== {step.name}: {' '.join(step.command[1:])}")
    began = time.monotonic()
    last = ""
    with ExitStack() as stack:
        words = step.command
        if step.gives_way:
            words = background.command(words, stack.enter_context(background.group()))
        process = stack.enter_context(
            subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**environment, **step.variables})
        )
        assert process.stdout is not None  # noqa: S101 - it was asked for
        for line in process.stdout:
            say(f"{prefix}{line.rstrip()}")
            last = line if SUMMARY.search(line) else last
            if NOT_PASSED.match(line):
                step.not_passed.append(line.strip())
        step.code, step.seconds = process.wait(), time.monotonic() - began
    step.counts = {word: int(number) for number, word in SUMMARY.findall(last)} if last else None


def run_beside(lanes: Sequence[Sequence[Step]], environment: Mapping[str, str], say: Say = say) -> None:
    """Run several rows of steps beside each other; each line says of which step it is."""
    if len(lanes) == 1:
        for step in lanes[0]:
            run(step, environment, say=say)
        return

    def run_row(row: Sequence[Step]) -> None:
        for step in row:
            run(step, environment, prefix=f"{step.name:12} | ", say=say)

    with ThreadPoolExecutor(len(lanes)) as pool:
        list(pool.map(run_row, lanes))


def report(steps: Sequence[Step], left_out: Sequence[str], seconds: float) -> list[str]:
    """Return what is said at the end: each step with its time, what was left out and why, what failed, the totals."""
    lines = []
    for step in steps:
        outcome = "ok" if step.code == 0 else f"ended with {step.code}"
        lines.append(f"{step.name:12} {outcome:14} {step.seconds:6.0f} s")
    lines.append(f"{'altogether':12} {'':14} {seconds:6.0f} s")
    lines += [f"left out: {words}" for words in left_out]
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for step in steps:
        for word, number in (step.counts or {}).items():
            key = "failed" if word.startswith("error") else word
            totals[key] = totals.get(key, 0) + number
    failed = [step.name for step in steps if step.code != 0]
    if failed:
        lines.append("failed: " + ", ".join(failed))
    lines += [words for step in steps for words in step.not_passed]
    return [*lines, f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped"]
