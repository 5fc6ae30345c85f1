"""The losses of the version that serves, on the sessions that a refit is judged by: the fair comparison of both.

Up to the last session that the serving model learned from, its own walk-forward says what its recipe said of a session
before its outcome was known; after that session, the model itself does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bellwether.training.artifact import ONNX, Manifest, read_file, read_model
from bellwether.training.dataset import Rows
from bellwether.training.evidence import Day, Evidence
from bellwether.training.export import onnx_scores
from bellwether.training.walk import losses


def serving_losses(root: Path, version: str, rows: Rows, days: list[Day]) -> list[float | None]:
    """Return the serving version's loss of each session; None where it said nothing, or of other rows.

    Raises:
        ArtifactError: when the serving version cannot be trusted.
    """
    manifest, evidence = read_model(root, version)
    walked = _walked(evidence, manifest)
    said = _said(root / version, manifest, rows)
    found: list[float | None] = []
    for day in days:
        rows_then, loss = said.get(day.day) or walked.get(day.day) or (0, 0.0)
        found.append(loss if rows_then == day.rows else None)
    return found


def _walked(evidence: Evidence | None, manifest: Manifest) -> dict[int, tuple[int, float]]:
    last = manifest.trained_through.toordinal()
    days = [] if evidence is None else evidence.days
    return {day.day: (day.rows, day.model) for day in days if day.day <= last}


def _said(folder: Path, manifest: Manifest, rows: Rows) -> dict[int, tuple[int, float]]:
    new = rows.where(rows.day > manifest.trained_through.toordinal())
    if not len(new):
        return {}
    scores = onnx_scores(read_file(folder, ONNX, manifest.files[ONNX]), new.x)
    told = [
        manifest.calibrator.probability(float(score), new.symbols[number])
        for score, number in zip(scores, new.symbol, strict=True)
    ]
    each = losses(new.y, np.array(told))
    days, place = np.unique(new.day, return_inverse=True)
    counts = np.bincount(place, minlength=len(days))
    sums = np.bincount(place, weights=each, minlength=len(days))
    return {int(day): (int(counts[n]), round(float(sums[n]), 9)) for n, day in enumerate(days)}
