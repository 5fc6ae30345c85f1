"""`python -m soak.gate`: how often the gate accepts a planted signal and refuses what is none; writes docs/gate.md."""

from __future__ import annotations

import json
import math
import os
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import NormalDist
from typing import Annotated

import numpy as np
import typer

from bellwether.training.bootstrap import block_length
from bellwether.training.dataset import Rows
from bellwether.training.evidence import Day, Evidence
from bellwether.training.gate import judge
from bellwether.training.recipe import Gate
from devcluster.typed import run_function
from harness.signals import RECIPE, auc_of, planted, rows_of, shifted, too_sure, walked
from soak.replays import ROOT
from soak.report import GATE, with_section

PAGE, RELIABILITY = ROOT / "docs" / "gate.md", ROOT / "docs" / "reliability.md"
STATE = ROOT / "build" / "soak-gate.jsonl"
STRENGTH = 0.2
"""Of the planted state: it comes to an AUC of about .60 over five sessions."""
AUCS = (0.52, 0.55, 0.60, 0.65)
YEARS = (4, 8, 16)
SESSIONS = 252

_HOW = """Signals are planted in prices (`tests/harness/signals.py`) and go through the whole path: features, fit,
calibration, walk-forward, gate, as a first trial. The planted signal is a slow state that volume follows and returns
lean on; a model sees it only through its features. Without a signal, the outcomes of a planted history are turned
against its features by a drawn share of the history, the same for all symbols, so that outcomes still overlap and
still move together."""


def main(
    seeds: Annotated[int, typer.Argument(min=1, help="Planted signals, each in three variants.")] = 20,
    shifts: Annotated[int, typer.Argument(min=0, help="Outcomes shifted against their features: no signal.")] = 500,
) -> int:
    """Judge planted signals and shifted outcomes by the gate; print and write what was found (docs/gate.md).

    What was found is kept in build/soak-gate.jsonl as it comes: a run that was ended goes on from there. A file of
    another state of the gate has to be removed first. Ends with 1 if too few signals were accepted, or a wrong one.
    """
    kept = Kept(STATE)
    for seed in range(seeds):
        found = kept.once(f"seed {seed}", partial(planted_results, seed))
        print(f"seed {seed}: AUC {found['auc']:.3f}, {found}", flush=True)
    drawn = random.Random(1)  # noqa: S311 (nothing secret)
    shares = [drawn.uniform(0.05, 0.95) for _ in range(shifts)]
    rows = cache(lambda: rows_of(planted(0, lambda _: STRENGTH), RECIPE))
    wrong = 0.0
    for number, share in enumerate(shares):
        wrong += kept.once(f"shift {number}", partial(shift_of, rows, share))["accepted"]
        if number % 20 == 19:
            print(f"{number + 1} shifts: {wrong:g} accepted", flush=True)
    began = time.monotonic()
    table = power_table()
    planted_found = [kept.found[f"seed {seed}"] for seed in range(seeds)]
    counts = {name: round(sum(one[name] for one in planted_found)) for name in ("accepted", "sure", "died")}
    aucs = [one["auc"] for one in planted_found]
    minutes = (kept.seconds + time.monotonic() - began) / 60
    text = page(seeds=seeds, counts=counts, aucs=aucs, shifts=shifts, wrong=round(wrong), table=table, minutes=minutes)
    PAGE.write_text(text, "utf-8")
    lines = [*planted_lines(seeds, counts, aucs, shifts, round(wrong)), "", "More: [gate.md](gate.md)."]
    RELIABILITY.write_text(with_section(RELIABILITY.read_text("utf-8"), GATE, "\n".join(lines)), "utf-8")
    print(f"wrote {PAGE.relative_to(Path(ROOT))} and {RELIABILITY.relative_to(Path(ROOT))}")
    return 0 if counts["accepted"] >= 0.95 * seeds and not counts["sure"] + counts["died"] else 1


Result = dict[str, float]


class Kept:
    """Results by name, each in a line of a file as soon as it is there."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        # The last line of a run that was killed may be half a line.
        self.found: dict[str, Result] = dict(json.loads(line) for line in lines if line.endswith("]"))

    @property
    def seconds(self) -> float:
        """How long all results took together."""
        return sum(one["seconds"] for one in self.found.values())

    def once(self, name: str, work: Callable[[], Result]) -> Result:
        """Return a result, found now or by an earlier run."""
        if name not in self.found:
            began = time.monotonic()
            self.found[name] = {**work(), "seconds": round(time.monotonic() - began, 3)}
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps([name, self.found[name]]) + "\n")
        return self.found[name]


def planted_results(seed: int) -> Result:
    """Return the AUC of a seed's planted signal, and which of its three variants passed."""
    steady = rows_of(planted(seed, lambda _: STRENGTH), RECIPE)
    return {
        "auc": auc_of(steady, RECIPE),
        "accepted": passes(walked(steady, RECIPE)),
        "sure": passes(walked(steady, RECIPE, too_sure)),
        "died": passes(walked(rows_of(planted(seed, fading(0.5)), RECIPE), RECIPE)),
    }


def shift_of(rows: Callable[[], Rows], share: float) -> Result:
    """Return whether outcomes that were turned by a share of the history pass."""
    return {"accepted": passes(walked(shifted(rows(), share, RECIPE.horizon_sessions), RECIPE))}


def passes(evidence: Evidence) -> bool:
    """Return whether evidence passes as a first trial."""
    return judge(evidence, Gate(), trials=1, refit=False).passed


def fading(until: float) -> Callable[[float], float]:
    """Return a signal that is gone after a share of the history."""
    return lambda passed: STRENGTH if passed < until else 0.0


def power_table(draws: int = 20) -> list[tuple[str, list[str]]]:
    """Return per AUC, and number of symbols, the share accepted by years of test sessions."""
    found = []
    for symbols in (1, 7):
        for auc in AUCS:
            cells = []
            for years in YEARS:
                hits = sum(passes(simulated(auc, years, symbols, seed)) for seed in range(draws))
                low, high = wilson(hits, draws)
                cells.append(f"{hits / draws:.2f} ({low:.2f} to {high:.2f})")
            found.append((f"{symbols} symbol{'s' if symbols > 1 else ''}, AUC {auc:.2f}", cells))
            print(found[-1], flush=True)
    return found


def simulated(auc: float, years: int, symbols: int, seed: int, horizon: int = 5) -> Evidence:
    """Return evidence of a calibrated model of an AUC, with outcomes that overlap as those of five sessions do."""
    chance = np.random.default_rng([seed, symbols, years, int(auc * 1000)])
    count = years * SESSIONS
    apart = math.sqrt(2.0) * NormalDist().inv_cdf(auc)
    # Sums of `horizon` neighbours give outcomes and evidence the overlap that labels of several sessions have.
    width = np.ones(horizon) / math.sqrt(horizon)
    noise, idea = (
        np.array([np.convolve(line, width, "valid") for line in chance.normal(size=(symbols, count + horizon - 1))])
        for _ in range(2)
    )
    slope = apart / math.sqrt(4.0 + apart**2) if apart else 0.0
    y = (slope * idea + math.sqrt(1.0 - slope**2) * noise > 0.0).astype(float)
    p = np.vectorize(NormalDist().cdf)(slope * idea / math.sqrt(1.0 - slope**2)).clip(1e-6, 1 - 1e-6)
    loss = -np.log(np.where(y == 1, p, 1.0 - p)).sum(axis=0)
    base = np.full(count, symbols * math.log(2.0))
    tilt = ((y - p) * np.log(p / (1.0 - p))).sum(axis=0)
    bias = (p - y).sum(axis=0)
    days = [
        Day(number, symbols, *(float(part[number]) for part in (loss, base, base, bias, tilt)))
        for number in range(count)
    ]
    return Evidence(
        recipe="simulated",
        recipe_hash="",
        feature_version="",
        data_revision="",
        symbol=None,
        horizon_sessions=horizon,
        folds=1,
        days=days,
        table=[],
        bins=[],
        costs=None,
        largest_difference=0.0,
        other_side=0,
    )


def wilson(hits: int, draws: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    z, share = 1.959964, hits / draws
    centre = (share + z * z / (2 * draws)) / (1 + z * z / draws)
    half = z / (1 + z * z / draws) * math.sqrt(share * (1 - share) / draws + z * z / (4 * draws * draws))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def planted_lines(seeds: int, counts: Mapping[str, int], aucs: Sequence[float], shifts: int, wrong: int) -> list[str]:
    """Return what came of the planted signals and of the shifts, as lines of Markdown."""
    spread = f"{min(aucs):.3f} to {max(aucs):.3f}" if aucs else "none"
    low, high = wilson(wrong, shifts) if shifts else (0.0, 1.0)
    return [
        "| what | accepted | of |",
        "|---|---|---|",
        f"| a signal in the prices of 7 symbols, AUC {spread} | {counts['accepted']} | {seeds} |",
        f"| the same, two and a half times as sure as it may be | {counts['sure']} | {seeds} |",
        f"| a signal that dies midway | {counts['died']} | {seeds} |",
        f"| no signal (shifted outcomes) | {wrong} | {shifts} |",
        "",
        f"Without a signal {wrong / max(shifts, 1):.2%} are accepted; Wilson's 95 % interval of that share is "
        f"{low:.2%} to {high:.2%}.",
    ]


def page(
    *,
    seeds: int,
    counts: dict[str, int],
    aucs: Sequence[float],
    shifts: int,
    wrong: int,
    table: Sequence[tuple[str, list[str]]],
    minutes: float,
) -> str:
    """Return the page as Markdown."""
    lines = ["# What the gate can tell", "", f"Written by `python -m soak.gate {seeds} {shifts}`; do not edit.", ""]
    lines += [_HOW, "", *planted_lines(seeds, counts, aucs, shifts, wrong)]
    lines += [
        "",
        "## Power",
        "",
        "The share of calibrated models that are accepted as a first trial, with Wilson's 95 % interval, by their AUC "
        f"over five sessions and the years of test sessions (blocks of {block_length(5)} sessions). Symbols are taken "
        "as independent: real ones are not, so count fewer. Where the share is near 0 the gate can tell nothing, and "
        "says `failed` of a good model as of a bad one.",
        "",
        "| | " + " | ".join(f"{years} years" for years in YEARS) + " |",
        "|---|" + "---|" * len(YEARS),
    ]
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in table]
    lines += ["", f"{minutes:.0f} minutes on {os.cpu_count()} cores."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(run_function(main))
