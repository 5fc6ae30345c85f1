"""How fast history is replayed: in one process without NATS, and by services over NATS."""

from __future__ import annotations

import itertools
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
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
DECISIONS = 8
"""Of a session: two for each of the sample's four symbols."""
LONGEST = 1800.0
DOWN_SECONDS = 60.0
"""Seconds without a decision after which a replay is taken to have been down."""
IN_PROCESS = 1500.0
OVER_NATS = 400.0
"""Decisions a second that are aimed at."""
EVEN = 0.95
"""A replay is as fast in its last year as in its first: but for what two runs differ by."""

_HOW = (
    f"The sample from its first session to {LAST} ({SESSIONS} sessions, four symbols, two decisions for each "
    "symbol and session: one to look at and one that may trade, so a symbol and session is two), through bars, "
    "features, model, decision, guards, orders, fills, ledger and outcomes, the model trained before; "
    f"{ROUNDS} rounds, the kinds in turn. Decisions a second are counted between the times at which paper-trading took "
    "the first and the last one, as its database holds them, so starting up is in none; those of the first instant "
    "count as made before it. The first and the last year are 252 sessions each of the same replay: in both a decision "
    "has full windows of bars before it, and a session makes as many calls and statements within 3 % (counted apart), "
    "so what differs is the time of each. In process: `bellwether replay`, with spans for every decision (they are "
    "made and, as nobody listens, let go of when they end) and without. Over NATS: "
    "`bellwether run` with pace 0s, that is the services of one process with a connection each: events are stored by "
    "JetStream and taken from there, traces encoded, sent and kept, the API asked for its state twice a second; calls "
    "between services are handed over within the process."
)


@dataclass(frozen=True)
class Replayed:
    """What one replay did."""

    decisions: int
    rate: float
    first_year: float
    last_year: float
    """Decisions a second over the first and over the last 252 sessions; of fewer, over all."""


def measure() -> Section:
    """Replay the same sessions in three ways, in turn, and all sessions as often."""
    found: dict[str, list[Replayed]] = {"traced": [], "untraced": [], "nats": []}
    for _ in range(ROUNDS):
        found["traced"].append(_in_process(1.0, LAST))
        found["untraced"].append(_in_process(0.0, LAST))
        found["nats"].append(_over_nats())
    counts = {one.decisions for kind in found.values() for one in kind}
    if len(counts) != 1:
        raise RuntimeError(f"the replays made different numbers of decisions: {sorted(counts)}")
    whole = [_in_process(1.0, None) for _ in range(ROUNDS)]
    even = [one.last_year / one.first_year for one in whole]
    traced = [one.rate for one in found["traced"]]
    ratios = [mine.rate / theirs for mine, theirs in zip(found["nats"], traced, strict=True)]
    figures = [
        _figure("in process, traced", traced, target=IN_PROCESS),
        _figure("in process, not traced", [one.rate for one in found["untraced"]]),
        _figure("services over NATS, traced", [one.rate for one in found["nats"]], target=OVER_NATS),
        Figure("over NATS / in process, both traced, median of the rounds", statistics.median(ratios), ""),
        Figure("decisions in each of them", counts.pop(), ""),
        Figure(
            "all sessions of the sample, in process, traced",
            statistics.median(one.rate for one in whole),
            "/s",
            note=f"{whole[0].decisions} decisions",
        ),
        Figure(
            "its last year / its first year", statistics.median(even), "", EVEN, "higher", note=_spread(even, ".2f")
        ),
    ]
    return Section("Replay", _HOW, figures)


def _figure(what: str, rates: list[float], target: float | None = None) -> Figure:
    return Figure(
        f"decisions a second, {what}", statistics.median(rates), "/s", target, "higher", note=_spread(rates, ",.0f")
    )


def _spread(values: list[float], form: str) -> str:
    return f"rounds {min(values):{form}} to {max(values):{form}}"


def _in_process(sampling: float, last: str | None) -> Replayed:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_model(folder)
        command = [sys.executable, "-m", "bellwether", "replay", str(SAMPLE), "--data", str(folder), "-o", "json"]
        command += ["--sampling", str(sampling), *(["--to", last] if last else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=LONGEST)
        said = json.loads(done.stdout)
        replayed = taken(folder / "ledger.db")
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
        return taken(folder / "run" / "data" / "ledger.db")


def unpaced(system: Mapping[str, Any], last: str) -> dict[str, Any]:
    """Return a system that replays as fast as it goes, to its last day."""
    spec = dict(system["spec"])
    spec["clock"] = {**spec["clock"], "pace": "0s", "to": last}
    return {**system, "spec": spec}


def taken(ledger: Path, each: int = DECISIONS) -> Replayed:
    """Return how many decisions the trader has taken, and how many a second; `each` is how many a session has."""
    query = "SELECT at FROM inbox WHERE event_id LIKE 'prediction_generated-%' ORDER BY at"
    connection = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
    try:
        times = [float(row[0]) for row in connection.execute(query)]
    finally:
        connection.close()
    if len(times) < 2 or times[-1] <= times[0]:
        raise RuntimeError(f"{ledger} has {len(times)} decisions: too few to measure by")
    year = SESSIONS * each
    return Replayed(len(times), rate_of(times), rate_of(times[:year]), rate_of(times[-year:]))


def rate_of(times: Sequence[float]) -> float:
    """Return how many events a second were noted after the first instant; several may be noted together.

    Times in which the replay was down are left out.
    """
    down = sum(gap for one, after in itertools.pairwise(times) if (gap := after - one) > DOWN_SECONDS)
    return sum(one > times[0] for one in times) / (times[-1] - times[0] - down)
