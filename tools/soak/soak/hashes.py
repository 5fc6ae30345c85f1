"""The sample's replay against recorded hashes: the same bars give the same bytes from release to release.

    python -m soak.hashes            replay all of the sample, and say where it differs from what is recorded
    python -m soak.hashes --write    record what it gives now

Writing is right only where a change is meant to decide, trade or record differently; its commit says what and why.
A change that is to make something faster or shorter never writes them. What is recorded belongs to a model, and the
bits of a fit depend on the processor: on another kind of processor there is nothing to compare with.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import threadpoolctl
import typer
import yaml

from bellwether.local.files import load_system
from bellwether.local.replay import ReplayOptions, replayed
from bellwether.spec.models import TradingSystem
from devcluster.typed import run_function
from harness.replayed import train_once
from soak.evidence import Evidence
from soak.replays import ROOT, SAMPLE, undisturbed

FILE = ROOT / "tests" / "fixtures" / "sample_hashes.yaml"
FIRST_YEAR, WHOLE = "2009-12-31", "all of it"
PARTS = ("decisions", "ledger", "equity", "outcomes")
"""Results of slots are left out: a release may add fields to them."""

_HEAD = """\
# What a replay of manifests/samples/replay.yaml leaves, as SHA-256, up to a day. A test compares the first year,
# `python -m soak.hashes` all of it. `python -m soak.hashes --write` writes this file again: right only where a
# change is meant to decide, trade or record differently, and its commit says what and why.
"""


def sample(last: str) -> TradingSystem:
    """Return the sample replay up to a day, as fast as it goes."""
    return replayed(load_system(SAMPLE), ReplayOptions(None, None if last == WHOLE else last))


def hashes(found: Evidence) -> dict[str, str]:
    """Return a hash of each part of what a replay left."""
    return {
        part: hashlib.sha256(json.dumps(dict(getattr(found, part)), sort_keys=True).encode()).hexdigest()
        for part in PARTS
    }


def model_hash(registry: Path) -> str:
    """Return the hash of the model that a registry's folder serves."""
    (choice,) = (registry / "registry").glob("serving-*.json")
    return str(json.loads(choice.read_bytes())["versions"][0])


def processor_kind() -> str:
    """Return the kind of processor that numpy's linear algebra takes this one for."""
    import numpy as np

    np.ones((2, 2)) @ np.ones((2, 2))
    return next((str(one["architecture"]) for one in threadpoolctl.threadpool_info() if "architecture" in one), "")


def recorded() -> Mapping[str, Any]:
    """Return what is recorded: `processor`, `model`, and by the last day the hashes."""
    found: Mapping[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return found


def comparable(model: str) -> bool:
    """Return whether what a model decides can be compared with what is recorded.

    It cannot be where another kind of processor has fitted another model.
    """
    before = recorded()
    return bool(model == before["model"] or processor_kind() == before["processor"])


async def _replay(folder: Path) -> dict[str, Any]:
    trained = await train_once(folder / "trained")
    found: dict[str, Any] = {"processor": processor_kind(), "model": model_hash(trained), "until": {}}
    for last in (FIRST_YEAR, WHOLE):
        left = await undisturbed(folder / last.replace(" ", "-"), trained, sample(last), group_commit=True)
        found["until"][last] = hashes(left)
    return found


def main(write: Annotated[bool, typer.Option("--write", help="Record what it gives now.")] = False) -> None:
    """Replay the sample's first year and all of it. Ends with 1 if a hash is not the recorded one."""
    with tempfile.TemporaryDirectory(prefix="bellwether-hashes-") as name:
        found = asyncio.run(_replay(Path(name)))
    if write:
        FILE.write_text(_HEAD + yaml.safe_dump(found, sort_keys=False), "utf-8")
        print(f"wrote {FILE.relative_to(ROOT)}")
        return
    if not comparable(found["model"]):
        print(f"nothing to compare with: recorded on {recorded()['processor']}, this is {found['processor']}")
        return
    if found != recorded():
        print(f"not as recorded in {FILE.relative_to(ROOT)}; now it is:\n{yaml.safe_dump(found, sort_keys=False)}")
        raise typer.Exit(1)
    print("decisions, ledger, equity and outcomes are as recorded")


if __name__ == "__main__":
    sys.exit(run_function(main))
