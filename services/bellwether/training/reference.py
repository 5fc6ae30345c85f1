"""What a model's training rows looked like: by it contributions, drift and unusual inputs are found. Pure.

It stands beside the manifest, as the evidence does: two models with the same bytes learned from the same rows.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence

import msgspec

from bellwether.messages.models import ProbabilityPart

REFERENCE = "reference.json"
FORMAT = 1
BINS = 10
USUAL = 0.99
"""The share of the training rows within distance 1."""


class FeatureReference(msgspec.Struct, frozen=True, omit_defaults=True):
    """One feature over the training rows, in its own units."""

    name: str
    median: float
    edges: list[float]
    """Upper edges of all but the last of `BINS` bins that hold equally many rows; equal edges are named once."""
    shares: list[float]
    """The share of the rows in each bin."""
    mean: float = 0.0
    deviation: float = 1.0
    """Mean and standard deviation by which a linear estimator standardises it: those of what it learned from."""
    coefficient: float | None = None
    """Of the standardised value, in log odds; None where the estimator is not linear."""


class Reference(msgspec.Struct, frozen=True, omit_defaults=True):
    """The training rows of a model."""

    format: int
    rows: int
    features: list[FeatureReference]
    centre: list[float]
    """Means of the features over all rows, in their order."""
    precision: list[list[float]]
    """Pseudo-inverse of the covariance of the features over all rows."""
    usual_distance: float
    """The Mahalanobis distance within which `USUAL` of the rows lie."""
    intercept: float | None = None
    """Of a linear estimator: the score (log odds) of a row at the means."""


def linear_parts(reference: Reference, row: Mapping[str, float], slope: float) -> list[ProbabilityPart] | None:
    """Return the exact contributions to the calibrated log odds; None where the estimator is not linear.

    Each is slope x coefficient x (value - mean) / deviation; their sum is the calibrated log odds less those of a row
    at the means.
    """
    found: list[ProbabilityPart] = []
    for one in reference.features:
        if one.coefficient is None:
            return None
        standardised = (row[one.name] - one.mean) / one.deviation
        moved = slope * one.coefficient * standardised
        found.append(ProbabilityPart(one.name, row[one.name], one.mean, moved, standardised, slope * one.coefficient))
    return found


def novelty(reference: Reference, row: Mapping[str, float]) -> float:
    """Return how unlike the training rows a row is: its Mahalanobis distance over `usual_distance`.

    Of the training rows 99 % lie at 1 or below. 0 where the training rows did not vary.
    """
    if reference.usual_distance <= 0.0:
        return 0.0
    away = [row[one.name] - centre for one, centre in zip(reference.features, reference.centre, strict=True)]
    total = math.fsum(
        left * weight * right
        for left, weights in zip(away, reference.precision, strict=True)
        for weight, right in zip(weights, away, strict=True)
    )
    return math.sqrt(max(total, 0.0)) / reference.usual_distance


LEAST_SHARE = 1.0e-4
"""What an empty bin counts as, so that the index stays finite."""


def stability_index(feature: FeatureReference, values: Sequence[float]) -> float | None:
    """Return the population stability index of values against the training rows; None without values.

    PSI = sum over bins of (share - training share) x ln(share / training share) (Siddiqi, Credit
    Risk Scorecards, 2006). By custom below 0.1 is no change, above 0.25 a large one.
    """
    if not values:
        return None
    counts = [0] * len(feature.shares)
    for value in values:
        counts[bisect_right(feature.edges, value)] += 1
    total = 0.0
    for count, expected in zip(counts, feature.shares, strict=True):
        now, then = max(count / len(values), LEAST_SHARE), max(expected, LEAST_SHARE)
        total += (now - then) * math.log(now / then)
    return total
