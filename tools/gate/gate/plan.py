"""What the gate runs, and what beside what (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from environments.choose import Choice
from gate.record import PARTS
from gate.steps import Step, pytest

UNIT = ("tests/unit", "tools/devcluster/tests/unit")
INTEGRATION = ("tests/integration", "tools/devcluster/tests/integration")
E2E = "tests/e2e"
LANES = "2"
CORES_FOR_BOTH = 4
"""From so many on, integration runs beside all of e2e; with fewer only beside the tests of e2e that mostly wait."""
KEEP_NODE = {"BELLWETHER_KEEP_NODE": "1"}
SLOWEST = ("--durations", "15", "--durations-min", "5")
"""What took longest is said, for those who look after the time and the order."""
BY_FILE = ("--dist", "loadfile", "--no-loadscope-reorder")
"""A worker takes a file at a time, in the order of tests/conftest.py: those first that take long."""


Stage = list[list[Step]]
"""Rows of steps. The rows run beside each other, the steps of a row one after the other."""


def quick() -> Stage:
    """Return the steps that need no server: most of `check` runs on one core."""
    check = Step("check", ["make", "--no-print-directory", "check"])
    # What the tests of a file share is made in one worker.
    return [[check], [Step("unit", pytest("-n", "2", "--dist", "loadfile", *UNIT))]]


def slow(*, has_planes: bool, has_node: bool, cores: int, without: Sequence[str]) -> list[Stage]:
    """Return the stages that need servers; each begins when the one before has ended.

    Integration gives way to what it runs beside: a live session is prepared by the minute and would miss its open
    where three workers take the processors. The lanes need them for themselves where there are few: a halt must be
    acknowledged in time in each of their systems.

    Args:
        has_planes: whether control planes can be started here.
        has_node: whether there is a whole node.
        cores: how many this machine has.
        without: files and folders of tests to be left out.
    """

    def ignored(*folders: str) -> list[str]:
        return [f"--ignore={each}" for each in without if each.startswith(folders) and each not in folders]

    marks = [] if has_planes else ["-m", "not cluster"]
    folders = [each for each in INTEGRATION if each not in without]
    command = pytest("-n", "3", *BY_FILE, *SLOWEST, *folders, *marks, *ignored(*INTEGRATION))
    integration = Step("integration", command, gives_way=has_node)
    if not has_node:
        return [[[integration]]]
    # On the node that the lanes use then: a second start would cost more than it shows.
    apart = Step("e2e apart", pytest("-m", "apart", *SLOWEST, E2E, *ignored(E2E)), KEEP_NODE)
    command = pytest("-n", LANES, *BY_FILE, *SLOWEST, "-m", "not apart", E2E, *ignored(E2E))
    lanes = Step("e2e lanes", command)
    if cores >= CORES_FOR_BOTH:
        return [[[apart, lanes], [integration]]]
    return [[[apart], [integration]], [[lanes]]]


def left_out(unchanged: Mapping[str, str], file: Path, *, has_planes: bool, choice: Choice) -> list[str]:
    """Return what does not run, each with its reason."""
    found = []
    for part in PARTS:
        if part.name in unchanged:
            tests = ", ".join(part.tests)
            when = unchanged[part.name]
            found.append(f"{part.name} ({tests}): nothing they test has changed since they passed, {when} in {file}")
    if not has_planes:
        found.append(f"integration tests marked cluster (they need a control plane): {choice.why}")
    if choice.kind == "local":
        found.append(f"{E2E}: {choice.why}")
    return found
