"""An estimator as bytes: ONNX to serve with, skops to study with, and the proof that ONNX says the same."""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any

import numpy as np
import onnxruntime
import skops.io
from skl2onnx import to_onnx

from bellwether.training.artifact import Parity
from bellwether.training.dataset import Matrix, Rows
from bellwether.training.fit import Fitted, calibrated

SCORES = "probabilities"
LARGEST_DIFFERENCE = 1.0e-5
ALLOWED_TYPES: tuple[str, ...] = ("sklearn.tree._tree.Tree",)
"""Types that a skops file may hold besides those that skops itself trusts: exact names, of boosted trees."""
STEPS = (-0.02, -0.01, 0.0, 0.01, 0.02)
"""Distances from the base rate at which the action changes, with the declaration's default margin."""
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class NotTheSame(Exception):
    """ONNX Runtime does not give what scikit-learn gives; such a model is not served."""


def to_onnx_bytes(fitted: Fitted) -> bytes:
    """Return the estimator as an ONNX graph that gives raw scores (log odds); calibration stays outside of it."""
    estimator = fitted.pipeline.steps[-1][1]
    sample = np.zeros((1, fitted.pipeline.n_features_in_), dtype=np.float32)
    options = {id(estimator): {"raw_scores": True, "zipmap": False}}
    graph = to_onnx(fitted.pipeline, sample, options=options, name="bellwether")
    content: bytes = graph.SerializeToString(deterministic=True)
    return content


def to_skops_bytes(fitted: Fitted) -> bytes:
    """Return the estimator as a skops file whose bytes depend on nothing but the estimator.

    skops names parts by memory addresses and stamps them with the time; both are replaced here.
    """
    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(fitted.pipeline)))
    schema = source.read("schema.json").decode()
    names: dict[str, str] = {}
    for address in re.findall(r'"__id__": (\d+)|"(\d+)\.npy"', schema):
        names.setdefault(address[0] or address[1], str(len(names) + 1))
    schema = re.sub(r'"__id__": (\d+)', lambda found: f'"__id__": {names[found[1]]}', schema)
    schema = re.sub(r'"(\d+)\.npy"', lambda found: f'"{names[found[1]]}.npy"', schema)
    parts = {
        f"{names[name.removesuffix('.npy')]}.npy": source.read(name)
        for name in source.namelist()
        if name.endswith(".npy")
    }
    parts["schema.json"] = json.dumps(json.loads(schema), indent=2).encode()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(parts):
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), parts[name])
    return target.getvalue()


def from_skops_bytes(content: bytes) -> Any:
    """Return the estimator of a skops file.

    Raises:
        ValueError: naming the types, when the file holds any that is not allowed by its exact name.
    """
    strange = sorted(set(skops.io.get_untrusted_types(data=content)) - set(ALLOWED_TYPES))
    if strange:
        raise ValueError(f"the skops file holds types that are not allowed: {', '.join(strange)}")
    return skops.io.loads(content, trusted=list(ALLOWED_TYPES))


def onnx_scores(content: bytes, x: Matrix) -> Matrix:
    """Return the raw scores that ONNX Runtime gives, one row per call as in service."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = x.astype(np.float32)
    return np.array(
        [float(session.run([SCORES], {name: rows[index : index + 1]})[0][0, 1]) for index in range(len(rows))]
    )


def prove_parity(content: bytes, fitted: Fitted, rows: Rows) -> Parity:
    """Return how far ONNX Runtime and scikit-learn agree.

    Raises:
        NotTheSame: when a probability, before or after calibration, differs by 1e-5 or more, or a row would be acted
            on differently.
    """
    graph_scores, scores = onnx_scores(content, rows.x), fitted.scores(rows.x)
    ours = calibrated(graph_scores, rows, fitted.calibrator)
    theirs = fitted.probabilities(rows)
    base = np.array([fitted.symbol_base_rates.get(rows.symbols[number], fitted.base_rate) for number in rows.symbol])
    # A calibrator that found nothing to tell apart gives every score the same probability, and would hide a graph that
    # says something else: so the scores are compared as well, as the probabilities of a logistic regression.
    uncalibrated = np.abs(1.0 / (1.0 + np.exp(-graph_scores)) - 1.0 / (1.0 + np.exp(-scores)))
    largest = float(max(np.abs(ours - theirs).max(), uncalibrated.max()))
    other = int(np.sum(np.digitize(ours - base, STEPS) != np.digitize(theirs - base, STEPS)))
    if largest >= LARGEST_DIFFERENCE or other:
        raise NotTheSame(
            f"ONNX Runtime and scikit-learn differ by up to {largest:.2e} (limit {LARGEST_DIFFERENCE:g}) and on "
            f"{other} of {len(rows)} rows would be acted on differently: the model is not served"
        )
    return Parity(rows=len(rows), largest_difference=float(f"{largest:.1e}"), other_side=other)
