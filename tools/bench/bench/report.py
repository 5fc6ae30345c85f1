"""What a measurement is, and the page it is written to (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One measured value. `target` None: it is stated, not judged."""

    what: str
    value: float
    unit: str
    target: float | None = None
    better: Literal["lower", "higher"] = "lower"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.target is None:
            return None
        return self.value <= self.target if self.better == "lower" else self.value >= self.target

    @property
    def verdict(self) -> str:
        """Return `met`, or `missed` and by how much."""
        if self.target is None:
            return "-"
        if self.met:
            return "met"
        return f"missed by {abs(self.value - self.target):.4g} {self.unit}".rstrip()


@dataclass(frozen=True)
class Section:
    """Figures of one run, taken together so that their ratios hold."""

    title: str
    how: str
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Machine:
    """Where and when it was measured."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    day: str


def page(machine: Machine, sections: Sequence[Section]) -> str:
    """Return the performance page as Markdown."""
    lines = [
        "# Performance",
        "",
        "Written by `make bench`; do not edit. Ratios come from one run on one machine; seconds depend on the machine.",
        "",
        f"Machine: {machine.cpu}, {machine.cores} cores, {machine.memory_gib:.0f} GiB, Linux {machine.kernel}, "
        f"Python {machine.python}, {machine.day}.",
    ]
    for section in sections:
        lines += ["", f"## {section.title}", "", section.how, ""]
        lines += ["| what | target | value | |", "|---|---|---|---|"]
        for figure in section.figures:
            sign = "≤" if figure.better == "lower" else "≥"
            target = "-" if figure.target is None else f"{sign} {figure.target:g} {figure.unit}".rstrip()
            note = f" ({figure.note})" if figure.note else ""
            value = f"{figure.value:.4g} {figure.unit}".rstrip()
            lines.append(f"| {figure.what}{note} | {target} | {value} | {figure.verdict} |")
    return "\n".join(lines) + "\n"
