"""From a raw score to a probability that is meant: two numbers, and one shift per symbol."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec


class Calibrator(msgspec.Struct, frozen=True):
    """probability = 1 / (1 + exp(-(slope * score + intercept + shift of the symbol))).

    `slope` and `intercept` are Platt's (Probabilistic Outputs for Support Vector Machines, 1999). The shift is
    ln(odds of the symbol's base rate / odds of the pooled one) in training: a change of the prior at equal evidence
    (Saerens, Latinne, Decaestecker 2002), so that a symbol's probability stands beside that symbol's base rate. A
    symbol that was not in training has none.
    """

    slope: float
    intercept: float
    shifts: Mapping[str, float]

    def probability(self, score: float, symbol: str | None) -> float:
        """Return the calibrated probability of a raw score (log odds)."""
        value = self.slope * score + self.intercept + self.shifts.get(symbol or "", 0.0)
        if value >= 0.0:
            return 1.0 / (1.0 + math.exp(-value))
        odds = math.exp(value)
        return odds / (1.0 + odds)


def log_odds(probability: float) -> float:
    """Return ln(p / (1 - p)); 0 and 1 are moved inwards by a millionth."""
    inside = min(max(probability, 1.0e-6), 1.0 - 1.0e-6)
    return math.log(inside / (1.0 - inside))
