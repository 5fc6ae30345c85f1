"""How much the news moves a probability: one number, learnt of the decisions that were kept with their news (pure).

The log odds of a model's probability are moved by weight x score x confidence. That is logistic regression with the
model as offset and the news as its one feature: Yahoo and feeds give recent news only, so there is no history to train
the model itself on, but every decision keeps the news that it saw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from bellwether.prediction.logic import NewsWeight, moved
from bellwether.training.recipe import NewsFeature

STEPS = 50
CONVERGED = 1.0e-10


class Sample(NamedTuple):
    """One kept decision whose outcome is known."""

    made: date
    """Session of the newest bar that it saw."""
    known_on: date
    """Session whose close was its outcome."""
    probability: float
    """The model's, before the news."""
    news: float
    """Score x confidence."""
    rose: bool


class Learnt(NamedTuple):
    """A weight, or in words why there is none."""

    weight: NewsWeight | None
    words: str


def learn(samples: Sequence[Sample], rule: NewsFeature) -> Learnt:
    """Return the weight that the samples give.

    There is none before there are enough of them; nor where what the older half of the sessions teaches does not make
    the newer half's probabilities better (log loss), or says that good news lowers them.
    """
    if len(samples) < rule.minimum_outcomes:
        return Learnt(None, f"{len(samples)} of {rule.minimum_outcomes} outcomes with news are there")
    days = sorted({sample.made for sample in samples})
    cut = days[len(days) // 2]
    older = [sample for sample in samples if sample.known_on < cut]
    newer = [sample for sample in samples if sample.made >= cut]
    tried = fitted(older, rule.prior_strength)
    without, with_it = log_loss(newer, 0.0), log_loss(newer, tried)
    if tried <= 0.0 or with_it >= without:
        words = f"log loss {with_it:.4f} with news beside {without:.4f} without, on the newer half"
        return Learnt(None, f"news is no help so far: {words}")
    weight = round(fitted(samples, rule.prior_strength), 6)
    if weight <= 0.0:
        return Learnt(None, "news is no help so far: over all outcomes good news lowers the odds")
    through = max(sample.known_on for sample in samples)
    words = f"learnt of {len(samples)} outcomes through {through}"
    return Learnt(NewsWeight(weight, len(samples), through), words)


def fitted(samples: Sequence[Sample], prior_strength: float) -> float:
    """Return the weight of the highest penalised likelihood, by Newton's method; the penalty holds it at 0."""
    weight = 0.0
    for _ in range(STEPS):
        gradient, curvature = -prior_strength * weight, prior_strength + 1.0e-9
        for sample in samples:
            p = moved(sample.probability, weight, sample.news)
            gradient += sample.news * (sample.rose - p)
            curvature += sample.news**2 * p * (1.0 - p)
        step = gradient / curvature
        weight += step
        if abs(step) < CONVERGED:
            break
    return weight


def log_loss(samples: Sequence[Sample], weight: float) -> float:
    """Return the mean log loss of the samples' probabilities with a weight; 0 without samples."""
    if not samples:
        return 0.0
    losses = []
    for sample in samples:
        p = moved(sample.probability, weight, sample.news)
        losses.append(-math.log(max(p if sample.rose else 1.0 - p, 1.0e-9)))
    return math.fsum(losses) / len(losses)
