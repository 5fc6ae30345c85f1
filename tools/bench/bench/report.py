"""What a measurement is, and the page it is written to (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
        gap = abs(self.value - self.target)
        percent = 100 * gap / self.target if self.target else 0.0
        share = f" ({percent:.0f} %)" if percent >= 10 else f" ({percent:.2g} %)" if percent else ""
        return f"missed by {_amount(gap, self.unit)}{share}"

    @property
    def shown(self) -> str:
        """Return the value with its unit."""
        return _amount(self.value, self.unit)

    @property
    def aim(self) -> str:
        """Return the target with its direction and unit, `-` without one."""
        if self.target is None:
            return "-"
        return f"{'≤' if self.better == 'lower' else '≥'} {_amount(self.target, self.unit)}"


def _amount(value: float, unit: str) -> str:
    """Return a value in four figures, never fewer than its whole part has and never as a power of ten."""
    size = abs(value)
    if size >= 1000:
        text = f"{value:,.0f}"
    elif size >= 0.001 or size == 0:
        text = f"{float(f'{value:.4g}'):.12g}"
        text = f"{float(text):.4f}".rstrip("0").rstrip(".") if "e" in text else text
    else:
        text = f"{value:.9f}".rstrip("0").rstrip(".")
    return f"{text} {unit}".rstrip()


@dataclass(frozen=True)
class Section:
    """Figures of one run, taken together so that their ratios hold; `failure` says why there are none."""

    title: str
    how: str
    figures: Sequence[Figure]
    failure: str = ""


@dataclass(frozen=True)
class Machine:
    """Where and when it was measured."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    day: str
    load: float = 0.0
    """Processes that wanted to run, averaged over a minute, before the first measurement."""


def page(machine: Machine, sections: Sequence[Section]) -> str:
    """Return the performance page as Markdown."""
    lines = [
        "# Performance",
        "",
        "Written by `make bench`; do not edit. Ratios come from one run on one machine and hold elsewhere roughly; "
        "seconds and rates are this machine's. Each section says what was measured in the same run.",
        "",
        f"Machine: {machine.cpu}, {machine.cores} cores, {machine.memory_gib:.0f} GiB, Linux {machine.kernel}, "
        f"Python {machine.python}, {machine.day}. Load before the first section: {machine.load:.1f}.",
        "",
        *_sum(sections),
    ]
    for section in sections:
        lines += ["", *_section(section)]
    return "\n".join(lines) + "\n"


def merged(text: str, machine: Machine, sections: Sequence[Section]) -> str:
    """Return a page with some of its sections measured again, or added at its end, and its sum counted again.

    Each of them says when and on which processor it was measured apart from the others. One that could not be measured
    changes nothing.
    """
    head, *parts = text.rstrip("\n").split("\n## ")
    found = {part.partition("\n")[0]: part for part in parts}
    apart = f"Measured apart on {machine.day}, {machine.cpu}, load {machine.load:.1f}."
    for section in sections:
        if not section.failure:
            again = replace(section, how=f"{section.how} {apart}")
            found[section.title] = "\n".join(_section(again)).removeprefix("## ") + "\n"
    about = head[: head.index("**")].rstrip("\n")
    pieces = [part.rstrip("\n") for part in found.values()]
    return "\n\n## ".join([f"{about}\n\n" + "\n".join(_sum_again(pieces)), *pieces]) + "\n"


_NOTE = re.compile(r" \([^|]*\)$")


def _sum_again(parts: Sequence[str]) -> list[str]:
    """Return the sum of a page from the rows of its sections."""
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for part in parts for line in part.splitlines()]
    judged = [row for row in rows if len(row) == 4 and row[1].startswith(("≤", "≥"))]
    missed = [row for row in judged if row[3] != "met"]
    lines = [f"**{len(judged) - len(missed)} of {len(judged)} targets met.**"]
    if missed:
        lines.append("")
    return lines + [f"- {_NOTE.sub('', row[0])}: {row[2]}, {row[3].strip('*')}" for row in missed]


def _section(section: Section) -> list[str]:
    lines = [f"## {section.title}", ""]
    if section.failure:
        return [*lines, f"Not measured: {section.failure}"]
    lines += [section.how, "", "| what | target | value | |", "|---|---|---|---|"]
    return lines + [_row(figure) for figure in section.figures]


def _sum(sections: Sequence[Section]) -> list[str]:
    judged = [figure for section in sections for figure in section.figures if figure.target is not None]
    missed = [figure for figure in judged if not figure.met]
    lines = [f"**{len(judged) - len(missed)} of {len(judged)} targets met.**"]
    if missed:
        lines.append("")
    lines += [f"- {figure.what}: {figure.shown}, {figure.verdict}" for figure in missed]
    absent = [section.title for section in sections if section.failure]
    if absent:
        lines += ["", f"There were parts not measured: {', '.join(absent)}."]
    return lines


def _row(figure: Figure) -> str:
    note = f" ({figure.note})" if figure.note else ""
    verdict = figure.verdict if figure.met is not False else f"**{figure.verdict}**"
    return f"| {figure.what}{note} | {figure.aim} | {figure.shown} | {verdict} |"
