"""What two operators took, as figures for the page. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.operator_sides import (
    Counters,
    Size,
)
from bench.report import Figure

WRITERS = 32
GAP_SECONDS = 0.05


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    sizes: Sequence[int] = (1, 100, 1000)
    edits: int = 200
    """Of each side, one after the other, in blocks that take turns."""
    block: int = 25
    repairs: int = 100
    storms: int = 2
    """How often all are edited at once."""
    touches: int = 100
    """Systems that are touched in a way that needs nothing done."""
    rest: float = 15.0
    """Seconds in which nothing is done; the period in which the operator polls every gateway."""


@dataclass
class Measured:
    """One side at one size; seconds."""

    edits: list[float] = field(default_factory=list)
    storms: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    """How much of each storm the API server needed to take the edits."""
    started: float = 0.0
    cpu: float = 0.0
    """Seconds of CPU that `edits` took, beyond what the operator takes at rest in that time."""
    rest: float = 0.0
    """Seconds of CPU a second at rest."""
    sizes: list[Size] = field(default_factory=list)


@dataclass
class Round:
    """Both operators with so many resources each."""

    systems: int
    children: int = 0
    """Objects that belong to each system."""
    created: float = 0.0
    ours: Measured = field(default_factory=Measured)
    floor: Measured = field(default_factory=Measured)
    repairs: list[float] = field(default_factory=list)
    idle: Counters = field(default_factory=Counters)
    """Counted while systems were touched without need for a change."""
    edited: Counters = field(default_factory=Counters)
    """Counted while `len(ours.edits)` edits were made."""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share (above 0, at most 1) of the values does not exceed.

    Raises:
        ValueError: without values, or with another share.
    """
    if not values or not 0 < share <= 1:
        raise ValueError(f"no {share:g} percentile of {len(values)} values: there must be one, and 0 < share <= 1")
    ordered = sorted(values)
    rank = -(-len(ordered) * share // 1)  # rounded up
    return ordered[int(rank) - 1]


def figures(rounds: Sequence[Round]) -> list[Figure]:
    """Return the rows: per size what ours does, and beside it the ratio to the floor."""
    return [figure for each in rounds for figure in _rows(each)]


def _rows(found: Round) -> list[Figure]:
    size = "1 system" if found.systems == 1 else f"{found.systems:,} systems"
    mine, theirs = found.ours, found.floor
    rows = []

    def row(what: str, value: float, unit: str, target: float | None = None, note: str = "") -> None:
        rows.append(Figure(f"{size}: {what}", value, unit, target, note=note))

    def beside(what: str, value: float, of_floor: float, unit: str, target: float | None = None) -> None:
        shown = Figure("", of_floor, unit).shown
        row(what, value, unit, target, note=f"floor {shown}" + (f", {value / of_floor:.2g} times" if of_floor else ""))

    tail = {100: 100.0, 1000: 250.0}.get(found.systems)
    beside("edit to child patched, p50", *both(mine.edits, theirs.edits, 0.5), "ms")
    beside("edit to child patched, p99", *both(mine.edits, theirs.edits, 0.99), "ms", tail)
    cpu = 1000 * mine.cpu / len(mine.edits), 1000 * theirs.cpu / len(theirs.edits)
    beside("CPU of the operator per edit", *cpu, "ms")
    row("CPU of the operator at rest", 100 * mine.rest, "% of a core", note="it polls every gateway")
    row("deleted child restored, p50", 1000 * percentile(found.repairs, 0.5), "ms")
    restored = 500.0 if found.systems == 100 else None
    row("deleted child restored, p99", 1000 * percentile(found.repairs, 0.99), "ms", restored)
    storm = statistics.median(mine.storms), statistics.median(theirs.storms)
    beside("all edited at once to the last child patched", *storm, "s")
    taken = statistics.median(mine.taken), statistics.median(theirs.taken)
    beside("of it: until the API server had taken the edits", *taken, "s")
    beside("operator start to all reconciled", mine.started, theirs.started, "s")
    row("API calls per pass that has nothing to do", found.idle.calls / found.idle.passes, "")
    row("writes per pass that has nothing to do", found.idle.writes / found.idle.passes, "", 0)
    row("API calls per edit", found.edited.calls / len(mine.edits), "")
    sizes, of_floor = mine.sizes, theirs.sizes
    aim = 200.0 if found.systems == 1000 else None
    rss = max(each.rss for each in sizes), max(each.rss for each in of_floor)
    beside("memory (Rss), highest", *rss, "MiB", aim)
    beside("memory (Rss), after its start", sizes[0].rss, of_floor[0].rss, "MiB")
    row("memory (Pss), highest", max(each.pss for each in sizes), "MiB")
    return rows


def both(mine: Sequence[float], theirs: Sequence[float], share: float) -> tuple[float, float]:
    """Return a percentile of both, in milliseconds."""
    return 1000 * percentile(mine, share), 1000 * percentile(theirs, share)


def how(plan: Plan, rounds: Sequence[Round]) -> str:
    """Return what was measured and how."""
    objects = ", ".join(f"{each.children} at {each.systems:,}" for each in rounds)
    sample = "`manifests/samples/asx-banks.yaml` in the compact profile"
    return (
        "etcd and API server only, no controllers, no kubelet: what those would say of a StatefulSet whose pod runs is "
        "written by the measurement, so every system is Ready before anything is measured. Gateways are stubbed: one "
        "process answers for all, takes every declaration and acknowledges it at once; the operator polls it as it "
        "would the real ones. The operator runs as a process with the chart's settings and the administrator's rights, "
        f"which the API server does not throttle; systems are {sample}, objects per system: {objects}. Beside it in "
        "the same run a no-op kopf operator (the floor): one event handler, one server-side apply of one ConfigMap for "
        "each change, as many resources; both processes are up, the edits take turns. An edit sets a live field "
        "(`trading.risk.maxOrdersPerSession`) of a system drawn by lot: from before the request until a watch shows "
        f"the ConfigMap with the new value, {plan.edits} edits of each side, {1000 * GAP_SECONDS:g} ms between what "
        "was seen and the next. CPU: of the operator's process, user and system, for each of these edits, with what "
        "follows them (delivery to the gateway, status) and without what it takes at rest. Restored: a Service or "
        f"NetworkPolicy deleted, until a watch shows its successor, {plan.repairs} times. At once: all edited by "
        f"{WRITERS} writers, {plan.storms} times, median; the API server's own work on the edits is in it, and shown "
        "below it. Start: all were edited while the operator was down; from the process's start until the last "
        "ConfigMap has the new value. Nothing to do: systems are given an annotation. Memory after the start, after "
        "the edits and at the end. The measuring process shares the cores."
    )
