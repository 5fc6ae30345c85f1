"""Our replay beside zipline-reloaded and backtrader: the same bars, the same model and rules, in one run."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from bellwether.market_data.sources import RecordedBars
from bench.child import run
from bench.replay import DECISIONS, SESSIONS, taken
from bench.report import Figure, Section
from bench.trained import SAMPLE, copy_model, model_folder
from environments.machine import ROOT
from peers.strategy import MARGIN, STOP_LOSS

TITLE = "Replay beside other backtesters"
ROUNDS = 2
OURS, ZIPLINE, BACKTRADER = "ours", "zipline-reloaded", "backtrader"
PEERS = {ZIPLINE: "zipline", BACKTRADER: "backtrader"}
"""Per peer what its requirements and its program are named after."""
SYMBOLS = 4
FIRST, LAST = "2009-01-02", "2013-03-01"
TIMES_ZIPLINE = 3
LONGEST = 3600.0

_HOW = (
    f"The sample's four symbols from {FIRST} to {LAST}, the model trained before; {ROUNDS} rounds, the three in turn, "
    "each in a new process over new folders. The peers run in environments of their own (`requirements/peer-*.txt`) "
    "what `tools/bench/peers` says: for each symbol and session the model's twelve features over 120 bars, its linear "
    f"score, an order by it, a stop at {STOP_LOSS:.0%}, an exit after five sessions. They do no more than that. Ours "
    f"does it with the same stop (and a margin that the market's mood scales, where theirs is {MARGIN}) twice for each "
    "symbol and session, one decision to look at and one that may trade, the second nearly free; it checks bars, "
    "applies guards, and stores decisions, traces, orders, ledger and outcomes. A symbol-session is one symbol in one "
    "session, whatever was decided. Rates are from the end of the first session to that of the last one, so start, "
    "reading of bars and ingesting are in none of them; they are in the time of the whole process, without "
    "zipline's ingesting of bars once. Memory is the highest Rss of the process."
)


@dataclass(frozen=True)
class Run:
    """One backtest: symbol-sessions a second, the process's seconds, and its highest Rss in MB of 10^6 bytes."""

    sessions: int
    rate: float
    first_year: float
    last_year: float
    seconds: float
    peak: float
    decisions_each: int = 1
    """Of a symbol and session."""


def measure() -> Section:
    """Install the peers, and run all three in turn."""
    pythons = {name: _environment(short) for name, short in PEERS.items()}
    found: dict[str, list[Run]] = {OURS: [], ZIPLINE: [], BACKTRADER: []}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as name:
            found[OURS].append(_ours(Path(name)))
        for peer, python in pythons.items():
            with tempfile.TemporaryDirectory() as name:
                found[peer].append(_peer(Path(name), peer, python))
    counts = {name: sorted({one.sessions for one in runs}) for name, runs in found.items()}
    if len({count for each in counts.values() for count in each}) != 1:
        raise RuntimeError(f"they replayed different numbers of sessions: {counts}")
    return Section(TITLE, _HOW, figures_of(found))


def figures_of(found: dict[str, list[Run]]) -> list[Figure]:
    """Return rates, years, seconds and memory of each, and ours as ratios to each peer within the rounds."""
    figures: list[Figure] = []
    for peer in PEERS:
        beside = list(zip(found[OURS], found[peer], strict=True))
        each = found[OURS][0].decisions_each
        ratio = statistics.median(mine.rate / theirs.rate for mine, theirs in beside)
        memory = statistics.median(mine.peak / theirs.peak for mine, theirs in beside)
        target = float(TIMES_ZIPLINE) if peer == ZIPLINE else None
        figures += [
            Figure(f"symbol-sessions a second, ours / {peer}", ratio, "", target, "higher"),
            Figure(f"decisions a second, ours / {peer}", each * ratio, "", note=f"{each} beside 1 a symbol-session"),
            Figure(f"highest memory, ours / {peer}", memory, ""),
        ]
    for name, runs in found.items():
        rates = [one.rate for one in runs]
        median = statistics.median(rates)
        year = statistics.median(one.last_year / one.first_year for one in runs)
        spread = f"rounds {min(rates):,.0f} to {max(rates):,.0f}"
        figures += [
            Figure(f"{name}: symbol-sessions a second", median, "/s", note=spread),
            Figure(f"{name}: decisions a second", median * runs[0].decisions_each, "/s"),
            Figure(f"{name}: its last year / its first year", year, ""),
            Figure(f"{name}: the whole process", statistics.median(one.seconds for one in runs), "s"),
            Figure(f"{name}: highest memory", statistics.median(one.peak for one in runs), "MB"),
        ]
    figures.append(Figure("sessions in each of them", found[OURS][0].sessions, ""))
    return figures


def peer_run(ends: Sequence[float], seconds: float, peak: float) -> Run:
    """Return a peer's run from the instants at which its sessions ended, in seconds."""
    return Run(len(ends), _rate(ends), _rate(ends[:SESSIONS]), _rate(ends[-SESSIONS:]), seconds, peak)


def _rate(ends: Sequence[float]) -> float:
    return SYMBOLS * (len(ends) - 1) / (ends[-1] - ends[0])


def _environment(short: str) -> Path:
    """Return the Python of a peer's environment, installed when its requirements have changed."""
    requirements = ROOT / "requirements" / f"peer-{short}.txt"
    folder = ROOT / ".peers" / short
    stamp, python = folder / "installed", folder / "bin" / "python"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, timeout=LONGEST)
        uv = [str(Path(sys.executable).parent / "uv"), "pip", "install", "--quiet", "--python", str(python)]
        subprocess.run([*uv, "--require-hashes", "--no-deps", "-r", str(requirements)], check=True, timeout=LONGEST)
        stamp.write_text(digest)
    return python


def _ours(folder: Path) -> Run:
    system = yaml.safe_load(SAMPLE.read_text())
    system["spec"]["trading"]["exit"] = {"stopLoss": str(STOP_LOSS)}
    manifest, data = folder / "system.yaml", folder / "data"
    manifest.write_text(yaml.safe_dump(system))
    copy_model(data)
    command = [sys.executable, "-m", "bellwether", "replay", str(manifest), "--to", LAST, "--data", str(data)]
    _, seconds, peak = run([*command, "-o", "json"])
    made = taken(data / "ledger.db")
    each = DECISIONS // SYMBOLS
    first, last = made.first_year / each, made.last_year / each
    return Run(made.decisions // DECISIONS, made.rate / each, first, last, seconds, peak, each)


def _peer(folder: Path, peer: str, python: Path) -> Run:
    write_inputs(folder)
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT / "tools" / "bench")}
    module = f"peers.{PEERS[peer]}_side"
    said, seconds, peak = run([str(python), "-m", module, str(folder), FIRST, LAST], environ)
    made = json.loads(said)
    return peer_run(made["times"], seconds - made["ingested"], peak)


def write_inputs(folder: Path) -> None:
    """Write the sample's bars as traded (no split falls into the replay) and the model's coefficients."""
    (folder / "bars").mkdir()
    recorded = RecordedBars("us-2000-2013")
    for symbol in recorded.symbols:
        lines = ["date,open,high,low,close,volume"]
        for row in recorded.load(symbol).rows:
            lines.append(f"{row.session},{row.open},{row.high},{row.low},{row.close},{row.volume:.0f}")
        (folder / "bars" / f"{symbol}.csv").write_text("\n".join(lines) + "\n")
    reference = json.loads((model_folder() / "reference.json").read_bytes())
    calibrator = json.loads((model_folder() / "manifest.json").read_bytes())["calibrator"]
    model = {name: reference[name] for name in ("intercept", "features")} | {"slope": calibrator["slope"]}
    (folder / "model.json").write_text(json.dumps(model))
