"""What the crash tests found, and the page it is written to (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["process", "nats", "both", "command"]

TITLES: Mapping[Kind, str] = {
    "process": "the process of the services killed",
    "nats": "nats-server killed",
    "both": "both killed at once",
    "command": "`bellwether replay --data` killed",
}

GATE = "## The gate of models"
"""Heading of the section of the page that `python -m soak.gate` writes."""
BACKUPS = "## Backups by volume snapshots"
"""Heading of the section of the page that `python -m soak.backups` writes."""

_HOW = """The same recorded days are replayed undisturbed once, then again and again while something is killed with
SIGKILL and started again on the same files, until the replay is complete. A seed chooses the points: the process counts
what could be lost or repeated (before a commit, between a commit and its events, before and after an event is
published, a call is made, an event is acknowledged), and the kill comes exactly there. NATS is stopped for up to a
second, every tenth time for five to eight.

After each replay must hold, or it is counted as a violation:

- decisions, ledger events in their order, equity, outcomes and results of slots equal those of the undisturbed replay
  (trace ids apart, which belong to the run), decisions byte for byte;
- the ledger adds up: cash, cost and positions from its events, one order per decision, no order filled twice;
- every event that was committed was published, and taken in by every service that consumes it; none was given up;
- no process ended by itself, and every replay came to its end.

What this does not show: a loss of power (a killed process leaves what it gave to the kernel), services in pods of their
own (the e2e tests kill those), and the gateway, which is not part of a decision."""


@dataclass
class Trial:
    """One replay that was struck, and what came of it.

    Attributes:
        seed: what chose the points.
        kind: what was killed: the services' process, nats-server, both at once, or `bellwether replay --data`.
        strikes: the point of each kill, in order.
        violations: what does not hold, or differs from the undisturbed replay.
        seconds: how long it took, wall time.
    """

    seed: int
    kind: Kind
    strikes: list[str]
    violations: list[str]
    seconds: float = 0.0


@dataclass(frozen=True)
class Part:
    """All trials of one kind."""

    kind: Kind
    wanted: int
    trials: Sequence[Trial]

    @property
    def kills(self) -> int:
        """How many there were."""
        return sum(len(trial.strikes) for trial in self.trials)

    @property
    def violations(self) -> list[str]:
        """What was found, each with the seed that finds it again."""
        return [f"seed {trial.seed}: {words}" for trial in self.trials for words in trial.violations]


def line(part: Part) -> str:
    """Return a part as one line for a terminal."""
    return f"{TITLES[part.kind]}: {part.kills} of {part.wanted} kills in {len(part.trials)} replays, " + (
        f"{len(part.violations)} violations" if part.violations else "no violation"
    )


def page(parts: Sequence[Part], *, days: str, machine: str, command: str, minutes: float) -> str:
    """Return the reliability page as Markdown."""
    found = [f"- {TITLES[part.kind]}, {words}" for part in parts for words in part.violations]
    lines = ["# Reliability", "", "Written by `make soak`; do not edit.", "", _HOW, ""]
    lines += [f"Days: {days}. Machine: {machine}. Command: `{command}`, {minutes:.0f} minutes.", ""]
    lines += ["| what | kills | replays | violations |", "|---|---|---|---|"]
    for part in parts:
        few = "" if part.kills >= part.wanted else f" of {part.wanted} wanted: the time was over"
        violations = len(part.violations)
        lines.append(f"| {TITLES[part.kind]} | {part.kills}{few} | {len(part.trials)} | {violations} |")
    lines += ["", "## Violations", "", *(found or ["None."]), "", "## Where it was killed", ""]
    kinds = [part.kind for part in parts]
    lines += ["| point | " + " | ".join(TITLES[kind] for kind in kinds) + " |", "|---|" + "---|" * len(kinds)]
    points = {part.kind: Counter(point for trial in part.trials for point in trial.strikes) for part in parts}
    for point in sorted(set().union(*points.values())):
        lines.append(f"| {point} | " + " | ".join(str(points[kind][point]) for kind in kinds) + " |")
    return "\n".join(lines) + "\n"


def with_section(text: str, heading: str, section: str) -> str:
    """Return the page with another section in place of the one of its heading, or at the end."""
    head, _, rest = text.partition(f"\n{heading}\n")
    following = rest.partition("\n## ")
    tail = f"\n## {following[2]}" if following[1] else ""
    return f"{head.rstrip(chr(10))}\n\n{heading}\n\n{section}\n{tail}"


def section_of(text: str, heading: str) -> str:
    """Return what a page says under a heading, empty where it says nothing."""
    return text.partition(f"\n{heading}\n")[2].partition("\n## ")[0].strip("\n")
