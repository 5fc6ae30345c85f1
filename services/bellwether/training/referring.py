"""Makes a model's reference of its training rows; with numpy, so only a training process imports it."""

from __future__ import annotations

from typing import Any

import numpy as np

from bellwether.training.dataset import Matrix, Rows
from bellwether.training.fit import Fitted
from bellwether.training.reference import BINS, FORMAT, USUAL, FeatureReference, Reference

DIGITS = 12
"""Significant digits that are kept: the rest is what the order of a sum leaves."""


def reference_of(rows: Rows, names: list[str], fitted: Fitted) -> Reference:
    """Return what the training rows looked like, and the coefficients of a linear estimator."""
    x = rows.x
    centre = x.mean(axis=0)
    away = x - centre
    covariance = away.T @ away / max(len(x) - 1, 1)
    precision = np.linalg.pinv(covariance, hermitian=True)
    distances = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", away, precision, away), 0.0))
    steps: dict[str, Any] = dict(fitted.pipeline.steps)
    scale: Any = steps.get("scale")
    regression: Any = steps.get("regression")
    linear = scale is not None and regression is not None
    return Reference(
        format=FORMAT,
        rows=len(x),
        features=[
            _feature(
                name,
                x[:, number],
                mean=_short(scale.mean_[number]) if linear else 0.0,
                deviation=_short(scale.scale_[number]) if linear else 1.0,
                coefficient=_short(regression.coef_[0, number]) if linear else None,
            )
            for number, name in enumerate(names)
        ],
        centre=[_short(one) for one in centre],
        precision=[[_short(one) for one in line] for line in precision],
        usual_distance=_short(np.quantile(distances, USUAL)),
        intercept=_short(regression.intercept_[0]) if linear else None,
    )


def _feature(
    name: str, values: Matrix, *, mean: float, deviation: float, coefficient: float | None
) -> FeatureReference:
    edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, BINS + 1)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return FeatureReference(
        name=name,
        median=_short(np.median(values)),
        edges=[float(one) for one in edges],
        shares=[_short(one) for one in counts / len(values)],
        mean=mean,
        deviation=deviation,
        coefficient=coefficient,
    )


def _short(value: Any) -> float:
    return float(f"{float(value):.{DIGITS}g}")
