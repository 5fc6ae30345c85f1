"""How fast history is replayed: in one process without NATS, and by services over NATS."""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.local_run import local_run
from bench.report import Figure, Section
from bench.trained import SAMPLE, copy_model

ROUNDS = 2
LAST = "2009-12-31"
SESSIONS = 252
LONGEST = 1800.0
ZIPLINE = 476
"""Decisions a second of zipline-reloaded, measured once on a machine of this size, not in this run."""

_HOW = (
    f"The sample from its first session to {LAST} ({SESSIONS} sessions, four symbols, two decisions for each "
    "symbol and session: one to look at and one that may trade), through bars, features, model, decision, "
    f"guards, orders, fills, ledger and outcomes, the model trained before; {ROUNDS} rounds, the kinds in "
    "turn. Decisions a second are counted between the first and the last decision's times of publishing as "
    "the database holds them, so starting up is in none. In process: `bellwether replay`, with spans for "
    "every decision (they are made; nobody listens, so they are not encoded) and without. Over NATS: "
    "`bellwether run` with pace 0s, that is the services of one process with a connection each, a barrier "
    "after each step, traces encoded, sent and kept, the API asked for its state twice a second. For scale, "
    f"not from this run: zipline-reloaded made {ZIPLINE} decisions/s of a simpler kind when it was tried once "
    "on a machine of this size."
)


@dataclass(frozen=True)
class Replayed:
    """What one replay did."""

    decisions: int
    rate: float


def measure() -> Section:
    """Replay the same sessions in three ways, in turn, and all sessions once."""
    found: dict[str, list[Replayed]] = {"traced": [], "untraced": [], "nats": []}
    for _ in range(ROUNDS):
        found["traced"].append(_in_process(1.0, LAST))
        found["untraced"].append(_in_process(0.0, LAST))
        found["nats"].append(_over_nats())
    counts = {one.decisions for kind in found.values() for one in kind}
    if len(counts) != 1:
        raise RuntimeError(f"the replays made different numbers of decisions: {sorted(counts)}")
    whole = _in_process(1.0, None)
    traced = [one.rate for one in found["traced"]]
    ratios = [mine.rate / theirs for mine, theirs in zip(found["nats"], traced, strict=True)]
    figures = [
        _figure("in process, traced", traced, target=ZIPLINE, note="the target is zipline-reloaded's figure"),
        _figure("in process, not traced", [one.rate for one in found["untraced"]]),
        _figure("services over NATS, traced", [one.rate for one in found["nats"]]),
        Figure("over NATS / in process, both traced, median of the rounds", statistics.median(ratios), ""),
        Figure("decisions in each of them", counts.pop(), ""),
        Figure("all sessions of the sample, in process, traced", whole.rate, "/s", note=f"{whole.decisions} decisions"),
    ]
    return Section("Replay", _HOW, figures)


def _figure(what: str, rates: list[float], target: float | None = None, note: str = "") -> Figure:
    spread = f"rounds {min(rates):,.0f} to {max(rates):,.0f}"
    return Figure(
        f"decisions a second, {what}",
        statistics.median(rates),
        "/s",
        target,
        "higher",
        note=f"{note}; {spread}" if note else spread,
    )


def _in_process(sampling: float, last: str | None) -> Replayed:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_model(folder)
        command = [sys.executable, "-m", "bellwether", "replay", str(SAMPLE), "--data", str(folder), "-o", "json"]
        command += ["--sampling", str(sampling), *(["--to", last] if last else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=LONGEST)
        said = json.loads(done.stdout)
        replayed = published(folder / "decisions.db")
        if replayed.decisions != said["decisions"]:
            raise RuntimeError(f"the replay tells of {said['decisions']} decisions, its database has {replayed}")
        return replayed


def _over_nats() -> Replayed:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = folder / "fast.yaml"
        manifest.write_text(yaml.safe_dump(unpaced(yaml.safe_load(SAMPLE.read_text()), LAST)))
        copy_model(folder / "run" / "data")
        with local_run(manifest, folder) as run:
            run.wait("the replay is complete", lambda: run.replay().get("state") == "complete", LONGEST)
        return published(folder / "run" / "data" / "decisions.db")


def unpaced(system: Mapping[str, Any], last: str) -> dict[str, Any]:
    """Return a system that replays as fast as it goes, to its last day."""
    spec = dict(system["spec"])
    spec["clock"] = {**spec["clock"], "pace": "0s", "to": last}
    return {**system, "spec": spec}


def published(database: Path) -> Replayed:
    """Return how many decisions a database has published, and how many a second from the first to the last."""
    query = (
        "SELECT count(*), min(published_at), max(published_at) FROM outbox WHERE subject LIKE '%.prediction_generated'"
    )
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        count, first, last = connection.execute(query).fetchone()
    finally:
        connection.close()
    if count < 2 or last <= first:
        raise RuntimeError(f"{database} has {count} published decisions: too few to measure by")
    return Replayed(int(count), (count - 1) / (last - first))
