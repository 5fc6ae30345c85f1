"""One row through ONNX Runtime and through scikit-learn: the same trained model, the same rows, one thread."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.report import Figure, Section
from bench.trained import model_folder

ROUNDS = 10
CALLS = 500
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
LARGEST_DIFFERENCE = 1.0e-4
"""Of raw scores: more would say that two different models were measured."""

MARGIN = 0.01
"""How far above the base rate a BUY begins: the declaration's default."""

_HOW = (
    "The model that the sample trains (scaler and logistic regression), its ONNX and its skops file, in one "
    f"process of its own, one thread: {ROUNDS} rounds of {CALLS} single rows each, in turn, the rows drawn "
    "around the means of the training data; every row's two scores are compared. `in service` is what a call "
    "of ml-model costs without the bus: features by name, checked, scored, calibrated."
)
_WORDS = {
    "onnx": "ONNX Runtime, one row",
    "sklearn": "scikit-learn, one row",
    "served": "in service, one row",
}


def measure() -> Section:
    """Measure in a child process: the number of threads is settled when numpy is imported."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.inference", str(model_folder())],
        env=os.environ | ONE_THREAD,
        stdout=subprocess.PIPE,
        check=True,
        timeout=600,
    )
    said = json.loads(done.stdout)
    medians: dict[str, list[float]] = said["medians"]
    ratios = [theirs / ours for theirs, ours in zip(medians["sklearn"], medians["onnx"], strict=True)]
    figures = [
        Figure(
            "scikit-learn p50 / ONNX Runtime p50, median of the rounds",
            statistics.median(ratios),
            "",
            1,
            "higher",
            note=f"rounds {min(ratios):.3g} to {max(ratios):.3g}; target our own: serving with ONNX must not be slower",
        )
    ]
    for name, words in _WORDS.items():
        figures.append(
            Figure(
                f"{words}: p50",
                statistics.median(medians[name]),
                "µs",
                note=f"rounds {min(medians[name]):.3g} to {max(medians[name]):.3g}",
            )
        )
    parity = "of calibrated probabilities, over the rows that are measured"
    figures.append(Figure("largest difference of both", said["largest_difference"], "", 1.0e-5, note=parity))
    figures.append(Figure("rows with another action", said["other_action"], "rows", 0, note="by the default margin"))
    return Section("Prediction of a single row", _HOW, figures)


def medians_of(kinds: Mapping[str, Callable[[int], object]], rounds: int, calls: int) -> dict[str, list[float]]:
    """Return per kind the median microseconds of each round; the kinds take turns, the row's number is the argument."""
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(rounds + 1):
        for name, work in kinds.items():
            times = []
            for row in range(calls):
                began = time.perf_counter_ns()
                work(row)
                times.append(time.perf_counter_ns() - began)
            if number:  # the first round warms up
                found[name].append(statistics.median(times) / 1000)
    return found


def main(folder: Path) -> None:
    """Measure and write the medians as JSON."""
    import numpy as np

    from bellwether.models.serving import SCORES, ServedModel
    from bellwether.prediction.logic import action_of
    from bellwether.training.artifact import SKOPS, read_artifact, read_file
    from bellwether.training.export import from_skops_bytes

    manifest = read_artifact(folder)
    pipeline: Any = from_skops_bytes(read_file(folder, SKOPS, manifest.files[SKOPS]))
    served = ServedModel.open(folder)
    scale = pipeline.named_steps["scale"]
    rows = _rows(scale.mean_.tolist(), scale.scale_.tolist())
    double = [np.array([row]) for row in rows]
    single = [one.astype(np.float32) for one in double]
    named = [dict(zip(manifest.features, row, strict=True)) for row in rows]
    session, put = served._session, served._input
    largest, other, base = 0.0, 0, manifest.base_rate
    for row in range(CALLS):
        theirs = float(pipeline.decision_function(double[row])[0])
        ours = float(session.run([SCORES], {put: single[row]})[0][0, 1])
        if abs(theirs - ours) > LARGEST_DIFFERENCE:
            raise SystemExit(f"error: row {row} scores {theirs} in scikit-learn and {ours} in ONNX Runtime")
        said = [manifest.calibrator.probability(score, None) for score in (theirs, ours)]
        largest = max(largest, abs(said[0] - said[1]))
        other += action_of(said[0], base, MARGIN) != action_of(said[1], base, MARGIN)
    kinds: dict[str, Callable[[int], object]] = {
        "onnx": lambda row: session.run([SCORES], {put: single[row]}),
        "sklearn": lambda row: pipeline.decision_function(double[row]),
        "served": lambda row: served.predict(named[row], None),
    }
    medians = medians_of(kinds, ROUNDS, CALLS)
    answer = {"medians": medians, "largest_difference": largest, "other_action": other}
    sys.stdout.write(json.dumps(answer) + "\n")


def _rows(means: Sequence[float], scales: Sequence[float]) -> list[list[float]]:
    drawn = random.Random(1)  # noqa: S311 (rows, not secrets)
    return [[drawn.gauss(mean, spread) for mean, spread in zip(means, scales, strict=True)] for _ in range(CALLS)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
