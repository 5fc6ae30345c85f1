"""Kills of a trader on an account at IG's stand-in, judged by the stand-in's books; writes docs/reliability-ig.md."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.ig.killed import Trial, made_up_markets, trial, usd
from harness.ig.lab import write_credentials
from harness.ig.standin import standing_in
from soak.replays import ROOT

PAGE = ROOT / "docs" / "reliability-ig.md"
KILLS_PER_TRIAL = 5


def main(
    *,
    kills: Annotated[int, typer.Option(min=1, help="Kills of the trader.")] = 200,
    seed: Annotated[int, typer.Option(help="The first trial's; the next ones count on.")] = 1,
    minutes: Annotated[float, typer.Option(min=0.1, help="After so many no trial is begun.")] = 90.0,
    write: Annotated[bool, typer.Option(help="Write docs/reliability-ig.md.")] = True,
) -> None:
    """Kill and restart the trader under IG's odd ways. Ends with 1 if an order was sent twice, or one was lost."""
    found = asyncio.run(_all(kills, seed, time.monotonic() + minutes * 60))
    if write:
        PAGE.write_text(page(found, kills, f"python -m soak.ig --kills {kills} --seed {seed}"))
        print(f"wrote {PAGE.relative_to(ROOT)}", flush=True)
    if any(one.violations for one in found):
        raise typer.Exit(1)


async def _all(kills: int, seed: int, end: float) -> list[Trial]:
    found: list[Trial] = []
    while (left := kills - sum(len(one.kills) for one in found)) > 0 and time.monotonic() < end:
        folder = Path(tempfile.mkdtemp(prefix="bellwether-ig-"))
        async with standing_in(folder, made_up_markets()) as ig:
            usd(ig)
            one = await trial(
                ig, folder, write_credentials(folder), seed + len(found), kills=min(left, KILLS_PER_TRIAL)
            )
        found.append(one)
        told = f"{len(one.kills)} kills, {one.executed} of {one.orders} orders executed, {one.unknown} unknown"
        print(f"seed {one.seed}: {told}", *one.violations, sep="\n  ", flush=True)
        if not one.violations:
            await asyncio.to_thread(shutil.rmtree, folder)
    return found


def page(trials: Sequence[Trial], wanted: int, command: str) -> str:
    """Return the page of what was found."""
    orders, executed = sum(one.orders for one in trials), sum(one.executed for one in trials)
    meanwhile, unknown = sum(one.unknown_meanwhile for one in trials), sum(one.unknown for one in trials)
    violations = [f"seed {one.seed}: {line}" for one in trials for line in one.violations]
    where = Counter(point for one in trials for point in one.kills)
    lines = [
        "# Reliability at IG",
        "",
        "The trader's process on an account at the stand-in for IG ([how](ig.md)), ended with SIGKILL and started "
        + "again. A seed chooses the points (commits of the ledger, requests to IG before and after), and which of "
        + "IG's odd ways each open has: lost confirms, 405, late or missing activity, answers that break off with the "
        + "order taken or not. Judged by the stand-in's books alone.",
        "",
        f"Written by `{command}`.",
        "",
        "| what | found |",
        "|---|---|",
        f"| kills | {sum(len(one.kills) for one in trials)} of {wanted} wanted, in {len(trials)} trials |",
        f"| orders | {orders}, of which IG executed {executed} |",
        f"| sent twice, lost, or of another size in the ledger | {len(violations)} |",
        f"| in doubt at some moment of their session's open | {meanwhile} |",
        f"| left `unknown` once IG answers as it should and the lookup window is over | {unknown} |",
        "",
        *(f"- {line}" for line in violations),
        *([""] if violations else []),
        "Where the kills were: " + ", ".join(f"{point} ({count})" for point, count in where.most_common()) + ".",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    sys.exit(app())
