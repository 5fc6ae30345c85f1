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
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import psutil
import typer

from bellwether.spec.models import TradingSystem
from devcluster.typed import run_function
from environments.machine import processor
from harness.replayed import train_once
from soak import evidence, replays
from soak.evidence import Evidence
from soak.finished import Finished, fingerprint, state_folder
from soak.report import BACKUPS, GATE, Kind, Part, Trial, line, page, section_of, with_section

PAGE = replays.ROOT / "docs" / "reliability.md"
SOURCES = ("services/bellwether", "tests/harness", "tools/soak")
"""What a finished replay is about: when any of it has changed, all run again."""
KILLS_PER_REPLAY: Mapping[Kind, int] = {"process": 8, "nats": 10, "both": 8, "command": 10}


@dataclass(frozen=True)
class Soak:
    """What all trials share; `end` is when no more are started, on the monotonic clock.

    Those of earlier runs that found nothing are in `finished`, and count.
    """

    folder: Path
    trained: Path
    system: TradingSystem
    expected: Evidence
    seed: int
    end: float
    finished: Finished

    async def run(self, wanted: Mapping[Kind, int]) -> list[Part]:
        """Run trials, the kinds in turn, until there were as many kills of each as wanted, or the time is over."""
        found: dict[Kind, list[Trial]] = {kind: [] for kind, count in wanted.items() if count}
        for record in self.finished.records():
            if record["kind"] in found:
                found[record["kind"]].append(Trial(**record))

        def left(kind: Kind) -> int:
            return wanted[kind] - sum(len(trial.strikes) for trial in found[kind])

        if earlier := sum(map(len, found.values())):
            say(f"{earlier} replays of earlier runs in {self.finished.file}")
        while found and time.monotonic() < self.end:
            kind = max(found, key=lambda one: left(one) / wanted[one])
            if left(kind) <= 0:
                break
            found[kind].append(await self._one(kind, len(found[kind]), min(left(kind), KILLS_PER_REPLAY[kind])))
            say(line(Part(kind, wanted[kind], found[kind])))
        return [Part(kind, wanted[kind], trials) for kind, trials in found.items()]

    async def _one(self, kind: Kind, number: int, strikes: int) -> Trial:
        seed = random.Random(f"{self.seed} {kind} {number}").getrandbits(32)  # noqa: S311 (nothing secret)
        folder = self.folder / f"{kind}-{seed}"
        trial = await replays.struck(
            folder, self.trained, self.system, self.expected, kind=kind, seed=seed, strikes=strikes
        )
        if trial.violations:
            say("\n".join(f"  {words}" for words in [*trial.violations, f"kept in {folder}"]))
        else:
            self.finished.add(asdict(trial))
            await asyncio.to_thread(shutil.rmtree, folder)
        return trial


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
    minutes: Annotated[float, typer.Option(min=0.1, help="After so many no replay is started.")] = 60.0,
    write: Annotated[bool, typer.Option(help="Write docs/reliability.md.")] = True,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the replays of earlier runs.")] = False,
) -> None:
    """Kill and resume replays; print and write what was found. Ends with 1 if anything does not hold.

    A run that was interrupted goes on where it was, as long as the sources are the same.
    """
    wanted: dict[Kind, int] = {
        "process": process_kills,
        "nats": nats_kills,
        "both": both_kills,
        "command": command_kills,
    }
    began = time.monotonic()
    sources = fingerprint(replays.ROOT, SOURCES)
    finished = Finished(state_folder() / f"replays-{sources}-{seed}-{first}-{last}.jsonl")
    if fresh:
        finished.forget()
    parts = asyncio.run(_all(wanted, replays.days(first, last), seed, began + minutes * 60, finished))
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


async def _all(
    wanted: Mapping[Kind, int], system: TradingSystem, seed: int, end: float, finished: Finished
) -> list[Part]:
    folder = Path(tempfile.mkdtemp(prefix="bellwether-soak-"))
    say(f"works in {folder}")
    trained = await train_once(folder / "trained")
    expected = await replays.undisturbed(folder / "undisturbed", trained, system, group_commit=True)
    over_nats = await replays.undisturbed_over_nats(folder / "undisturbed-nats", trained, system)
    if wrong := [*evidence.differences(expected, over_nats), *evidence.violations(folder / "undisturbed" / "data")]:
        say("\n".join(["undisturbed replays are not right, so there is nothing to compare with:", *wrong]))
        raise typer.Exit(1)
    say(f"undisturbed: {len(expected.decisions)} decisions, {len(expected.ledger)} ledger events, equal on both buses")
    parts = await Soak(folder, trained, system, expected, seed, end, finished).run(wanted)
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
    sys.exit(run_function(main))
