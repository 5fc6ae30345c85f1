"""Kills of a trader at every step of its orders' lives, judged by the broker's books; writes docs/reliability-ig.md."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from devcluster.typed import run_function
from harness.ig.lab import write_credentials
from harness.ig.standin import standing_in
from harness.ig.steps import STEPS
from harness.ig.trials import Trial, aims_of, made_up_markets, trial, usd
from soak.finished import Finished, fingerprint, state_folder
from soak.replays import ROOT

PAGE = ROOT / "docs" / "reliability-ig.md"
AIMS_PER_TRIAL = 9
SOURCES = ("services/bellwether", "tests/harness", "tests/integration/trading", "tools/soak")
"""What a finished trial is about: when any of it has changed, all trials run again."""
PATIENCE = 900.0
"""Seconds that a process may take to start: it may run beside much else, with the least right to a processor."""
NAMES = {"ig-demo": "the stand-in for IG", "simulated": "the simulator"}
_HOW = """The trader's process is ended with SIGKILL at a step of an order's life and started again on the same files:
before and after the order, the intent to send it, and its fill are written down, before and after each request to IG
that is about it. A seed chooses at which of the session's orders. At IG each open has one of its odd ways: lost
confirms, 405, activity that is late or lacks closes or everything, answers that break off with the order taken or not.

Judged by the broker's books alone ([the stand-in's](ig.md), or the simulator's own tables): no order executed twice,
none executed that the ledger does not have with the same size, none filled in the ledger that was never executed, equal
positions, never a short one. An order whose outcome nobody tells is `unknown`: it counts below, and its symbol is
blocked meanwhile."""


def main(
    *,
    kills: Annotated[int, typer.Option(min=1, help="Kills of the trader at IG.")] = 200,
    simulated: Annotated[int, typer.Option(min=0, help="Kills of the trader at the simulator.")] = 60,
    seed: Annotated[int, typer.Option(help="The first trial's; the next ones count on.")] = 1,
    minutes: Annotated[float, typer.Option(min=0.1, help="After so many no trial is started.")] = 90.0,
    write: Annotated[bool, typer.Option(help="Write docs/reliability-ig.md.")] = True,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the trials of earlier runs.")] = False,
) -> None:
    """Kill and restart the trader under IG's odd ways. Ends with 1 if an order was sent twice, or one was lost.

    A run that was interrupted goes on where it was, as long as the sources are the same.
    """
    wanted = {"ig-demo": kills, "simulated": simulated}
    finished = Finished(state_folder() / f"ig-{fingerprint(ROOT, SOURCES)}-{seed}.jsonl")
    if fresh:
        finished.forget()
    found = asyncio.run(_all(wanted, seed, time.monotonic() + minutes * 60, finished))
    if write:
        command = f"python -m soak.ig --kills {kills} --simulated {simulated} --seed {seed}"
        PAGE.write_text(page(found, wanted, command))
        print(f"wrote {PAGE.relative_to(ROOT)}", flush=True)
    if any(one.violations for one in found):
        raise typer.Exit(1)


async def _all(wanted: Mapping[str, int], seed: int, end: float, finished: Finished) -> list[Trial]:
    records = finished.records()
    found = [Trial(**record["trial"]) for record in records]
    tried: dict[str, Counter[str]] = {broker: Counter() for broker in wanted}
    for record in records:
        tried[record["trial"]["broker"]].update(_steps(record["aims"]))
    if found:
        print(f"{len(found)} trials of earlier runs in {finished.file}", flush=True)
    # In turn, so that each broker has its share when the time is over.
    while (left := _left(found, wanted)) and time.monotonic() < end:
        broker = max(left, key=lambda one: left[one] / wanted[one])
        aims = aims_of(broker, seed + len(found), AIMS_PER_TRIAL, tried[broker])
        tried[broker].update(_steps(aims))
        one = await _one(broker, seed + len(found), aims)
        found.append(one)
        finished.add({"trial": asdict(one), "aims": aims})
        reported = f"{len(one.kills)} kills, {one.executed} of {one.orders} orders executed, {one.unknown} unknown"
        print(f"{broker}, seed {one.seed}: {reported}", *one.violations, sep="\n  ", flush=True)
    return found


def _steps(aims: Sequence[str]) -> list[str]:
    return [aim.partition(" ")[2] for aim in aims]


def _left(found: Sequence[Trial], wanted: Mapping[str, int]) -> dict[str, int]:
    done: Counter[str] = Counter()
    for one in found:
        done[one.broker] += len(one.kills)
    return {broker: count - done[broker] for broker, count in wanted.items() if count > done[broker]}


async def _one(broker: str, seed: int, aims: Sequence[str]) -> Trial:
    folder = Path(tempfile.mkdtemp(prefix="bellwether-kills-"))
    if broker == "simulated":
        one = await trial(None, folder, None, seed, aims=aims, patience=PATIENCE)
    else:
        async with standing_in(folder, made_up_markets()) as ig:
            usd(ig)
            one = await trial(ig, folder, write_credentials(folder), seed, aims=aims, patience=PATIENCE)
    if not one.violations:
        await asyncio.to_thread(shutil.rmtree, folder)
    return one


def page(trials: Sequence[Trial], wanted: Mapping[str, int], command: str) -> str:
    """Return the page of what was found."""
    by = {broker: [one for one in trials if one.broker == broker] for broker in wanted}
    violations = [f"{one.broker}, seed {one.seed}: {line}" for one in trials for line in one.violations]

    wrong = [sum(len(one.violations) for one in found) for found in by.values()]

    def row(what: str, *values: object) -> str:
        return f"| {what} | " + " | ".join(str(value) for value in values) + " |"

    def total(field: str) -> list[object]:
        return [sum(getattr(one, field) for one in found) for found in by.values()]

    lines = ["# Reliability of orders", "", "Written by `make soak`; do not edit.", "", _HOW, ""]
    lines += [f"Command: `{command}`.", "", row("what", *(NAMES[one] for one in by)), "|---|" + "---|" * len(by)]
    lines += [
        row("kills", *(_count(found, wanted[broker]) for broker, found in by.items())),
        row("trials of three sessions", *(len(found) for found in by.values())),
        row("orders", *total("orders")),
        row("executed by the broker", *total("executed")),
        row("executed twice, lost, or of another size", *wrong),
        row("in doubt at some time of their session's open", *total("unknown_meanwhile")),
        row("left `unknown` once the broker answers and the lookup window is over", *total("unknown")),
    ]
    lines += ["", "## Violations", "", *([f"- {line}" for line in violations] or ["None."]), ""]
    where = {broker: Counter(point for one in found for point in one.kills) for broker, found in by.items()}
    lines += ["## Where it was killed", "", row("step", *(NAMES[one] for one in by)), "|---|" + "---|" * len(by)]
    steps = list(dict.fromkeys(step for broker in by for step in STEPS[broker]))
    for step in steps:
        lines.append(row(step, *(where[one][step] if step in STEPS[one] else "" for one in by)))
    return "\n".join(lines) + "\n"


def _count(found: Sequence[Trial], wanted: int) -> str:
    kills = sum(len(one.kills) for one in found)
    return str(kills) if kills >= wanted else f"{kills} of {wanted} wanted: the time was over"


if __name__ == "__main__":
    sys.exit(run_function(main))
