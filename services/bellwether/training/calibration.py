"""From a raw score to a probability that is meant: two numbers, and one shift per symbol."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec


class Calibrator(msgspec.Struct, frozen=True):
    """probability = 1 / (1 + exp(-(slope * score + intercept + shift of the symbol))).

    `slope` and `intercept` are Platt's (Probabilistic Outputs for Support Vector Machines, 1999). The shift is
    ln(odds of the symbol's base rate / odds of the pooled one): a change of the prior at equal evidence (Saerens,
    Latinne, Decaestecker 2002), so that a symbol's probability stands beside that symbol's base rate. A symbol that was
    not in the window has none.

    All of it comes from one window, the sessions of the calibration, and so does the base rate: were it counted over
    another, all probabilities would lie on one side of it whatever the scores say.
    """

    slope: float
    intercept: float
    shifts: Mapping[str, float]
    base: float | None = None
    """Log odds of the pooled base rate in the window; None in a model of an earlier release."""

    def probability(self, score: float, symbol: str | None) -> float:
        """Return the calibrated probability of a raw score (log odds); without a slope the base rate itself."""
        if self.slope == 0.0 and self.base is not None:
            score = 0.0
        return odds_share(self.slope * score + self.intercept + self.shifts.get(symbol or "", 0.0))

    def base_rate(self, symbol: str | None) -> float | None:
        """Return the symbol's base rate in the window, None where the model does not say."""
        return None if self.base is None else odds_share(self.base + self.shifts.get(symbol or "", 0.0))


def odds_share(value: float) -> float:
    """Return 1 / (1 + exp(-value)), 0 to 1 for every number."""
    if value >= 0.0:
        return 1.0 / (1.0 + math.exp(-value))
    odds = math.exp(value)
    return odds / (1.0 + odds)


def log_odds(probability: float) -> float:
    """Return ln(p / (1 - p)); 0 and 1 are moved inwards by a millionth."""
    inside = min(max(probability, 1.0e-6), 1.0 - 1.0e-6)
    return math.log(inside / (1.0 - inside))
