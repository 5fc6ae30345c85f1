"""`python -m soak.backups`: backups whose operator is killed at random calls; a section of docs/reliability.md."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from bellwether_operator.backups.steps import QUIESCE
from devcluster.typed import run_function
from harness.backed_up import FAULTS, World, backed_up, violations
from soak.replays import ROOT
from soak.report import BACKUPS, with_section

PAGE = ROOT / "docs" / "reliability.md"
_PARTIAL = 5
"""Each so many seeds the driver calls snapshots ready that lack a file."""
_HOW = f"""the operator is killed at random calls to the API server, before or after a
call took effect, beside a driver that cuts as it likes; some API servers fail for minutes. API server and driver are in
memory. Judged from the driver's folder: a backup is complete with every file of one instant, or failed with its reason,
and the system runs again, without pods for {QUIESCE.total_seconds():g} s and a restart at most."""


@dataclass(frozen=True)
class Trial:
    """One backup, and what came of it."""

    seed: int
    fault: str
    kills: int
    state: str
    longest: int
    """Seconds for which the system had no pods."""
    violations: Sequence[str]


def main(seeds: Annotated[int, typer.Argument(min=1, help="How many backups.")] = 50) -> int:
    """Make backups whose operator is killed at random calls, and write a section of docs/reliability.md.

    Ends with 1 if anything does not hold.
    """
    trials = asyncio.run(_all(seeds))
    for trial in trials:
        for words in trial.violations:
            print(f"seed {trial.seed}: {words}", flush=True)
    PAGE.write_text(with_section(PAGE.read_text("utf-8"), BACKUPS, section(trials)), "utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 1 if any(trial.violations for trial in trials) else 0


async def _all(seeds: int) -> list[Trial]:
    return [await struck(seed) for seed in range(seeds)]


async def struck(seed: int) -> Trial:
    """Run one backup to its end."""
    with tempfile.TemporaryDirectory() as folder:
        fault = "" if (seed + 1) % _PARTIAL else "partial"
        world = World(Path(folder), Random(f"backups {seed}"), fault)  # noqa: S311 (nothing secret)
        await backed_up(world)
        found = violations(world)
    return Trial(seed, world.driver.fault, world.kills, world.progress.state, world.longest, found)


def section(trials: Sequence[Trial]) -> str:
    """Return what was found, as Markdown (pure)."""
    wrong = [f"- seed {trial.seed}: {words}" for trial in trials for words in trial.violations]
    lines = [
        f"`python -m soak.backups {len(trials)}`: {_HOW}",
        "",
        "| the driver | backups | complete | failed | kills | longest without pods |",
        "|---|---|---|---|---|---|",
    ]
    for fault in FAULTS:
        some = [trial for trial in trials if trial.fault == fault]
        states = Counter(trial.state for trial in some)
        kills, longest = sum(trial.kills for trial in some), max((trial.longest for trial in some), default=0)
        name = "works" if fault == "none" else fault
        lines.append(f"| {name} | {len(some)} | {states['complete']} | {states['failed']} | {kills} | {longest} s |")
    return "\n".join([*lines, "", *(wrong or ["Violations: none."])])


if __name__ == "__main__":
    sys.exit(run_function(main))
