"""Runs the crash tests in full numbers and writes docs/reliability.md."""

from __future__ import annotations

import asyncio
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import psutil
import typer

from bellwether.spec.models import TradingSystem
from environments.machine import processor
from harness.replayed import train_once
from soak import evidence, replays
from soak.evidence import Evidence
from soak.report import BACKUPS, GATE, Kind, Part, Trial, line, page, section_of, with_section

PAGE = replays.ROOT / "docs" / "reliability.md"
KILLS_PER_REPLAY: Mapping[Kind, int] = {"process": 8, "nats": 10, "both": 8, "command": 10}


@dataclass(frozen=True)
class Soak:
    """What all trials share; `end` is when no more are begun, on the monotonic clock."""

    folder: Path
    trained: Path
    system: TradingSystem
    expected: Evidence
    seed: int
    end: float

    async def part(self, kind: Kind, wanted: int) -> Part:
        """Run trials of a kind until there were as many kills as wanted, or the time is over."""
        trials: list[Trial] = []
        while (left := wanted - sum(len(trial.strikes) for trial in trials)) > 0 and time.monotonic() < self.end:
            seed = random.Random(f"{self.seed} {kind} {len(trials)}").getrandbits(32)  # noqa: S311 (nothing secret)
            folder = self.folder / f"{kind}-{seed}"
            trial = await replays.struck(
                folder,
                self.trained,
                self.system,
                self.expected,
                kind=kind,
                seed=seed,
                strikes=min(left, KILLS_PER_REPLAY[kind]),
            )
            trials.append(trial)
            say(line(Part(kind, wanted, trials)))
            if trial.violations:
                say("\n".join(f"  {words}" for words in [*trial.violations, f"kept in {folder}"]))
            else:
                await asyncio.to_thread(shutil.rmtree, folder)
        return Part(kind, wanted, trials)


def say(words: str) -> None:
    """Tell the person who waits."""
    print(words, flush=True)


def main(
    *,
    process_kills: Annotated[int, typer.Option(min=0, help="Kills of the services' process.")] = 100,
    nats_kills: Annotated[int, typer.Option(min=0, help="Kills of nats-server.")] = 50,
    both_kills: Annotated[int, typer.Option(min=0, help="Kills of both at once.")] = 20,
    command_kills: Annotated[int, typer.Option(min=0, help="Kills of `bellwether replay --data`.")] = 30,
    seed: Annotated[int, typer.Option(help="Chooses the points; the same seed chooses the same.")] = 1,
    first: Annotated[str, typer.Option("--from", help="The first day that is replayed.")] = "2009-01-02",
    last: Annotated[str, typer.Option("--to", help="The last day.")] = "2009-02-27",
    minutes: Annotated[float, typer.Option(min=0.1, help="After so many no replay is begun.")] = 60.0,
    write: Annotated[bool, typer.Option(help="Write docs/reliability.md.")] = True,
) -> None:
    """Kill and resume replays; print and write what was found. Ends with 1 if anything does not hold."""
    wanted: dict[Kind, int] = {
        "process": process_kills,
        "nats": nats_kills,
        "both": both_kills,
        "command": command_kills,
    }
    began = time.monotonic()
    parts = asyncio.run(_all(wanted, replays.days(first, last), seed, began + minutes * 60))
    if write:
        counts = " ".join(f"--{kind}-kills {count}" for kind, count in wanted.items())
        text = page(
            parts,
            days=f"{first} to {last}",
            machine=_machine(),
            command=f"python -m soak {counts} --seed {seed}",
            minutes=(time.monotonic() - began) / 60,
        )
        before = PAGE.read_text("utf-8") if PAGE.exists() else ""
        for heading in (BACKUPS, GATE):
            if section := section_of(before, heading):
                text = with_section(text, heading, section)
        PAGE.write_text(text, "utf-8")
        say(f"wrote {PAGE.relative_to(replays.ROOT)}")
    if any(part.violations for part in parts):
        raise typer.Exit(1)


async def _all(wanted: Mapping[Kind, int], system: TradingSystem, seed: int, end: float) -> list[Part]:
    folder = Path(tempfile.mkdtemp(prefix="bellwether-soak-"))
    say(f"works in {folder}")
    trained = await train_once(folder / "trained")
    expected = await replays.undisturbed(folder / "undisturbed", trained, system, group_commit=True)
    over_nats = await replays.undisturbed_over_nats(folder / "undisturbed-nats", trained, system)
    if wrong := [*evidence.differences(expected, over_nats), *evidence.violations(folder / "undisturbed" / "data")]:
        say("\n".join(["undisturbed replays are not right, so there is nothing to compare with:", *wrong]))
        raise typer.Exit(1)
    say(f"undisturbed: {len(expected.decisions)} decisions, {len(expected.ledger)} ledger events, equal on both buses")
    soak = Soak(folder, trained, system, expected, seed, end)
    parts = [await soak.part(kind, count) for kind, count in wanted.items() if count]
    if not any(part.violations for part in parts):
        await asyncio.to_thread(shutil.rmtree, folder)
    return parts


def _machine() -> str:
    return (
        f"{processor()}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {datetime.now(UTC).date().isoformat()}"
    )


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    sys.exit(app())
