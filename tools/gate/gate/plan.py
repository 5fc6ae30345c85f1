"""What the gate runs, and what beside what (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from environments.choose import Choice
from gate.record import PARTS
from gate.steps import Step, pytest

INTEGRATION, E2E = "tests/integration", "tests/e2e"
LANES = "2"
KEEP_NODE = {"BELLWETHER_KEEP_NODE": "1"}


def quick() -> list[Step]:
    """Return the steps that need no server, in the order that fails earliest."""
    return [Step("check", ["make", "--no-print-directory", "check"]), Step("unit", pytest("-n", "2", "tests/unit"))]


def slow(*, has_planes: bool, has_node: bool, without: Sequence[str]) -> tuple[list[Step], list[list[Step]]]:
    """Return the steps that run by themselves, then rows of steps that run beside each other: both mostly wait.

    Args:
        has_planes: whether control planes can be started here.
        has_node: whether there is a whole node.
        without: files and folders of tests to be left out.

    """

    def ignored(folder: str) -> list[str]:
        return [f"--ignore={each}" for each in without if each.startswith(folder)]

    marks = [] if has_planes else ["-m", "not cluster"]
    workers = "2" if has_node else "3"
    integration = pytest("-n", workers, "--dist", "loadfile", INTEGRATION, *marks, *ignored(INTEGRATION))
    rows = [[Step("integration", integration)]]
    if not has_node:
        return [], rows
    # On the node that the lanes use then: a second start would cost more than it shows.
    apart = Step("e2e apart", pytest("-m", "apart", E2E, *ignored(E2E)), KEEP_NODE)
    lanes = pytest("-n", LANES, "--dist", "loadfile", "-m", "not apart", E2E, *ignored(E2E))
    return [apart], [*rows, [Step("e2e lanes", lanes)]]


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
