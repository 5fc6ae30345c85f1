"""Training by symbols and workers: the whole path from bars to judged models in a registry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.inference import ONE_THREAD
from bench.report import Figure, Section

SYMBOLS = (1, 7, 50)
WORKERS = (1, 2)
SESSIONS = 1000

_HOW = (
    f"Made-up bars of {SESSIONS} sessions per symbol, the sample's recipe with a model per symbol beside the general "
    "one: features, fit, calibration, ONNX, the proof that ONNX Runtime gives the same on every row, walk-forward with "
    "five folds, intervals, and the artifact on disk. One thread per process; workers share the symbols, the general "
    "model is made by the first process. Loading scikit-learn counts as CPU only. Where other work runs here, too, "
    "CPU says more than seconds. In a cluster each index of the Indexed Job does one model's part of this."
)


def measure() -> Section:
    """Measure each number of symbols with each number of workers, in a child process of its own."""
    found = {(symbols, workers): _child(symbols, workers) for symbols in SYMBOLS for workers in WORKERS}
    figures = [
        Figure(
            f"{symbols} symbol{'s' if symbols > 1 else ''}, {workers} worker{'s' if workers > 1 else ''}",
            seconds,
            "s",
            note=f"{symbols + 1} models, {seconds / (symbols + 1):.2f} s each; {cpu:.1f} s of CPU",
        )
        for (symbols, workers), (seconds, cpu) in found.items()
    ]
    most, many = SYMBOLS[-1], WORKERS[-1]
    ratio = found[(most, 1)][0] / found[(most, many)][0]
    figures.append(Figure(f"{most} symbols: one worker's time / that of {many}", ratio, ""))
    return Section("Training", _HOW, figures)


def _child(symbols: int, workers: int) -> tuple[float, float]:
    """Return seconds, and seconds of CPU of all processes."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.training", str(symbols), str(workers)],
        env=os.environ | ONE_THREAD,
        stdout=subprocess.PIPE,
        check=True,
        timeout=3600,
    )
    seconds, cpu = json.loads(done.stdout)
    return float(seconds), float(cpu)


def main(symbols: int, workers: int) -> None:
    """Make the models once and write the seconds, and those of CPU, as JSON."""
    from bellwether.training.recipe import load_recipe
    from bellwether.training.train import train
    from harness.signals import planted

    recipe = load_recipe("direction-lr").model_copy(update={"per_symbol": True, "minimum_rows": 100})
    histories = planted(1, lambda _: 0.2, [f"S{number:02}" for number in range(symbols)], SESSIONS)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        versions = train(recipe, histories, Path(folder), lambda _: None, workers=workers)
        took = time.monotonic() - began
    if len(versions) != symbols + 1:
        raise SystemExit(f"error: {len(versions)} models were made of {symbols + 1}")
    used = os.times()
    cpu = used.user + used.system + used.children_user + used.children_system
    sys.stdout.write(json.dumps([took, cpu]) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
